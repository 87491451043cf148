//! The writers of a PostgreSQL inbox: each takes whatever has come in, changes it all in one transaction, and only then
//! answers everybody (group commit).
//!
//! Events have a writer of their own, so that one transaction never holds orders that it raised while it waits for orders
//! that it settles: two relays that did so would wait for each other.

use sqlx::{Connection as _, PgConnection};
use tokio::sync::{mpsc, oneshot};

use super::{Shared, history, reads, session, statements};
use crate::{
    clock::Timestamp,
    inbox::{
        Accepted, Claim, ConnectionId, InboxError, Settlement,
        queue::{Change, Done, Job},
        rows::{self, Event, SettleRow, Settled},
    },
};

/// Changes in one transaction, at most: keeps one batch's time in bounds.
const MAX_BATCH: usize = 512;

type Reply = oneshot::Sender<Result<Done, InboxError>>;

/// Serves jobs until every sender is gone.
pub(super) async fn run(shared: std::sync::Arc<Shared>, connection: PgConnection, mut jobs: mpsc::Receiver<Job>) {
    let mut connection = Some(connection);
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while jobs.recv_many(&mut batch, MAX_BATCH).await > 0 {
        for (changes, replies) in portions(batch.drain(..)) {
            let done = match usable(&shared, &mut connection).await {
                Ok(connection) => session::in_time(commit(connection, &shared, &changes)).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(all) => {
                    if changes.iter().any(Change::brings_work) {
                        shared.arrivals.send_modify(|count| *count += 1);
                    }
                    // Whoever no longer waits (a dropped request) needs no answer.
                    replies.into_iter().zip(all).for_each(|(reply, done)| drop(reply.send(Ok(done))));
                }
                Err(error) => {
                    tracing::error!(%error, changes = replies.len(), "a batch could not be stored: {error}");
                    // The connection may be gone or within a transaction: begin with a new one.
                    connection = None;
                    replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
                }
            }
        }
    }
    if let Some(connection) = connection {
        // The server notices a closed socket as well.
        let goodbye = async { connection.close().await.map_err(InboxError::from) };
        drop(session::in_time(goodbye).await);
    }
}

/// What goes into one transaction each: events, settlings and claims together, anything else alone.
fn portions(jobs: impl Iterator<Item = Job>) -> Vec<(Vec<Change>, Vec<Reply>)> {
    let mut portions = vec![(Vec::new(), Vec::new())];
    for Job { change, reply } in jobs {
        if matches!(change, Change::Accept(_) | Change::Settle(_) | Change::Claim { .. }) {
            portions[0].0.push(change);
            portions[0].1.push(reply);
        } else {
            portions.push((vec![change], vec![reply]));
        }
    }
    portions.retain(|(changes, _)| !changes.is_empty());
    portions
}

async fn usable<'a>(
    shared: &Shared,
    connection: &'a mut Option<PgConnection>,
) -> Result<&'a mut PgConnection, InboxError> {
    if let Some(reason) = shared.outgrown.borrow().clone() {
        return Err(reason);
    }
    let open = match connection.take() {
        Some(open) => open,
        None => session::connect(&shared.options, &shared.clock).await?,
    };
    Ok(connection.insert(open))
}

async fn commit(connection: &mut PgConnection, shared: &Shared, changes: &[Change]) -> Result<Vec<Done>, InboxError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match attempt(connection, shared, changes).await {
            // Nobody has been answered yet, so the whole batch may begin again.
            Err(error) if tries < session::TRIES && session::was_broken_off(&error) => {
                tracing::debug!(%error, "a batch begins again: {error}");
            }
            done => return done.map_err(Into::into),
        }
    }
}

async fn attempt(connection: &mut PgConnection, shared: &Shared, changes: &[Change]) -> Result<Vec<Done>, sqlx::Error> {
    if changes.iter().all(|change| matches!(change, Change::Accept(_))) {
        // One statement is a transaction of its own.
        return apply(connection, shared, changes).await;
    }
    let mut transaction = connection.begin().await?;
    let done = apply(&mut transaction, shared, changes).await?;
    transaction.commit().await?;
    Ok(done)
}

/// Applies a batch. The order within it is free, since nobody has been answered yet.
async fn apply(db: &mut PgConnection, shared: &Shared, changes: &[Change]) -> Result<Vec<Done>, sqlx::Error> {
    let mut accepted = accept(db, shared, changes).await?.into_iter();
    let mut settled = settle(db, shared, changes).await?;
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        done.push(match change {
            Change::Accept(_) => Done::Accepted(accepted.next().expect("one answer for each event")),
            Change::Settle(Settlement { claim, .. }) => Done::Settled(settled.take(claim)),
            change => alone(db, shared, change).await?,
        });
    }
    Ok(done)
}

async fn alone(db: &mut PgConnection, shared: &Shared, change: &Change) -> Result<Done, sqlx::Error> {
    let inward = |time: &Timestamp| shared.clock.inward(*time);
    Ok(match change {
        Change::Accept(_) | Change::Settle(_) => Done::Nothing,
        Change::Want { connection, orders, insist, now } => {
            statements::want(db, *connection, orders, *insist, inward(now)).await?;
            statements::announce(&mut *db, shared.relay).await?;
            Done::Nothing
        }
        Change::WantAll { connection, state, now } => {
            let count = statements::want_all(db, *connection, *state, inward(now)).await?;
            statements::announce(&mut *db, shared.relay).await?;
            Done::Count(count)
        }
        Change::Claim { connection, orders, until, now } => {
            let owner = rand::random();
            let blank = Claim {
                connection: *connection,
                order: match orders.first() {
                    Some(order) => *order,
                    None => return Ok(Done::Claimed(Vec::new())),
                },
                owner,
                seen: 0,
                insist: false,
                digest: None,
                attempts: 0,
                refused_since: None,
                missing_since: None,
                waiting_since: *now,
                lease_until: *until,
            };
            let who = (owner, shared.relay);
            let rows = statements::claim(db, *connection, orders, who, inward(until), inward(now)).await?;
            let claims = rows.iter().map(|row| reads::claim(&shared.clock, row, blank.clone()));
            Done::Claimed(claims.collect::<Result<_, _>>()?)
        }
        Change::Recover(connection) => Done::Count(statements::recover(db, *connection).await?),
        Change::Connection { kind, name, now } => {
            Done::Connection(statements::connection(db, kind, name, inward(now)).await?)
        }
        Change::KeepNote { connection, name, value } => {
            statements::keep_note(db, *connection, name, value.as_deref()).await?;
            Done::Nothing
        }
        Change::Prune { before, limit } => Done::Count(statements::prune(db, inward(before), *limit).await?),
        Change::Sample { connection, now } => {
            history::sample(db, *connection, inward(now)).await?;
            Done::Nothing
        }
        Change::Probe(now) => {
            statements::keep_note(db, ConnectionId(0), "probe", Some(&inward(now).millis().to_string())).await?;
            Done::Nothing
        }
    })
}

async fn accept(db: &mut PgConnection, shared: &Shared, changes: &[Change]) -> Result<Vec<Accepted>, sqlx::Error> {
    let events = changes.iter().filter_map(|change| match change {
        Change::Accept(event) => Some(Event { at: shared.clock.inward(event.at), ..*event }),
        _ => None,
    });
    let events = rows::numbered(events);
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let met = statements::accept(db, &events).await?;
    // Whoever has the lead hears of its own events without a word from the server.
    if !shared.leads_all(events.iter().map(|one| one.event.connection.0)) {
        shared.untold.notify_one();
    }
    Ok(rows::accepted(events.len(), met))
}

async fn settle(db: &mut PgConnection, shared: &Shared, changes: &[Change]) -> Result<Settled, sqlx::Error> {
    let inward = |millis: i64| shared.clock.inward(Timestamp::from_millis(millis)).millis();
    let rows: Vec<SettleRow> = changes
        .iter()
        .filter_map(
            |change| if let Change::Settle(settlement) = change { Some(SettleRow::of(settlement)) } else { None },
        )
        .map(|row| SettleRow {
            at: inward(row.at),
            retry_at: row.retry_at.map(inward),
            fetched_at: row.fetched_at.map(inward),
            // PostgreSQL has no such character, and would refuse the whole batch.
            error: row.error.map(|error| error.replace('\0', "")),
            ..row
        })
        .collect();
    let forwarded = rows.iter().filter(|row| row.forwarded);
    let latest = rows::latest(forwarded.map(|row| (ConnectionId(row.connection_id), Timestamp::from_millis(row.at))));
    let mut settled = Settled::default();
    for round in rows::rounds(rows) {
        let orders = statements::settle(db, &round).await?;
        for ((connection, hour), count) in rows::forwarded_by_hour(&round, &orders) {
            history::count_forwarded(db, connection, hour, count).await?;
        }
        settled.note(&round, &orders);
    }
    for (connection, at) in latest {
        statements::touch_forwarded(db, connection, at).await?;
    }
    Ok(settled)
}
