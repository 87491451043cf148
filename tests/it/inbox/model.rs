//! Every change to a row, compared with `state::Row`: the row in the database must be what the pure rules say, column
//! by column, after any history. For SQLite and PostgreSQL.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use futures_util::future::join_all;
use onetribe_relay::{
    clock::Timestamp,
    http::Failure,
    inbox::{
        Accepted, Arrival, Claim, Failed, Inbox, ObjectState, Outcome, Settlement, Side, WELL_AFTER, Wanted,
        sqlite::SqliteInbox,
        state::{Raise, Reason, Row},
    },
    object::{ChangeKind, ConnectionId, Digest, ObjectId, ObjectKey, ResourceName},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use sqlx::{PgPool, Row as _, postgres::PgRow};
use tokio::runtime::Handle;

use super::postgres_world::{LEASE, START, TestRelay, connection_to};
use crate::support::postgres::Database;

const OBJECTS: [&str; 3] = ["7", "10", "not-a-number"];

/// An event of a batch.
#[derive(Debug, Clone)]
struct Event {
    object: usize,
    change: ChangeKind,
    /// One of a few ids, so that some occur again.
    event_id: Option<u8>,
    look_only: bool,
    after_ms: u64,
}

#[derive(Debug, Clone)]
enum Step {
    /// Accepts these events at once.
    Accept(Vec<Event>),
    Want {
        objects: Vec<(usize, ChangeKind)>,
        force: bool,
    },
    Claim {
        objects: Vec<usize>,
    },
    BeginForward {
        which: usize,
    },
    /// Settles one of the claims made so far, however old it is.
    Settle {
        which: usize,
        how: u8,
        retry_after: u64,
    },
    Recover,
    WantAll(ObjectState),
    Repair {
        seconds_back: u64,
    },
    Pass {
        seconds: u64,
    },
}

fn change() -> impl Strategy<Value = ChangeKind> {
    prop::sample::select(vec![ChangeKind::Updated, ChangeKind::Created, ChangeKind::Deleted])
}

fn event() -> impl Strategy<Value = Event> {
    let id = prop_oneof![2 => Just(None), 3 => (0..4u8).prop_map(Some)];
    (0..OBJECTS.len(), change(), id, prop::bool::weighted(0.2), 0..5u64).prop_map(
        |(object, change, event_id, look_only, after_ms)| Event { object, change, event_id, look_only, after_ms },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let objects = || prop::sample::subsequence((0..OBJECTS.len()).collect::<Vec<_>>(), 1..=OBJECTS.len());
    prop_oneof![
        4 => prop::collection::vec(event(), 1..2).prop_map(Step::Accept),
        3 => prop::collection::vec(event(), 2..6).prop_map(Step::Accept),
        2 => (prop::collection::vec((0..OBJECTS.len(), change()), 1..4), any::<bool>())
            .prop_map(|(objects, force)| Step::Want { objects, force }),
        5 => objects().prop_map(|objects| Step::Claim { objects }),
        1 => any::<usize>().prop_map(|which| Step::BeginForward { which }),
        6 => (any::<usize>(), 0..9u8, 0..60u64)
            .prop_map(|(which, how, retry_after)| Step::Settle { which, how, retry_after }),
        1 => Just(Step::Recover),
        1 => prop::sample::select(ObjectState::ALL.to_vec()).prop_map(Step::WantAll),
        1 => (0..30u64).prop_map(|seconds_back| Step::Repair { seconds_back }),
        4 => (0..40u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

fn outcome(how: u8, now: Timestamp, retry_after: u64) -> Outcome {
    let failed = |side| Failed { side, failure: Failure::Status(422) };
    let retry_at = now.after(Duration::from_secs(retry_after));
    match how {
        0 => Outcome::Delivered { digest: Some(Digest([9; 16])), fetched_at: now, forwarded: true },
        1 => Outcome::Delivered { digest: None, fetched_at: now, forwarded: false },
        2 => Outcome::Skipped { fetched_at: now },
        3 => Outcome::Refused { retry_at, failed: failed(Side::Destination) },
        4 => Outcome::Missing { retry_at, failed: failed(Side::Store) },
        5 => Outcome::Deferred { retry_at, failed: failed(Side::Store), until_recovery: retry_after.is_multiple_of(2) },
        6 if retry_after.is_multiple_of(3) => {
            let failed = Failed { side: Side::Destination, failure: Failure::Timeout };
            Outcome::Deferred { retry_at, failed, until_recovery: true }
        }
        6 => Outcome::Released,
        7 => Outcome::Failed { failed: failed(Side::Destination) },
        _ => Outcome::Gone { failed: failed(Side::Store) },
    }
}

/// Access to the database without the inbox.
enum Look {
    Sqlite(PathBuf),
    Postgres(PgPool),
}

impl Look {
    async fn rows(&self, connection: ConnectionId) -> BTreeMap<ObjectId, Row> {
        match self {
            Self::Sqlite(path) => {
                let file = rusqlite::Connection::open(path).unwrap();
                let mut rows = file.prepare("SELECT * FROM objects WHERE connection_id = ?1").unwrap();
                let rows = rows.query_map([connection.0], |row| {
                    let id: String = row.get("id")?;
                    Ok((ObjectId::from_sort_key(&id).unwrap(), read_sqlite(row)?))
                });
                rows.unwrap().map(Result::unwrap).collect()
            }
            Self::Postgres(pool) => {
                let sql = "SELECT * FROM objects WHERE connection_id = $1";
                let rows = sqlx::query(sql).bind(connection.0).fetch_all(pool).await.unwrap();
                rows.iter().map(|row| (ObjectId::from_sort_key(row.get("id")).unwrap(), read_postgres(row))).collect()
            }
        }
    }

    async fn clear(&self) {
        match self {
            Self::Sqlite(path) => {
                rusqlite::Connection::open(path).unwrap().execute("DELETE FROM objects", []).unwrap();
            }
            Self::Postgres(pool) => {
                sqlx::query("DELETE FROM objects").execute(pool).await.unwrap();
            }
        }
    }
}

fn read_sqlite(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let time = |column: &str| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
    };
    let failure: Option<String> = row.get("last_failure")?;
    let digest: Option<Vec<u8>> = row.get("digest")?;
    Ok(Row {
        state: ObjectState::from_code(row.get("state")?).unwrap(),
        version: row.get("version")?,
        forced_version: row.get("forced_version")?,
        event_version: row.get("event_version")?,
        delivered: row.get("delivered")?,
        change: ChangeKind::from_code(row.get("change")?),
        was_told: row.get("was_told")?,
        due_at: time("due_at")?,
        wait_ms: row.get("wait_ms")?,
        waiting_since: time("waiting_since")?,
        lease_owner: row.get("lease_owner")?,
        is_forwarding: row.get("is_forwarding")?,
        is_deferred: row.get("is_deferred")?,
        has_failed: row.get("has_failed")?,
        attempts: row.get("attempts")?,
        refused_ms: row.get("refused_ms")?,
        missing_ms: row.get("missing_ms")?,
        tried_at: time("tried_at")?,
        pause_ms: row.get("pause_ms")?,
        last_failure: failure.as_deref().and_then(Failed::from_code),
        digest: digest.map(|bytes| Digest(bytes.try_into().unwrap())),
        fetched_at: time("fetched_at")?,
        delivered_at: time("delivered_at")?,
        settled_at: time("settled_at")?,
        first_event_at: time("first_event_at")?.unwrap(),
        last_event_at: time("last_event_at")?.unwrap(),
    })
}

fn read_postgres(row: &PgRow) -> Row {
    let time = |column| row.get::<Option<i64>, _>(column).map(Timestamp::from_millis);
    Row {
        state: ObjectState::from_code(row.get("state")).unwrap(),
        version: row.get("version"),
        forced_version: row.get("forced_version"),
        event_version: row.get("event_version"),
        delivered: row.get("delivered"),
        change: ChangeKind::from_code(row.get("change")),
        was_told: row.get("was_told"),
        due_at: time("due_at"),
        wait_ms: row.get("wait_ms"),
        waiting_since: time("waiting_since"),
        lease_owner: row.get("lease_owner"),
        is_forwarding: row.get("is_forwarding"),
        is_deferred: row.get("is_deferred"),
        has_failed: row.get("has_failed"),
        attempts: row.get::<i32, _>("attempts") as u32,
        refused_ms: row.get("refused_ms"),
        missing_ms: row.get("missing_ms"),
        tried_at: time("tried_at"),
        pause_ms: row.get("pause_ms"),
        last_failure: row.get::<Option<&str>, _>("last_failure").and_then(Failed::from_code),
        digest: row.get::<Option<Vec<u8>>, _>("digest").map(|bytes| Digest(bytes.try_into().unwrap())),
        fetched_at: time("fetched_at"),
        delivered_at: time("delivered_at"),
        settled_at: time("settled_at"),
        first_event_at: time("first_event_at").unwrap(),
        last_event_at: time("last_event_at").unwrap(),
    }
}

struct Play<'a> {
    inbox: &'a dyn Inbox,
    look: &'a Look,
    connection: ConnectionId,
    now: Timestamp,
    rows: BTreeMap<ObjectId, Row>,
    met: Vec<(ObjectId, u8)>,
    in_hand: Vec<Claim>,
}

impl Play<'_> {
    fn id(&self, object: usize) -> ObjectId {
        ObjectId::from_text(OBJECTS[object]).unwrap()
    }

    fn raise(&mut self, id: ObjectId, raise: Raise) {
        self.rows.entry(id).and_modify(|row| row.raise(raise)).or_insert_with(|| Row::new(raise));
    }

    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        let (inbox, connection, now) = (self.inbox, self.connection, self.now);
        match step {
            Step::Accept(events) => self.accept(events).await?,
            Step::Want { objects, force } => {
                let wanted = |(object, change): &(usize, ChangeKind)| Wanted { id: self.id(*object), change: *change };
                let wanted: Vec<Wanted> = objects.iter().map(wanted).collect();
                inbox.want(connection, ResourceName::orders(), wanted.clone(), force, now).await.unwrap();
                let reason = if force { Reason::Force } else { Reason::Look };
                self.raise_together(wanted.into_iter().map(|wanted| (wanted.id, reason, wanted.change, now)).collect());
            }
            Step::Claim { objects } => {
                let keys = objects.iter().map(|object| (ResourceName::orders(), self.id(*object))).collect();
                let mut claims = inbox.claim(connection, keys, LEASE, now).await.unwrap();
                claims.sort_by_key(|claim| claim.key.id.clone());
                let due = objects.iter().map(|object| self.id(*object));
                let due: Vec<ObjectId> =
                    due.filter(|id| self.rows.get(id).is_some_and(|row| row.is_due(now))).collect();
                prop_assert_eq!(claims.len(), due.len());
                for claim in claims {
                    let row = self.rows.get_mut(&claim.key.id).unwrap();
                    let expected = row.claim(claim.key.clone(), claim.owner, now.after(LEASE), now);
                    prop_assert_eq!(&claim, &expected);
                    self.in_hand.push(claim);
                }
            }
            Step::BeginForward { which } => {
                if !self.in_hand.is_empty() {
                    let claim = self.in_hand[which % self.in_hand.len()].clone();
                    inbox.begin_forward(vec![claim.clone()]).await.unwrap();
                    let row = self.rows.get_mut(&claim.key.id).unwrap();
                    row.is_forwarding |= row.lease_owner == Some(claim.owner);
                }
            }
            Step::Settle { which, how, retry_after } => {
                if !self.in_hand.is_empty() {
                    let claim = self.in_hand.swap_remove(which % self.in_hand.len());
                    let outcome = outcome(how, now, retry_after);
                    let row = self.rows.get_mut(&claim.key.id).unwrap();
                    let expected = row.settle(&claim, &outcome, now);
                    prop_assert_eq!(inbox.settle(Settlement { claim, outcome, at: now }).await.unwrap(), expected);
                }
            }
            Step::Recover => {
                let expected = self.rows.values_mut().map(|row| u64::from(row.recover())).sum::<u64>();
                prop_assert_eq!(inbox.recover(connection).await.unwrap(), expected);
            }
            Step::WantAll(state) => {
                let raise = Raise { reason: Reason::Force, change: ChangeKind::Updated, at: now };
                let concerned =
                    self.rows.values_mut().filter(|row| row.state == state && state != ObjectState::Pending);
                let expected = concerned.map(|row| row.raise(raise)).count() as u64;
                prop_assert_eq!(inbox.want_all(connection, state, now).await.unwrap(), expected);
            }
            Step::Repair { seconds_back } => {
                self.now = now.before(Duration::from_secs(seconds_back));
                let now = self.now;
                for row in self.rows.values_mut() {
                    row.repair_deadline(now);
                }
                inbox.repair_deadlines(now).await.unwrap();
            }
            Step::Pass { seconds } => self.now = now.after(Duration::from_secs(seconds)),
        }
        self.compare().await
    }

    /// Events accepted at once count as one raise of each object, except after a deletion.
    fn raise_together(&mut self, raises: Vec<(ObjectId, Reason, ChangeKind, Timestamp)>) {
        if matches!(self.look, Look::Sqlite(_)) {
            // The single writer processes them one after the other.
            for (id, reason, change, at) in raises {
                self.raise(id, Raise { reason, change, at });
            }
            return;
        }
        let mut groups: Vec<(ObjectId, Reason, ChangeKind, Timestamp, Timestamp)> = Vec::new();
        for (id, reason, change, at) in raises {
            match groups.iter_mut().rev().find(|group| group.0 == id) {
                Some(group) if group.2 != ChangeKind::Deleted => {
                    if reason != Reason::Look {
                        group.1 = reason;
                    }
                    group.2 = group.2.max(change);
                    group.4 = at;
                }
                _ => groups.push((id, reason, change, at, at)),
            }
        }
        for (id, reason, change, at, last) in groups {
            self.raise(id.clone(), Raise { reason, change, at });
            self.rows.get_mut(&id).unwrap().last_event_at = last;
        }
    }

    async fn accept(&mut self, mut events: Vec<Event>) -> Result<(), TestCaseError> {
        events.sort_by_key(|event| event.after_ms);
        let created_at = START.millis() / 1000;
        let arrivals: Vec<Arrival> = events
            .iter()
            .map(|event| Arrival {
                key: ObjectKey {
                    connection: self.connection,
                    resource: ResourceName::orders(),
                    id: self.id(event.object),
                },
                change: event.change,
                event_id: event.event_id.map(|id| id.to_string()),
                content: None,
                created_at: Some(created_at),
                look_only: event.look_only,
                at: self.now.after(Duration::from_millis(event.after_ms)),
            })
            .collect();
        let answers = join_all(arrivals.iter().map(|arrival| self.inbox.accept(arrival.clone()))).await;
        for ((event, arrival), answer) in events.iter().zip(&arrivals).zip(answers) {
            let id = arrival.key.id.clone();
            let is_known = event.event_id.is_some_and(|event_id| self.met.contains(&(id.clone(), event_id)));
            let fetched_at = self.rows.get(&id).and_then(|row| row.fetched_at);
            let is_idle = is_known && fetched_at.is_some_and(|at| at >= START.after(WELL_AFTER));
            let expected = match (is_known, is_idle) {
                (false, _) => Accepted::First,
                (true, false) => Accepted::PossibleDuplicate,
                (true, true) => Accepted::Duplicate,
            };
            prop_assert_eq!(answer.unwrap(), expected);
            self.met.extend(event.event_id.map(|event_id| (id.clone(), event_id)));
            if expected != Accepted::Duplicate {
                let reason = if is_known || event.look_only { Reason::Look } else { Reason::Event };
                self.raise(id, Raise { reason, change: arrival.change, at: arrival.at });
            }
        }
        if events.len() > 1 {
            self.adopt().await?;
        }
        Ok(())
    }

    /// The writer decides how to divide events that are accepted at once, and those it processes together count as one
    /// raise. So versions may be lower than expected, and a deadline may be that of another event in the batch.
    async fn adopt(&mut self) -> Result<(), TestCaseError> {
        let rows = self.read().await;
        for (id, row) in &rows {
            let expected = self.rows.get_mut(id).unwrap();
            prop_assert!(row.version <= expected.version, "{:?}, not {:?}", row, expected);
            prop_assert_eq!(row.forced_version > row.delivered, expected.forced_version > expected.delivered);
            prop_assert_eq!(row.event_version > row.delivered, expected.event_version > expected.delivered);
            let millis = |time: Option<Timestamp>| time.map_or(0, Timestamp::millis);
            prop_assert!((millis(row.due_at) - millis(expected.due_at)).abs() < 5, "{:?}, not {:?}", row, expected);
            (expected.version, expected.forced_version) = (row.version, row.forced_version);
            (expected.event_version, expected.due_at) = (row.event_version, row.due_at);
        }
        Ok(())
    }

    async fn read(&self) -> BTreeMap<ObjectId, Row> {
        self.look.rows(self.connection).await
    }

    async fn compare(&self) -> Result<(), TestCaseError> {
        let rows = self.read().await;
        prop_assert_eq!(&rows, &self.rows);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_postgresql_are_what_the_rules_say() {
    let Some(database) = Database::fresh().await else { return };
    let relay = TestRelay::first(&database).await;
    play_all(&relay.inbox, &Look::Postgres(database.look().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_sqlite_are_what_the_rules_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    let inbox = SqliteInbox::open(&path).await.unwrap_or_else(|error| panic!("{error}"));
    play_all(&inbox, &Look::Sqlite(path));
    inbox.close().await;
}

fn play_all(inbox: &dyn Inbox, look: &Look) {
    tokio::task::block_in_place(|| {
        let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
        let play = |steps: Vec<Step>| async {
            let connection = inbox.create_connection(connection_to("abcde"), START).await.unwrap();
            let (rows, met, in_hand) = (BTreeMap::new(), Vec::new(), Vec::new());
            let mut play = Play { inbox, look, connection, now: START, rows, met, in_hand };
            for step in steps {
                play.take(step).await?;
            }
            // Rows of this case must not be processed by the next one.
            look.clear().await;
            Ok(())
        };
        let steps = prop::collection::vec(step(), 1..40);
        if let Err(failed) = TestRunner::new(config).run(&steps, |steps| Handle::current().block_on(play(steps))) {
            panic!("{failed}");
        }
    });
}
