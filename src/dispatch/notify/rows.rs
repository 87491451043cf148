//! The rows that a notification carries: left by the poll that found them, or fetched.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Lane, Work};
use crate::{
    clock::Timestamp,
    connection::Link,
    destination::cloud_elements::{Callback, Watched},
    elements::rows::take_apart,
    http::{CallError, Failure},
    inbox::{Claim, Outcome},
    object::{ObjectId, Snapshot},
    retry::FetchBlame,
    source::{CallPermit, plan::Call},
};

/// The result of looking for an object's row.
#[derive(Debug)]
pub(super) enum Fetched {
    /// The row, and when its call began.
    Row(Bytes, Timestamp),
    /// The store does not know the object.
    Missing(CallError),
    /// It cannot be asked for by its id.
    Unseen,
    /// It was not fetched; its claim is released.
    Later,
    /// The claim ends with this outcome.
    Ended(Outcome),
}

impl Lane {
    /// The rows of a batch, by object. Missing objects were not looked for.
    pub(super) async fn rows(&self, link: &Link, callback: &Callback, work: &mut Work) -> HashMap<ObjectId, Fetched> {
        let mut found = HashMap::new();
        let calls = std::mem::take(&mut work.calls);
        let Some(watched) = callback.watched(&work.resource) else { return found };
        let called: HashSet<ObjectId> = calls.iter().flat_map(|(call, _)| call.ids()).cloned().collect();
        for claim in &work.claims {
            // For a retry, and for what a person has asked for, the rows are fetched afresh.
            let is_fresh = work.retried.is_none() && !claim.force && callback.takes_polled_rows();
            let polled = self.shared.rows.take(&claim.key).filter(|_| is_fresh || !watched.is_addressable());
            let fetched = match polled {
                _ if called.contains(&claim.key.id) => continue,
                Some(polled) => Fetched::Row(polled.row, polled.read_at),
                None if watched.is_addressable() => Fetched::Later,
                None => Fetched::Unseen,
            };
            found.insert(claim.key.id.clone(), fetched);
        }
        let claims: HashMap<&ObjectId, &Claim> = work.claims.iter().map(|claim| (&claim.key.id, claim)).collect();
        let calls = calls.into_iter().map(|(call, permit)| self.call(link, watched, &claims, call, permit));
        for rows in join_all(calls).await {
            found.extend(rows);
        }
        found
    }

    async fn call(
        &self,
        link: &Link,
        watched: &Watched,
        claims: &HashMap<&ObjectId, &Claim>,
        call: Call,
        permit: Option<CallPermit>,
    ) -> Vec<(ObjectId, Fetched)> {
        let permit = match permit {
            Some(permit) => permit,
            None => match tokio::time::timeout(self.shared.settings.fetch_timeout, link.source.take_in_slot()).await {
                Ok(permit) => permit,
                Err(_) => return call.ids().iter().map(|id| (id.clone(), Fetched::Later)).collect(),
            },
        };
        let fetched_at = Timestamp::now();
        match &call {
            Call::Single(id) => {
                let row = self.single(link, watched, permit, id).await;
                let fetched = match (row, claims.get(id)) {
                    (Ok(row), _) => {
                        self.store_answered().await;
                        self.hints().fetched(row.len());
                        Fetched::Row(row, fetched_at)
                    }
                    (Err(error), Some(claim)) => match link.source.blame(error.failure) {
                        FetchBlame::Missing => {
                            self.store_answered().await;
                            Fetched::Missing(error)
                        }
                        _ => Fetched::Ended(self.fetch_failed(claim, error).await),
                    },
                    (Err(_), None) => Fetched::Later,
                };
                vec![(id.clone(), fetched)]
            }
            Call::List(ids) => match link.source.orders(permit, ids).await {
                Ok(rows) => self.listed(ids, rows, fetched_at).await,
                Err(error) => self.unlisted(claims, ids, error),
            },
        }
    }

    /// Fetches one row by its id.
    async fn single(
        &self,
        link: &Link,
        watched: &Watched,
        permit: CallPermit,
        id: &ObjectId,
    ) -> Result<Bytes, CallError> {
        if watched.is_orders() {
            return link.source.order(permit, id).await.map(|snapshot| snapshot.body);
        }
        let answer = link.source.read(permit, &watched.list.of_one(id)).await?;
        let page = take_apart(&answer.body, watched.list.api.is_enveloped()).map_err(|_| Failure::NotJson)?;
        let row = page.rows.into_iter().next().ok_or(Failure::Status(404))?;
        match watched.poller.read(&row) {
            Ok(facts) if facts.id == *id => Ok(row),
            Ok(_) => Err(Failure::AnotherObject.into()),
            Err(_) => Err(Failure::NotJson.into()),
        }
    }

    async fn listed(&self, ids: &[ObjectId], rows: Vec<Snapshot>, fetched_at: Timestamp) -> Vec<(ObjectId, Fetched)> {
        self.store_answered().await;
        self.learn_from_list(&rows, ids);
        let mut rows: HashMap<ObjectId, Snapshot> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        let fetched = |id: &ObjectId| match rows.remove(id) {
            Some(snapshot) => (id.clone(), Fetched::Row(snapshot.body, fetched_at)),
            None => (id.clone(), Fetched::Later),
        };
        ids.iter().map(fetched).collect()
    }

    fn unlisted(
        &self,
        claims: &HashMap<&ObjectId, &Claim>,
        ids: &[ObjectId],
        error: CallError,
    ) -> Vec<(ObjectId, Fetched)> {
        self.blame_list(ids, error);
        let blame = self.link().map(|(link, _)| link.source.blame(error.failure));
        let is_down = matches!(blame, Some(FetchBlame::Store | FetchBlame::Credentials));
        let fetched = |id: &ObjectId| match claims.get(id).filter(|_| is_down) {
            Some(claim) => (id.clone(), Fetched::Ended(self.outage(crate::inbox::Side::Store, Some(claim), error))),
            None => (id.clone(), Fetched::Later),
        };
        ids.iter().map(fetched).collect()
    }
}
