//! Listening to what other relays announce. Polling is the net below: nothing depends on an announcement.

use std::{sync::Arc, time::Duration};

use sqlx::{PgPool, postgres::PgListener};

use super::{Shared, statements::CHANNEL};

/// The pause before listening is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until the pool is closed.
pub(super) async fn run(shared: Arc<Shared>, pool: PgPool) {
    let own = shared.relay.to_string();
    while !pool.is_closed() {
        if let Err(error) = hear(&shared, &pool, &own).await {
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
                Some(_) | None => break,
            }
        }
    }
}
