//! What the databases are handed for a whole batch at once: plain rows, sent as one JSON text per statement.
//!
//! The decisions that need no database are made here, once for every kind of database.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Accepted, Arrival, Claim, ConnectionId, OrderState, Outcome, Settlement, WELL_AFTER, hour_of};
use crate::{clock::Timestamp, event::OrderId};

/// One receipt to keep: an event is known again by either of its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Receipt {
    pub connection_id: i64,
    pub order_id: i64,
    /// Of its `webhook-id`; without one, the same as `twin`.
    pub key: i64,
    /// Of its `hash` with its second, which two hooks that fire for one event share; without one, the same as `key`.
    pub twin: i64,
}

impl Receipt {
    /// What the event is known by, each with its order.
    pub fn marks(&self) -> [(i64, i64, i64); 2] {
        [self.key, self.twin].map(|mark| (self.connection_id, self.order_id, mark))
    }
}

/// What the databases need to know of an event.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub connection: ConnectionId,
    pub order: OrderId,
    /// None for an event with nothing to be known by.
    pub receipt: Option<Receipt>,
    /// If it is a doubt: its order needs no look if it was fetched at this time or later.
    pub unless_fetched_at: i64,
    pub at: Timestamp,
}

impl Event {
    pub fn of(arrival: &Arrival) -> Self {
        let Arrival { connection, event, at, .. } = arrival;
        let second = |second| Timestamp::from_seconds(second).after(WELL_AFTER).millis();
        let unless_fetched_at = event.created_at.map_or(i64::MAX, second);
        Self { connection: *connection, order: event.order, receipt: receipt(arrival), unless_fetched_at, at: *at }
    }

    /// What it is known by, each with its order.
    pub fn marks(&self) -> impl Iterator<Item = (i64, i64, i64)> + Clone {
        self.receipt.into_iter().flat_map(|receipt| receipt.marks())
    }
}

/// The receipt that an event leaves, unless it has nothing to be known by.
fn receipt(arrival: &Arrival) -> Option<Receipt> {
    let mark = |kind: &[u8], parts: &[&[u8]]| {
        let mut hasher = Sha256::new();
        hasher.update(kind);
        parts.iter().for_each(|part| hasher.update(part));
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize()[..8]);
        i64::from_le_bytes(first)
    };
    let by_id = arrival.webhook_id.as_ref().map(|id| mark(b"id\0", &[id.as_bytes()]));
    let second = arrival.event.created_at.unwrap_or(-1).to_le_bytes();
    let by_hash = arrival.event.hash.as_ref().map(|hash| mark(b"hash\0", &[&second, hash.as_bytes()]));
    let (connection_id, order_id) = (arrival.connection.0, arrival.event.order.get());
    Some(Receipt { connection_id, order_id, key: by_id.or(by_hash)?, twin: by_hash.or(by_id)? })
}

/// One event of a batch, as its row has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered {
    /// Its place, from 0.
    pub number: i64,
    pub event: Event,
    /// Whether an earlier one of the batch bears one of its marks.
    pub again: bool,
}

/// Numbers a batch.
pub(super) fn numbered(events: impl Iterator<Item = Event>) -> Vec<Numbered> {
    let mut met = HashSet::new();
    let one = |(number, event): (i64, Event)| {
        let again = event.marks().any(|mark| met.contains(&mark));
        met.extend(event.marks());
        Numbered { number, event, again }
    };
    (0..).zip(events).map(one).collect()
}

/// What became of `count` events, given the numbers of those that had been met before, each with whether there is nothing
/// more to do.
pub(super) fn accepted(count: usize, met: impl IntoIterator<Item = (i64, bool)>) -> Vec<Accepted> {
    let mut accepted = vec![Accepted::First; count];
    for (number, idle) in met {
        if let Some(accepted) = usize::try_from(number).ok().and_then(|place| accepted.get_mut(place)) {
            *accepted = if idle { Accepted::Duplicate } else { Accepted::Doubt };
        }
    }
    accepted
}

/// The latest time of each connection.
pub(super) fn latest(times: impl Iterator<Item = (ConnectionId, Timestamp)>) -> HashMap<i64, i64> {
    let mut latest: HashMap<i64, i64> = HashMap::new();
    for (connection, at) in times {
        let known = latest.entry(connection.0).or_insert(at.millis());
        *known = at.millis().max(*known);
    }
    latest
}

/// How many orders were forwarded in each hour, of those whose claim was still the owner's.
pub(super) fn forwarded_by_hour(rows: &[SettleRow], settled: &HashSet<(i64, i64)>) -> BTreeMap<(i64, i64), i64> {
    let mut hours = BTreeMap::new();
    for row in rows.iter().filter(|row| row.forwarded && settled.contains(&(row.connection_id, row.order_id))) {
        *hours.entry((row.connection_id, hour_of(Timestamp::from_millis(row.at)))).or_default() += 1;
    }
    hours
}

/// One claim to end. The databases' statement is the same for all outcomes; the differences are in the columns.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SettleRow {
    pub connection_id: i64,
    pub order_id: i64,
    pub owner: i64,
    pub seen: i64,
    pub at: i64,
    /// The state, unless more has come in since the claim.
    pub state: i64,
    /// The destination has (or shall not have) what was seen.
    pub done: bool,
    pub forwarded: bool,
    /// While pending: the next try; none means due as before the claim.
    pub retry_at: Option<i64>,
    /// Waits for a far side; the end of the outage makes it due.
    pub deferred: bool,
    /// A try of the order's own was used up.
    pub tried: bool,
    /// The order's own troubles stay as they are.
    pub untouched: bool,
    pub refused: bool,
    pub missing: bool,
    pub error: Option<String>,
    /// Hexadecimal.
    pub digest: Option<String>,
    pub fetched_at: Option<i64>,
}

impl SettleRow {
    pub fn of(settlement: &Settlement) -> Self {
        let Settlement { claim, outcome, at } = settlement;
        let mut row = Self {
            connection_id: claim.connection.0,
            order_id: claim.order.get(),
            owner: claim.owner,
            seen: claim.seen,
            at: at.millis(),
            state: OrderState::Pending.code(),
            done: false,
            forwarded: false,
            retry_at: None,
            deferred: false,
            tried: true,
            untouched: false,
            refused: false,
            missing: false,
            error: None,
            digest: None,
            fetched_at: None,
        };
        let fail = |row: &mut Self, error: &String| row.error = Some(error.clone());
        match outcome {
            Outcome::Delivered { digest, fetched_at, forwarded } => {
                row.state = OrderState::Delivered.code();
                row.done = true;
                row.forwarded = *forwarded;
                row.digest = Some(digest.0.iter().map(|byte| format!("{byte:02x}")).collect());
                row.fetched_at = Some(fetched_at.millis());
            }
            Outcome::Skipped { fetched_at } => {
                row.state = OrderState::Skipped.code();
                row.done = true;
                row.fetched_at = Some(fetched_at.millis());
            }
            Outcome::Refused { retry_at, error } => {
                row.retry_at = Some(retry_at.millis());
                row.refused = true;
                fail(&mut row, error);
            }
            Outcome::Missing { retry_at, error } => {
                row.retry_at = Some(retry_at.millis());
                row.missing = true;
                fail(&mut row, error);
            }
            Outcome::Deferred { retry_at, error, until_recovery } => {
                row.retry_at = Some(retry_at.millis());
                row.deferred = *until_recovery;
                row.tried = false;
                row.untouched = true;
                fail(&mut row, error);
            }
            Outcome::Released => {
                row.tried = false;
                row.untouched = true;
            }
            Outcome::Failed { error } => {
                row.state = OrderState::Failed.code();
                fail(&mut row, error);
            }
            Outcome::Gone { error } => {
                row.state = OrderState::Gone.code();
                fail(&mut row, error);
            }
        }
        row
    }
}

/// Which claims have been ended, each by its order and owner.
#[derive(Debug, Default)]
pub(super) struct Settled(HashSet<(i64, i64, i64)>);

impl Settled {
    /// Notes the orders of one round that were still their owner's.
    pub fn note(&mut self, round: &[SettleRow], orders: &HashSet<(i64, i64)>) {
        let ended = round.iter().filter(|row| orders.contains(&(row.connection_id, row.order_id)));
        self.0.extend(ended.map(|row| (row.connection_id, row.order_id, row.owner)));
    }

    /// Whether this claim was ended. Of two settlings of one claim, the first ended it.
    pub fn take(&mut self, claim: &Claim) -> bool {
        self.0.remove(&(claim.connection.0, claim.order.get(), claim.owner))
    }
}

/// Splits settlings into rounds with each order once in a round: a late and a timely settling of one order, or one told
/// twice, must be told apart.
pub(super) fn rounds(rows: Vec<SettleRow>) -> Vec<Vec<SettleRow>> {
    let mut rounds: Vec<Vec<SettleRow>> = Vec::new();
    let mut met: HashMap<(i64, i64), usize> = HashMap::new();
    for row in rows {
        let times = met.entry((row.connection_id, row.order_id)).or_default();
        if rounds.len() <= *times {
            rounds.push(Vec::new());
        }
        rounds[*times].push(row);
        *times += 1;
    }
    rounds
}
