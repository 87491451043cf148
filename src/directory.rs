//! Makes, changes and ends connections, for the API, the app, the Elements API, the pages and the command line alike.

mod error;

pub use error::DirectoryError;

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::{
    clock::Timestamp,
    connection::{Connection, ConnectionBuilder, LiveCatalog},
    inbox::{ConnectionRecord, ConnectionState, ConnectionUpdate, Inbox, InboxError, NewConnection, PauseReason},
    object::ConnectionId,
    registrar::{Registrar, RegistrarError},
    spec::{
        ConnectionSpec, Origin,
        keyring::{Keyring, KeyringError, destination_mark, new_hook_key},
    },
};

/// A change of a connection; `None` leaves a value as it is.
#[derive(Debug, Default)]
pub struct Change {
    /// The whole new spec.
    pub spec: Option<ConnectionSpec>,
    /// The spec that the new one was derived from, if any. If the connection has another spec by now, the change
    /// fails as [`DirectoryError::Overtaken`].
    pub former: Option<ConnectionSpec>,
    /// The new state, and why it is paused, if it is.
    pub state: Option<(ConnectionState, Option<PauseReason>)>,
    /// The digest of a new Element token.
    pub token_digest: Option<Vec<u8>>,
    /// Whether only changes from now on are relayed.
    pub begins_anew: bool,
}

/// How often a decision is repeated because another process has changed a connection meanwhile.
const TRIES: u32 = 100;

/// Makes, changes and ends connections. Each decision is based on the catalog, and is written only if no other
/// process has changed a connection since; otherwise it is made again.
pub struct Directory {
    inbox: Arc<dyn Inbox>,
    catalog: Arc<LiveCatalog>,
    builder: Arc<ConnectionBuilder>,
    registrar: Arc<Registrar>,
    /// One decision at a time: two simultaneous requests could make the same connection twice, or undo each other's
    /// change.
    deciding: Mutex<()>,
}

impl Directory {
    /// A directory over the catalog, the inbox and the factory of connections.
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

    /// Applies to the catalog what has changed in the database.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn refresh(&self) -> Result<(), InboxError> {
        self.catalog.refresh(self.inbox.as_ref()).await
    }

    /// Whether there is a key to seal credentials with.
    pub fn can_seal(&self) -> bool {
        !self.keyring().is_empty()
    }

    /// Asks the store whether it takes the credentials. Nothing is stored.
    ///
    /// # Errors
    /// [`DirectoryError::Refused`], [`DirectoryError::Unreachable`] or [`DirectoryError::BadAddress`].
    pub async fn verify(&self, spec: &ConnectionSpec) -> Result<(), DirectoryError> {
        let link = self.builder.try_link(spec).ok_or(DirectoryError::BadAddress)?;
        Ok(link.can_read().await?)
    }

    /// Makes a connection, or revives the one that ended with the same store and destination. With `verifies`, the
    /// store is first asked whether it takes the credentials.
    ///
    /// # Errors
    /// [`DirectoryError`]; nothing has been made.
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
            // The environment's own row has no webhook URL of its own: whoever revives it gets one, and its history
            // stays.
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

    /// A connection, other than `except`, that the same request would make. Never an instance: a client may want
    /// several alike.
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

    /// The columns to be stored for a spec.
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
    /// [`DirectoryError`]; nothing has changed. After [`DirectoryError::Overtaken`] the caller decides again, on the
    /// connection as it is by then.
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

    /// Refuses a new destination that another connection already takes this store's objects to.
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

    /// Ends a connection: removes its hooks at the store as far as possible, if asked, and wipes its credentials. The
    /// second value tells why hooks may be left there.
    ///
    /// # Errors
    /// [`DirectoryError`]; the connection has not ended.
    pub async fn end(
        &self,
        id: ConnectionId,
        removes_hooks: bool,
    ) -> Result<(Arc<Connection>, Option<RegistrarError>), DirectoryError> {
        let connection = self.changeable(id)?;
        let update = ConnectionUpdate {
            state: Some((ConnectionState::Disconnected, None)),
            sealed: Some(None),
            token_digest: Some(None),
            ..ConnectionUpdate::default()
        };
        let end = self.inbox.update_connection(id, update);
        let (removed, ended) = match removes_hooks {
            true => self.registrar.remove_for_good(&connection, end).await,
            false => (Ok(0), end.await),
        };
        ended?;
        self.registrar.forget(id);
        tracing::info!(connection = %id, "connection {id} ({}) has ended", connection.name);
        Ok((self.current(id).await?, removed.err()))
    }

    /// Ends a connection, as [`Directory::end`] does, and logs why hooks are left at the store.
    ///
    /// # Errors
    /// [`DirectoryError`]; the connection has not ended.
    pub async fn end_with_hooks(&self, id: ConnectionId) -> Result<Arc<Connection>, DirectoryError> {
        let (connection, left) = self.end(id, true).await?;
        match left {
            None | Some(RegistrarError::NoPublicUrl | RegistrarError::Disconnected) => {}
            // A hook that is left behind does no harm: its webhooks are answered with 200 from now on.
            Some(error) => {
                tracing::warn!(connection = %id, %error, "connection {id}: its hooks could not be removed: {error}");
            }
        }
        Ok(connection)
    }

    /// Seals every connection's credentials again under the newest key. Returns how many needed it.
    ///
    /// # Errors
    /// [`DirectoryError`]; the connections before the failing one are already resealed.
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
            // Re-reads what this or another process has changed, so that the rest is decided on current records.
            let changed = self.inbox.connections(known).await?;
            known = changed.last().map_or(known, |record| record.revision);
            records.retain(|record| changed.iter().all(|newer| newer.id != record.id));
            records.extend(changed);
        }
        Ok(count)
    }

    /// A connection that may be changed and has not ended.
    fn open(&self, id: ConnectionId) -> Result<Arc<Connection>, DirectoryError> {
        let connection = self.changeable(id)?;
        let has_ended = connection.state == ConnectionState::Disconnected;
        if has_ended { Err(DirectoryError::Disconnected(id)) } else { Ok(connection) }
    }

    /// Refreshes the catalog and returns its revision.
    async fn known_revision(&self) -> Result<i64, DirectoryError> {
        self.refresh().await?;
        Ok(self.catalog.revision().await)
    }

    fn changeable(&self, id: ConnectionId) -> Result<Arc<Connection>, DirectoryError> {
        let connection = self.catalog.get(id).ok_or(DirectoryError::Unknown(id))?;
        if connection.is_environments() { Err(DirectoryError::EnvironmentsOwn(id)) } else { Ok(connection) }
    }

    /// The connection, after refreshing the catalog.
    async fn current(&self, id: ConnectionId) -> Result<Arc<Connection>, DirectoryError> {
        self.refresh().await?;
        self.catalog.get(id).ok_or(DirectoryError::Unknown(id))
    }
}

/// The state after a change. A store of the app cannot be active without a payload URL, and becomes active with its
/// first.
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
