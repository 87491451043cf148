//! The writers of a PostgreSQL inbox.
//!
//! Events have a writer of their own, so that one transaction never holds orders that it raised while it waits for orders
//! that it settles: two relays that did so would wait for each other. Claims and their ends have one as well; whatever else
//! there is has a third, and a transaction of its own.

use std::sync::{Arc, atomic::Ordering};

use sqlx::{Connection as _, PgConnection};

use super::{Shared, dates::Dates, history, reads, session, statements};
use crate::{
    clock::Timestamp,
    inbox::{
        Accepted, Claim, ConnectionId, InboxError, Settlement,
        change::{Change, Done},
        group::Ledger,
        rows::{self, Event, SettleRow, Settled},
    },
};

/// Keeps batches on a connection of its own.
pub(super) struct Writer {
    shared: Arc<Shared>,
    connection: Option<PgConnection>,
}

impl Writer {
    pub fn new(shared: &Arc<Shared>, connection: Option<PgConnection>) -> Self {
        Self { shared: shared.clone(), connection }
    }

    async fn usable(&mut self) -> Result<&mut PgConnection, InboxError> {
        if let Some(reason) = self.shared.outgrown.borrow().clone() {
            return Err(reason);
        }
        let open = match self.connection.take() {
            Some(open) => open,
            None => session::connect(&self.shared.options, &self.shared.clock).await?,
        };
        Ok(self.connection.insert(open))
    }
}

impl Ledger for Writer {
    async fn keep(&mut self, changes: &[Change]) -> Result<Vec<Done>, InboxError> {
        let shared = self.shared.clone();
        session::in_time(commit(self.usable().await?, &shared, changes)).await
    }

    fn has_company(&self) -> bool {
        self.shared.has_company()
    }

    async fn part(&mut self) {
        if let Some(connection) = self.connection.take() {
            // A server that does not hear it notices the closed socket.
            drop(tokio::time::timeout(session::GOODBYE, connection.close()).await);
        }
    }
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
    for (connection, at) in rows::latest(events.iter().map(|one| (one.event.connection, one.event.at))) {
        shared.diary.note(connection, Dates { last_event_at: Some(at), ..Dates::default() });
    }
    // Whoever has the lead hears of its own events without a word from the server.
    if !shared.leads_all(events.iter().map(|one| one.event.connection.0)) {
        shared.untold.store(true, Ordering::Relaxed);
    }
    shared.news.notify_one();
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
        shared.diary.note(connection, Dates { last_forwarded_at: Some(at), ..Dates::default() });
        shared.news.notify_one();
    }
    Ok(settled)
}
