//! Takes and ends claims, and makes objects due after an outage or a clock jump.

use super::{
    rows::{change_where, load, save},
    transaction::Transaction,
};
use crate::{
    clock::Timestamp,
    inbox::{Claim, Outcome, Settlement},
    object::{ConnectionId, ObjectId, ObjectKey, ResourceName},
};

/// Claims those of `objects` that are due.
pub(super) fn claim(
    transaction: &mut Transaction<'_>,
    connection: ConnectionId,
    objects: &[(ResourceName, ObjectId)],
    until: Timestamp,
    now: Timestamp,
    owner: i64,
) -> rusqlite::Result<Vec<Claim>> {
    let mut claims = Vec::with_capacity(objects.len());
    for (resource, id) in objects {
        let key = ObjectKey { connection, resource: resource.clone(), id: id.clone() };
        let sort_key = id.sort_key();
        let Some(mut row) = load(transaction, &key, &sort_key)?.filter(|row| row.is_due(now)) else { continue };
        let claim = row.claim(key, owner, until, now);
        save(transaction, &claim.key, &sort_key, &row, false)?;
        claims.push(claim);
    }
    Ok(claims)
}

/// Ends a claim. False if it was no longer its owner's.
pub(super) fn settle(transaction: &mut Transaction<'_>, settlement: &Settlement) -> rusqlite::Result<bool> {
    let Settlement { claim, outcome, at } = settlement;
    let sort_key = claim.key.id.sort_key();
    let Some(mut row) = load(transaction, &claim.key, &sort_key)? else { return Ok(false) };
    if !row.settle(claim, outcome, *at) {
        return Ok(false);
    }
    save(transaction, &claim.key, &sort_key, &row, false)?;
    if let Outcome::Delivered { forwarded: true, .. } = outcome {
        transaction.forwarded(claim.key.connection, *at);
    }
    if row.due_at.is_some() {
        transaction.brings_work(claim.key.connection);
    }
    Ok(true)
}

/// Marks claims as being forwarded, as far as they are still their owners'.
pub(super) fn begin_forward(transaction: &mut Transaction<'_>, claims: &[Claim]) -> rusqlite::Result<()> {
    let sql = "UPDATE objects SET is_forwarding = 1
               WHERE connection_id = ?1 AND resource = ?2 AND id = ?3 AND lease_owner = ?4";
    for Claim { key, owner, .. } in claims {
        let parameters = (key.connection.0, key.resource.as_str(), key.id.sort_key(), owner);
        transaction.prepare(sql)?.execute(parameters)?;
    }
    Ok(())
}

/// Makes due what was deferred because of an outage.
pub(super) fn recover(transaction: &mut Transaction<'_>, connection: ConnectionId) -> rusqlite::Result<u64> {
    let condition = "connection_id = ?1 AND due_at IS NOT NULL AND is_deferred = 1 AND lease_owner IS NULL";
    change_where(transaction, condition, &[&connection.0], |row| row.recover())
}

/// Makes due what waits for a deadline too far in the future, because the clock has been set back.
pub(super) fn repair_deadlines(transaction: &mut Transaction<'_>, now: Timestamp) -> rusqlite::Result<u64> {
    let condition = "due_at IS NOT NULL AND due_at > ?1 AND due_at - wait_ms > ?1";
    change_where(transaction, condition, &[&now.millis()], |row| row.repair_deadline(now))
}

/// Frees the claims of processes that are gone, except those whose forward had begun.
pub(super) fn free_claims(transaction: &mut Transaction<'_>, now: Timestamp) -> rusqlite::Result<u64> {
    let condition = "due_at IS NOT NULL AND lease_owner IS NOT NULL AND is_forwarding = 0";
    change_where(transaction, condition, &[], |row| row.free_claim(now))
}
