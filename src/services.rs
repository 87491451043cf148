//! What service and commands share: the database, the clients, the live connections.

use std::sync::Arc;

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
    http::{AddressPolicy, Http},
    inbox::{self, Database, Inbox, InboxError},
    metrics::Metrics,
    object::ConnectionId,
    reconcile::requested,
    registrar::Registrar,
    source::{
        bigcommerce::Platform,
        woocommerce::{self, Shops},
    },
    spec::keyring::Keyring,
    storage::Storage,
};

/// Why the relay cannot do anything.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// The database cannot be opened.
    #[error("DATABASE_URL: {0}")]
    Open(#[source] InboxError),
    /// The database cannot be used.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// Connections in the database cannot be taken up.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The environment's own connection is one of the database's as well.
    #[error(
        "BIGCOMMERCE_STORE_HASH: connection {0} connects this store and this destination already, and every order would go \
         there twice: end it (`onetribe-relay connections remove {0}`), or leave the environment's four variables out"
    )]
    Doubled(ConnectionId),
    /// TLS roots cannot be read.
    #[error("no calls can be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// Everything that service and commands share.
#[derive(Clone)]
pub struct Services {
    /// What holds for the whole process.
    pub settings: Arc<Settings>,
    /// The clients for calls to far sides.
    pub http: Arc<Http>,
    /// Where events are kept.
    pub inbox: Arc<dyn Inbox>,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// The live connections.
    pub catalog: Arc<LiveCatalog>,
    /// Makes connections of records.
    pub builder: Arc<ConnectionBuilder>,
    /// Looks after hooks.
    pub registrar: Arc<Registrar>,
    /// Whether events can be kept.
    pub storage: Arc<Storage>,
    /// Makes, changes and ends connections.
    pub directory: Arc<Directory>,
    /// How far this process has come with past orders that merchants asked for.
    pub past_orders: Arc<requested::Progress>,
}

impl Services {
    /// Opens the database and takes up its connections. Calls no store and no destination. Only whoever `serves` makes
    /// the rows of the environment agree with what it describes: a command started with other variables must not end
    /// the connection that a relay serves.
    ///
    /// # Errors
    /// [`ServicesError`]
    pub async fn open(config: Config, serves: bool) -> Result<Self, ServicesError> {
        let Config { settings, environment } = config;
        // The machine's TLS roots are read meanwhile.
        let policy = AddressPolicy::new(settings.allowed_private_networks.clone());
        let http = tokio::task::spawn_blocking(move || Http::new(policy));
        let inbox = inbox::open(&settings.database).await.map_err(ServicesError::Open)?;
        let http = http.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
        let (settings, http) = (Arc::new(settings), Arc::new(http));
        let metrics = Arc::new(Metrics::default());
        let platform = Arc::new(Platform::new(
            http.clone(),
            settings.api_url.clone(),
            settings.hooks_api,
            settings.quota_share,
            settings.fetch_timeout,
            metrics.clone(),
        ));
        let numbers = metrics.clone();
        let observer: woocommerce::Observer =
            Arc::new(move |operation, outcome| numbers.store_call("woocommerce", operation.label(), outcome));
        let shops = Arc::new(Shops::new(http.clone(), settings.fetch_timeout, Some(observer)));
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
        Ok(Self { settings, http, inbox, metrics, catalog, builder, registrar, storage, directory, past_orders })
    }

    /// The connection that a command or a route without an id stands for: the environment's own, or the only one there
    /// is.
    ///
    /// # Errors
    /// [`NoSoleConnection`]
    pub fn sole_connection(&self) -> Result<Arc<Connection>, NoSoleConnection> {
        self.catalog.sole()
    }

    /// What a request for a connection may name.
    pub fn request_rules(&self) -> RequestRules {
        RequestRules::of(&self.settings)
    }

    /// One connection by its id.
    pub fn connection(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.catalog.get(id)
    }

    /// Whether the database is a file of this machine.
    pub fn is_file(&self) -> bool {
        matches!(self.settings.database, Database::Sqlite(_))
    }
}
