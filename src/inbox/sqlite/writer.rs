//! The one writer of a SQLite inbox: takes whatever has come in, changes it all in one transaction, syncs once, and only
//! then answers everybody (group commit). Durability costs one sync per batch, not one per event.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, watch};

use super::{history, statements};
use crate::{
    clock::Timestamp,
    inbox::{
        Accepted, Arrival, ConnectionId, InboxError, Settlement,
        queue::{Change, Done, Job},
        rows::{self, Arrivals, Raise, SettleRow, Settled},
    },
};

/// Changes in one transaction, at most: keeps one batch's time in bounds.
const MAX_BATCH: usize = 512;
/// The longest wait for a batch to fill up: a fraction of what its sync takes.
const GATHERING: Duration = Duration::from_micros(300);

/// Serves jobs until every sender is gone.
pub(super) async fn run(
    options: SqliteConnectOptions,
    connection: SqliteConnection,
    mut jobs: mpsc::Receiver<Job>,
    arrivals: watch::Sender<u64>,
) {
    let mut connection = Some(connection);
    let mut batch = Vec::with_capacity(MAX_BATCH);
    let mut expected = 0;
    while jobs.recv_many(&mut batch, MAX_BATCH).await > 0 {
        gather(&mut jobs, &mut batch, expected).await;
        expected = batch.len();
        let (changes, replies): (Vec<_>, Vec<_>) = batch.drain(..).map(|job| (job.change, job.reply)).unzip();
        let done = match usable(&options, &mut connection).await {
            Ok(connection) => commit(connection, &changes).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(all) => {
                if changes.iter().any(Change::brings_work) {
                    arrivals.send_modify(|count| *count += 1);
                }
                // Whoever no longer waits (a dropped request) needs no answer.
                replies.into_iter().zip(all).for_each(|(reply, done)| drop(reply.send(Ok(done))));
            }
            Err(error) => {
                tracing::error!(%error, changes = replies.len(), "a batch could not be stored: {error}");
                // After a full disk or a lock the connection may be in any state: begin with a new one.
                if let Some(broken) = connection.take() {
                    drop(broken.close().await);
                }
                replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
                if matches!(error, InboxError::Damaged(_)) {
                    // Nothing more is kept in a file that cannot be trusted: without its writer the relay ends.
                    return;
                }
            }
        }
    }
    if let Some(connection) = connection {
        drop(connection.close().await);
    }
}

/// Those who were answered together come back together: waits a moment for as many as the last batch had, so that the first
/// one back does not have a sync to itself while all the others wait for the next.
async fn gather(jobs: &mut mpsc::Receiver<Job>, batch: &mut Vec<Job>, expected: usize) {
    if batch.len() >= expected {
        return;
    }
    let until = Instant::now() + GATHERING;
    while batch.len() < expected && Instant::now() < until {
        // The timer's resolution is coarser than this wait: others run meanwhile, here and on the other threads.
        std::thread::yield_now();
        tokio::task::yield_now().await;
        while batch.len() < MAX_BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
    }
}

async fn usable<'a>(
    options: &SqliteConnectOptions,
    connection: &'a mut Option<SqliteConnection>,
) -> Result<&'a mut SqliteConnection, InboxError> {
    let open = match connection.take() {
        Some(open) => open,
        None => super::connect(options).await?,
    };
    Ok(connection.insert(open))
}

async fn commit(connection: &mut SqliteConnection, changes: &[Change]) -> Result<Vec<Done>, InboxError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let done = apply(&mut transaction, changes).await?;
    transaction.commit().await?;
    Ok(done)
}

/// Applies a batch: all events in two statements, all settlings in one, then the rest one by one. Their order within a batch
/// is free, since nobody has been answered yet.
async fn apply(db: &mut SqliteConnection, changes: &[Change]) -> Result<Vec<Done>, sqlx::Error> {
    let mut accepted = accept(db, changes).await?.into_iter();
    let mut settled = settle(db, changes).await?;
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        done.push(match change {
            Change::Accept(_) => Done::Accepted(accepted.next().expect("one answer for each event")),
            Change::Settle(Settlement { claim, .. }) => Done::Settled(settled.take(claim)),
            Change::Want { connection, orders, insist, now } => {
                statements::raise(db, Raise::all(*connection, orders, *insist, *now)).await?;
                Done::Nothing
            }
            Change::WantAll { connection, state, now } => {
                Done::Count(statements::want_all(db, *connection, *state, *now).await?)
            }
            Change::Claim { connection, orders, until, now } => {
                Done::Claimed(statements::claim(db, *connection, orders, *until, *now).await?)
            }
            Change::Recover(connection) => Done::Count(statements::recover(db, *connection).await?),
            Change::Connection { kind, name, now } => {
                Done::Connection(statements::connection(db, kind, name, *now).await?)
            }
            Change::KeepNote { connection, name, value } => {
                statements::keep_note(db, *connection, name, value.as_deref()).await?;
                Done::Nothing
            }
            Change::Prune { before, limit } => Done::Count(statements::prune(db, *before, *limit).await?),
            Change::Sample { connection, now } => {
                history::sample(db, *connection, *now).await?;
                Done::Nothing
            }
            Change::Probe(now) => {
                statements::keep_note(db, ConnectionId(0), "probe", Some(&now.millis().to_string())).await?;
                Done::Nothing
            }
        });
    }
    Ok(done)
}

async fn accept(db: &mut SqliteConnection, changes: &[Change]) -> Result<Vec<Accepted>, sqlx::Error> {
    let arrivals: Vec<&Arrival> = changes
        .iter()
        .filter_map(|change| if let Change::Accept(arrival) = change { Some(arrival) } else { None })
        .collect();
    let Some(seen_at) = arrivals.iter().map(|arrival| arrival.at).max() else { return Ok(Vec::new()) };
    let batch = Arrivals::new(arrivals);
    let known = statements::keep_receipts(db, batch.receipts(), seen_at).await?;
    let (firsts, raises) = batch.judge(&known);
    let raised = statements::raise(db, raises).await?;
    for (connection, at) in batch.latest() {
        statements::touch_event(db, connection, at).await?;
    }
    Ok(batch.accepted(&firsts, &raised))
}

async fn settle(db: &mut SqliteConnection, changes: &[Change]) -> Result<Settled, sqlx::Error> {
    let rows: Vec<SettleRow> = changes
        .iter()
        .filter_map(
            |change| if let Change::Settle(settlement) = change { Some(SettleRow::of(settlement)) } else { None },
        )
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
