//! Delivers while no relay is running: does what `serve` would do with waiting events, and nothing else.

use std::{sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::session::Session,
    clock::Timestamp,
    connection::Connection,
    humanize,
    inbox::{InboxError, Side},
    leader::Leader,
};

/// The pause between checks of the progress.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// How long to wait for a far side that is down.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(300);

/// A running dispatch without a relay.
pub(super) struct Delivery {
    stop: CancellationToken,
    finished: CancellationToken,
    dispatch: JoinHandle<()>,
    leader: JoinHandle<()>,
}

impl Delivery {
    /// Starts delivering. `None` if a relay already serves this database, or the connection's objects may not be
    /// delivered now.
    pub async fn start(session: &Session, connection: &Connection) -> Result<Option<Self>, InboxError> {
        let services = &session.services;
        let is_served = if services.is_file() { session.lock.is_none() } else { services.inbox.is_served().await? };
        if is_served || connection.deliverable().is_none() {
            return Ok(None);
        }
        if session.lock.is_some() {
            services.inbox.free_claims(Timestamp::now()).await?;
            // Deadlines set while the clock was ahead are repaired here, because no relay does it.
            services.inbox.repair_deadlines(Timestamp::now()).await?;
        }
        let (stop, finished) = (CancellationToken::new(), CancellationToken::new());
        let leader = Leader::new(services.inbox.clone());
        let dispatch = services.dispatch(leader.shards(), Arc::default());
        Ok(Some(Self {
            dispatch: tokio::spawn(dispatch.run(stop.clone())),
            leader: tokio::spawn(leader.run(stop.clone(), finished.clone())),
            stop,
            finished,
        }))
    }

    /// Stops, and waits for deliveries under way.
    pub async fn finish(self) {
        self.stop.cancel();
        // A dispatch that panicked has nothing more to finish.
        drop(self.dispatch.await);
        self.finished.cancel();
        drop(self.leader.await);
    }
}

/// Completes when the command is interrupted.
pub(super) async fn interrupted() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
}

/// Completes when a far side has been down for too long to wait.
pub(super) async fn stays_down(connection: &Connection) -> String {
    loop {
        for (side, name) in [(Side::Destination, "The destination"), (Side::Store, "The store")] {
            let outage = connection.link.as_ref().and_then(|link| link.breaker(side).outage());
            if let Some((since, failure)) = outage
                && since.elapsed() > OUTAGE_PATIENCE
            {
                let (span, failure) = (humanize::span(since.elapsed()), humanize::failure(failure));
                return format!("{name} has been down for {span} ({failure})");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a far side is down.
pub(super) fn has_outage(connection: &Connection) -> bool {
    let is_down = |side| connection.link.as_ref().is_some_and(|link| link.breaker(side).outage().is_some());
    Side::ALL.into_iter().any(is_down)
}
