//! Announces to other relays the work that this one has stored, and listens to their announcements. Nothing depends
//! on it: every relay also polls for work now and then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{PgPool, postgres::PgListener};

use super::{reads, shared::Shared};
use crate::object::ConnectionId;

/// The channel for announcements.
const CHANNEL: &str = "onetribe_relay";
/// The pause before another try to listen or write.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause between two announcements. Each makes the server's commits wait for each other, so there is not one per
/// batch.
const BETWEEN: Duration = Duration::from_millis(50);
/// How long a relay that is stopping may take to announce what is left.
const LAST_WORD: Duration = Duration::from_secs(1);

/// An announcement of another relay.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Connections(Vec<ConnectionId>),
    LookYourself,
}

/// Parses an announcement; `None` for this relay's own.
fn heard(own: i64, payload: &str) -> Option<Heard> {
    let (relay, ids) = payload.split_once(':').unwrap_or_default();
    if relay.parse() == Ok(own) {
        return None;
    }
    // An unreadable list comes from a relay of another version, or stands for too many connections.
    let ids = ids.split(',').map(str::parse).collect::<Result<Vec<_>, _>>();
    Some(ids.map_or(Heard::LookYourself, Heard::Connections))
}

/// Announces and listens until dropped, or until the pool is closed.
pub(super) async fn run(shared: Arc<Shared>, pool: PgPool) {
    tokio::join!(announce(&shared, &pool), listen(&shared, &pool));
}

async fn announce(shared: &Shared, pool: &PgPool) {
    while !pool.is_closed() {
        shared.news.notified().await;
        if announce_all(shared, pool).await {
            tokio::time::sleep(BETWEEN).await;
        } else {
            tokio::time::sleep(PAUSE).await;
            shared.news.notify_one();
        }
    }
}

/// Sends all announcements and writes the activity. False if activity is left to be written.
async fn announce_all(shared: &Shared, pool: &PgPool) -> bool {
    let untold = std::mem::take(&mut *shared.untold.lock());
    if !untold.is_empty() {
        let sql = "SELECT pg_notify($1, message) FROM unnest($2::text[]) AS message";
        let messages = untold.messages(shared.relay.number());
        if let Err(error) = sqlx::query(sql).bind(CHANNEL).bind(messages).execute(pool).await {
            tracing::debug!(%error, "other relays find the work by looking for it: {error}");
        }
    }
    match shared.activity.write(pool).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, "when connections were last active is written later: {error}");
            false
        }
    }
}

/// Sends the announcements that are left, when the relay stops.
pub(super) async fn last_word(shared: &Shared, pool: &PgPool) {
    // A relay that misses an announcement finds the work by polling.
    drop(tokio::time::timeout(LAST_WORD, announce_all(shared, pool)).await);
}

async fn listen(shared: &Shared, pool: &PgPool) {
    while !pool.is_closed() {
        if let Err(error) = hear(shared, pool).await {
            tracing::debug!(%error, "announcements of other relays are not heard for now: {error}");
        }
        tokio::select! {
            () = pool.close_event() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn hear(shared: &Shared, pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // Announcements may have been missed while not listening.
    let mut may_have_missed = true;
    loop {
        if std::mem::take(&mut may_have_missed) {
            let waiting = reads::waiting(pool, &shared.clock).await?;
            shared.work.add(waiting.into_iter().map(|(connection, _)| connection));
        }
        match listener.try_recv().await? {
            Some(message) => match heard(shared.relay.number(), message.payload()) {
                None => {}
                Some(news) => {
                    *shared.heard_at.lock() = Some(Instant::now());
                    match news {
                        Heard::Connections(connections) => shared.work.add(connections),
                        Heard::LookYourself => may_have_missed = true,
                    }
                }
            },
            // The connection was lost and restored.
            None => may_have_missed = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::inbox::postgres::untold::{IN_A_MESSAGE, LISTED, Untold};

    #[test]
    fn messages_are_short_and_read_by_others_only() {
        let mut untold = Untold::default();
        untold.add((1..=LISTED as i64).map(|id| ConnectionId(i64::MAX - id)));
        let messages = untold.messages(7);
        assert_eq!(messages.len(), LISTED / IN_A_MESSAGE);
        let mut all = HashSet::new();
        for message in &messages {
            assert!(message.len() < 8000, "{}", message.len());
            assert_eq!(heard(7, message), None);
            let Some(Heard::Connections(ids)) = heard(8, message) else { panic!("{message}") };
            all.extend(ids);
        }
        assert_eq!(all, untold.connections);
        untold.add([ConnectionId(5), ConnectionId(i64::MAX)]);
        assert_eq!(untold.messages(7), ["7:*"]);
    }

    #[test]
    fn what_cannot_be_read_means_to_look() {
        for message in ["7:*", "7:", "", "7", "x:1,y", "7:1,"] {
            assert_eq!(heard(8, message), Some(Heard::LookYourself), "{message}");
        }
        assert_eq!(heard(8, "7:1,2"), Some(Heard::Connections(vec![ConnectionId(1), ConnectionId(2)])));
    }
}
