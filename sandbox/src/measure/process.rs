//! A program under measurement, in a process of its own: its start-up time, resident memory and CPU time.

use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::relay::free_port;

/// A process that listens on a port. Killed when dropped.
pub struct Process {
    child: Child,
    /// The port on loopback.
    pub port: u16,
    /// The time from its start until it listened.
    pub listened_after: Duration,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Process {
    /// Starts a relay with these variables on a free port.
    pub async fn relay(program: &Path, variables: &[(String, String)]) -> Self {
        Self::start(Command::new(program), variables, free_port().expect("loopback has ports")).await
    }

    /// Starts a program that listens on the port in the variable `PORT`, and waits until it does.
    pub async fn start(mut command: Command, variables: &[(String, String)], port: u16) -> Self {
        command.env_clear().envs(variables.iter().cloned()).env("PORT", port.to_string());
        command.current_dir(env::temp_dir()).stdin(Stdio::null());
        let began = Instant::now();
        let child = command.spawn().expect("the program has been built");
        let mut process = Self { child, port, listened_after: Duration::ZERO };
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(process.child.try_wait().expect("it can be asked").is_none(), "the program has ended");
            assert!(began.elapsed() < Duration::from_secs(60), "the program does not listen");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        process.listened_after = began.elapsed();
        process
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The URL of `path` at this process.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Kills it, as a crash would, and waits until it has ended.
    pub fn kill(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Resident memory, in MiB.
    pub fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells it");
        let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        kib / 1024.0
    }

    /// User and system time so far.
    pub fn busy(&self) -> Duration {
        busy(&format!("/proc/{}/stat", self.id()))
    }
}

/// User and system time of the current process so far.
pub fn own_busy() -> Duration {
    busy("/proc/self/stat")
}

/// Read in clock ticks of 10 ms, as on Linux (proc(5), fields 14 and 15).
fn busy(stat: &str) -> Duration {
    let stat = std::fs::read_to_string(stat).expect("Linux tells it");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
