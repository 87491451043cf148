//! What the service and the commands share: the database, the clients, the live connections.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    clock::Timestamp,
    config::{Config, Settings},
    connection::{
        Connection, ConnectionBuilder, LiveCatalog,
        catalog::{CatalogError, NoSoleConnection},
        environment::{self, record_environment},
        request::RequestRules,
    },
    directory::Directory,
    dispatch::{Dispatch, DispatchTools},
    http::{AddressPolicy, FarCalls, Http},
    inbox::{self, Database, Inbox, InboxError},
    leader::HeldShards,
    metrics::Metrics,
    object::ConnectionId,
    polled::PolledRows,
    reconcile::requested,
    registrar::Registrar,
    source::{
        bigcommerce::Platform,
        woocommerce::{self, Shops},
    },
    spec::keyring::Keyring,
    storage::Storage,
};

/// Why the shared parts cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// The database cannot be opened.
    #[error("DATABASE_URL: {0}")]
    Open(#[source] InboxError),
    /// The database cannot be read or written.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// Connections in the database cannot be loaded.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The environment's own connection is also in the database.
    #[error(
        "BIGCOMMERCE_STORE_HASH: connection {0} connects this store and this destination already, and every order would go \
         there twice: end it (`onetribe-relay connections remove {0}`), or leave the environment's four variables out"
    )]
    Doubled(ConnectionId),
    /// The machine's TLS roots cannot be read.
    #[error("no calls can be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// Everything that the service and the commands share.
#[derive(Clone)]
pub struct Services {
    /// The settings of the process.
    pub settings: Arc<Settings>,
    /// The HTTP clients for outgoing calls.
    pub http: Arc<Http>,
    /// How many calls may be under way at once.
    pub far_calls: FarCalls,
    /// The durable store of events, objects and connections.
    pub inbox: Arc<dyn Inbox>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The live connections.
    pub catalog: Arc<LiveCatalog>,
    /// Builds live connections from records.
    pub builder: Arc<ConnectionBuilder>,
    /// Creates, checks and repairs hooks.
    pub registrar: Arc<Registrar>,
    /// Whether events can be stored.
    pub storage: Arc<Storage>,
    /// Makes, changes and ends connections.
    pub directory: Arc<Directory>,
    /// This process's progress with past orders that merchants asked for.
    pub past_orders: Arc<requested::Progress>,
}

impl Services {
    /// Opens the database and loads its connections. Calls no store and no destination. Only with `serves` are the
    /// rows of the environment brought in line with its variables: a command started with other variables must not
    /// end the connection that a relay serves.
    ///
    /// # Errors
    /// [`ServicesError`] if the database, the connections or the clients cannot be used.
    pub async fn open(config: Config, serves: bool) -> Result<Self, ServicesError> {
        let Config { settings, environment } = config;
        // The machine's TLS roots are read at the same time.
        let policy = AddressPolicy::new(settings.allowed_private_networks.clone());
        let http = tokio::task::spawn_blocking(move || Http::new(policy));
        let inbox = inbox::open(&settings.database).await.map_err(ServicesError::Open)?;
        let http = http.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
        let (settings, http) = (Arc::new(settings), Arc::new(http));
        let (metrics, far_calls) = (Arc::new(Metrics::default()), FarCalls::new(settings.max_concurrency));
        let platform = Arc::new(Platform::new(
            http.clone(),
            settings.api_url.clone(),
            settings.hooks_api,
            settings.quota_share,
            settings.fetch_timeout,
            metrics.clone(),
            far_calls.clone(),
        ));
        let numbers = metrics.clone();
        let observer: woocommerce::Observer =
            Arc::new(move |operation, outcome| numbers.store_call("woocommerce", operation.label(), outcome));
        let shops = Arc::new(Shops::new(http.clone(), settings.fetch_timeout, Some(observer), far_calls.clone()));
        let builder = Arc::new(ConnectionBuilder {
            settings: settings.clone(),
            http: http.clone(),
            platform,
            shops,
            metrics: metrics.clone(),
        });
        let records = inbox.connections(0).await?;
        if let Some(id) = environment.as_ref().filter(|_| serves).and_then(|spec| environment::doubled(&records, spec))
        {
            return Err(ServicesError::Doubled(id));
        }
        if serves || records.is_empty() {
            record_environment(inbox.as_ref(), environment.as_ref(), Timestamp::now()).await?;
        }
        let keyring = Keyring::new(settings.credentials_keys.iter().cloned());
        let build = builder.clone();
        let catalog =
            Arc::new(LiveCatalog::new(keyring, environment, move |record, spec| Arc::new(build.build(record, spec))));
        catalog.load(inbox.as_ref()).await?;
        let registrar = Arc::new(Registrar::new(inbox.clone(), builder.clone()));
        let directory = Arc::new(Directory::new(inbox.clone(), catalog.clone(), builder.clone(), registrar.clone()));
        let (storage, past_orders) = (Arc::default(), Arc::default());
        Ok(Self {
            settings,
            http,
            far_calls,
            inbox,
            metrics,
            catalog,
            builder,
            registrar,
            storage,
            directory,
            past_orders,
        })
    }

    /// Deliveries for the connections of these shards; starts nothing yet. `rows` are those that polls have just read.
    pub fn dispatch(&self, shards: watch::Receiver<HeldShards>, rows: Arc<PolledRows>) -> Dispatch {
        let Self { inbox, catalog, metrics, settings, storage, far_calls, .. } = self.clone();
        Dispatch::new(DispatchTools { inbox, catalog, metrics, settings, rows, storage, far_calls }, shards)
    }

    /// The connection to use when a command or a route names none: the environment's own, or the only one that has
    /// not ended.
    ///
    /// # Errors
    /// [`NoSoleConnection`] if there is none, or more than one.
    pub fn sole_connection(&self) -> Result<Arc<Connection>, NoSoleConnection> {
        self.catalog.sole()
    }

    /// What a request for a connection may contain.
    pub fn request_rules(&self) -> RequestRules {
        RequestRules::of(&self.settings)
    }

    /// The connection with this number.
    pub fn connection(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.catalog.get(id)
    }

    /// Whether the database is a local file.
    pub fn is_file(&self) -> bool {
        matches!(self.settings.database, Database::Sqlite(_))
    }
}
