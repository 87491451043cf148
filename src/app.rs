//! The service: builds its parts, runs them, stops them in order. The only module that depends on all others.

mod error;
mod listen;
mod stream;

use std::{io, net::SocketAddr, sync::Arc};

use actix_web::dev::{Server, ServerHandle};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    config::{Config, Settings},
    directory::Directory,
    inbox::{Database, sqlite::ServeLock},
    leader::Leader,
    polled::PolledRows,
    reconcile::PollTools,
    services::Services,
    upkeep::{Housekeeping, Upkeep},
    watch::Watcher,
    web::{Relay, metrics_routes, routes},
};

pub use error::AppError;
pub use listen::half_of_processors;

/// The service, bound to its ports but not yet answering.
pub struct Application {
    relay: Arc<Relay>,
    server: Server,
    metrics_server: Option<Server>,
    port: u16,
    metrics_port: Option<u16>,
    lock: Option<ServeLock>,
}

impl Application {
    /// Opens the database and binds the ports. No request is answered and no call made before
    /// [`Application::run_until_stopped`].
    ///
    /// # Errors
    /// [`AppError`]
    pub async fn build(config: Config) -> Result<Self, AppError> {
        listen::raise_file_limit();
        let lock = match &config.settings.database {
            Database::Sqlite(path) => Some(ServeLock::take(path).map_err(AppError::Lock)?),
            Database::Postgres(_) => None,
        };
        let services = Services::open(config, true).await?;
        if lock.is_some() {
            free_claims(&services).await;
        }
        let Settings { host, port, metrics_port, .. } = *services.settings;
        let relay = Arc::new(Relay::new(services));
        let on = |port| SocketAddr::new(host, port);
        let (server, port) = listen::listen("PORT", on(port), relay.clone(), half_of_processors(), routes)?;
        let metrics =
            metrics_port.map(|port| listen::listen("METRICS_PORT", on(port), relay.clone(), 1, metrics_routes));
        let (metrics_server, metrics_port) = metrics.transpose()?.unzip();
        Ok(Self { relay, server, metrics_server, port, metrics_port, lock })
    }

    /// The port that the service listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of `/metrics`, if metrics are served.
    pub fn metrics_port(&self) -> Option<u16> {
        self.metrics_port
    }

    /// Serves until `stop` is cancelled; then accepts no new work, finishes what is under way, and returns.
    ///
    /// # Errors
    /// [`AppError::Ended`] or [`AppError::Server`] when a part ends by itself, [`AppError::Superseded`] when the
    /// database must not be used any more.
    pub async fn run_until_stopped(self, stop: CancellationToken) -> Result<(), AppError> {
        let Self { relay, server, metrics_server, port, metrics_port, lock } = self;
        let services = &relay.services;
        let (work, finished) = (CancellationToken::new(), CancellationToken::new());
        let mut parts = Parts::default();
        parts.serve("the HTTP server", server);
        if let Some(server) = metrics_server {
            parts.serve("the metrics server", server);
        }
        let leader = parts.begin_work(&relay, &work);
        let beat = tokio::spawn(leader.run(work.clone(), finished.clone()));
        log_start(services, port, metrics_port);

        let end = tokio::select! {
            () = stop.cancelled() => Ok(()),
            Some(ended) = parts.tasks.join_next() => Err(why_ended(ended)),
            reason = services.inbox.superseded() => Err(AppError::Superseded(reason)),
        };
        if end.is_ok() {
            tracing::info!("stopping: what is under way is finished, nothing new is begun");
        }
        work.cancel();
        parts.stop().await;
        relay.stop_jobs().await;
        finished.cancel();
        drop(beat.await);
        services.inbox.close().await;
        drop(lock);
        if end.is_ok() {
            tracing::info!("stopped");
        }
        end
    }
}

/// Frees the claims that a killed process left behind before it began to forward them: those orders are due at once.
async fn free_claims(services: &Services) {
    match services.inbox.free_claims(crate::clock::Timestamp::now()).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "{count} orders that were under way when the relay last ended go out again"),
        Err(error) => tracing::warn!(%error, "claims of the last run wait out their leases: {error}"),
    }
}

/// The tasks that run for as long as the relay does.
#[derive(Default)]
struct Parts {
    tasks: JoinSet<(&'static str, io::Result<()>)>,
    servers: Vec<ServerHandle>,
}

impl Parts {
    fn serve(&mut self, name: &'static str, server: Server) {
        self.servers.push(server.handle());
        self.tasks.spawn(async move { (name, server.await) });
    }

    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            task.await;
            (name, Ok(()))
        });
    }

    /// Starts the background tasks.
    fn begin_work(&mut self, relay: &Arc<Relay>, stop: &CancellationToken) -> Leader {
        let services = &relay.services;
        let Services { inbox, catalog, settings, registrar, directory, past_orders, .. } = services;
        let leader = Leader::new(inbox.clone());
        // The cell is set only here.
        let _ = relay.shards.set(leader.shards());
        let (shards, rows) = (leader.shards(), Arc::new(PolledRows::default()));
        let dispatch = services.dispatch(shards, rows.clone());
        self.spawn("delivery", dispatch.run(stop.clone()));
        let tools = PollTools { inbox: inbox.clone(), rows, retention: settings.event_retention };
        let upkeep = Upkeep::new(
            tools,
            catalog.clone(),
            registrar.clone(),
            settings.clone(),
            leader.shards(),
            past_orders.clone(),
        );
        self.spawn("upkeep", upkeep.run(stop.clone()));
        let watcher = Watcher::new(services.clone(), relay.checker.clone(), leader.shards());
        self.spawn("the watch", watcher.run(stop.clone()));
        let housekeeping = Housekeeping::new(inbox.clone(), settings.event_retention, leader.shards());
        self.spawn("housekeeping", housekeeping.run(stop.clone()));
        self.spawn("the catalog", follow(directory.clone(), leader.revision(), stop.clone()));
        leader
    }

    async fn stop(&mut self) {
        futures_util::future::join_all(self.servers.iter().map(|server| server.stop(true))).await;
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Applies changes that other processes have made to connections.
async fn follow(directory: Arc<Directory>, mut revision: tokio::sync::watch::Receiver<i64>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = revision.changed() => if changed.is_err() { return stop.cancelled().await },
        }
        revision.borrow_and_update();
        if let Err(error) = directory.refresh().await {
            tracing::warn!(%error, "changed connections are taken up later: {error}");
            revision.mark_changed();
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

fn log_start(services: &Services, port: u16, metrics_port: Option<u16>) {
    let settings = &services.settings;
    let address = settings.public_url.as_ref().map(Url::as_str);
    let page = address.map_or_else(|| format!("http://localhost:{port}"), |url| url.trim_end_matches('/').to_owned());
    let connections = services.catalog.len();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        port,
        metrics_port,
        connections,
        database = settings.database.kind(),
        public_url = address,
        "onetribe-relay serves {}; its page is {page}/integration",
        crate::humanize::count(connections as u64, "connection")
    );
    if settings.admin_token.is_none() {
        tracing::warn!("ADMIN_TOKEN is not set: the status page and all admin routes are closed");
    }
}

/// The error for a task that ended although it should run for as long as the relay does.
fn why_ended(ended: Result<(&'static str, io::Result<()>), JoinError>) -> AppError {
    match ended {
        Ok((_, Err(error))) => error.into(),
        Ok((name, Ok(()))) => AppError::Ended(name),
        Err(panicked) => {
            tracing::error!("{panicked}");
            AppError::Ended("a part")
        }
    }
}
