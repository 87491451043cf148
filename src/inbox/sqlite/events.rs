//! Accepts events, and makes objects due for other reasons.

use rusqlite::params;

use super::{
    rows::{change_where, load, save},
    transaction::Transaction,
};
use crate::{
    clock::Timestamp,
    inbox::{
        Accepted, Arrival, ObjectState, WELL_AFTER, Wanted,
        receipt::Receipt,
        state::{Raise, Reason, Row},
    },
    object::{ChangeKind, ConnectionId, Digest, ObjectId, ObjectKey, ResourceName},
};

/// Stores an event's receipt and makes its object due.
pub(super) fn accept(transaction: &mut Transaction<'_>, arrival: &Arrival) -> rusqlite::Result<Accepted> {
    let key = &arrival.key;
    let sort_key = key.id.sort_key();
    let row = load(transaction, key, &sort_key)?;
    let receipt = Receipt::of(arrival);
    // Receipts are removed together with their object's row.
    let is_known = match &receipt {
        Some(receipt) if row.is_some() => is_known(transaction, key, &sort_key, receipt)?,
        _ => false,
    };
    if let Some(receipt) = &receipt {
        let sql = "INSERT INTO receipts VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
        let parameters = (key.connection.0, key.resource.as_str(), &sort_key, receipt.key, receipt.content_key);
        transaction.prepare(sql)?.execute(parameters)?;
    }
    transaction.heard(key.connection, arrival.at);
    let well_after = |second| Timestamp::from_seconds(second).after(WELL_AFTER);
    let was_fetched_after = row.as_ref().and_then(|row| row.fetched_at).zip(arrival.created_at.map(well_after));
    let accepted = match was_fetched_after {
        _ if !is_known => Accepted::First,
        Some((fetched, after)) if fetched >= after => return Ok(Accepted::Duplicate),
        _ => Accepted::PossibleDuplicate,
    };
    let reason = if is_known || arrival.look_only { Reason::Look } else { Reason::Event };
    raise(transaction, key, &sort_key, row, Raise { reason, change: arrival.change, at: arrival.at })?;
    Ok(accepted)
}

fn is_known(
    transaction: &Transaction<'_>,
    key: &ObjectKey,
    sort_key: &str,
    receipt: &Receipt,
) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM receipts WHERE connection_id = ?1 AND resource = ?2 AND id = ?3
               AND (key = ?4 OR content_key = ?5))";
    let parameters = params![key.connection.0, key.resource.as_str(), sort_key, receipt.key, receipt.content_key];
    transaction.prepare(sql)?.query_row(parameters, |row| row.get(0))
}

fn raise(
    transaction: &mut Transaction<'_>,
    key: &ObjectKey,
    sort_key: &str,
    row: Option<Row>,
    raise: Raise,
) -> rusqlite::Result<()> {
    match row {
        Some(mut row) => {
            row.raise(raise);
            save(transaction, key, sort_key, &row, false)?;
        }
        None => save(transaction, key, sort_key, &Row::new(raise), true)?,
    }
    transaction.brings_work(key.connection);
    Ok(())
}

/// Makes objects due.
pub(super) fn want(
    transaction: &mut Transaction<'_>,
    connection: ConnectionId,
    resource: &ResourceName,
    objects: &[Wanted],
    force: bool,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let reason = if force { Reason::Force } else { Reason::Look };
    for Wanted { id, change } in objects {
        let key = ObjectKey { connection, resource: resource.clone(), id: id.clone() };
        let sort_key = id.sort_key();
        let row = load(transaction, &key, &sort_key)?;
        raise(transaction, &key, &sort_key, row, Raise { reason, change: *change, at })?;
    }
    Ok(())
}

/// Stores states without reporting them.
pub(super) fn remember(
    transaction: &mut Transaction<'_>,
    connection: ConnectionId,
    resource: &ResourceName,
    states: &[(ObjectId, Digest)],
    at: Timestamp,
) -> rusqlite::Result<()> {
    for (id, digest) in states {
        let key = ObjectKey { connection, resource: resource.clone(), id: id.clone() };
        let sort_key = id.sort_key();
        match load(transaction, &key, &sort_key)? {
            Some(mut row) => {
                if row.remember(*digest, at) {
                    save(transaction, &key, &sort_key, &row, false)?;
                }
            }
            None => save(transaction, &key, &sort_key, &Row::remembered(*digest, at), true)?,
        }
    }
    Ok(())
}

/// Makes all objects in one settled state due, with `force`.
pub(super) fn want_all(
    transaction: &mut Transaction<'_>,
    connection: ConnectionId,
    state: ObjectState,
    at: Timestamp,
) -> rusqlite::Result<u64> {
    // Rare states have a partial index, which the planner uses only if the query repeats its condition.
    let condition = match state {
        ObjectState::Pending => return Ok(0),
        ObjectState::Delivered => "connection_id = ?1 AND state = ?2",
        _ => "connection_id = ?1 AND state IN (2, 3, 4) AND state = ?2",
    };
    change_where(transaction, condition, &[&connection.0, &state.code()], |row| {
        row.raise(Raise { reason: Reason::Force, change: ChangeKind::Updated, at });
        true
    })
}
