//! The real relay, connected to the simulators: the variables for a relay process, or a relay within this process.

use std::{
    io,
    net::TcpListener,
    ops::RangeInclusive,
    path::Path,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use onetribe_relay::{
    app::{AppError, Application},
    config::Config,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{OneTribeSim, StoreSim};

/// The admin token of relays started here.
pub const ADMIN_TOKEN: &str = "sandbox-admin-token";

/// The environment of a relay between `store` and `sink` with its database at `database`, which listens on `port` on
/// loopback. Later entries win, so a test may append its own.
pub fn variables(store: &StoreSim, sink: &OneTribeSim, database: &Path, port: u16) -> Vec<(String, String)> {
    let config = store.config();
    [
        ("BIGCOMMERCE_STORE_HASH", config.hash.clone()),
        ("BIGCOMMERCE_ACCESS_TOKEN", config.token.clone()),
        ("BIGCOMMERCE_CLIENT_SECRET", config.client_secret.clone()),
        ("BIGCOMMERCE_API_URL", store.api_url()),
        ("ONE_TRIBE_DESTINATION", sink.url()),
        ("PUBLIC_URL", format!("http://127.0.0.1:{port}")),
        ("DATABASE_URL", format!("sqlite://{}", database.display())),
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", port.to_string()),
        ("ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// A port on loopback that is free now, each time another. It is none of those that systems give to outgoing
/// connections (from 32,768 on), which could take it before the relay listens.
///
/// # Errors
/// No port is available.
pub fn free_port() -> io::Result<u16> {
    const PORTS: RangeInclusive<u16> = 20_000..=31_999;
    static NEXT: LazyLock<AtomicUsize> = LazyLock::new(|| AtomicUsize::new(usize::from(rand::random::<u16>())));
    PORTS
        .clone()
        .filter_map(|_| PORTS.clone().nth(NEXT.fetch_add(1, Ordering::Relaxed) % PORTS.len()))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// A relay within this process.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    metrics_port: Option<u16>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), AppError>>,
}

impl Relay {
    /// Starts the relay.
    ///
    /// # Errors
    /// The relay does not start with this configuration.
    pub async fn start(config: Config) -> Result<Self, AppError> {
        let app = Application::build(config).await?;
        let (port, metrics_port) = (app.port(), app.metrics_port());
        let stop = CancellationToken::new();
        let task = tokio::spawn(app.run_until_stopped(stop.clone()));
        Ok(Self { port, metrics_port, stop, task })
    }

    /// The URL of `path` on the relay.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The URL of its metrics, if it serves them.
    pub fn metrics_url(&self) -> Option<String> {
        self.metrics_port.map(|port| format!("http://127.0.0.1:{port}/metrics"))
    }

    /// Stops the relay as SIGTERM does, and waits until it has stopped.
    ///
    /// # Errors
    /// The relay had ended by itself, with an error.
    pub async fn stop(self) -> Result<(), AppError> {
        self.stop.cancel();
        self.task.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }
}
