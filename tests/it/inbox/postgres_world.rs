//! Relays on one PostgreSQL database, and short methods for what tests do with them.

use std::time::Duration;

use onetribe_relay::{
    clock::Timestamp,
    inbox::{
        Accepted, Arrival, Claim, ConnectionState, Inbox, NewConnection, ObjectQuery, ObjectRow, Outcome, Settlement,
        Wanted, postgres::PostgresInbox,
    },
    object::{ChangeKind, ConnectionId, Digest, ObjectId, ObjectKey, ResourceName},
    spec::{Origin, SourceKind},
};

use crate::support::postgres::Database;

/// The time at which every test begins.
pub const START: Timestamp = Timestamp::from_seconds(1_700_000_000);
/// The lease of the tests' claims, unless they use another.
pub const LEASE: Duration = Duration::from_secs(30);

/// The time `seconds` after [`START`].
pub fn at(seconds: u64) -> Timestamp {
    START.after(Duration::from_secs(seconds))
}

pub fn id(number: i64) -> ObjectId {
    ObjectId::Number(number)
}

pub fn delivered(of: u8, fetched_at: Timestamp) -> Outcome {
    Outcome::Delivered { digest: Some(Digest([of; 16])), fetched_at, forwarded: true }
}

/// A new connection to this store, with a hook key of its own.
pub fn connection_to(store: &str) -> NewConnection {
    NewConnection {
        origin: Origin::Api,
        state: ConnectionState::Active,
        name: format!("Shop {store}"),
        source_kind: SourceKind::BigCommerce,
        store: store.to_owned(),
        destination_kind: None,
        destination_host: None,
        destination_mark: None,
        hook_key: format!("{:032x}", rand::random::<u128>()),
        token_digest: None,
        sealed: None,
        known_revision: None,
    }
}

/// The inbox of one relay, and a connection.
pub struct TestRelay {
    pub inbox: PostgresInbox,
    pub connection: ConnectionId,
}

impl TestRelay {
    /// The first relay on a database, with a new connection.
    pub async fn first(database: &Database) -> Self {
        let inbox = PostgresInbox::open(&database.url().into()).await.unwrap_or_else(|error| panic!("{error}"));
        let connection = inbox.create_connection(connection_to("abcde"), START).await.unwrap();
        Self { inbox, connection }
    }

    /// Another relay on the same database, with the same connection.
    pub async fn beside(&self, database: &Database) -> Self {
        let inbox = PostgresInbox::open(&database.url().into()).await.unwrap_or_else(|error| panic!("{error}"));
        Self { inbox, connection: self.connection }
    }

    pub fn key(&self, number: i64) -> ObjectKey {
        ObjectKey { connection: self.connection, resource: ResourceName::orders(), id: id(number) }
    }

    /// An event to accept.
    pub fn event(&self, number: i64, event_id: &str, content: &str, second: u64, now: Timestamp) -> Arrival {
        Arrival {
            key: self.key(number),
            change: ChangeKind::Updated,
            event_id: Some(event_id.to_owned()),
            content: Some(content.to_owned()),
            created_at: Some(at(second).millis() / 1000),
            look_only: false,
            at: now,
        }
    }

    pub async fn accept(&self, number: i64, event_id: &str, content: &str, second: u64, now: Timestamp) -> Accepted {
        self.inbox.accept(self.event(number, event_id, content, second, now)).await.unwrap()
    }

    /// Accepts a first-time event without an id or content to recognise it by.
    pub async fn news(&self, number: i64, now: Timestamp) {
        let event = Arrival { event_id: None, content: None, ..self.event(number, "", "", 0, now) };
        assert_eq!(self.inbox.accept(event).await.unwrap(), Accepted::First);
    }

    pub async fn want(&self, numbers: &[i64], force: bool, now: Timestamp) {
        let wanted = numbers.iter().map(|number| Wanted::updated(id(*number))).collect();
        self.inbox.want(self.connection, ResourceName::orders(), wanted, force, now).await.unwrap();
    }

    pub async fn try_claim(&self, numbers: &[i64], now: Timestamp) -> Vec<Claim> {
        let objects = numbers.iter().map(|number| (ResourceName::orders(), id(*number))).collect();
        self.inbox.claim(self.connection, objects, LEASE, now).await.unwrap()
    }

    pub async fn claim(&self, number: i64, now: Timestamp) -> Claim {
        let mut claims = self.try_claim(&[number], now).await;
        assert_eq!(claims.len(), 1, "object {number} is not due at {now}");
        claims.remove(0)
    }

    pub async fn settle(&self, claim: Claim, outcome: Outcome, at: Timestamp) -> bool {
        self.inbox.settle(Settlement { claim, outcome, at }).await.unwrap()
    }

    /// Accepts a first-time event, claims it at once and settles it.
    pub async fn end(&self, number: i64, outcome: Outcome, now: Timestamp) {
        self.news(number, now).await;
        let claim = self.claim(number, now).await;
        assert!(self.settle(claim, outcome, now).await);
    }

    pub async fn due(&self, now: Timestamp) -> Vec<i64> {
        let due = self.inbox.due(self.connection, now, 1000).await.unwrap();
        due.into_iter().map(|due| due.id.number().unwrap()).collect()
    }

    pub async fn rows(&self) -> Vec<ObjectRow> {
        let query = ObjectQuery { limit: 1000, ..ObjectQuery::default() };
        self.inbox.objects(self.connection, query).await.unwrap()
    }
}
