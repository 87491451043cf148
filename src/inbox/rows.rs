//! What the databases are handed for a whole batch at once: plain rows, sent as one JSON text per statement.
//!
//! The decisions that need no database are made here, once for every kind of database.

use std::collections::{BTreeMap, HashMap, HashSet, hash_map::Entry};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Accepted, Arrival, Claim, ConnectionId, OrderState, Outcome, Settlement, WELL_AFTER, hour_of};
use crate::{clock::Timestamp, event::OrderId};

/// One receipt to keep: an event is known again by either of its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Receipt {
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

/// One order to make wanted.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Raise {
    pub connection_id: i64,
    pub order_id: i64,
    /// Forward in any case.
    pub insist: bool,
    /// Only if the order was last fetched before this (or never); nothing to do otherwise.
    pub unless_fetched_at: i64,
    pub at: i64,
}

impl Raise {
    pub fn of(connection: ConnectionId, order: OrderId, insist: bool, now: Timestamp) -> Self {
        let (connection_id, order_id) = (connection.0, order.get());
        Self { connection_id, order_id, insist, unless_fetched_at: i64::MAX, at: now.millis() }
    }

    /// Of several orders, each once.
    pub fn all(connection: ConnectionId, orders: &[OrderId], insist: bool, now: Timestamp) -> Vec<Self> {
        let orders: HashSet<OrderId> = orders.iter().copied().collect();
        orders.into_iter().map(|order| Self::of(connection, order, insist, now)).collect()
    }
}

/// What the databases need to know of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
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

/// A batch of events.
pub(super) struct Arrivals(pub Vec<Event>);

impl Arrivals {
    /// Every receipt once.
    pub fn receipts(&self) -> HashSet<Receipt> {
        self.0.iter().filter_map(|event| event.receipt).collect()
    }

    /// Tells first-time events from doubtful ones, given the receipts that were known before. One entry per event, and one
    /// raise per order.
    pub fn judge(&self, known: &[Receipt]) -> (Vec<bool>, Vec<Raise>) {
        let mut met: HashSet<(i64, i64, i64)> = known.iter().flat_map(Receipt::marks).collect();
        let mut raises: Vec<Raise> = Vec::new();
        let mut place: HashMap<(i64, i64), usize> = HashMap::new();
        let mut firsts = Vec::with_capacity(self.0.len());
        for event in &self.0 {
            // Of two equal events in one batch the second meets the marks of the first.
            let first = event.marks().all(|mark| !met.contains(&mark));
            met.extend(event.marks());
            firsts.push(first);
            let mut raise = Raise::of(event.connection, event.order, first, event.at);
            raise.unless_fetched_at = event.unless_fetched_at;
            match place.entry((raise.connection_id, raise.order_id)) {
                Entry::Vacant(entry) => {
                    entry.insert(raises.len());
                    raises.push(raise);
                }
                Entry::Occupied(entry) => {
                    let one = &mut raises[*entry.get()];
                    one.insist |= raise.insist;
                    one.unless_fetched_at = one.unless_fetched_at.max(raise.unless_fetched_at);
                }
            }
        }
        (firsts, raises)
    }

    /// What became of each event, given the orders that were in fact raised.
    pub fn accepted(&self, firsts: &[bool], raised: &HashSet<(i64, i64)>) -> Vec<Accepted> {
        let outcome = |(event, first): (&Event, &bool)| match (first, event.connection, event.order) {
            (true, ..) => Accepted::First,
            (false, connection, order) if raised.contains(&(connection.0, order.get())) => Accepted::Doubt,
            _ => Accepted::Duplicate,
        };
        self.0.iter().zip(firsts).map(outcome).collect()
    }

    /// The latest event of each connection.
    pub fn latest(&self) -> HashMap<i64, i64> {
        latest(self.0.iter().map(|event| (event.connection, event.at)))
    }
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
