//! Telling other relays of work that this one keeps, and hearing of theirs. Polling is the net below: nothing depends on it.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use sqlx::{PgPool, postgres::PgListener};

use super::{
    Shared,
    statements::{self, CHANNEL},
};

/// The pause before listening or writing is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two tellings. Each makes the server's commits wait for each other, so none goes with every batch.
const BETWEEN: Duration = Duration::from_millis(50);
/// A relay that ends does not wait longer than this to tell of the last.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Tells and listens until it is dropped, or the pool is closed.
pub(super) async fn run(shared: Arc<Shared>, pool: PgPool) {
    tokio::join!(tell(&shared, &pool), listen(&shared, &pool));
}

async fn tell(shared: &Shared, pool: &PgPool) {
    while !pool.is_closed() {
        shared.news.notified().await;
        if tell_all(shared, pool).await {
            tokio::time::sleep(BETWEEN).await;
        } else {
            tokio::time::sleep(PAUSE).await;
            shared.news.notify_one();
        }
    }
}

/// Returns whether nothing is left to write.
async fn tell_all(shared: &Shared, pool: &PgPool) -> bool {
    if shared.untold.swap(false, Ordering::Relaxed)
        && let Err(error) = statements::announce(pool, shared.relay).await
    {
        tracing::debug!(%error, "other relays find by looking what is to be done: {error}");
    }
    for (connection, dates) in shared.diary.unwritten() {
        match statements::date(pool, connection, dates).await {
            Ok(()) => shared.diary.written(connection, dates),
            Err(error) => {
                tracing::debug!(%error, "a connection is dated later: {error}");
                return false;
            }
        }
    }
    true
}

/// Tells what nobody has been told yet.
pub(super) async fn last_word(shared: &Shared, pool: &PgPool) {
    // Whoever is not told finds it by looking.
    drop(tokio::time::timeout(LAST_WORD, tell_all(shared, pool)).await);
}

async fn listen(shared: &Shared, pool: &PgPool) {
    let own = shared.relay.to_string();
    while !pool.is_closed() {
        if let Err(error) = hear(shared, pool, &own).await {
            tracing::debug!(%error, "announcements of other relays are not heard for now: {error}");
        }
        tokio::select! {
            () = pool.close_event() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn hear(shared: &Shared, pool: &PgPool, own: &str) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // What was announced while nobody listened is found by looking.
        shared.arrivals.send_modify(|count| *count += 1);
        loop {
            match listener.try_recv().await? {
                Some(news) if news.payload() == own => {}
                Some(_) => {
                    *shared.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                    break;
                }
                None => break,
            }
        }
    }
}
