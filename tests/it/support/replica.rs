//! One of several relays, in a process of its own.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sandbox::{http, relay::free_port};

/// A relay process. Killed when dropped.
pub struct Replica {
    child: Child,
    pub port: u16,
    metrics_port: u16,
    log: Arc<Mutex<Vec<String>>>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the relay on port {}", self.port);
            self.log().iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Replica {
    /// Starts a relay with these variables on a free port, and waits until it answers.
    pub async fn start(variables: &[(String, String)]) -> Self {
        let (port, metrics_port) = (free_port().expect("a free port"), free_port().expect("a free port"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
        command.env_clear().envs(variables.iter().cloned()).env("PORT", port.to_string());
        command.env("METRICS_PORT", metrics_port.to_string());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the relay has been built");
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let kept = log.clone();
        // This thread ends when the process closes its output.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().expect("no holder panics").push(line);
            }
        });
        let replica = Self { child, port, metrics_port, log };
        let (client, began) = (http::client(), Instant::now());
        let url = replica.url("/health/live");
        while client.get(&url).send().await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the relay does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        replica
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The URL of its metrics.
    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.metrics_port)
    }

    /// The lines it has written to its standard output.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no holder panics").clone()
    }

    /// How many shards it holds, according to its last log line about them.
    pub fn shards(&self) -> usize {
        let count = |line: &String| {
            let (_, rest) = line.split_once("this relay works at ")?;
            rest.split_whitespace().next()?.parse().ok()
        };
        self.log().iter().rev().find_map(count).unwrap_or(0)
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("there is a `kill`");
        assert!(sent.success());
    }

    pub async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our own child") {
                return status;
            }
            assert!(began.elapsed() < Duration::from_secs(40), "the relay does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
