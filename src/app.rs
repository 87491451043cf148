//! The composition root: only here everybody is known. Builds the parts, runs the service, stops it in order.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{App, HttpServer, dev::Server, middleware::from_fn, web};
use futures_util::FutureExt;
use tokio::{
    net::TcpSocket,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    alerts::Watcher,
    callback::Verifier,
    check::Checker,
    clock::Timestamp,
    config::{Config, ConnectionConfig, Database},
    connection::{BIGCOMMERCE, Connection},
    dispatch::Dispatch,
    inbox::{self, ConnectionId, Inbox, InboxError, Lease, sqlite::ServeLock},
    lead::{Lead, Part},
    metrics::Metrics,
    reconcile::{Orders, Poll},
    registrar::Registrar,
    web::{Relay, metrics_routes, requests, routes},
};

/// Requests under way get this long to end when the relay stops.
const DRAIN_SECONDS: u64 = 20;
/// Longer than the idle times of common proxies, so that none of them meets a connection that was just closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// New connections that the system keeps for the relay, if its own bound allows: whom it turns away comes again after a second.
const BACKLOG: u32 = 4096;
/// Between rounds of clearing out what is old.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Between the steps of one round: writes of webhooks go in between.
const PRUNE_PAUSE: Duration = Duration::from_millis(50);
/// Rows cleared out in one step.
const PRUNE_STEP: u32 = 500;

/// Why the relay cannot start, or has to end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The inbox cannot be opened.
    #[error("DATABASE_URL: {0}")]
    Open(#[source] InboxError),
    /// The inbox cannot be used.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// A port cannot be listened on.
    #[error("{variable}: cannot listen on {address}: {source}")]
    Listen {
        /// Who says so.
        variable: &'static str,
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The HTTP server gave up.
    #[error("the HTTP server failed: {0}")]
    Server(#[from] io::Error),
    /// TLS roots cannot be read.
    #[error("no calls can be made: {0}")]
    Client(#[from] reqwest::Error),
    /// A part that should run for ever has ended.
    #[error("{0} has ended unexpectedly")]
    Ended(&'static str),
}

/// The parts that service and commands share.
pub struct Parts {
    /// What the relay was told.
    pub config: Config,
    /// Where events are kept.
    pub inbox: Arc<dyn Inbox>,
    /// The one connection.
    pub connection: Arc<Connection>,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// Looks after hooks.
    pub registrar: Arc<Registrar>,
}

impl Parts {
    /// Opens the inbox and makes the clients. Calls nobody.
    ///
    /// # Errors
    /// When the inbox cannot be opened, or the TLS roots cannot be read.
    pub async fn open(config: Config) -> Result<Self, AppError> {
        let inbox = inbox::open(&config.database).await.map_err(AppError::Open)?;
        let metrics = Arc::new(Metrics::default());
        let id = inbox.connection(BIGCOMMERCE, config.connection.store.as_str(), Timestamp::now()).await?;
        let connection = Arc::new(Connection::new(id, config.connection.clone(), &metrics)?);
        let registrar = Arc::new(Registrar::new(connection.clone(), inbox.clone()));
        Ok(Self { config, inbox, connection, metrics, registrar })
    }

    /// Whether a relay serves this database now.
    ///
    /// # Errors
    /// When the inbox does not say.
    pub async fn is_served(&self) -> Result<bool, InboxError> {
        if let Database::Sqlite(path) = &self.config.database {
            return Ok(ServeLock::try_take(path)?.is_none());
        }
        let lead = self.inbox.lease(self.connection.id, Lease::Lead, Duration::from_secs(1)).await?;
        if lead.is_some() {
            self.inbox.release(self.connection.id, Lease::Lead).await?;
        }
        Ok(lead.is_none())
    }

    /// Delivers what the inbox holds until told to stop; `None` when a relay does so already.
    ///
    /// # Errors
    /// When the inbox does not say.
    pub async fn deliver_alone(
        &self,
        stop: CancellationToken,
    ) -> Result<Option<impl Future<Output = ()> + Send + 'static>, InboxError> {
        let lock = match &self.config.database {
            Database::Sqlite(path) => match ServeLock::try_take(path)? {
                None => return Ok(None),
                lock => lock,
            },
            Database::Postgres(_) if self.is_served().await? => return Ok(None),
            Database::Postgres(_) => None,
        };
        let dispatch = Dispatch::new(self.connection.clone(), self.inbox.clone(), self.metrics.clone());
        let begin = Box::new(move |over| dispatch.clone().run(over).boxed());
        let lead =
            Lead::new(self.inbox.clone(), self.connection.id, vec![Part { name: "dispatch", begin, overlaps: true }]);
        Ok(Some(async move {
            let _lock = lock;
            if let Some(name) = lead.run(stop).await {
                tracing::error!("{name} has ended unexpectedly");
            }
        }))
    }

    /// The checks over these parts.
    pub fn checker(&self) -> Checker {
        Checker::new(self.config.clone(), self.connection.clone(), self.inbox.clone(), self.registrar.clone())
    }
}

/// The service: listening, not yet answering.
pub struct Application {
    relay: Arc<Relay>,
    server: Server,
    metrics_server: Option<Server>,
    port: u16,
    metrics_port: Option<u16>,
    _lock: Option<ServeLock>,
}

impl Application {
    /// Opens the inbox and listens. Nothing is answered and nobody called before [`Application::run_until_stopped`].
    ///
    /// # Errors
    /// [`AppError`]
    pub async fn build(config: Config) -> Result<Self, AppError> {
        let lock = match &config.database {
            Database::Sqlite(path) => Some(ServeLock::take(path).map_err(AppError::Open)?),
            Database::Postgres(_) => None,
        };
        let parts = Parts::open(config).await?;
        let checker = parts.checker();
        let Parts { config, inbox, connection, metrics, registrar } = parts;
        let verifier = Verifier::new(
            config.connection.store.clone(),
            config.connection.client_secrets.clone(),
            connection.hook_tokens(),
            config.webhook_tolerance,
        );
        let guesses = Default::default();
        let (host, port, metrics_port) = (config.host, config.port, config.metrics_port);
        let relay = Arc::new(Relay { config, connection, inbox, metrics, registrar, checker, verifier, guesses });

        let on = |port| SocketAddr::new(host, port);
        let (server, port) = listen("PORT", on(port), relay.clone(), half_of_processors(), routes)?;
        let metrics = metrics_port.map(|port| listen("METRICS_PORT", on(port), relay.clone(), 1, metrics_routes));
        let (metrics_server, metrics_port) = metrics.transpose()?.unzip();
        Ok(Self { relay, server, metrics_server, port, metrics_port, _lock: lock })
    }

    /// The port that is listened on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of `/metrics`, if it is served.
    pub fn metrics_port(&self) -> Option<u16> {
        self.metrics_port
    }

    /// Serves until told to stop; then takes no new work, finishes what is under way, and returns.
    ///
    /// # Errors
    /// [`AppError::Ended`] or [`AppError::Server`] when a part ends by itself, [`AppError::Inbox`] when a newer relay has
    /// altered the database beyond this one.
    pub async fn run_until_stopped(self, stop: CancellationToken) -> Result<(), AppError> {
        let Self { relay, server, metrics_server, port, metrics_port, _lock: lock } = self;
        let Relay { inbox, connection, .. } = relay.as_ref();
        let singular = singular(&relay)?;
        let work = CancellationToken::new();
        let mut parts: JoinSet<(&'static str, io::Result<()>)> = JoinSet::new();
        let handles: Vec<_> =
            [Some(server.handle()), metrics_server.as_ref().map(Server::handle)].into_iter().flatten().collect();
        parts.spawn(async { ("the HTTP server", server.await) });
        if let Some(server) = metrics_server {
            parts.spawn(async { ("the metrics server", server.await) });
        }
        let lead = Lead::new(inbox.clone(), connection.id, singular);
        let stopped = work.clone();
        parts.spawn(async move { (lead.run(stopped).await.unwrap_or("the lead"), Ok(())) });
        let Config { connection: ConnectionConfig { store, public_url, .. }, database, .. } = &relay.config;
        let address = public_url.as_ref().map_or("no public address", Url::as_str);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            %store,
            port,
            metrics_port,
            "onetribe-relay {} serves the store {store} ({}, {address}): listening on port {port}",
            env!("CARGO_PKG_VERSION"),
            database.kind(),
        );

        let end = tokio::select! {
            () = stop.cancelled() => Ok(()),
            Some(ended) = parts.join_next() => Err(died(ended)),
            reason = inbox.outgrown() => Err(AppError::Inbox(reason)),
        };
        if end.is_ok() {
            tracing::info!("stopping: what is under way is finished, nothing new is begun");
        }
        work.cancel();
        futures_util::future::join_all(handles.iter().map(|handle| handle.stop(true))).await;
        while parts.join_next().await.is_some() {}
        inbox.close().await;
        drop(lock);
        if end.is_ok() {
            tracing::info!("stopped");
        }
        end
    }
}

/// Why a part that should run for ever has ended.
fn died(ended: Result<(&'static str, io::Result<()>), JoinError>) -> AppError {
    match ended {
        Ok((_, Err(error))) => error.into(),
        Ok((name, Ok(()))) => AppError::Ended(name),
        Err(panicked) => {
            tracing::error!("{panicked}");
            AppError::Ended("a part")
        }
    }
}

/// The work that one relay at a time does.
fn singular(relay: &Arc<Relay>) -> Result<Vec<Part>, AppError> {
    let Relay { config, connection, inbox, metrics, registrar, .. } = relay.as_ref();
    let dispatch = Dispatch::new(connection.clone(), inbox.clone(), metrics.clone());
    let part = |name, begin| Part { name, begin, overlaps: false };
    let mut parts = vec![
        // Claims keep two dispatches apart: what one has under way, the next does not touch.
        Part { name: "dispatch", begin: Box::new(move |over| dispatch.clone().run(over).boxed()), overlaps: true },
        part("the registrar", {
            let registrar = registrar.clone();
            Box::new(move |over| registrar.clone().run(over).boxed())
        }),
        part("pruning", {
            let (inbox, connection, retention) = (inbox.clone(), connection.id, config.event_retention);
            Box::new(move |over| prune(inbox.clone(), connection, retention, over).boxed())
        }),
    ];
    if let Some(interval) = config.connection.reconcile_interval {
        let (connection, inbox, retention) = (connection.clone(), inbox.clone(), config.event_retention);
        parts.push(part(
            "reconciliation",
            Box::new(move |over| {
                let orders = Orders::new(connection.clone(), inbox.clone(), retention);
                Poll::new(orders, connection.clone(), inbox.clone()).run(interval, over).boxed()
            }),
        ));
    }
    if let Some(url) = &config.alert_url {
        let watcher = Watcher::new(url, connection.clone(), inbox.clone(), registrar.clone())?;
        parts.push(part("alerts", Box::new(move |over| watcher.clone().run(over).boxed())));
    }
    Ok(parts)
}

fn listen(
    variable: &'static str,
    address: SocketAddr,
    relay: Arc<Relay>,
    workers: usize,
    routes: fn(&mut web::ServiceConfig),
) -> Result<(Server, u16), AppError> {
    let fail = |source: io::Error| {
        let variable = if source.kind() == io::ErrorKind::AddrNotAvailable { "HOST" } else { variable };
        AppError::Listen { variable, address, source }
    };
    let listener = bind(address).map_err(fail)?;
    let port = listener.local_addr().map_err(fail)?.port();
    let data = web::Data::new(relay);
    let server =
        HttpServer::new(move || App::new().wrap(from_fn(requests::logged)).app_data(data.clone()).configure(routes))
            .keep_alive(KEEP_ALIVE)
            .shutdown_timeout(DRAIN_SECONDS)
            .disable_signals()
            .workers(workers);
    let server = server.listen(listener).map_err(fail)?.run();
    Ok((server, port))
}

/// A listener that takes in a burst of new connections before anybody looks at them.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A relay that starts again takes its port back at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Half of the processors answer; so many threads keep what was told, fetch and forward it. More of them would only wake
/// each other.
pub fn half_of_processors() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}

/// Clears out orders that have been settled for longer than `retention`, with their receipts, in small steps; between
/// rounds it notes how many orders wait.
async fn prune(inbox: Arc<dyn Inbox>, connection: ConnectionId, retention: Duration, stop: CancellationToken) {
    loop {
        let pause = match inbox.prune(Timestamp::now().before(retention), PRUNE_STEP).await {
            Ok(removed) if removed >= u64::from(PRUNE_STEP) => PRUNE_PAUSE,
            Ok(_) => {
                if let Err(error) = inbox.sample(connection, Timestamp::now()).await {
                    tracing::warn!(%error, "the number of waiting orders could not be noted: {error}");
                }
                PRUNE_INTERVAL
            }
            Err(error) => {
                tracing::warn!(%error, "old rows could not be cleared out: {error}");
                PRUNE_INTERVAL
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
