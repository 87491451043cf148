//! Takes and ends claims: a batch of both is one transaction. `state::Row` has the rules for a row.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use super::{
    batch::{Answer, Committed, Reply, Request, Writer},
    reads,
    rows::{self, COLUMNS, KEY_TYPES, KeyRow, SAME_KEY, json},
    session::{self, SERVER_MILLIS, ServerClock},
    shared::Shared,
    write_connection::WriteConnection,
};
use crate::{
    clock::Timestamp,
    inbox::{Claim, InboxError, ObjectState, Outcome, Settlement, hour_of, state::Row},
    object::{ConnectionId, ObjectKey},
};

/// A request to take or end claims, or to mark them.
pub(super) enum ClaimRequest {
    /// Claims those of the objects that are due.
    Claim { objects: Vec<ObjectKey>, lease: Duration, now: Timestamp, reply: Reply<Vec<Claim>> },
    /// Ends a claim.
    Settle { settlement: Settlement, reply: Reply<bool> },
    /// Marks claims as being forwarded.
    BeginForward { claims: Vec<Claim>, reply: Reply<()> },
}

impl Request for ClaimRequest {
    fn is_needed(&self) -> bool {
        match self {
            Self::Claim { reply, .. } => !reply.is_closed(),
            // These record what has been done, or is about to be.
            Self::Settle { .. } | Self::BeginForward { .. } => true,
        }
    }

    fn fail(self, error: InboxError) {
        match self {
            Self::Claim { reply, .. } => drop(reply.send(Err(error))),
            Self::Settle { reply, .. } => drop(reply.send(Err(error))),
            Self::BeginForward { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}

/// Carries out claims and settlements, on a connection of its own.
pub(super) struct ClaimWriter {
    pub connection: WriteConnection,
}

/// The results of a batch, by the number of the request.
#[derive(Default)]
struct Batch {
    claimed: HashMap<usize, Vec<Claim>>,
    settled: HashSet<usize>,
    /// Connections with deliveries, and the time of the last one by the server's clock.
    delivered: HashMap<ConnectionId, Timestamp>,
    work: HashSet<ConnectionId>,
}

impl Writer for ClaimWriter {
    type Request = ClaimRequest;

    async fn commit(&mut self, batch: &mut Vec<ClaimRequest>) -> Result<Committed, InboxError> {
        let shared = self.connection.shared().clone();
        let connection = self.connection.get().await?;
        let mut done = session::in_time(async {
            let mut tries = session::Tries::default();
            loop {
                match transact(connection, &shared, batch).await {
                    Err(error) if tries.again(&error) => {}
                    done => return done,
                }
            }
        })
        .await?;
        for (connection, at) in done.delivered {
            shared.activity.note_delivery(connection, at);
            shared.news.notify_one();
        }
        let answer = |(number, request)| match request {
            ClaimRequest::Claim { reply, .. } => Answer::new(reply, done.claimed.remove(&number).unwrap_or_default()),
            ClaimRequest::Settle { reply, .. } => Answer::new(reply, done.settled.contains(&number)),
            ClaimRequest::BeginForward { reply, .. } => Answer::new(reply, ()),
        };
        let answers = batch.drain(..).enumerate().map(answer).collect();
        Ok(Committed { answers, work: done.work })
    }

    fn has_peers(&self) -> bool {
        self.connection.shared().has_active_peers()
    }

    async fn disconnect(&mut self) {
        self.connection.close().await;
    }
}

/// Claims are ended first: this waits for their rows, in the order of keys, while nothing else is locked. Rows to be
/// claimed are never waited for.
async fn transact(db: &mut PgConnection, shared: &Shared, batch: &[ClaimRequest]) -> Result<Batch, sqlx::Error> {
    let mut done = Batch::default();
    let mut transaction = db.begin().await?;
    end_claims(&mut transaction, &shared.clock, batch, &mut done).await?;
    claim_due(&mut transaction, shared, batch, &mut done).await?;
    transaction.commit().await?;
    Ok(done)
}

/// Settles claims, and marks those that are about to be forwarded.
async fn end_claims(
    db: &mut PgConnection,
    clock: &ServerClock,
    batch: &[ClaimRequest],
    done: &mut Batch,
) -> Result<(), sqlx::Error> {
    let keys = batch.iter().flat_map(|request| match request {
        ClaimRequest::Settle { settlement, .. } => std::slice::from_ref(&settlement.claim),
        ClaimRequest::BeginForward { claims, .. } => claims,
        ClaimRequest::Claim { .. } => &[],
    });
    let mut locked = rows::lock(db, keys.map(|claim| &claim.key)).await?;
    let mut changed: HashSet<&ObjectKey> = HashSet::new();
    let mut hours: BTreeMap<(ConnectionId, i64), i64> = BTreeMap::new();
    for (number, request) in batch.iter().enumerate() {
        match request {
            ClaimRequest::Settle { settlement: Settlement { claim, outcome, at }, .. } => {
                let (outcome, at) = (inward(clock, outcome), clock.inward(*at));
                let Some(row) = locked.get_mut(&claim.key) else { continue };
                if !row.settle(claim, &outcome, at) {
                    continue;
                }
                changed.insert(&claim.key);
                done.settled.insert(number);
                let connection = claim.key.connection;
                if let Outcome::Delivered { forwarded: true, .. } = outcome {
                    *hours.entry((connection, hour_of(at))).or_default() += 1;
                    let latest = done.delivered.entry(connection).or_insert(at);
                    *latest = at.max(*latest);
                }
                if row.state == ObjectState::Pending {
                    done.work.insert(connection);
                }
            }
            ClaimRequest::BeginForward { claims, .. } => {
                for claim in claims {
                    if let Some(row) = locked.get_mut(&claim.key)
                        && row.lease_owner == Some(claim.owner)
                    {
                        row.is_forwarding = true;
                        changed.insert(&claim.key);
                    }
                }
            }
            ClaimRequest::Claim { .. } => {}
        }
    }
    rows::write(db, locked.iter().filter(|(key, _)| changed.contains(key))).await?;
    count_forwarded(db, hours).await
}

/// Adds to the hourly counts of forwarded objects by connection.
async fn count_forwarded(db: &mut PgConnection, hours: BTreeMap<(ConnectionId, i64), i64>) -> Result<(), sqlx::Error> {
    #[derive(Serialize)]
    struct HourRow {
        connection_id: ConnectionId,
        hour: i64,
        forwarded: i64,
    }
    if hours.is_empty() {
        return Ok(());
    }
    let row = |((connection_id, hour), forwarded)| HourRow { connection_id, hour, forwarded };
    let sql = "INSERT INTO hours AS h (connection_id, hour, forwarded)
               SELECT * FROM json_to_recordset($1::text::json) AS b(connection_id bigint, hour bigint, forwarded bigint)
               ORDER BY connection_id, hour
               ON CONFLICT (connection_id, hour) DO UPDATE SET forwarded = h.forwarded + excluded.forwarded";
    sqlx::query(sql).bind(json(hours.into_iter().map(row).collect::<Vec<_>>())).execute(db).await.map(drop)
}

/// An object to be claimed, as a row of the batch.
#[derive(Serialize)]
struct WishRow {
    #[serde(flatten)]
    key: KeyRow,
    now: i64,
}

/// Claims objects that are due and not locked by another transaction, unless another relay holds the connection's
/// shard.
async fn claim_due(
    db: &mut PgConnection,
    shared: &Shared,
    batch: &[ClaimRequest],
    done: &mut Batch,
) -> Result<(), sqlx::Error> {
    // The first request for an object gets it.
    let mut wishes: BTreeMap<&ObjectKey, (usize, Timestamp, Timestamp)> = BTreeMap::new();
    for (number, request) in batch.iter().enumerate() {
        if let ClaimRequest::Claim { objects, lease, now, .. } = request {
            let now = shared.clock.inward(*now);
            for key in objects {
                wishes.entry(key).or_insert((number, now, now.after(*lease)));
            }
        }
    }
    if wishes.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT o.* FROM (
             SELECT * FROM json_to_recordset($1::text::json) AS b({KEY_TYPES}, now bigint)
             WHERE NOT EXISTS (
                 SELECT 1 FROM connections AS c JOIN shards AS h ON h.shard = c.shard
                 WHERE c.id = b.connection_id AND h.owner NOT IN (0, $2) AND h.until > {SERVER_MILLIS})
             ORDER BY connection_id, resource, id) AS s
         CROSS JOIN LATERAL (SELECT {COLUMNS} FROM objects AS o WHERE {SAME_KEY} AND coalesce(o.due_at <= s.now, FALSE)
                             FOR UPDATE SKIP LOCKED) AS o"
    );
    let row = |(key, (_, now, _)): (&&ObjectKey, &(usize, Timestamp, Timestamp))| WishRow {
        key: KeyRow::from(*key),
        now: now.millis(),
    };
    let found = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(json(wishes.iter().map(row).collect::<Vec<_>>()))
        .bind(shared.relay.number())
        .fetch_all(&mut *db)
        .await?;
    let mut claimed: Vec<(ObjectKey, Row)> = Vec::with_capacity(found.len());
    for row in &found {
        let (key, mut row) = rows::read(row)?;
        let Some((number, now, until)) = wishes.get(&key).copied().filter(|(_, now, _)| row.is_due(*now)) else {
            continue;
        };
        let claim = row.claim(key.clone(), shared.relay.next_owner(), until, now);
        done.claimed.entry(number).or_default().push(reads::claim(&shared.clock, claim));
        claimed.push((key, row));
    }
    rows::write(db, claimed.iter().map(|(key, row)| (key, row))).await
}

/// The outcome with its times converted to the server's clock.
fn inward(clock: &ServerClock, outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    match &mut outcome {
        Outcome::Delivered { fetched_at: time, .. }
        | Outcome::Skipped { fetched_at: time }
        | Outcome::Refused { retry_at: time, .. }
        | Outcome::Missing { retry_at: time, .. }
        | Outcome::Deferred { retry_at: time, .. } => *time = clock.inward(*time),
        Outcome::Released | Outcome::Failed { .. } | Outcome::Gone { .. } => {}
    }
    outcome
}
