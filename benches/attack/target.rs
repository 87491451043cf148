//! The program under attack, in a process of its own between the simulators, and measurements of that process.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sandbox::{
    OneTribeSim, QuotaRule, StoreConfig, StoreSim, http,
    relay::{free_port, variables},
};
use tokio::net::{TcpSocket, TcpStream};

pub const PATIENCE: Duration = Duration::from_secs(60);
/// Encrypts the credentials in a temporary database.
pub const CREDENTIALS_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// The relay, and the simulators around it.
pub struct Target {
    pub store: StoreSim,
    pub sink: OneTribeSim,
    _folder: tempfile::TempDir,
    pub port: u16,
    pub client: reqwest::Client,
    pub process: Child,
}

impl Target {
    pub async fn start(extra: &[(&str, &str)]) -> Self {
        Self::start_as(extra, Command::new).await
    }

    /// Starts it under limits that a shell sets, such as `ulimit -n 1024`.
    pub async fn start_under(limits: &str, extra: &[(&str, &str)]) -> Self {
        Self::start_as(extra, |program| {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(format!("{limits} && exec {program}"));
            command
        })
        .await
    }

    async fn start_as(extra: &[(&str, &str)], command: impl FnOnce(&'static str) -> Command) -> Self {
        let store = StoreConfig { quota: QuotaRule::unlimited(), record_details: false, ..StoreConfig::default() };
        let (store, sink) = (StoreSim::start_with(store).unwrap(), OneTribeSim::start().unwrap());
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
        let mut command = command(env!("CARGO_BIN_EXE_onetribe-relay"));
        let of_this = variables(&store, &sink, &folder.path().join("relay.db"), port);
        command.env_clear().envs(of_this).env("RUST_LOG", "error").env("RECONCILE_INTERVAL", "0");
        command.envs(extra.iter().copied()).current_dir(folder.path()).stdin(Stdio::null());
        if extra.iter().any(|(name, _)| *name == "RUST_LOG") {
            // The pipes stay open but are never read.
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let process = command.spawn().unwrap();
        let target = Self { store, sink, _folder: folder, port, client: http::client(), process };
        target.is_up().await;
        target
    }

    /// Waits until the relay answers and has registered its hook.
    pub async fn is_up(&self) {
        let began = Instant::now();
        while self.client.get(self.url("/health/live")).send().await.is_err() {
            assert!(began.elapsed() < PATIENCE, "the relay does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.store.wait_for(|store| !store.hooks().is_empty(), PATIENCE).await.unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn secret(&self) -> String {
        self.store.config().client_secret.clone()
    }

    /// The token that the relay has put on its hook.
    pub fn hook_token(&self) -> String {
        self.store.hooks()[0].headers["x-relay-token"].as_str().unwrap().to_owned()
    }

    /// Opens a connection with a small receive buffer.
    pub async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        socket.connect(([127, 0, 0, 1], self.port).into()).await
    }

    fn status(&self, field: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Peak resident memory since the last [`Target::forget_peak`], in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.status("VmHWM:")
    }

    /// Resident memory, in MiB.
    pub fn resident_mib(&self) -> f64 {
        self.status("VmRSS:")
    }

    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5").unwrap();
    }

    /// CPU time used so far.
    pub fn processor(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // After the name in parentheses, state is the first field, utime the twelfth, stime the thirteenth.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub fn is_alive(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
