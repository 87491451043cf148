//! The live connections, by number, by hook key and by Element token: read by every webhook, refreshed from the inbox
//! whenever a replica, a command or this process has changed one.

mod error;

pub use error::{CatalogError, ClosedConnection, NoSoleConnection};

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
};

use hmac::{Hmac, KeyInit, Mac};
use parking_lot::RwLock;
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;
use tokio::sync::{Mutex, watch};

use crate::{
    inbox::{ConnectionRecord, ConnectionState, Inbox, InboxError},
    object::ConnectionId,
    spec::{ConnectionSpec, Origin, keyring::Keyring},
};

/// Builds the live value of a record and its spec; no spec where the credentials are wiped or no longer configured.
type Build<T> = dyn Fn(&ConnectionRecord, Option<ConnectionSpec>) -> Arc<T> + Send + Sync;

/// The live connections. A connection keeps its value until something about it changes; a change makes a new value.
pub struct Catalog<T> {
    keyring: Keyring,
    environment: Option<ConnectionSpec>,
    build: Box<Build<T>>,
    live: RwLock<Live<T>>,
    changes: watch::Sender<u64>,
    /// Connections of which only the revision has changed: something that belongs to them has.
    touched: watch::Sender<HashSet<ConnectionId>>,
    /// Held from reading the inbox until the result is applied, so that no older result replaces a newer one.
    reading: Mutex<Reading>,
    /// Keys the digests that equal specs are recognised by; random for each process.
    digest_key: [u8; 32],
}

/// How far the inbox has been read.
#[derive(Default)]
struct Reading {
    revision: i64,
    /// Connections whose credentials no key opens, already logged.
    closed: HashSet<ConnectionId>,
}

struct Live<T> {
    by_id: BTreeMap<ConnectionId, Entry<T>>,
    by_hook_key: HashMap<String, Arc<T>>,
    by_token: HashMap<Vec<u8>, Arc<T>>,
    environment: Option<ConnectionId>,
}

struct Entry<T> {
    value: Arc<T>,
    /// The record without its sealed part and without what changes all the time.
    record: ConnectionRecord,
    spec: Option<[u8; 16]>,
}

/// A record on its way into the catalog.
struct Opened {
    record: ConnectionRecord,
    spec: Option<ConnectionSpec>,
}

impl<T> Catalog<T> {
    /// An empty catalog. `environment` is the spec of the environment's own connection, which is never stored.
    pub fn new(
        keyring: Keyring,
        environment: Option<ConnectionSpec>,
        build: impl Fn(&ConnectionRecord, Option<ConnectionSpec>) -> Arc<T> + Send + Sync + 'static,
    ) -> Self {
        let live =
            Live { by_id: BTreeMap::new(), by_hook_key: HashMap::new(), by_token: HashMap::new(), environment: None };
        Self {
            keyring,
            environment,
            build: Box::new(build),
            live: RwLock::new(live),
            changes: watch::Sender::new(0),
            touched: watch::Sender::default(),
            reading: Mutex::default(),
            digest_key: rand::random(),
        }
    }

    /// What seals the specs of new and changed connections.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Loads every connection of the inbox, at the start.
    ///
    /// # Errors
    /// When the inbox cannot be read, or the credentials of a connection cannot be opened; nothing is loaded then.
    pub async fn load(&self, inbox: &dyn Inbox) -> Result<(), CatalogError> {
        let mut reading = self.reading.lock().await;
        let records = inbox.connections(0).await?;
        self.start(&mut reading, records).map_err(CatalogError::Closed)
    }

    fn start(&self, reading: &mut Reading, records: Vec<ConnectionRecord>) -> Result<(), Vec<ClosedConnection>> {
        let revision = newest(&records, 0);
        let (opened, closed) = self.open(records);
        if !closed.is_empty() {
            return Err(closed);
        }
        self.take(opened);
        reading.revision = revision;
        Ok(())
    }

    /// Applies what has changed in the inbox since. A connection whose credentials cannot be opened stays as it was,
    /// and this is logged once. To be called after every change of a connection, and whenever a newer revision is
    /// seen.
    ///
    /// # Errors
    /// When the inbox cannot be read; nothing has changed then.
    pub async fn refresh(&self, inbox: &dyn Inbox) -> Result<(), InboxError> {
        let mut reading = self.reading.lock().await;
        let records = inbox.connections(reading.revision).await?;
        self.follow(&mut reading, records);
        Ok(())
    }

    fn follow(&self, reading: &mut Reading, records: Vec<ConnectionRecord>) {
        let revision = newest(&records, reading.revision);
        let (opened, closed) = self.open(records);
        for opened in &opened {
            reading.closed.remove(&opened.record.id);
        }
        for ClosedConnection { id, error, .. } in closed {
            if reading.closed.insert(id) {
                tracing::error!(connection = %id, "a change to connection {id} cannot be taken up: {error}");
            }
        }
        self.take(opened);
        reading.revision = revision;
    }

    /// The newest revision that has been applied.
    pub async fn revision(&self) -> i64 {
        self.reading.lock().await.revision
    }

    /// Opens the records' sealed specs, and separates those that cannot be opened.
    fn open(&self, records: Vec<ConnectionRecord>) -> (Vec<Opened>, Vec<ClosedConnection>) {
        let (mut opened, mut closed) = (Vec::with_capacity(records.len()), Vec::new());
        for record in records {
            let spec = match &record.sealed {
                _ if self.is_environments(&record) => Ok(self.environment.clone()),
                Some(sealed) => self.keyring.open(&record.hook_key, sealed).map(Some),
                None => Ok(None),
            };
            match spec {
                Ok(spec) => opened.push(Opened { record, spec }),
                Err(error) => closed.push(ClosedConnection { id: record.id, name: record.name, error }),
            }
        }
        (opened, closed)
    }

    /// Whether a record is that of the store that the environment describes now.
    fn is_environments(&self, record: &ConnectionRecord) -> bool {
        let describes =
            |spec: &ConnectionSpec| spec.source.kind() == record.source_kind && spec.source.store() == record.store;
        record.origin == Origin::Environment && self.environment.as_ref().is_some_and(describes)
    }

    /// Builds the changed values first, and blocks readers only to put them in place.
    fn take(&self, opened: Vec<Opened>) {
        let (mut changed, mut touched) = (Vec::new(), Vec::new());
        for Opened { mut record, spec } in opened {
            let is_environments = self.is_environments(&record);
            let digest = spec.as_ref().map(|spec| self.digest(spec));
            if self.is_known(&record, digest) {
                touched.push(record.id);
                continue;
            }
            let value = (self.build)(&record, spec);
            strip(&mut record);
            changed.push((is_environments, Entry { value, record, spec: digest }));
        }
        if !touched.is_empty() {
            self.touched.send_modify(|known| known.extend(touched));
        }
        if changed.is_empty() {
            return;
        }
        let mut live = self.live.write();
        for (is_environments, entry) in changed {
            live.replace(entry, is_environments);
        }
        drop(live);
        self.changes.send_modify(|count| *count += 1);
    }

    fn is_known(&self, record: &ConnectionRecord, spec: Option<[u8; 16]>) -> bool {
        let mut record = record.clone();
        strip(&mut record);
        self.live.read().by_id.get(&record.id).is_some_and(|entry| entry.record == record && entry.spec == spec)
    }

    /// A keyed digest to compare specs by, without keeping a second copy of them.
    fn digest(&self, spec: &ConnectionSpec) -> [u8; 16] {
        let plain = Zeroizing::new(serde_json::to_vec(spec).expect("a spec is written as JSON whenever it is sealed"));
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.digest_key).expect("HMAC takes any key");
        mac.update(&plain);
        let mut digest = [0; 16];
        digest.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        digest
    }

    /// The connection with this number.
    pub fn get(&self, id: ConnectionId) -> Option<Arc<T>> {
        self.live.read().by_id.get(&id).map(|entry| entry.value.clone())
    }

    /// The connection whose webhook URL has this key.
    pub fn by_hook_key(&self, hook_key: &str) -> Option<Arc<T>> {
        self.live.read().by_hook_key.get(hook_key).cloned()
    }

    /// The instance with this digest of its Element token.
    pub fn by_token_digest(&self, digest: &[u8]) -> Option<Arc<T>> {
        self.live.read().by_token.get(digest).cloned()
    }

    /// The environment's own connection.
    pub fn environments(&self) -> Option<Arc<T>> {
        let live = self.live.read();
        live.environment.and_then(|id| live.by_id.get(&id)).map(|entry| entry.value.clone())
    }

    /// The connection to use when none is named: the environment's own, or the only one that has not ended.
    ///
    /// # Errors
    /// [`NoSoleConnection`] if there is none, or more than one.
    pub fn sole(&self) -> Result<Arc<T>, NoSoleConnection> {
        if let Some(environments) = self.environments() {
            return Ok(environments);
        }
        let live = self.live.read();
        let mut going = live.by_id.values().filter(|entry| entry.record.state != ConnectionState::Disconnected);
        let only = going.next().ok_or(NoSoleConnection::None)?;
        if going.next().is_some() { Err(NoSoleConnection::Several) } else { Ok(only.value.clone()) }
    }

    /// All connections, ended ones included, by number.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.live.read().by_id.values().map(|entry| entry.value.clone()).collect()
    }

    /// The connections for which `keep` is true, by number. `keep` blocks webhooks if it is slow.
    pub fn select(&self, mut keep: impl FnMut(&Arc<T>) -> bool) -> Vec<Arc<T>> {
        let live = self.live.read();
        live.by_id.values().map(|entry| &entry.value).filter(|value| keep(value)).cloned().collect()
    }

    /// How many connections there are, ended ones included.
    pub fn len(&self) -> usize {
        self.live.read().by_id.len()
    }

    /// Whether there is no connection at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A counter that goes up after each change has become visible.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Notifies when [`Catalog::take_touched`] has something to return.
    pub fn touched(&self) -> watch::Receiver<HashSet<ConnectionId>> {
        self.touched.subscribe()
    }

    /// Takes the connections of which only the revision has changed since the last call.
    pub fn take_touched(&self) -> HashSet<ConnectionId> {
        let mut taken = HashSet::new();
        self.touched.send_if_modified(|known| {
            taken = std::mem::take(known);
            false
        });
        taken
    }
}

impl<T> fmt::Debug for Catalog<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("connections", &self.len()).finish_non_exhaustive()
    }
}

impl<T> Live<T> {
    fn replace(&mut self, entry: Entry<T>, is_environments: bool) {
        let id = entry.record.id;
        if let Some(old) = self.by_id.remove(&id) {
            // The token may belong to another connection by now.
            let is_old = |found: &Arc<T>| Arc::ptr_eq(found, &old.value);
            if self.by_hook_key.get(&old.record.hook_key).is_some_and(is_old) {
                self.by_hook_key.remove(&old.record.hook_key);
            }
            if let Some(token) = &old.record.token_digest
                && self.by_token.get(token).is_some_and(is_old)
            {
                self.by_token.remove(token);
            }
        }
        if is_environments {
            self.environment = Some(id);
        }
        // The environment's own connection has a fixed webhook URL, and its key could be guessed.
        if entry.record.origin != Origin::Environment {
            self.by_hook_key.insert(entry.record.hook_key.clone(), entry.value.clone());
        }
        if let Some(token) = &entry.record.token_digest {
            self.by_token.insert(token.clone(), entry.value.clone());
        }
        self.by_id.insert(id, entry);
    }
}

/// Removes what does not make the connection a different one: a new seal around the same spec, the times of its last
/// events.
fn strip(record: &mut ConnectionRecord) {
    record.sealed = None;
    record.last_event_at = None;
    record.last_delivered_at = None;
    record.revision = 0;
}

fn newest(records: &[ConnectionRecord], before: i64) -> i64 {
    records.iter().map(|record| record.revision).fold(before, i64::max)
}

#[cfg(test)]
mod tests;
