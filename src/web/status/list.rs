//! The operator's list of connections: trouble first, searched and paged, with forms to add one.

use maud::{Markup, html};

use super::{
    document::document,
    list_forms,
    parts::{self, icon, shown},
};
use crate::{
    clock::Timestamp,
    health::{Light, Severity, failed_title, state_title},
    humanize,
    inbox::ConnectionState,
    object::ConnectionId,
    spec::{DestinationKind, SourceKind},
};

/// Rows on one page of the list.
pub const PAGE_ROWS: usize = 50;

/// One connection in the list.
#[derive(Debug, Clone)]
pub struct ListRow {
    /// The connection's number.
    pub id: ConnectionId,
    /// The display name.
    pub name: String,
    /// The store's hash or address.
    pub store: String,
    /// The kind of store.
    pub source: SourceKind,
    /// Kind and host of the destination, if there is one.
    pub destination: Option<(DestinationKind, String)>,
    /// Whether its events are delivered, wait, or are dropped.
    pub state: ConnectionState,
    /// Objects that wait, are under way, or are to be tried again.
    pub waiting: u64,
    /// Objects that were refused for too long.
    pub failed: u64,
    /// When the last object was forwarded.
    pub last_delivered_at: Option<Timestamp>,
    /// Severity and title of the gravest condition that is known to hold, if any.
    pub trouble: Option<(Severity, String)>,
}

/// The parameters of the list: `?q=&state=&page=`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Part of a name, a store or a host, or a number; empty for all.
    pub text: String,
    /// Only connections in this state.
    pub state: Option<ConnectionState>,
    /// The page number, from 1; 0 counts as 1.
    pub page: usize,
}

/// One page of the list.
#[derive(Debug, Clone)]
pub struct Arranged {
    /// The rows of the page.
    pub rows: Vec<ListRow>,
    /// How many connections match.
    pub matching: usize,
    /// How many of those are in trouble.
    pub in_trouble: usize,
    /// How many connections there are.
    pub total: usize,
    /// The number of this page, from 1.
    pub page: usize,
    /// How many pages there are, at least one.
    pub pages: usize,
}

/// The connections that match, trouble first (the gravest first, then failed, then waiting), then by name.
pub fn arrange(mut rows: Vec<ListRow>, query: &ListQuery) -> Arranged {
    let total = rows.len();
    let text = query.text.trim().to_lowercase();
    rows.retain(|row| query.state.is_none_or(|state| row.state == state) && (text.is_empty() || row.matches(&text)));
    let in_trouble = rows.iter().filter(|row| row.rank() > 0).count();
    rows.sort_by_cached_key(|row| {
        let most_first = std::cmp::Reverse((row.rank(), row.failed));
        (most_first, row.name.to_lowercase(), row.id)
    });
    let matching = rows.len();
    let pages = matching.div_ceil(PAGE_ROWS).max(1);
    let page = query.page.clamp(1, pages);
    let rows = rows.into_iter().skip((page - 1) * PAGE_ROWS).take(PAGE_ROWS).collect();
    Arranged { rows, matching, in_trouble, total, page, pages }
}

impl ListRow {
    fn matches(&self, text: &str) -> bool {
        let host = self.destination.as_ref().map_or("", |(_, host)| host);
        self.id.to_string() == text
            || [&*self.name, &*self.store, host].iter().any(|part| part.to_lowercase().contains(text))
    }

    /// The rank in the list: 3 for what does not work, 2 for failed orders or a warning, 1 for what waits for a
    /// person, 0 for the rest.
    fn rank(&self) -> u8 {
        match (&self.trouble, self.state) {
            (_, ConnectionState::Disconnected) => 0,
            (Some((Severity::Error, _)), _) => 3,
            (Some((Severity::Warning, _)), _) => 2,
            _ if self.failed > 0 => 2,
            (_, ConnectionState::Incomplete) => 1,
            _ => 0,
        }
    }

    fn light(&self) -> (Option<Light>, String) {
        let title = || self.trouble.as_ref().map_or_else(|| failed_title(self.failed), |(_, title)| shown(title));
        let state = || state_title(self.state).to_owned();
        match (self.state, self.rank()) {
            (ConnectionState::Disconnected, _) => (None, state()),
            (_, 3) => (Some(Light::Red), title()),
            (_, 2) => (Some(Light::Amber), title()),
            (ConnectionState::Incomplete, _) => (Some(Light::Amber), state()),
            (ConnectionState::Paused, _) => (None, state()),
            (ConnectionState::Active, _) if self.last_delivered_at.is_some() => (Some(Light::Green), state()),
            // The line below says that no order has been forwarded yet.
            (ConnectionState::Active, _) => (None, String::new()),
        }
    }
}

/// The data of the whole page.
#[derive(Debug, Clone, Copy)]
pub struct ListPage<'a> {
    /// The rows of the page.
    pub list: &'a Arranged,
    /// The parameters of the request.
    pub query: &'a ListQuery,
    /// The current time.
    pub now: Timestamp,
    /// The path from the page's address to the relay's root.
    pub root: &'a str,
    /// What has just been done, in one sentence.
    pub notice: Option<&'a str>,
    /// Why no connection can be added, in a sentence (no `CREDENTIALS_KEY`); none when one can.
    pub cannot_add: Option<&'a str>,
    /// Whether shops can send their keys here: `PUBLIC_URL` is set.
    pub has_one_click: bool,
}

impl ListPage<'_> {
    /// Renders the page. To be answered with [`super::Frame::ToShops`], since one of its forms leads to a shop.
    pub fn render(&self) -> Markup {
        let live = (self.query.text.is_empty()).then(|| self.address(self.list.page));
        let content = html! {
            main data-live=[live] {
                header class="top" { div { h1 { "Connections" } p class="muted" { (self.sentence()) } } }
                @if let Some(notice) = self.notice { p class="notice" role="status" { (notice) } }
                (parts::stale())
                section id="connections" data-part aria-label="Connections" {
                    (self.search())
                    @if self.list.rows.is_empty() { p class="muted" { (self.nothing()) } }
                    @else { ul class="orders" { @for row in &self.list.rows { (self.row(row)) } } }
                    @if self.list.pages > 1 { (self.paging()) }
                }
                (list_forms::add(self.root, self.cannot_add, self.has_one_click, self.list.total == 0))
                footer class="muted" { p { "onetribe-relay " (env!("CARGO_PKG_VERSION")) } }
            }
        };
        document("Connections · One Tribe relay", &content)
    }

    fn sentence(&self) -> String {
        let list = self.list;
        let matching = humanize::count(list.matching as u64, "connection");
        let of = if list.matching == list.total {
            String::new()
        } else {
            format!(" of {}", humanize::number(list.total as u64))
        };
        if list.total == 0 {
            return "No connection yet.".to_owned();
        }
        match list.in_trouble as u64 {
            0 => format!("{matching}{of}, no trouble known."),
            n => format!("{matching}{of}, {} in trouble.", humanize::number(n)),
        }
    }

    fn nothing(&self) -> &'static str {
        if self.list.total == 0 {
            "There is no connection yet. Add the first one below."
        } else {
            "No connection matches."
        }
    }

    fn address(&self, page: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !self.query.text.is_empty() {
            query.append_pair("q", &self.query.text);
        }
        if let Some(state) = self.query.state {
            query.append_pair("state", state.name());
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}connections{mark}{query}", self.root)
    }

    fn search(&self) -> Markup {
        const STATES: [ConnectionState; 4] = [
            ConnectionState::Active,
            ConnectionState::Paused,
            ConnectionState::Incomplete,
            ConnectionState::Disconnected,
        ];
        html! {
            form method="get" action={ (self.root) "connections" } class="search" role="search" {
                label for="q" { "Name, store or number" }
                input id="q" name="q" type="search" maxlength="200" autocomplete="off" value=(shown(&self.query.text));
                label for="state" class="apart" { "State" }
                select id="state" name="state" {
                    option value="" { "any state" }
                    @for state in STATES {
                        option value=(state.name()) selected[self.query.state == Some(state)] { (state.name()) }
                    }
                }
                button type="submit" { "Find" }
            }
        }
    }

    fn row(&self, row: &ListRow) -> Markup {
        let (light, word) = row.light();
        let kind = if row.source == SourceKind::BigCommerce { "BigCommerce" } else { "WooCommerce" };
        let name = if row.name.trim().is_empty() { &row.store } else { &row.name };
        html! {
            li class={ "order " (parts::class(light)) } {
                (icon(light))
                div class="what" {
                    p {
                        a href={ (self.root) "connections/" (row.id) "/integration" } { (shown(name)) }
                        " " span class="word" { (word) }
                    }
                    p class="muted" {
                        (kind) " " (shown(&row.store))
                        @if let Some((_, host)) = &row.destination { " → " (shown(host)) }
                        " · no. " (row.id)
                    }
                    p class="muted" {
                        @match row.last_delivered_at {
                            Some(at) => { "last order " (parts::ago(at, self.now)) }
                            None => "no order forwarded yet",
                        }
                        @if row.waiting > 0 { ", " (humanize::number(row.waiting)) " waiting" }
                        @if row.failed > 0 && word != failed_title(row.failed) { ", " b { (humanize::number(row.failed)) " failed" } }
                    }
                }
            }
        }
    }

    fn paging(&self) -> Markup {
        let Arranged { page, pages, .. } = *self.list;
        html! {
            nav class="paging" aria-label="Pages" {
                @if page > 1 { a rel="prev" href=(self.address(page - 1)) { "Previous" } } @else { span {} }
                span { "Page " (page) " of " (pages) }
                @if page < pages { a rel="next" href=(self.address(page + 1)) { "Next" } } @else { span {} }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, name: &str, trouble: Option<Severity>) -> ListRow {
        ListRow {
            id: ConnectionId(id),
            name: name.to_owned(),
            store: format!("store{id}"),
            source: SourceKind::BigCommerce,
            destination: Some((DestinationKind::OneTribe, "api.example".into())),
            state: ConnectionState::Active,
            waiting: 0,
            failed: 0,
            last_delivered_at: None,
            trouble: trouble.map(|severity| (severity, "Trouble".to_owned())),
        }
    }

    fn ids(list: &Arranged) -> Vec<i64> {
        list.rows.iter().map(|row| row.id.0).collect()
    }

    #[test]
    fn trouble_comes_first_and_ended_ones_are_none() {
        let mut rows = vec![
            row(1, "b", None),
            row(2, "A", None),
            row(3, "z", Some(Severity::Error)),
            row(4, "y", Some(Severity::Warning)),
            row(5, "x", Some(Severity::Error)),
        ];
        rows[4].state = ConnectionState::Disconnected;
        rows[0].failed = 1;
        let list = arrange(rows, &ListQuery::default());
        assert_eq!((ids(&list), list.in_trouble), (vec![3, 1, 4, 2, 5], 3));
    }

    #[test]
    fn ten_thousand_are_searched_and_paged() {
        let rows = || (1..=10_000).map(|id| row(id, &format!("Shop {id:05}"), None)).collect::<Vec<_>>();
        let query = |text: &str, page| ListQuery { text: text.to_owned(), page, ..ListQuery::default() };
        let list = arrange(rows(), &query("", 0));
        assert_eq!((list.pages, list.page, ids(&list)[0], list.rows.len()), (200, 1, 1, PAGE_ROWS));
        let list = arrange(rows(), &query("", 9_999));
        assert_eq!((list.page, ids(&list)[PAGE_ROWS - 1]), (200, 10_000));
        let list = arrange(rows(), &query(" SHOP 0999 ", 1));
        assert_eq!((list.matching, list.pages), (10, 1));
        assert_eq!(arrange(rows(), &query("7777", 1)).matching, 1);
        let list = arrange(rows(), &query("nothing like it", 3));
        assert_eq!((list.matching, list.pages, list.page, list.total), (0, 1, 1, 10_000));
    }

    #[test]
    fn names_from_outside_are_shown_as_text() {
        let rows = vec![row(1, "<script>alert(1)</script>\u{202e}gpj", None)];
        let query = ListQuery { text: "\"><b>".to_owned(), ..ListQuery::default() };
        for query in [query, ListQuery::default()] {
            let list = arrange(rows.clone(), &ListQuery::default());
            let now = Timestamp::from_seconds(1_700_000_000);
            let page = ListPage {
                list: &list,
                query: &query,
                now,
                root: "./",
                notice: None,
                cannot_add: None,
                has_one_click: true,
            };
            let html = page.render().0;
            assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}gpj"), "{html}");
            assert!(!html.contains("alert(1)</script>") && !html.contains("\"><b>"));
        }
    }
}
