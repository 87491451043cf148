//! Requests for shops' keys, in PostgreSQL. Times are the server's.

use async_trait::async_trait;
use sqlx::{Row, postgres::PgRow};

use super::{
    PostgresInbox,
    session::{execute, in_time},
};
use crate::{
    clock::Timestamp,
    inbox::{InboxError, KeyRequest, KeyRequestState, KeyRequests, MOST_KEY_REQUESTS},
    spec::keyring::Sealed,
};

impl PostgresInbox {
    fn servers(&self, at: Timestamp) -> i64 {
        self.shared.clock.inward(at).millis()
    }
}

#[async_trait]
impl KeyRequests for PostgresInbox {
    async fn begin_key_request(&self, request: KeyRequest, now: Timestamp) -> Result<(), InboxError> {
        self.drop_key_requests(now).await?;
        let until = self.servers(request.until);
        let insert = "INSERT INTO key_requests (id, key_id, sealed, until) VALUES ($1, $2, $3, $4)";
        let make_room = "DELETE FROM key_requests WHERE id IN
                             (SELECT id FROM key_requests ORDER BY until DESC OFFSET $1)";
        self.changes
            .run(move |db| {
                Box::pin(async move {
                    let KeyRequest { id, sealed, .. } = request;
                    let query = sqlx::query(insert).bind(id).bind(sealed.key_id).bind(sealed.bytes).bind(until);
                    execute(db, query).await?;
                    execute(db, sqlx::query(make_room).bind(i64::from(MOST_KEY_REQUESTS))).await.map(drop)
                })
            })
            .await
    }

    async fn try_key_request(
        &self,
        id: Vec<u8>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Sealed>, InboxError> {
        let (now, until) = (self.servers(now), self.servers(until));
        let sql = "UPDATE key_requests SET trying_until = $3
                   WHERE id = $1 AND until > $2 AND sealed IS NOT NULL
                         AND (trying_until IS NULL OR trying_until <= $2)
                   RETURNING key_id, sealed";
        self.changes
            .run(move |db| {
                Box::pin(async move {
                    let asked = sqlx::query(sql).bind(id).bind(now).bind(until).fetch_optional(db);
                    let row: Option<PgRow> = in_time::<_, sqlx::Error>(asked).await?;
                    let sealed =
                        |row: PgRow| Ok::<_, InboxError>(Sealed { key_id: row.try_get(0)?, bytes: row.try_get(1)? });
                    row.map(sealed).transpose()
                })
            })
            .await
    }

    async fn end_key_request(&self, id: Vec<u8>, failure: Option<String>) -> Result<(), InboxError> {
        let sql = "UPDATE key_requests SET trying_until = NULL, failure = $2,
                       key_id = CASE WHEN $2 IS NULL THEN NULL ELSE key_id END,
                       sealed = CASE WHEN $2 IS NULL THEN NULL ELSE sealed END
                   WHERE id = $1";
        let failure = failure.map(|failure| failure.replace('\0', ""));
        self.changes
            .run(move |db| {
                Box::pin(async move { execute(db, sqlx::query(sql).bind(id).bind(failure)).await.map(drop) })
            })
            .await
    }

    async fn key_request(&self, id: Vec<u8>, now: Timestamp) -> Result<Option<KeyRequestState>, InboxError> {
        let sql = "SELECT sealed IS NULL, coalesce(trying_until > $2, false), failure FROM key_requests
                   WHERE id = $1 AND until > $2";
        let row = sqlx::query(sql).bind(id).bind(self.servers(now)).fetch_optional(&self.readers).await?;
        let state =
            |row: PgRow| Ok::<_, InboxError>(KeyRequestState::of(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        row.map(state).transpose()
    }

    async fn drop_key_requests(&self, now: Timestamp) -> Result<u64, InboxError> {
        let now = self.servers(now);
        let sql = "DELETE FROM key_requests WHERE until <= $1";
        self.changes.run(move |db| Box::pin(async move { execute(db, sqlx::query(sql).bind(now)).await })).await
    }
}
