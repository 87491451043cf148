//! Requests for shops' keys, in SQLite.

use async_trait::async_trait;
use rusqlite::OptionalExtension;

use super::{SqliteInbox, transaction::Transaction};
use crate::{
    clock::Timestamp,
    inbox::{InboxError, KeyRequest, KeyRequestState, KeyRequests, MOST_KEY_REQUESTS},
    spec::keyring::Sealed,
};

fn drop_old(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<u64> {
    let gone = transaction.prepare("DELETE FROM key_requests WHERE until <= ?1")?.execute([now.millis()])?;
    Ok(gone as u64)
}

fn begin(transaction: &Transaction<'_>, request: &KeyRequest, now: Timestamp) -> rusqlite::Result<()> {
    drop_old(transaction, now)?;
    let sql = "INSERT INTO key_requests (id, key_id, sealed, until) VALUES (?1, ?2, ?3, ?4)";
    let KeyRequest { id, sealed, until } = request;
    transaction.prepare(sql)?.execute((id, sealed.key_id, &sealed.bytes, until.millis()))?;
    let sql = "DELETE FROM key_requests WHERE id IN
                   (SELECT id FROM key_requests ORDER BY until DESC LIMIT -1 OFFSET ?1)";
    transaction.prepare(sql)?.execute([MOST_KEY_REQUESTS]).map(drop)
}

#[async_trait]
impl KeyRequests for SqliteInbox {
    async fn begin_key_request(&self, request: KeyRequest, now: Timestamp) -> Result<(), InboxError> {
        self.writer.change(move |transaction| begin(transaction, &request, now)).await
    }

    async fn try_key_request(
        &self,
        id: Vec<u8>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Sealed>, InboxError> {
        let sql = "UPDATE key_requests SET trying_until = ?3
                   WHERE id = ?1 AND until > ?2 AND sealed IS NOT NULL
                         AND (trying_until IS NULL OR trying_until <= ?2)
                   RETURNING key_id, sealed";
        let change = move |transaction: &mut Transaction<'_>| {
            let sealed = |row: &rusqlite::Row<'_>| Ok(Sealed { key_id: row.get(0)?, bytes: row.get(1)? });
            transaction.prepare(sql)?.query_row((&id, now.millis(), until.millis()), sealed).optional()
        };
        self.writer.change(change).await
    }

    async fn end_key_request(&self, id: Vec<u8>, failure: Option<String>) -> Result<(), InboxError> {
        let sql = match failure {
            None => {
                "UPDATE key_requests SET trying_until = NULL, failure = ?2, key_id = NULL, sealed = NULL WHERE id = ?1"
            }
            Some(_) => "UPDATE key_requests SET trying_until = NULL, failure = ?2 WHERE id = ?1",
        };
        self.writer.change(move |transaction| transaction.prepare(sql)?.execute((&id, &failure)).map(drop)).await
    }

    async fn key_request(&self, id: Vec<u8>, now: Timestamp) -> Result<Option<KeyRequestState>, InboxError> {
        let sql = "SELECT sealed IS NULL, coalesce(trying_until > ?2, 0), failure FROM key_requests
                   WHERE id = ?1 AND until > ?2";
        let read = move |db: &rusqlite::Connection| {
            let state = |row: &rusqlite::Row<'_>| {
                let (is_made, is_tried, failure) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(KeyRequestState::of(is_made, is_tried, failure))
            };
            db.prepare_cached(sql)?.query_row((&id, now.millis()), state).optional()
        };
        self.readers.read(read).await
    }

    async fn drop_key_requests(&self, now: Timestamp) -> Result<u64, InboxError> {
        self.writer.change(move |transaction| drop_old(transaction, now)).await
    }
}
