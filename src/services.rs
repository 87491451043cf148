//! What service and commands share: the database, the clients, the live connections.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    config::{Config, Database, Settings},
    connection::{
        Connection, ConnectionBuilder,
        catalog::{CatalogError, LiveCatalog},
        directory::Directory,
        keyring::{Keyring, new_hook_key},
        spec::ConnectionSpec,
    },
    http::{AddressPolicy, Http},
    inbox::{self, ConnectionRecord, ConnectionState, ConnectionUpdate, Inbox, InboxError, NewConnection, Origin},
    metrics::Metrics,
    object::ConnectionId,
    registrar::Registrar,
    source::bigcommerce::Platform,
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
    /// TLS roots cannot be read.
    #[error("no calls can be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// Everything that service and commands share.
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
    /// Seals credentials.
    pub keyring: Arc<Keyring>,
    /// Looks after hooks.
    pub registrar: Arc<Registrar>,
    /// Makes, changes and ends connections.
    pub directory: Arc<Directory>,
}

impl Services {
    /// Opens the database and takes up its connections. Calls no store and no destination.
    ///
    /// # Errors
    /// [`ServicesError`]
    pub async fn open(config: Config) -> Result<Self, ServicesError> {
        let Config { settings, environment } = config;
        let inbox = inbox::open(&settings.database).await.map_err(ServicesError::Open)?;
        let settings = Arc::new(settings);
        let http = Arc::new(Http::new(AddressPolicy::new(settings.allowed_private_networks.clone()))?);
        let metrics = Arc::new(Metrics::default());
        let platform = Arc::new(Platform::new(
            http.clone(),
            settings.api_url.clone(),
            settings.hooks_api,
            settings.quota_share,
            settings.fetch_timeout,
            metrics.clone(),
        ));
        let builder = Arc::new(ConnectionBuilder {
            settings: settings.clone(),
            http: http.clone(),
            platform,
            metrics: metrics.clone(),
        });
        let keyring = Arc::new(Keyring::new(settings.credentials_keys.iter().cloned()));
        take_up_environment(inbox.as_ref(), environment.as_ref()).await?;
        let catalog = Arc::new(open_catalog(&keyring, &builder, environment, inbox.as_ref()).await?);
        let registrar = Arc::new(Registrar::new(inbox.clone(), builder.clone()));
        let directory = Arc::new(Directory::new(
            inbox.clone(),
            catalog.clone(),
            builder.clone(),
            keyring.clone(),
            registrar.clone(),
        ));
        Ok(Self { settings, http, inbox, metrics, catalog, builder, keyring, registrar, directory })
    }

    /// The connection that a command or a route without an id stands for: the environment's own, or the only one there is.
    pub fn default_connection(&self) -> Option<Arc<Connection>> {
        let all = self.catalog.all();
        let live = |connection: &&Arc<Connection>| connection.state != ConnectionState::Disconnected;
        if let Some(own) = all.iter().find(|connection| connection.is_environments() && connection.link.is_some()) {
            return Some(own.clone());
        }
        let mut live = all.iter().filter(live);
        match (live.next(), live.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        }
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

async fn open_catalog(
    keyring: &Arc<Keyring>,
    builder: &Arc<ConnectionBuilder>,
    environment: Option<ConnectionSpec>,
    inbox: &dyn Inbox,
) -> Result<LiveCatalog, CatalogError> {
    let builder = builder.clone();
    let build = move |record: &ConnectionRecord, spec: Option<ConnectionSpec>| {
        let is_own = record.origin == Origin::Environment && record.state != ConnectionState::Disconnected;
        let spec = if is_own { environment.clone() } else { spec };
        Arc::new(builder.build(record, spec))
    };
    LiveCatalog::open(inbox, keyring.clone(), build).await
}

/// The environment's own connection has a row like any other, without credentials. Rows of stores that the environment does
/// not describe any more are ended; one that it describes again is taken up again.
async fn take_up_environment(inbox: &dyn Inbox, environment: Option<&ConnectionSpec>) -> Result<(), InboxError> {
    let records = inbox.connections(0).await?;
    let is_described = |record: &ConnectionRecord| {
        environment.is_some_and(|spec| {
            spec.source.kind() == record.source_kind && spec.source.store() == record.store
        })
    };
    let own = records.iter().filter(|record| record.origin == Origin::Environment);
    let mut found = false;
    for record in own {
        let state = match is_described(record) {
            true => ConnectionState::Active,
            false => ConnectionState::Disconnected,
        };
        found |= state == ConnectionState::Active;
        let host = environment.filter(|_| state == ConnectionState::Active).and_then(|spec| spec.destination.as_ref());
        let destination = host.map(|destination| (destination.kind(), destination.host(), Vec::new()));
        let is_same_host = destination.as_ref().is_none_or(|(_, host, _)| record.destination_host.as_ref() == Some(host));
        if record.state != state || !is_same_host {
            let update = ConnectionUpdate {
                state: Some((state, None)),
                destination: destination.map(Some),
                ..ConnectionUpdate::default()
            };
            inbox.update_connection(record.id, update).await?;
        }
    }
    match environment {
        Some(spec) if !found => drop(inbox.create_connection(row_of(spec), Timestamp::now()).await?),
        _ => {}
    }
    Ok(())
}

fn row_of(spec: &ConnectionSpec) -> NewConnection {
    NewConnection {
        origin: Origin::Environment,
        state: ConnectionState::Active,
        name: spec.name.clone(),
        source_kind: spec.source.kind(),
        store: spec.source.store(),
        destination_kind: spec.destination.as_ref().map(|destination| destination.kind()),
        destination_host: spec.destination.as_ref().map(|destination| destination.host()),
        destination_mark: None,
        hook_key: new_hook_key(),
        token_digest: None,
        sealed: None,
    }
}
