//! One relay of several, as a process of its own.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sandbox::{http, relay::free_port};

/// What a relay says when it has taken the lead.
const LEADS: &str = "this relay has the lead";

/// Killed when dropped.
pub struct Replica {
    child: Child,
    pub port: u16,
    said: Arc<Mutex<Vec<String>>>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the relay on port {}", self.port);
            self.said().iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

impl Replica {
    /// Starts one with these variables, on a port of its own, and waits until it answers.
    pub async fn start(variables: &[(String, String)]) -> Self {
        let port = free_port().expect("a free port");
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
        command.env_clear().envs(variables.iter().cloned()).env("PORT", port.to_string());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the relay has been built");
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let heard = said.clone();
        // Ends with the process that it listens to.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().expect("no holder panics").push(line);
            }
        });
        let replica = Self { child, port, said };
        let (client, began) = (http::client(), Instant::now());
        let url = format!("http://127.0.0.1:{port}/health/live");
        while client.get(&url).send().await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the relay does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        replica
    }

    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("no holder panics").clone()
    }

    /// How often it has taken the lead.
    #[allow(dead_code, reason = "not everybody who starts replicas asks for the lead")]
    pub fn terms(&self) -> usize {
        self.said().iter().filter(|line| line.contains(LEADS)).count()
    }

    #[allow(dead_code, reason = "not everybody who starts replicas looks at their processes")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    #[allow(dead_code, reason = "not everybody who starts replicas sends signals")]
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("there is a `kill`");
        assert!(sent.success());
    }

    #[allow(dead_code, reason = "not everybody who starts replicas waits for their end")]
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
