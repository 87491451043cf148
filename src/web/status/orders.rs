//! Recent orders: number, state, when, why, a link into the store, and a Resend button where it helps.

use std::{cmp::Reverse, collections::HashSet};

use maud::{Markup, html};

use super::{
    page::{Audience, StatusPage, Target},
    parts::{self, icon, shown},
    search::{Search, SearchResult},
    texts::fill,
};
use crate::{
    health::{Light, Severity},
    http::Failure,
    humanize,
    inbox::{Failed, ObjectRow, ObjectState, Side},
    object::ResourceName,
    spec::SourceKind,
};

/// Rows shown without unfolding.
const SHOWN: usize = 12;

impl StatusPage<'_> {
    /// The order of rows: failed and refused first, then waiting, then the rest.
    fn rank(&self, row: &ObjectRow) -> u8 {
        match row.state {
            ObjectState::Failed => 0,
            ObjectState::Pending if self.is_in_trouble(row) => 1,
            ObjectState::Pending => 2,
            _ => 3,
        }
    }

    /// Tried, and waiting for its own next try.
    fn is_tried_again(&self, row: &ObjectRow) -> bool {
        let is_held_up = |failed: Failed| !failed.is_the_objects() && self.judgment.in_the_way(failed.side).is_some();
        row.state == ObjectState::Pending && row.last_failure.is_some_and(|failed| !is_held_up(failed))
    }

    /// The same, and the store has not merely been asked too early.
    fn is_in_trouble(&self, row: &ObjectRow) -> bool {
        self.is_tried_again(row) && !row.last_failure.is_some_and(Failed::is_missing)
    }

    /// Each row once, those in trouble first, then the newest.
    fn rows(&self) -> Vec<&ObjectRow> {
        let Some(orders) = &self.facts.orders else { return Vec::new() };
        let mut seen = HashSet::new();
        let all = orders.failed.iter().chain(&orders.troubled).chain(&orders.waiting).chain(&orders.recent);
        let mut rows: Vec<&ObjectRow> = all.filter(|row| seen.insert((&row.resource, &row.id))).collect();
        rows.sort_by_key(|row| (self.rank(row), Reverse(row.last_event_at), Reverse(&row.id)));
        rows
    }

    /// `is_main_button`: the verdict's main button resends all failed orders.
    pub(super) fn orders(&self, is_main_button: bool) -> Markup {
        let rows = self.rows();
        let texts = self.texts;
        let failed = self.facts.summary().map_or(0, |summary| summary.failed);
        html! {
            section id="orders" data-part aria-labelledby="orders-title" {
                div class="row head" {
                    h2 id="orders-title" { (texts.recent_orders) }
                    (self.search_form())
                }
                @if let Some(search) = self.search { (self.search_result(search)) }
                @if failed > 0 && !is_main_button && let Some(target) = self.resend_all_target() {
                    div class="row" {
                        (target.form("", &html! {
                            button type="submit" { (texts.resend_all) " (" (humanize::number(failed)) ")" }
                        }))
                    }
                }
                @if rows.is_empty() {
                    p class="muted" { (self.nothing()) }
                } @else {
                    ul class="orders" { @for row in rows.iter().take(SHOWN) { (self.order(row)) } }
                }
                @if rows.len() > SHOWN {
                    details id="more-orders" {
                        summary { (texts.more_orders) " (" (rows.len() - SHOWN) ")" }
                        ul class="orders" { @for row in rows.iter().skip(SHOWN) { (self.order(row)) } }
                    }
                }
            }
        }
    }

    fn nothing(&self) -> String {
        match self.facts.summary() {
            None => self.texts.unreadable.to_owned(),
            Some(summary) if summary.waiting > 0 => {
                format!("{} {} waiting.", humanize::count(summary.waiting, "order"), humanize::are(summary.waiting))
            }
            // Promises nothing that something is in the way of.
            Some(_) if self.facts.connection.has_webhooks && self.judgment.worst() <= Some(Severity::Info) => {
                format!("{} {}", self.texts.no_orders, self.texts.no_orders_hint)
            }
            Some(_) => self.texts.no_orders.to_owned(),
        }
    }

    fn search_form(&self) -> Markup {
        let typed = self.search.map_or("", |search| search.typed.as_str());
        let content = html! {
            label for="order" { (self.texts.search_hint) }
            input id="order" name="order" type="search" inputmode="numeric" autocomplete="off" maxlength="64"
                placeholder=(self.texts.search) value=(shown(typed)) required;
            button type="submit" { (self.texts.search_button) }
        };
        self.search_target().form("search", &content)
    }

    fn search_result(&self, search: &Search) -> Markup {
        let typed = shown(&search.typed);
        html! {
            div class="found" role="status" {
                @match &search.result {
                    SearchResult::Found(row) => { ul class="orders" { (self.order(row)) } }
                    SearchResult::Unknown => { p { b { (self.texts.order) " " (typed) } " " (self.texts.not_found) } }
                    SearchResult::NotANumber => { p { (self.texts.not_a_number) } }
                }
            }
        }
    }

    fn order(&self, row: &ObjectRow) -> Markup {
        let id = row.id.to_string();
        let name = if row.resource == ResourceName::orders() {
            format!("{} {}", self.texts.order, shown(&id))
        } else {
            format!("{} {}", shown(row.resource.as_str()), shown(&id))
        };
        let (light, word) = self.state(row);
        let why = self.why(row);
        let button = match row.state {
            ObjectState::Failed | ObjectState::Gone => Some(self.texts.resend),
            ObjectState::Pending if self.is_tried_again(row) && !row.is_claimed => Some(self.texts.try_now),
            _ => None,
        };
        let resend = button.and_then(|word| Some((self.resend_target(&id)?, word)));
        html! {
            li class={ "order " (parts::class(light)) } {
                (icon(light))
                div class="what" {
                    p {
                        @match self.order_link(row) {
                            Some(link) => {
                                a href=(link) target="_blank" rel="noopener noreferrer" title=(self.texts.open_order) { (name) }
                            }
                            None => b { (name) },
                        }
                        " " span class="word" { (word) }
                        " " span class="muted" { (self.when(row)) }
                    }
                    @if let Some(why) = why { p { (why) } }
                }
                @if let Some((target, word)) = &resend { (button_form(target, word, &name)) }
            }
        }
    }

    fn state(&self, row: &ObjectRow) -> (Option<Light>, &'static str) {
        match row.state {
            ObjectState::Delivered => (Some(Light::Green), self.texts.forwarded),
            ObjectState::Pending if self.is_in_trouble(row) => (Some(Light::Amber), self.texts.trying),
            ObjectState::Pending => (None, self.texts.waiting),
            ObjectState::Failed => (Some(Light::Red), self.texts.failed),
            ObjectState::Gone => (None, self.texts.gone),
            ObjectState::Skipped => (None, self.texts.skipped),
        }
    }

    /// Why the order has not been forwarded.
    fn why(&self, row: &ObjectRow) -> Option<String> {
        match row.state {
            ObjectState::Delivered => return None,
            ObjectState::Gone => return Some(self.texts.gone_why.to_owned()),
            ObjectState::Skipped => return Some(self.texts.skipped_why.to_owned()),
            // What holds up all orders alike is told once, at the top.
            ObjectState::Pending if !self.is_tried_again(row) => return None,
            ObjectState::Pending | ObjectState::Failed => {}
        }
        let failed = row.last_failure?;
        let seen = humanize::failure(failed.failure);
        let connection = &self.facts.connection;
        let (store, destination) = (connection.store_name(), connection.destination_name());
        let text = match (failed.side, failed.failure) {
            (Side::Destination, Failure::Status(400 | 409 | 413 | 415 | 422)) => self.texts.refused_why,
            (Side::Destination, _) => self.texts.not_taken_why,
            (Side::Store, Failure::Status(404)) => self.texts.unknown_why,
            (Side::Store, _) => self.texts.not_given_why,
        };
        Some(fill(text, &[("store", store), ("destination", destination), ("seen", &seen)]))
    }

    fn when(&self, row: &ObjectRow) -> Markup {
        let now = self.now();
        html! {
            @match (row.state, row.delivered_at) {
                (ObjectState::Delivered, Some(at)) => (parts::ago(at, now)),
                _ => { (self.texts.changed) " " (parts::ago(row.last_event_at, now)) }
            }
            @if row.is_claimed {
                ", " (self.texts.under_way)
            } @else if self.is_tried_again(row) && let Some(next) = row.next_attempt_at {
                ", " (self.texts.next_try) " " (humanize::due_in(next.since(now)))
            }
            @if row.attempts > 1 && (row.state == ObjectState::Failed || self.is_tried_again(row)) {
                ", " (humanize::count(u64::from(row.attempts), "attempt"))
            }
        }
    }

    /// The URL of the order in the control panel: BigCommerce's `/manage/orders/{id}`, or WordPress's editor.
    fn order_link(&self, row: &ObjectRow) -> Option<String> {
        let connection = &self.facts.connection;
        let id = row.id.number().filter(|_| row.resource == ResourceName::orders())?;
        if row.state == ObjectState::Gone {
            return None;
        }
        let label = connection.label.as_ref().and_then(|label| label.control_panel_url.as_deref());
        let told = label.filter(|url| url.starts_with("https://") || url.starts_with("http://"));
        let told = told.map(|url| url.trim_end_matches('/').to_owned());
        Some(match connection.source {
            SourceKind::BigCommerce => {
                let is_hash =
                    !connection.store.is_empty() && connection.store.bytes().all(|b| b.is_ascii_alphanumeric());
                let usual = || is_hash.then(|| format!("https://store-{}.mybigcommerce.com", connection.store));
                format!("{}/manage/orders/{id}", told.or_else(usual)?)
            }
            SourceKind::WooCommerce => format!("{}/post.php?post={id}&action=edit", told?),
        })
    }

    /// Whether the page is shown inside BigCommerce.
    pub(super) fn is_merchants(&self) -> bool {
        matches!(self.audience, Audience::Merchant(_))
    }
}

fn button_form(target: &Target<'_>, word: &str, name: &str) -> Markup {
    target.form("", &html! { button type="submit" aria-label={ (word) ": " (name) } { (word) } })
}
