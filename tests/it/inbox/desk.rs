//! What the cases work at: an inbox on a fresh database, one connection, a clock that stands still unless moved, and
//! short words for what the cases do.

use std::{
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use onetribe_relay::{
    clock::Timestamp,
    event::{OrderEvent, OrderId},
    inbox::{
        Accepted, Arrival, Claim, ConnectionId, Inbox, InboxError, OrderQuery, OrderRow, OrderState, Outcome,
        Settlement, postgres::PostgresInbox, sqlite::SqliteInbox,
    },
    one_tribe::Digest,
};
use tempfile::TempDir;

use crate::postgres_support::Database;

/// When every case begins.
pub const START: Timestamp = Timestamp::from_seconds(1_700_000_000);
/// What the cases claim for, unless they say otherwise.
pub const LEASE: Duration = Duration::from_secs(30);

/// `seconds` after the beginning.
pub fn at(seconds: u64) -> Timestamp {
    START.after(Duration::from_secs(seconds))
}

pub fn order(id: i64) -> OrderId {
    OrderId::new(id).unwrap()
}

pub fn digest(of: u8) -> Digest {
    Digest([of; 16])
}

pub fn delivered(of: u8, fetched_at: Timestamp) -> Outcome {
    Outcome::Delivered { digest: digest(of), fetched_at, forwarded: true }
}

/// A database of a case's own.
pub enum Place {
    Sqlite(TempDir),
    Postgres(Database),
}

impl Place {
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// `None` where there is no server to test with.
    pub async fn postgres() -> Option<Self> {
        Database::fresh().await.map(Self::Postgres)
    }

    /// Opens it; each call is a process of its own, so to speak.
    pub async fn open(&self) -> Arc<dyn Inbox> {
        self.try_open().await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub async fn try_open(&self) -> Result<Arc<dyn Inbox>, InboxError> {
        Ok(match self {
            Self::Sqlite(folder) => Arc::new(SqliteInbox::open(&folder.path().join("relay.db")).await?),
            Self::Postgres(database) => Arc::new(PostgresInbox::open(&database.url().into()).await?),
        })
    }

    pub async fn desk(&self) -> Desk {
        let inbox = self.open().await;
        let connection = inbox.connection("bigcommerce", "abcde", START).await.unwrap();
        Desk { inbox, connection }
    }
}

/// The whole program, told to serve this database and to say all it can.
pub fn serve(url: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("BIGCOMMERCE_STORE_HASH", "abcde"),
        ("BIGCOMMERCE_ACCESS_TOKEN", "a-token"),
        ("BIGCOMMERCE_CLIENT_SECRET", "a-secret"),
        ("ONE_TRIBE_DESTINATION", "http://127.0.0.1:1"),
        ("RUST_LOG", "trace"),
        ("DATABASE_URL", url),
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetribe-relay"));
    command.env_clear().envs(variables).current_dir(folder.path()).output().unwrap()
}

/// An event to accept; what is not said is not there.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub order: i64,
    pub id: Option<&'static str>,
    pub hash: Option<&'static str>,
    pub second: Option<u64>,
}

/// An event with everything: an id of its own, a hash, and the second it was made in.
pub fn told(order: i64, id: &'static str, hash: &'static str, second: u64) -> Told {
    Told { order, id: Some(id), hash: Some(hash), second: Some(second) }
}

/// An open inbox and one connection of it.
#[derive(Clone)]
pub struct Desk {
    pub inbox: Arc<dyn Inbox>,
    pub connection: ConnectionId,
}

impl Desk {
    pub async fn accept(&self, told: Told, now: Timestamp) -> Accepted {
        let created_at = told.second.map(|second| at(second).millis() / 1000);
        let event = OrderEvent { order: order(told.order), hash: told.hash.map(str::to_owned), created_at };
        let webhook_id = told.id.map(str::to_owned);
        self.inbox.accept(Arrival { connection: self.connection, event, webhook_id, at: now }).await.unwrap()
    }

    /// A first-time event, recognisable by nothing.
    pub async fn news(&self, id: i64, now: Timestamp) {
        assert_eq!(self.accept(Told { order: id, id: None, hash: None, second: None }, now).await, Accepted::First);
    }

    pub async fn want(&self, id: i64, insist: bool, now: Timestamp) {
        self.inbox.want(self.connection, vec![order(id)], insist, now).await.unwrap();
    }

    pub async fn try_claim(&self, ids: &[i64], now: Timestamp) -> Vec<Claim> {
        let ids = ids.iter().copied().map(order).collect();
        self.inbox.claim(self.connection, ids, LEASE, now).await.unwrap()
    }

    pub async fn claim(&self, id: i64, now: Timestamp) -> Claim {
        let mut claims = self.try_claim(&[id], now).await;
        assert_eq!(claims.len(), 1, "order {id} is not due at {now}");
        claims.remove(0)
    }

    pub async fn settle(&self, claim: Claim, outcome: Outcome, at: Timestamp) -> bool {
        self.inbox.settle(Settlement { claim, outcome, at }).await.unwrap()
    }

    /// A first-time event, claimed at once and ended.
    pub async fn end(&self, id: i64, outcome: Outcome, now: Timestamp) {
        self.news(id, now).await;
        let claim = self.claim(id, now).await;
        assert!(self.settle(claim, outcome, now).await);
    }

    pub async fn due(&self, now: Timestamp) -> Vec<i64> {
        let due = self.inbox.due(self.connection, now, 1000).await.unwrap();
        due.into_iter().map(|due| due.order.get()).collect()
    }

    pub async fn rows(&self, state: Option<OrderState>) -> Vec<OrderRow> {
        let query = OrderQuery { state, limit: 1000, before: None };
        self.inbox.orders(self.connection, query).await.unwrap()
    }

    pub async fn row(&self, id: i64) -> OrderRow {
        self.rows(None).await.into_iter().find(|row| row.order_id == order(id)).unwrap()
    }
}
