//! Polls one resource of a Cloud Elements instance: reads its list for changes since the last poll, and hands on what
//! the callback does not know yet. `elements` decides what a row means, and how to page.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{poll::PollError, turn::Turn};
use crate::{
    clock::Timestamp,
    connection::{Connection, Link},
    elements::{
        change::{Decision, PollWindow, Poller, RowFacts},
        paging::{Cursor, Step},
        rows::take_apart,
    },
    http::{CallError, Failure},
    inbox::{ConnectionState, Feed, Inbox, InboxError, Known, ObjectState, Wanted},
    object::{Digest, ObjectId, ObjectKey, ResourceName},
    polled::PolledRows,
    resource::StoreRequest,
    source::plan::PageSize,
};

/// A poll's progress is stored at least this often, even if it finds nothing: it limits what is read again after a
/// restart.
const KEEP_AT_LEAST: Duration = Duration::from_secs(300);
/// One poll in this many logs its unreadable rows.
const MENTIONED: u32 = 100;

/// The result of a poll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResourcePolled {
    /// How many calls were made.
    pub calls: u32,
    /// How many objects were handed on.
    pub news: usize,
    /// How many rows have no usable id, or a date that cannot be read.
    pub unreadable: usize,
}

/// What all polls use.
#[derive(Clone)]
pub struct PollTools {
    /// The inbox that objects are handed on to.
    pub inbox: Arc<dyn Inbox>,
    /// The rows that wait to be notified.
    pub rows: Arc<PolledRows>,
    /// How long the inbox keeps settled objects.
    pub retention: Duration,
}

/// A resource, and what is remembered between its polls.
pub struct ResourcePoll {
    poller: Poller,
    /// How far the list has been read; `None` until the stored feed is loaded.
    feed: Option<Feed>,
    /// When the last complete poll began, by the store's clock; may be newer than the stored feed.
    last_poll: Option<Timestamp>,
    /// The states that have been handed on for rows of the last poll.
    handed: HashMap<ObjectId, Digest>,
    size: PageSize,
    polls: u32,
    turn: Arc<Turn>,
}

/// A row to be reported or remembered.
struct News {
    facts: RowFacts,
    digest: Digest,
}

/// What one reading of a list goes by.
struct Reading<'a> {
    connection: &'a Connection,
    link: &'a Link,
    tools: &'a PollTools,
    window: PollWindow,
}

/// The rows of one page, sorted by what to do with them.
#[derive(Default)]
struct Sorted {
    ids: Vec<ObjectId>,
    tell: Vec<News>,
    remember: Vec<(ObjectId, Digest)>,
    /// The rows of `tell`, to be notified.
    rows: HashMap<ObjectId, bytes::Bytes>,
    unreadable: usize,
}

impl ResourcePoll {
    /// Prepares the polls of one resource, which take turns with others. Makes no call.
    pub fn new(poller: Poller, turn: Arc<Turn>) -> Self {
        let most = poller.request(Timestamp::from_millis(0)).map_or(1, |request| request.api.max_page_size());
        let rows = poller.resource().page_size.unwrap_or(most).min(most);
        let size = PageSize::new(rows);
        Self { poller, feed: None, last_poll: None, handed: HashMap::new(), size, polls: 0, turn }
    }

    /// The resource's name.
    pub fn name(&self) -> &ResourceName {
        &self.poller.resource().name
    }

    /// Polls once, and stores the result.
    ///
    /// # Errors
    /// [`PollError`]; what was handed on stays, and the next poll begins where this one did.
    pub async fn once(&mut self, connection: &Connection, tools: &PollTools) -> Result<ResourcePolled, PollError> {
        let Some(link) = &connection.link else { return Ok(ResourcePolled::default()) };
        let feed = match &self.feed {
            Some(feed) => feed.clone(),
            None => self.load(connection, tools).await?,
        };
        let (began, moment) = (Timestamp::now(), Instant::now());
        let polled = self.read_list(connection, link, tools, began).await;
        let mut kept = feed.clone();
        match &polled {
            Ok(polled) => {
                // Converted last: this machine's clock may be wrong, and may have been set meanwhile.
                let began_there = link.source.stores_time(Timestamp::now()).before(moment.elapsed());
                self.last_poll = Some(began_there);
                let is_old = kept.watermark.is_none_or(|kept| kept.distance(began_there) >= KEEP_AT_LEAST);
                if is_old || polled.news > 0 || kept.trouble.is_some() {
                    (kept.watermark, kept.polled_at, kept.trouble) = (Some(began_there), Some(began), None);
                }
            }
            Err(error) => {
                if let Some(failure) = error.failure() {
                    kept.trouble = Some((kept.trouble.map_or(began, |(since, _)| since), failure));
                }
            }
        }
        kept.page_size = self.size.to_keep();
        if kept != feed {
            tools.inbox.save_feed(connection.id, kept.clone()).await?;
        }
        self.feed = Some(kept);
        self.polls = self.polls.wrapping_add(1);
        polled
    }

    async fn load(&mut self, connection: &Connection, tools: &PollTools) -> Result<Feed, InboxError> {
        let kept = tools.inbox.feed(connection.id, self.name().as_str()).await?;
        let feed = kept.unwrap_or_else(|| Feed::new(self.name().as_str()));
        self.last_poll = feed.watermark;
        self.size = PageSize::kept(self.size.rows(), feed.page_size);
        Ok(feed)
    }

    /// Reads the whole list, page by page, with smaller pages if the store or the relay cannot handle large ones.
    async fn read_list(
        &mut self,
        connection: &Connection,
        link: &Link,
        tools: &PollTools,
        began: Timestamp,
    ) -> Result<ResourcePolled, PollError> {
        let mut polled = ResourcePolled::default();
        loop {
            match self.read_pages(connection, link, tools, began, &mut polled).await {
                Err(PollError::Call(error)) if may_be_too_much(error.failure) && self.size.narrow() => {}
                Ok(()) => {
                    self.size.answered();
                    return Ok(polled);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn read_pages(
        &mut self,
        connection: &Connection,
        link: &Link,
        tools: &PollTools,
        began: Timestamp,
        polled: &mut ResourcePolled,
    ) -> Result<(), PollError> {
        let window = PollWindow { begins_at: connection.begins_at, last_poll: self.last_poll, began };
        let request = self.request(&skewed(window, link))?;
        let mut listed: HashMap<ObjectId, Digest> = HashMap::new();
        let reading = Reading { connection, link, tools, window };
        self.read_request(&reading, &request, &mut listed, polled).await?;
        if let Some(trash) = request.of_trash() {
            match self.read_request(&reading, &trash, &mut listed, polled).await {
                // A shop that does not know this status, or does not show what has it, has no trash for us.
                Err(PollError::Call(error)) if is_refusal(error.failure) => {}
                read => read?,
            }
        }
        self.handed = listed;
        Ok(())
    }

    async fn read_request(
        &self,
        reading: &Reading<'_>,
        request: &StoreRequest,
        listed: &mut HashMap<ObjectId, Digest>,
        polled: &mut ResourcePolled,
    ) -> Result<(), PollError> {
        let Reading { connection, link, tools, window } = *reading;
        let has_id = self.poller.resource().id_field == "id";
        let mut cursor = Cursor::new(request, Some(self.size.rows()), has_id);
        loop {
            polled.calls += 1;
            let permit = self.turn.take(&link.source).await;
            let read_at = Timestamp::now();
            let answer = link.source.read(permit, &cursor.page_of(request)).await?;
            let page =
                take_apart(&answer.body, request.api.is_enveloped()).map_err(|_| CallError::from(Failure::NotJson))?;
            // The first answer shows the store's clock.
            let sorted = self.sort(&page.rows, &skewed(window, link));
            polled.unreadable += sorted.unreadable;
            let ids = self.hand_on(connection, tools, sorted, read_at, listed, polled).await?;
            if cursor.advance(&ids, answer.total.or(page.total)) == Step::Done || !page.is_list {
                return Ok(());
            }
        }
    }

    fn request(&self, window: &PollWindow) -> Result<StoreRequest, PollError> {
        // The resource was checked when the instance was made; one that can no longer be asked for is reported as the
        // store's refusal.
        let request = self.poller.request(self.poller.asks_since(window));
        request.map_err(|error| CallError::from(Failure::Status(error.status)).into())
    }

    fn sort(&self, rows: &[bytes::Bytes], window: &PollWindow) -> Sorted {
        let mut sorted = Sorted::default();
        for row in rows {
            let Ok(facts) = self.poller.read(row) else {
                sorted.unreadable += 1;
                continue;
            };
            sorted.unreadable += usize::from(facts.has_unreadable_date);
            sorted.ids.push(facts.id.clone());
            match self.poller.decide(&facts, window) {
                Decision::TooOld | Decision::Later => {}
                Decision::Remember => sorted.remember.push((facts.id, Digest::of(row))),
                Decision::Tell => {
                    sorted.rows.insert(facts.id.clone(), row.clone());
                    sorted.tell.push(News { digest: Digest::of(row), facts });
                }
            }
        }
        if sorted.unreadable > 0 && self.polls.is_multiple_of(MENTIONED) {
            tracing::warn!(
                resource = %self.name(), rows = sorted.unreadable,
                "polled: rows without a usable id, or with dates in another format than the configuration says"
            );
        }
        sorted
    }

    /// Hands on what the callback does not know yet. Returns the ids of the page.
    async fn hand_on(
        &self,
        connection: &Connection,
        tools: &PollTools,
        sorted: Sorted,
        read_at: Timestamp,
        listed: &mut HashMap<ObjectId, Digest>,
        polled: &mut ResourcePolled,
    ) -> Result<Vec<ObjectId>, PollError> {
        let Sorted { ids, tell, mut remember, mut rows, .. } = sorted;
        let fresh = self.fresh(connection, tools, tell, listed, &mut remember).await?;
        if !remember.is_empty() {
            tools.inbox.remember(connection.id, self.name().clone(), remember, read_at).await?;
        }
        if fresh.is_empty() {
            return Ok(ids);
        }
        let is_told = connection.state == ConnectionState::Active;
        let mut wanted = Vec::with_capacity(fresh.len());
        for News { facts, digest } in fresh {
            listed.insert(facts.id.clone(), digest);
            if let Some(row) = rows.remove(&facts.id).filter(|_| is_told) {
                let key = ObjectKey { connection: connection.id, resource: self.name().clone(), id: facts.id.clone() };
                tools.rows.put(key, &row, read_at);
            }
            wanted.push(Wanted { id: facts.id, change: facts.change });
        }
        polled.news += wanted.len();
        tools.inbox.want(connection.id, self.name().clone(), wanted, false, Timestamp::now()).await?;
        Ok(ids)
    }

    /// The states of a page that have neither been handed on nor been reported last. A state that keeps coming back
    /// is remembered again before its row is removed.
    async fn fresh(
        &self,
        connection: &Connection,
        tools: &PollTools,
        tell: Vec<News>,
        listed: &mut HashMap<ObjectId, Digest>,
        remember: &mut Vec<(ObjectId, Digest)>,
    ) -> Result<Vec<News>, InboxError> {
        let was_handed = |listed: &HashMap<ObjectId, Digest>, news: &News| {
            let known = listed.get(&news.facts.id).or_else(|| self.handed.get(&news.facts.id));
            known == Some(&news.digest)
        };
        let unknown: Vec<ObjectId> =
            tell.iter().filter(|news| !was_handed(listed, news)).map(|news| news.facts.id.clone()).collect();
        // Rows without dates, or whose dates are not used, are in every list.
        let lasts =
            tell.iter().any(|news| news.facts.changed_at().is_none()) || !self.poller.resource().filters_by_updated;
        let asked = if lasts { tell.iter().map(|news| news.facts.id.clone()).collect() } else { unknown };
        let known: HashMap<ObjectId, Known> = match asked.is_empty() {
            true => HashMap::new(),
            false => {
                let known = tools.inbox.known(connection.id, self.name().clone(), asked).await?;
                known.into_iter().map(|known| (known.id.clone(), known)).collect()
            }
        };
        let fades = Timestamp::now().before(tools.retention / 2);
        let mut fresh = Vec::new();
        for news in tell {
            let before = known.get(&news.facts.id);
            let is_settled = before.is_some_and(|known| known.state != ObjectState::Pending);
            let is_told = is_settled && before.is_some_and(|known| known.digest == Some(news.digest));
            if is_told || was_handed(listed, &news) {
                if is_told && before.and_then(|known| known.settled_at).is_some_and(|at| at < fades) {
                    remember.push((news.facts.id.clone(), news.digest));
                }
                listed.insert(news.facts.id, news.digest);
            } else {
                fresh.push(news);
            }
        }
        Ok(fresh)
    }
}

/// Whether a request was answered, and will be answered in this way again.
fn is_refusal(failure: Failure) -> bool {
    matches!(failure, Failure::Status(400..=428 | 430..=499))
}

/// Whether smaller pages may succeed.
fn may_be_too_much(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::TooLarge | Failure::Timeout | Failure::Broken | Failure::Status(500..=599) | Failure::Html(500..=599)
    )
}

/// The window converted to the store's clock, if that is known to differ.
fn skewed(window: PollWindow, link: &Link) -> PollWindow {
    let shifted = |at: Timestamp| link.source.stores_time(at);
    let began = shifted(window.began);
    // This is by the store's clock already, and cannot lie in the future.
    let last_poll = window.last_poll.map(|last| last.min(began));
    // The clock may have been wrong when the instance was made: it cannot be newer than its polls.
    let begins_at = shifted(window.begins_at);
    PollWindow { begins_at: last_poll.map_or(begins_at, |last| last.min(begins_at)), last_poll, began }
}
