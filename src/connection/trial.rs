//! Tries whether a store takes a connection's credentials for every list that the connection will read.

use futures_util::future::join_all;

use super::Link;
use crate::{
    clock::Timestamp,
    destination::{Destination, cloud_elements::Callback},
    elements::{
        change::Poller,
        paging::Cursor,
        rows::{RowPage, take_apart},
    },
    http::{CallError, Failure},
    object::ResourceName,
};

impl Link {
    /// Asks the store for one row of every list that will be read: orders, or whatever an instance polls.
    ///
    /// # Errors
    /// The failure of a call, refused credentials first. A list that the store does not have says nothing about the
    /// credentials; if it has none of the lists, orders are asked for instead.
    pub async fn can_read(&self) -> Result<(), CallError> {
        let resources: Vec<&Poller> = match &self.destination {
            Some(Destination::CloudElements(callback)) => self.polled(callback),
            _ => Vec::new(),
        };
        if resources.iter().all(|poller| poller.resource().name == ResourceName::orders()) {
            return self.source.can_read().await;
        }
        let answers = join_all(resources.into_iter().map(|poller| self.can_read_list(poller))).await;
        let is_answered = answers.iter().any(Result::is_ok);
        let is_of_credentials = |error: &CallError| matches!(error.failure, Failure::Status(401 | 403));
        let mut failed: Vec<CallError> = answers.into_iter().filter_map(Result::err).collect();
        failed.retain(|error| !matches!(error.failure, Failure::Status(404 | 410)));
        failed.sort_by_key(|error| !is_of_credentials(error));
        match failed.into_iter().next() {
            Some(error) => Err(error),
            None if is_answered => Ok(()),
            None => self.source.can_read().await,
        }
    }

    fn polled<'a>(&self, callback: &'a Callback) -> Vec<&'a Poller> {
        let has_events = self.spec.instance.as_ref().is_none_or(|instance| instance.has_events);
        if has_events { callback.pollers().collect() } else { Vec::new() }
    }

    async fn can_read_list(&self, poller: &Poller) -> Result<(), CallError> {
        let request =
            poller.request(Timestamp::now()).map_err(|error| CallError::from(Failure::Status(error.status)))?;
        let page = Cursor::new(&request, Some(1), false).page_of(&request);
        let permit = self.source.take_urgent().await?;
        let answer = self.source.read(permit, &page).await?;
        let read: Result<RowPage, _> = take_apart(&answer.body, request.api.is_enveloped());
        read.map(drop).map_err(|_| Failure::NotJson.into())
    }
}
