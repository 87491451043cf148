//! The one writer of a SQLite inbox: takes whatever has come in, changes it all in one transaction, syncs once, and only
//! then answers everybody (group commit). Durability costs one sync per batch, not one per event.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot, watch};

use super::{history, script::Script, statements};
use crate::{
    clock::Timestamp,
    inbox::{
        ConnectionId, InboxError, Settlement,
        queue::{Change, Done, Job},
        rows::{self, SettleRow, Settled},
    },
};

/// Changes in one transaction, at most: keeps one batch's time in bounds.
const MAX_BATCH: usize = 512;
/// Up to so many are not worth dividing.
const SMALL_BATCH: usize = 16;
/// The longest wait for a batch to fill up: a fraction of what its sync takes.
const GATHERING: Duration = Duration::from_micros(300);

/// A batch that has been stored, while those who wait for it do not know yet.
struct Stored {
    replies: Vec<oneshot::Sender<Result<Done, InboxError>>>,
    done: Vec<Done>,
    brings_work: bool,
}

impl Stored {
    fn tell(self, arrivals: &watch::Sender<u64>) {
        if self.brings_work {
            arrivals.send_modify(|count| *count += 1);
        }
        // Whoever no longer waits (a dropped request) needs no answer.
        self.replies.into_iter().zip(self.done).for_each(|(reply, done)| drop(reply.send(Ok(done))));
    }
}

/// Serves jobs until every sender is gone.
///
/// While one half of those who come again and again waits for the disk, the other half is answered and comes back: neither
/// the disk nor the processors wait for each other. So a batch takes no more than half, and sets out before the last one's
/// answers do, since these bring the work that it would have to compete with.
pub(super) async fn run(
    options: SqliteConnectOptions,
    connection: SqliteConnection,
    mut jobs: mpsc::Receiver<Job>,
    arrivals: watch::Sender<u64>,
) {
    let mut connection = Some(connection);
    let mut batch = Vec::with_capacity(MAX_BATCH);
    let mut stored: Option<Stored> = None;
    loop {
        let last = stored.as_ref().map_or(0, |stored| stored.replies.len());
        let half = ((last + jobs.len()) / 2).min(MAX_BATCH);
        let most = half.max(SMALL_BATCH);
        if let Some(stored) = stored.take_if(|_| jobs.len() < half.max(1)) {
            stored.tell(&arrivals);
        }
        if jobs.recv_many(&mut batch, most).await == 0 {
            break;
        }
        gather(&mut jobs, &mut batch, half, most).await;
        let (changes, replies): (Vec<_>, Vec<_>) = batch.drain(..).map(|job| (job.change, job.reply)).unzip();
        let done = {
            let mut kept = pin!(async {
                let connection = usable(&options, &mut connection).await?;
                commit(connection, &changes).await
            });
            let at_once = kept.as_mut().now_or_never();
            if let Some(stored) = stored.take() {
                stored.tell(&arrivals);
            }
            match at_once {
                Some(done) => done,
                None => kept.await,
            }
        };
        match done {
            Ok(done) => {
                let brings_work = changes.iter().any(Change::brings_work);
                stored = Some(Stored { replies, done, brings_work });
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

/// Those who were answered together come back together: waits a moment for half of them, so that the first one back does not
/// have a sync to itself while all the others wait for the next.
async fn gather(jobs: &mut mpsc::Receiver<Job>, batch: &mut Vec<Job>, half: usize, most: usize) {
    if batch.len() >= half {
        return;
    }
    let until = Instant::now() + GATHERING;
    while batch.len() < half && Instant::now() < until {
        // The timer's resolution is coarser than this wait: others run meanwhile, here and on the other threads.
        std::thread::yield_now();
        tokio::task::yield_now().await;
        while batch.len() < most
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
        None => connect(options).await?,
    };
    Ok(connection.insert(open))
}

/// A connection that is ready for batches.
pub(super) async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, InboxError> {
    let mut connection = super::connect(options).await?;
    statements::prepare(&mut connection).await?;
    Ok(connection)
}

/// Makes a batch of changes: all settlings together, then the rest one by one, then all events together, which so share the
/// way to the database with the commit. Their order within a batch is free, since nobody has been answered yet.
async fn commit(connection: &mut SqliteConnection, changes: &[Change]) -> Result<Vec<Done>, InboxError> {
    let mut script = Script::begin(connection);
    let mut settled = settle(&mut script, changes).await?;
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        done.push(match change {
            // Told below.
            Change::Accept(_) => Done::Nothing,
            Change::Settle(Settlement { claim, .. }) => Done::Settled(settled.take(claim)),
            Change::Want { connection, orders, insist, now } => {
                statements::want(&mut script, *connection, orders, *insist, *now);
                Done::Nothing
            }
            Change::WantAll { connection, state, now } => {
                Done::Count(statements::want_all(&mut script, *connection, *state, *now).await?)
            }
            Change::Claim { connection, orders, until, now } => {
                Done::Claimed(statements::claim(&mut script, *connection, orders, *until, *now).await?)
            }
            Change::Recover(connection) => Done::Count(statements::recover(&mut script, *connection).await?),
            Change::Connection { kind, name, now } => {
                Done::Connection(statements::connection(&mut script, kind, name, *now).await?)
            }
            Change::KeepNote { connection, name, value } => {
                statements::keep_note(&mut script, *connection, name, value.as_deref());
                Done::Nothing
            }
            Change::Prune { before, limit } => Done::Count(statements::prune(&mut script, *before, *limit).await?),
            Change::Sample { connection, now } => {
                history::sample(&mut script, *connection, *now);
                Done::Nothing
            }
            Change::Probe(now) => {
                statements::keep_note(&mut script, ConnectionId(0), "probe", Some(&now.millis().to_string()));
                Done::Nothing
            }
        });
    }
    let events = changes.iter().filter_map(|change| match change {
        Change::Accept(event) => Some(*event),
        _ => None,
    });
    let events = rows::numbered(events);
    if !events.is_empty() {
        statements::accept(&mut script, &events);
    }
    let standings = script.commit().await?;
    let met = standings.iter().map(statements::standing).collect::<Result<Vec<_>, _>>()?;
    let accepted = rows::accepted(events.len(), met);
    let places = changes.iter().zip(&mut done).filter(|(change, _)| matches!(change, Change::Accept(_)));
    for ((_, done), accepted) in places.zip(accepted) {
        *done = Done::Accepted(accepted);
    }
    Ok(done)
}

async fn settle(script: &mut Script<'_>, changes: &[Change]) -> Result<Settled, sqlx::Error> {
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
        let orders = statements::settle(script, &round).await?;
        for ((connection, hour), count) in rows::forwarded_by_hour(&round, &orders) {
            history::count_forwarded(script, connection, hour, count);
        }
        settled.note(&round, &orders);
    }
    for (connection, at) in latest {
        statements::touch_forwarded(script, connection, at);
    }
    Ok(settled)
}
