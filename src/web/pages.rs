//! The pages for browsers, filled with what is known.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::{
    Relay, query,
    status::{
        self, Activity, Audience, Frame, ListPage, ListQuery, ListRow, Operator, RECENT_ROWS, Search, SearchResult,
        StatusPage,
    },
    unavailable,
};
use crate::{
    checker::Examined,
    clock::Timestamp,
    connection::Connection,
    inbox::{Hour, ObjectQuery, ObjectRow},
    object::ObjectId,
};

/// Time limit for reading from the database for a page.
const READ_TIME: Duration = Duration::from_secs(3);
/// The hours that the chart can show.
const HOURS: u64 = 48;
/// If the newest rows include everything within this time, single orders can be drawn.
const RECENTLY: Duration = Duration::from_secs(4 * 3600);

/// A page with one message.
pub(super) fn sentence(status: StatusCode, title: &str, what: &str) -> HttpResponse {
    status::respond(status, &status::message(title, &[what], None), Frame::None)
}

/// The page for a browser without the right password.
pub(super) fn password_needed(status: StatusCode) -> HttpResponse {
    status::respond(status, &status::password_needed(), Frame::None)
}

/// Answers a form without a redirect: the browser continues by itself at once, or by the link.
pub(super) fn led_back(status: StatusCode, location: &str) -> HttpResponse {
    let texts = status::ENGLISH;
    let page = status::message(texts.done, &[texts.done_what], Some((location, texts.done_back)));
    let mut response = status::respond(status, &page, Frame::None);
    if let Ok(refresh) = header::HeaderValue::try_from(format!("0; url={location}")) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

/// What a program is told as JSON, for a person: with a way on.
pub(super) fn refused(request: &HttpRequest, status: StatusCode, error: &str) -> HttpResponse {
    let (texts, path) = (&status::ENGLISH, request.path());
    let root = "../".repeat(path.matches('/').count().saturating_sub(1));
    let onward = match path {
        path if path.ends_with("/integration/update") => ("../integration".to_owned(), texts.to_status),
        path if path.starts_with("/connections/") => (format!("{root}connections"), texts.all_connections),
        _ => (format!("{root}integration"), texts.to_status),
    };
    let mut said: String = error.chars().take(1).flat_map(char::to_uppercase).chain(error.chars().skip(1)).collect();
    said.push('.');
    let (title, sentences) = match status {
        StatusCode::NOT_FOUND => (texts.no_page, vec![said.as_str(), texts.no_page_why]),
        StatusCode::METHOD_NOT_ALLOWED => (texts.no_page, vec![texts.no_page_button]),
        _ => (texts.not_possible, vec![said.as_str()]),
    };
    status::respond(status, &status::message(title, &sentences, Some((&onward.0, onward.1))), Frame::None)
}

/// The query parameters of a page.
#[derive(Default, Deserialize)]
pub(super) struct PageQuery {
    notice: Option<String>,
    order: Option<String>,
}

/// What a status page shows from the database beyond the facts.
#[derive(Default)]
pub(super) struct Rows {
    recent: Option<Vec<ObjectRow>>,
    waiting: Vec<ObjectRow>,
    deliveries: Option<Vec<Timestamp>>,
    hours: Vec<Hour>,
    search: Option<Search>,
}

impl Rows {
    /// Reads it; anything that cannot be read now is left out.
    pub async fn read(relay: &Relay, connection: &Connection, typed: Option<String>) -> Self {
        match tokio::time::timeout(READ_TIME, Self::all(relay, connection, typed)).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => {
                tracing::warn!(connection = %connection.id, %error, "the status page cannot be filled: {error}");
                Self::default()
            }
            Err(_) => {
                tracing::warn!(connection = %connection.id, "the status page cannot be filled: the database does not answer");
                Self::default()
            }
        }
    }

    async fn all(
        relay: &Relay,
        connection: &Connection,
        typed: Option<String>,
    ) -> Result<Self, crate::inbox::InboxError> {
        let (inbox, now) = (&relay.services.inbox, Timestamp::now());
        let query = ObjectQuery { limit: RECENT_ROWS, ..ObjectQuery::default() };
        let recent = inbox.objects(connection.id, query).await?;
        // Those that wait need not be among the highest numbers.
        let waiting = inbox.objects(connection.id, ObjectQuery::waiting(RECENT_ROWS)).await?;
        let hours = inbox.history(connection.id, now.before(Duration::from_secs(HOURS * 3600))).await?;
        let oldest = recent.iter().map(|row| row.last_event_at).min();
        let is_whole = recent.len() < RECENT_ROWS as usize || oldest.is_some_and(|oldest| now.since(oldest) > RECENTLY);
        let deliveries = is_whole.then(|| recent.iter().filter_map(|row| row.delivered_at).collect());
        let search = match typed {
            None => None,
            Some(typed) => Some(Search { result: look_for(relay, connection, &typed).await?, typed }),
        };
        Ok(Self { recent: Some(recent), waiting, deliveries, hours, search })
    }
}

async fn look_for(
    relay: &Relay,
    connection: &Connection,
    typed: &str,
) -> Result<SearchResult, crate::inbox::InboxError> {
    // People also type `#218` and `Order 218`.
    let is_between = |c: char| c.is_whitespace() || matches!(c, '#' | '.' | ':');
    let plain = typed.trim_end().rsplit(is_between).next().unwrap_or_default();
    let Some(id) = plain.parse::<ObjectId>().ok().filter(|id| id.number().is_some()) else {
        return Ok(SearchResult::NotANumber);
    };
    let query = ObjectQuery { id: Some(id), limit: 1, ..ObjectQuery::default() };
    let found = relay.services.inbox.objects(connection.id, query).await?.into_iter().next();
    Ok(found.map_or(SearchResult::Unknown, |row| SearchResult::Found(Box::new(row))))
}

/// How long a page waits for its checks.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// Runs a connection's checks again if they are old, since somebody reads their results, and waits a moment for them.
/// Otherwise their results are shown when the page renews itself.
pub(super) async fn checks_renewed(relay: &Relay, connection: &Connection) {
    if let Some(renewed) = renew_checks(relay, connection) {
        drop(tokio::time::timeout(CHECK_TIME, renewed).await);
    }
}

/// The same without waiting. Returns what ends with the checks.
pub(super) fn renew_checks(relay: &Relay, connection: &Connection) -> Option<oneshot::Receiver<()>> {
    let current = relay.services.catalog.get(connection.id)?;
    if !relay.checker.takes_up_check(&current) {
        return None;
    }
    let (checker, services) = (relay.checker.clone(), relay.services.clone());
    let (done, is_done) = oneshot::channel();
    relay.jobs.spawn(async move {
        checker.check(&services, &current).await;
        // Perhaps nobody waits for it.
        let _ = done.send(());
    });
    Some(is_done)
}

/// The status page of a connection as it is now, for this audience.
pub(super) async fn status_page(
    relay: &Relay,
    connection: &Connection,
    examined: Examined,
    typed: Option<String>,
    notice: Option<&str>,
    audience: Audience<'_>,
) -> maud::Markup {
    let Examined { mut facts, judgment } = examined;
    let rows = Rows::read(relay, connection, typed.filter(|typed| !typed.trim().is_empty())).await;
    if let (Some(orders), Some(recent)) = (&mut facts.orders, rows.recent) {
        orders.take_recent(recent, RECENT_ROWS as usize);
        orders.waiting = rows.waiting;
    }
    StatusPage {
        facts: &facts,
        judgment: &judgment,
        activity: Activity { hours: &rows.hours, deliveries: rows.deliveries.as_deref() },
        notice,
        search: rows.search.as_ref(),
        audience,
        texts: &status::ENGLISH,
    }
    .render()
}

/// The operator's view of a connection.
pub(super) async fn operators(
    relay: &Relay,
    connection: &Connection,
    request: &HttpRequest,
    examined: Examined,
    operator: Operator<'_>,
    notice: Option<String>,
) -> maud::Markup {
    let asked: PageQuery = query(request).unwrap_or_default();
    let told = asked.notice.and_then(|key| relay.notices.take(&key)).map(|notice| notice.sentence());
    let notice = notice.or(told);
    status_page(relay, connection, examined, asked.order, notice.as_deref(), Audience::Operator(operator)).await
}

#[derive(Default, Deserialize)]
struct ConnectionsQuery {
    q: Option<String>,
    state: Option<String>,
    page: Option<String>,
    notice: Option<String>,
}

/// The operator's list.
pub(super) async fn connections(relay: &Relay, request: &HttpRequest) -> HttpResponse {
    let asked: ConnectionsQuery = query(request).unwrap_or_default();
    let summaries = match relay.services.inbox.summaries().await {
        Ok(summaries) => summaries,
        Err(error) => return unavailable(&error),
    };
    let row = |connection: &Connection| {
        let summary = summaries.get(&connection.id).cloned().unwrap_or_default();
        ListRow {
            id: connection.id,
            name: connection.name.clone(),
            store: connection.store.clone(),
            source: connection.source_kind,
            destination: connection.destination_host.clone(),
            state: connection.state,
            waiting: summary.waiting,
            failed: summary.failed,
            last_delivered_at: summary.last_delivered_at,
            trouble: relay.checker.trouble(connection),
        }
    };
    let list_query = ListQuery {
        text: asked.q.unwrap_or_default(),
        state: asked.state.and_then(|state| state.parse().ok()),
        page: asked.page.and_then(|page| page.parse().ok()).unwrap_or(1),
    };
    let rows = relay.services.catalog.all().iter().map(|connection| row(connection)).collect();
    let notice = asked.notice.and_then(|key| relay.notices.take(&key)).map(|notice| notice.sentence());
    let settings = &relay.services.settings;
    let page = ListPage {
        list: &status::arrange(rows, &list_query),
        query: &list_query,
        now: Timestamp::now(),
        root: "./",
        notice: notice.as_deref(),
        cannot_add: settings.credentials_keys.is_empty().then_some(
            "No connection can be added yet: `CREDENTIALS_KEY` is not set, and credentials are only kept encrypted with it. Whoever runs the relay sets it and starts the relay again.",
        ),
        has_one_click: settings.public_url.is_some(),
    };
    status::respond(StatusCode::OK, &page.render(), Frame::ToShops)
}
