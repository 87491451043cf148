//! Making, changing and ending connections: the one way that the API, the app, the Elements API, the pages and the
//! command line all go.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::{
    clock::Timestamp,
    connection::{Connection, ConnectionBuilder, LiveCatalog},
    http::{CallError, Failure},
    inbox::{ConnectionRecord, ConnectionState, ConnectionUpdate, Inbox, InboxError, NewConnection, PauseReason},
    object::ConnectionId,
    registrar::{Registrar, RegistrarError},
    spec::{
        ConnectionSpec, Origin,
        keyring::{Keyring, KeyringError, destination_mark, new_hook_key},
    },
};

/// Why a connection is not made, changed or ended.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The same store and destination are connected already.
    #[error("connection {0} connects this store and this destination already")]
    Duplicate(ConnectionId),
    /// The environment's own connection is changed by its variables.
    #[error("connection {0} is the environment's own: change its variables and restart the relay")]
    EnvironmentsOwn(ConnectionId),
    /// There is none with this id.
    #[error("there is no connection {0}")]
    Unknown(ConnectionId),
    /// It has ended; its credentials are wiped.
    #[error("connection {0} is disconnected: make it anew")]
    Disconnected(ConnectionId),
    /// It is not any more what the change was made of; nothing has changed.
    #[error("connection {0} is being changed by others at the same time")]
    Overtaken(ConnectionId),
    /// A store of the app waits for its payload URL.
    #[error("connection {0} has no payload URL yet: it is entered on the app's page in the store")]
    Incomplete(ConnectionId),
    /// The store refuses the credentials, or does not know itself by this name.
    #[error("the store refuses the credentials ({})", crate::humanize::failure(*.0))]
    Refused(Failure),
    /// The store cannot be asked.
    #[error("the store cannot be asked ({})", crate::humanize::failure(*.0))]
    Unreachable(Failure),
    /// The spec cannot be used.
    #[error("the store's address cannot be used")]
    BadAddress,
    /// There is no key to seal credentials with.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The database does not do as it should.
    #[error(transparent)]
    Inbox(#[from] InboxError),
}

impl From<CallError> for DirectoryError {
    fn from(error: CallError) -> Self {
        match error.failure {
            Failure::Status(401 | 403 | 404) => Self::Refused(error.failure),
            failure => Self::Unreachable(failure),
        }
    }
}

/// What of a connection is to change.
#[derive(Debug, Default)]
pub struct Change {
    /// The whole spec as it is to be.
    pub spec: Option<ConnectionSpec>,
    /// The spec that it was derived from, if there was one. If the connection has another by now, the change is
    /// overtaken.
    pub former: Option<ConnectionSpec>,
    /// What happens with its events.
    pub state: Option<(ConnectionState, Option<PauseReason>)>,
    /// A digest of its Element token.
    pub token_digest: Option<Vec<u8>>,
    /// Whether changes count from now on only.
    pub begins_anew: bool,
}

/// How often something is decided anew because another process was faster with a change.
const TRIES: u32 = 100;

/// All connections, to be made, changed and ended. Whatever is decided here is decided on what the catalog holds, and
/// is written only if no other process has changed a connection since: else it is decided anew.
pub struct Directory {
    inbox: Arc<dyn Inbox>,
    catalog: Arc<LiveCatalog>,
    builder: Arc<ConnectionBuilder>,
    registrar: Arc<Registrar>,
    /// One decision at a time: two new connections at once could be the same, two changes undo each other.
    deciding: Mutex<()>,
}

impl Directory {
    /// Over the catalog and what it is made of.
    pub fn new(
        inbox: Arc<dyn Inbox>,
        catalog: Arc<LiveCatalog>,
        builder: Arc<ConnectionBuilder>,
        registrar: Arc<Registrar>,
    ) -> Self {
        Self { inbox, catalog, builder, registrar, deciding: Mutex::default() }
    }

    /// The live connections.
    pub fn catalog(&self) -> &Arc<LiveCatalog> {
        &self.catalog
    }

    fn keyring(&self) -> &Keyring {
        self.catalog.keyring()
    }

    /// Takes up what has changed in the database.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn refresh(&self) -> Result<(), InboxError> {
        self.catalog.refresh(self.inbox.as_ref()).await
    }

    /// Whether credentials can be kept at all.
    pub fn can_seal(&self) -> bool {
        !self.keyring().is_empty()
    }

    /// Asks the store whether it takes the credentials. Nothing is kept.
    ///
    /// # Errors
    /// [`DirectoryError::Refused`], [`DirectoryError::Unreachable`] or [`DirectoryError::BadAddress`].
    pub async fn verify(&self, spec: &ConnectionSpec) -> Result<(), DirectoryError> {
        let link = self.builder.try_link(spec).ok_or(DirectoryError::BadAddress)?;
        Ok(link.can_read().await?)
    }

    /// Makes a connection, or takes up again the one that ended with the same store and destination. With `verifies`
    /// the store is asked first whether it takes the credentials.
    ///
    /// # Errors
    /// [`DirectoryError`]; nothing has been made then.
    pub async fn create(
        &self,
        spec: ConnectionSpec,
        state: ConnectionState,
        token_digest: Option<Vec<u8>>,
        verifies: bool,
    ) -> Result<Arc<Connection>, DirectoryError> {
        if !self.can_seal() {
            return Err(KeyringError::NoKey.into());
        }
        if verifies {
            self.verify(&spec).await?;
        }
        let _deciding = self.deciding.lock().await;
        for _ in 0..TRIES {
            match self.try_create(&spec, state, token_digest.clone()).await {
                Err(DirectoryError::Inbox(InboxError::Superseded)) => {}
                done => return done,
            }
        }
        Err(InboxError::Superseded.into())
    }

    async fn try_create(
        &self,
        spec: &ConnectionSpec,
        state: ConnectionState,
        token_digest: Option<Vec<u8>>,
    ) -> Result<Arc<Connection>, DirectoryError> {
        let known_revision = Some(self.known_revision().await?);
        if let Some(same) = self.same_as(spec, None) {
            if same.state != ConnectionState::Disconnected {
                return Err(DirectoryError::Duplicate(same.id));
            }
            // The environment's own row has no address of its own: who takes it up gets one, and keeps its history.
            let identity = same.is_environments().then(|| (spec.origin, new_hook_key()));
            let hook_key = identity.as_ref().map_or(&same.hook_key, |(_, hook_key)| hook_key);
            let update = ConnectionUpdate {
                state: Some((state, None)),
                token_digest: Some(token_digest),
                known_revision,
                ..self.update_of(hook_key, spec)?
            };
            let update = ConnectionUpdate { identity, ..update };
            self.inbox.update_connection(same.id, update).await?;
            return self.current(same.id).await;
        }
        let hook_key = new_hook_key();
        let sealed = self.keyring().seal(&hook_key, spec)?;
        let new =
            NewConnection { token_digest, known_revision, ..NewConnection::of(spec, state, hook_key, Some(sealed)) };
        let id = self.inbox.create_connection(new, Timestamp::now()).await?;
        self.current(id).await
    }

    /// A connection, other than `except`, that the same request would make: of instances none, since a client may want
    /// several.
    fn same_as(&self, spec: &ConnectionSpec, except: Option<ConnectionId>) -> Option<Arc<Connection>> {
        if spec.origin == Origin::Instance {
            return None;
        }
        let (kind, store) = (spec.source.kind(), spec.source.store());
        let is_same = |connection: &Arc<Connection>| {
            let comparable = match spec.origin {
                Origin::App => connection.origin == Origin::App,
                _ => matches!(connection.origin, Origin::Api | Origin::Environment),
            };
            let same_store = connection.source_kind == kind && connection.store == store;
            let same_destination = spec.origin == Origin::App
                || spec.destination.as_ref().is_some_and(|destination| connection.has_destination(destination));
            comparable && same_store && same_destination && Some(connection.id) != except
        };
        let mut same = self.catalog.select(is_same);
        same.sort_unstable_by_key(|connection| (connection.state == ConnectionState::Disconnected, connection.id));
        same.into_iter().next()
    }

    /// What is to be kept of a spec.
    fn update_of(&self, hook_key: &str, spec: &ConnectionSpec) -> Result<ConnectionUpdate, DirectoryError> {
        let destination = spec
            .destination
            .as_ref()
            .map(|destination| (destination.kind(), destination.host(), destination_mark(hook_key, destination)));
        Ok(ConnectionUpdate {
            name: Some(spec.name.clone()),
            destination: Some(destination),
            sealed: Some(Some(self.keyring().seal(hook_key, spec)?)),
            ..ConnectionUpdate::default()
        })
    }

    /// Changes a connection.
    ///
    /// # Errors
    /// [`DirectoryError`]; nothing has changed then. [`DirectoryError::Overtaken`] asks for the change of what the
    /// connection is by now.
    pub async fn change(&self, id: ConnectionId, change: Change) -> Result<Arc<Connection>, DirectoryError> {
        self.open(id)?;
        let _deciding = self.deciding.lock().await;
        for _ in 0..TRIES {
            match self.try_change(id, &change).await {
                Err(DirectoryError::Inbox(InboxError::Superseded)) => {}
                done => return done,
            }
        }
        Err(DirectoryError::Overtaken(id))
    }

    async fn try_change(&self, id: ConnectionId, change: &Change) -> Result<Arc<Connection>, DirectoryError> {
        let known_revision = Some(self.known_revision().await?);
        let connection = self.open(id)?;
        let mut update = match &change.spec {
            Some(spec) => {
                if connection.link.as_ref().map(|link| &link.spec) != change.former.as_ref() {
                    return Err(DirectoryError::Overtaken(id));
                }
                self.check_destination(&connection, spec)?;
                self.update_of(&connection.hook_key, spec)?
            }
            None => ConnectionUpdate::default(),
        };
        update.state = state_after(&connection, change);
        let asks_for_active = change.state.is_some_and(|(state, _)| state == ConnectionState::Active);
        let stays_incomplete = update.state.is_some_and(|(state, _)| state == ConnectionState::Incomplete);
        if asks_for_active && stays_incomplete && connection.state == ConnectionState::Incomplete {
            return Err(DirectoryError::Incomplete(id));
        }
        update.token_digest = change.token_digest.clone().map(Some);
        update.begins_at = change.begins_anew.then(Timestamp::now);
        update.known_revision = known_revision;
        if !self.inbox.update_connection(id, update).await? {
            return Err(DirectoryError::Unknown(id));
        }
        self.current(id).await
    }

    /// Whether a destination that is another than before is not one that the store is connected to already.
    fn check_destination(&self, connection: &Connection, spec: &ConnectionSpec) -> Result<(), DirectoryError> {
        let former = connection.link.as_ref().and_then(|link| link.spec.destination.as_ref());
        if spec.destination.as_ref() == former {
            return Ok(());
        }
        match self.same_as(spec, Some(connection.id)) {
            Some(same) if same.state != ConnectionState::Disconnected => Err(DirectoryError::Duplicate(same.id)),
            _ => Ok(()),
        }
    }

    /// Ends a connection: its hooks are removed at the store as far as that can be done, its credentials wiped.
    ///
    /// # Errors
    /// [`DirectoryError`]; it has not ended then.
    pub async fn end(&self, id: ConnectionId, removes_hooks: bool) -> Result<Arc<Connection>, DirectoryError> {
        let connection = self.changeable(id)?;
        if removes_hooks && connection.state != ConnectionState::Disconnected {
            match self.registrar.remove(&connection).await {
                Ok(_) | Err(RegistrarError::NoPublicUrl | RegistrarError::Disconnected) => {}
                // The store answers its callbacks with 200 from now on; the hook does no harm.
                Err(error) => {
                    tracing::warn!(connection = %id, %error, "connection {id}: its hooks could not be removed: {error}");
                }
            }
        }
        let update = ConnectionUpdate {
            state: Some((ConnectionState::Disconnected, None)),
            sealed: Some(None),
            token_digest: Some(None),
            ..ConnectionUpdate::default()
        };
        self.inbox.update_connection(id, update).await?;
        self.registrar.forget(id);
        tracing::info!(connection = %id, "connection {id} ({}) has ended", connection.name);
        self.current(id).await
    }

    /// Seals every connection anew under the newest key. Returns how many needed it.
    ///
    /// # Errors
    /// [`DirectoryError`]; those before it are sealed anew.
    pub async fn rekey(&self) -> Result<usize, DirectoryError> {
        let mut records: Vec<ConnectionRecord> = self.inbox.connections(0).await?;
        let mut known = records.last().map_or(0, |record| record.revision);
        let (mut count, mut superseded) = (0, 0);
        while let Some(record) = records.pop() {
            let Some(sealed) = record.sealed.as_ref().filter(|sealed| self.keyring().needs_rekey(sealed)) else {
                continue;
            };
            let spec = self.keyring().open(&record.hook_key, sealed)?;
            let sealed = Some(Some(self.keyring().seal(&record.hook_key, &spec)?));
            let update = ConnectionUpdate { sealed, known_revision: Some(known), ..Default::default() };
            match self.inbox.update_connection(record.id, update).await {
                Ok(_) => count += 1,
                Err(InboxError::Superseded) if superseded < TRIES => superseded += 1,
                Err(error) => return Err(error.into()),
            }
            // This change, or somebody else's: what is left is looked at as it is by now.
            let changed = self.inbox.connections(known).await?;
            known = changed.last().map_or(known, |record| record.revision);
            records.retain(|record| changed.iter().all(|newer| newer.id != record.id));
            records.extend(changed);
        }
        Ok(count)
    }

    /// A connection that can be changed and has not ended.
    fn open(&self, id: ConnectionId) -> Result<Arc<Connection>, DirectoryError> {
        let connection = self.changeable(id)?;
        let has_ended = connection.state == ConnectionState::Disconnected;
        if has_ended { Err(DirectoryError::Disconnected(id)) } else { Ok(connection) }
    }

    /// Takes up what has changed; the revision that the catalog is at, at least.
    async fn known_revision(&self) -> Result<i64, DirectoryError> {
        self.refresh().await?;
        Ok(self.catalog.revision().await)
    }

    fn changeable(&self, id: ConnectionId) -> Result<Arc<Connection>, DirectoryError> {
        let connection = self.catalog.get(id).ok_or(DirectoryError::Unknown(id))?;
        if connection.is_environments() { Err(DirectoryError::EnvironmentsOwn(id)) } else { Ok(connection) }
    }

    /// The connection as it is now.
    async fn current(&self, id: ConnectionId) -> Result<Arc<Connection>, DirectoryError> {
        self.refresh().await?;
        self.catalog.get(id).ok_or(DirectoryError::Unknown(id))
    }
}

/// The state that a change leads to. A store of the app is active as soon as, and only while, it has a payload URL.
fn state_after(connection: &Connection, change: &Change) -> Option<(ConnectionState, Option<PauseReason>)> {
    if connection.origin != Origin::App {
        return change.state;
    }
    let spec = change.spec.as_ref().or(connection.link.as_ref().map(|link| &link.spec));
    let has_destination = spec.is_some_and(|spec| spec.destination.is_some());
    match change.state {
        Some((ConnectionState::Active, _)) if !has_destination => Some((ConnectionState::Incomplete, None)),
        None if has_destination && connection.state == ConnectionState::Incomplete => {
            Some((ConnectionState::Active, None))
        }
        asked => asked,
    }
}
