//! Accepts events and makes objects due: one statement per batch. It does to a row what `state::Row::raise` does,
//! with all events of one object in a batch counted as one, at the time of the earliest.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::{PgConnection, Row as _};

use super::{
    batch::{Answer, Committed, Reply, Request, Writer},
    rows::{KEY_TYPES, KeyRow, hex, json},
    session,
    write_connection::WriteConnection,
};
use crate::{
    clock::Timestamp,
    inbox::{Accepted, Arrival, InboxError, WELL_AFTER, Wanted, receipt::Receipt, state::Reason},
    object::{ChangeKind, ConnectionId, Digest, ObjectId, ResourceName},
};

/// An event to be stored.
pub(super) struct Accept {
    pub arrival: Arrival,
    pub reply: Reply<Accepted>,
}

impl Request for Accept {
    fn is_needed(&self) -> bool {
        // The event has happened, whether or not the sender still waits.
        true
    }

    fn fail(self, error: InboxError) {
        drop(self.reply.send(Err(error)));
    }
}

/// Stores events, on a connection separate from the claims': a transaction must not hold objects that it raised while
/// it waits for objects to settle. Two relays that did both would deadlock.
pub(super) struct EventWriter {
    pub connection: WriteConnection,
}

impl Writer for EventWriter {
    type Request = Accept;

    async fn commit(&mut self, batch: &mut Vec<Accept>) -> Result<Committed, InboxError> {
        let shared = self.connection.shared().clone();
        let events =
            events(batch.iter().map(|one| Arrival { at: shared.clock.inward(one.arrival.at), ..one.arrival.clone() }));
        let connection = self.connection.get().await?;
        let accepted = session::in_time(accept(connection, &events)).await?;
        for event in &events {
            shared.activity.note_event(event.connection(), Timestamp::from_millis(event.at));
        }
        let work: HashSet<ConnectionId> = events.iter().map(EventRow::connection).collect();
        shared.tell_peers(work.iter().copied());
        let answers = batch.drain(..).zip(accepted).map(|(one, accepted)| Answer::new(one.reply, accepted)).collect();
        Ok(Committed { answers, work })
    }

    fn has_peers(&self) -> bool {
        self.connection.shared().has_active_peers()
    }

    async fn disconnect(&mut self) {
        self.connection.close().await;
    }
}

/// An event as a row of the batch. Fields are named like the batch's columns.
#[derive(Debug, Clone, Serialize)]
struct EventRow {
    /// Its position in the batch as it came.
    number: i64,
    #[serde(flatten)]
    key: KeyRow,
    /// The receipt's key; `None` for an event that nothing identifies.
    mark: Option<i64>,
    content_mark: Option<i64>,
    /// For a possible duplicate: its object need not be fetched if it was fetched at this time or later.
    unless_fetched_at: i64,
    at: i64,
    change: i16,
    look_only: bool,
    /// Whether an earlier event of the batch has one of its marks.
    again: bool,
    /// The statement that it goes into.
    #[serde(skip)]
    round: usize,
}

impl EventRow {
    fn connection(&self) -> ConnectionId {
        ConnectionId(self.key.connection_id)
    }
}

/// The rows of a batch, in order of time.
fn events(arrivals: impl Iterator<Item = Arrival>) -> Vec<EventRow> {
    let mut met = HashSet::new();
    let mut rounds = Rounds(HashMap::new());
    let mut arrivals: Vec<(i64, Arrival)> = (0..).zip(arrivals).collect();
    arrivals.sort_by_key(|(_, arrival)| arrival.at);
    let event = |(number, arrival): (i64, Arrival)| {
        let receipt = Receipt::of(&arrival);
        let marks = receipt.iter().flat_map(Receipt::marks).map(|mark| (arrival.key.clone(), mark));
        let marks: Vec<_> = marks.collect();
        let again = marks.iter().any(|mark| met.contains(mark));
        met.extend(marks);
        let well_after = |second| Timestamp::from_seconds(second).after(WELL_AFTER).millis();
        EventRow {
            number,
            key: KeyRow::from(&arrival.key),
            mark: receipt.map(|receipt| receipt.key),
            content_mark: receipt.map(|receipt| receipt.content_key),
            unless_fetched_at: arrival.created_at.map_or(i64::MAX, well_after),
            at: arrival.at.millis(),
            change: arrival.change.code(),
            look_only: arrival.look_only,
            again,
            round: rounds.of(&arrival.key, arrival.change),
        }
    };
    arrivals.into_iter().map(event).collect()
}

/// Divides a batch into statements. Within one statement, the changes of an object merge to the greatest of their
/// codes; that is wrong for a change after a deletion, which therefore goes into the next statement.
struct Rounds<K>(HashMap<K, (usize, bool)>);

impl<K: std::hash::Hash + Eq + Clone> Rounds<K> {
    fn of(&mut self, key: &K, change: ChangeKind) -> usize {
        let (round, is_deleted) = self.0.entry(key.clone()).or_default();
        if *is_deleted {
            *round += 1;
        }
        *is_deleted = change == ChangeKind::Deleted;
        *round
    }
}

/// Inserts the row of a new object.
const INSERT: &str = "
    INSERT INTO objects AS o (connection_id, resource, id, state, version, forced_version, event_version, delivered,
        change, was_told, due_at, wait_ms, waiting_since, is_forwarding, is_deferred, has_failed, attempts, refused_ms,
        missing_ms, pause_ms, first_event_at, last_event_at)
    SELECT connection_id, resource, id, 0, 1, max(forced), max(event), 0,
        max(change), FALSE, min(at), 0, min(at), FALSE, FALSE, FALSE, 0, 0,
        0, 0, min(at), max(at)";

/// Applies `state::Row::raise` to an existing row, with reason and change from `excluded`, the row that would be new.
/// A look does not change when an object that is already waiting is tried next.
fn raise() -> String {
    let stays = "(o.state = 0 AND excluded.forced_version = 0 AND excluded.event_version = 0)";
    format!(
        "ON CONFLICT (connection_id, resource, id) DO UPDATE SET
            state = 0,
            version = o.version + 1,
            forced_version = CASE WHEN excluded.forced_version = 1 THEN o.version + 1 ELSE o.forced_version END,
            event_version = CASE WHEN excluded.event_version = 1 THEN o.version + 1 ELSE o.event_version END,
            change = CASE WHEN o.state = 0 AND o.change = 1 AND excluded.change = 0 THEN 1 ELSE excluded.change END,
            due_at = CASE WHEN {stays} OR o.lease_owner IS NOT NULL THEN o.due_at
                          ELSE least(o.due_at, excluded.due_at) END,
            wait_ms = CASE WHEN {stays} OR o.lease_owner IS NOT NULL THEN o.wait_ms ELSE 0 END,
            waiting_since = CASE WHEN o.state = 0 THEN o.waiting_since ELSE excluded.waiting_since END,
            has_failed = {stays} AND o.has_failed,
            attempts = CASE WHEN {stays} THEN o.attempts ELSE 0 END,
            refused_ms = CASE WHEN {stays} THEN o.refused_ms WHEN o.refused_ms > 0 OR o.state = 2 THEN 1 ELSE 0 END,
            missing_ms = CASE WHEN {stays} THEN o.missing_ms WHEN o.missing_ms > 0 OR o.state = 3 THEN 1 ELSE 0 END,
            pause_ms = CASE WHEN {stays} THEN o.pause_ms ELSE 0 END,
            settled_at = NULL,
            last_event_at = excluded.last_event_at"
    )
}

/// Stores a batch and returns the classification of each event, by its number.
///
/// Each statement is a transaction of its own: it takes one round trip, and it never holds a row while it waits for
/// one that comes before it. If the second of two statements fails, the events of the first are stored all the same;
/// when the sender repeats them, they are possible duplicates.
async fn accept(db: &mut PgConnection, events: &[EventRow]) -> Result<Vec<Accepted>, sqlx::Error> {
    let mut accepted = vec![Accepted::First; events.len()];
    let rounds = events.iter().map(|event| event.round).max().map_or(0, |last| last + 1);
    for round in 0..rounds {
        let batch = json(events.iter().filter(|event| event.round == round).collect::<Vec<_>>());
        let mut tries = session::Tries::default();
        while let Err(error) = keep(db, &batch, &mut accepted).await {
            if !tries.again(&error) {
                return Err(error);
            }
        }
    }
    Ok(accepted)
}

/// Stores the receipts of events and makes their objects due. Records in `accepted` which events were seen before.
///
/// Each mark is unique for its object: if two relays receive the same event at once, the later one waits here for the
/// earlier one's commit. Two hooks' webhooks for one event share the content mark, which orders them too.
async fn keep(db: &mut PgConnection, batch: &str, accepted: &mut [Accepted]) -> Result<(), sqlx::Error> {
    let sql = format!(
        "WITH batch AS MATERIALIZED (
             SELECT * FROM json_to_recordset($1::text::json) AS b(number bigint, {KEY_TYPES}, mark bigint,
                 content_mark bigint, unless_fetched_at bigint, at bigint, change smallint, look_only boolean,
                 again boolean)),
         kept AS (
             INSERT INTO receipts (connection_id, resource, id, key, content_key)
             SELECT connection_id, resource, id, mark, content_mark FROM batch WHERE mark IS NOT NULL AND NOT again
             ORDER BY connection_id, resource, id, content_mark, mark
             ON CONFLICT DO NOTHING
             RETURNING connection_id, resource, id, key, content_key),
         judged AS (
             SELECT b.*, again OR mark IS NOT NULL AND NOT (connection_id, resource, id, mark, content_mark) IN
                 (SELECT connection_id, resource, id, key, content_key FROM kept) AS doubtful
             FROM batch AS b),
         standing AS MATERIALIZED (
             SELECT j.*, j.doubtful AND coalesce((SELECT o.fetched_at FROM objects AS o
                 WHERE (o.connection_id, o.resource, o.id) = (j.connection_id, j.resource, j.id))
                 >= j.unless_fetched_at, FALSE) AS idle,
                 0 AS forced, CASE WHEN doubtful OR look_only THEN 0 ELSE 1 END AS event
             FROM judged AS j),
         raised AS (
             {INSERT} FROM standing WHERE NOT idle
             GROUP BY connection_id, resource, id ORDER BY connection_id, resource, id
             {})
         SELECT number, idle FROM standing WHERE doubtful",
        raise()
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(batch).fetch_all(db).await?;
    for row in rows {
        let (number, idle): (i64, bool) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(accepted) = usize::try_from(number).ok().and_then(|place| accepted.get_mut(place)) {
            *accepted = if idle { Accepted::Duplicate } else { Accepted::PossibleDuplicate };
        }
    }
    Ok(())
}

/// An object to be fetched, as a row of the batch.
#[derive(Serialize)]
struct WantedRow {
    id: String,
    change: i16,
}

/// Makes objects due, for [`Reason::Look`] or [`Reason::Force`].
pub(super) async fn want(
    db: &mut PgConnection,
    connection: ConnectionId,
    resource: &ResourceName,
    objects: &[Wanted],
    reason: Reason,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        r#"WITH batch AS (
             SELECT $1::bigint AS connection_id, $2::text COLLATE "C" AS resource, id, change, $4::bigint AS at,
                    CASE WHEN $3::boolean THEN 1 ELSE 0 END AS forced, 0 AS event
             FROM json_to_recordset($5::text::json) AS b(id text COLLATE "C", change smallint))
         {INSERT} FROM batch GROUP BY connection_id, resource, id ORDER BY connection_id, resource, id
         {}"#,
        raise()
    );
    let mut seen: Rounds<ObjectId> = Rounds(HashMap::new());
    let mut rounds: Vec<Vec<WantedRow>> = Vec::new();
    for Wanted { id, change } in objects {
        let round = seen.of(id, *change);
        if rounds.len() <= round {
            rounds.push(Vec::new());
        }
        rounds[round].push(WantedRow { id: id.sort_key(), change: change.code() });
    }
    for round in rounds {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql.as_str())).bind(connection.0).bind(resource.as_str());
        let query = query.bind(reason == Reason::Force).bind(now.millis()).bind(json(round));
        query.execute(&mut *db).await?;
    }
    Ok(())
}

/// A state to be remembered, as a row of the batch.
#[derive(Serialize)]
struct RememberedRow {
    id: String,
    digest: String,
}

/// Stores states without reporting them: `state::Row::remembered`, or `state::Row::remember` for an existing row.
pub(super) async fn remember(
    db: &mut PgConnection,
    connection: ConnectionId,
    resource: &ResourceName,
    states: &[(ObjectId, Digest)],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let sql = r#"
        INSERT INTO objects AS o (connection_id, resource, id, state, version, forced_version, event_version, delivered,
            change, was_told, wait_ms, is_forwarding, is_deferred, has_failed, attempts, refused_ms, missing_ms, pause_ms,
            digest, settled_at, first_event_at, last_event_at)
        SELECT DISTINCT ON (id) $1, $2, id, 1, 1, 0, 0, 1,
            0, TRUE, 0, FALSE, FALSE, FALSE, 0, 0, 0, 0,
            decode(digest, 'hex'), $3::bigint, $3::bigint, $3::bigint
        FROM json_to_recordset($4::text::json) AS b(id text COLLATE "C", digest text)
        ORDER BY id
        ON CONFLICT (connection_id, resource, id) DO UPDATE SET
            digest = excluded.digest, settled_at = excluded.settled_at
        WHERE o.state = 1"#;
    let row = |(id, digest): &(ObjectId, Digest)| RememberedRow { id: id.sort_key(), digest: hex(&digest.0) };
    let rows: Vec<RememberedRow> = states.iter().map(row).collect();
    let query = sqlx::query(sql).bind(connection.0).bind(resource.as_str()).bind(now.millis()).bind(json(rows));
    query.execute(db).await.map(drop)
}
