//! The status page of one connection: the verdict first, then recent orders, numbers, checks, settings.

use maud::{Markup, html};

use super::{
    chart::{Activity, chart},
    document::document,
    parts::{self, Style, shown, time},
    search::Search,
    texts::Texts,
};
use crate::{
    clock::Timestamp,
    health::{Action, Facts, Judgment, Report, Verdict, report, verdict},
    inbox::ConnectionState,
    spec::{Origin, SourceKind},
};

/// How many of the newest rows are read for the page; it shows the first of them and folds the rest.
pub const RECENT_ROWS: u32 = 200;

/// The audience of the page, which decides where its forms lead.
#[derive(Debug, Clone, Copy)]
pub enum Audience<'a> {
    /// An operator of the relay, or a merchant with the password.
    Operator(Operator<'a>),
    /// A merchant in BigCommerce's control panel.
    Merchant(Merchant<'a>),
}

/// The operator's view.
#[derive(Debug, Clone, Copy)]
pub struct Operator<'a> {
    /// The path from the page's address to the relay's root: `./`, `../`, `../../`. The relay may live below a path.
    pub root: &'a str,
    /// Whether the page is at `/connections/{id}`; otherwise its routes are those of the default connection.
    pub is_one_of_many: bool,
}

/// The merchant's view, within a frame.
#[derive(Debug, Clone, Copy)]
pub struct Merchant<'a> {
    /// The path from the page's address to the relay's root.
    pub root: &'a str,
    /// The form token, bound to store and user: the hidden field `token` of every form.
    pub token: &'a str,
    /// The offer to forward past orders, while it is open.
    pub backfill: Option<Backfill<'a>>,
    /// What is wrong with the payload URL that was entered, as a sentence. The URL itself is not shown again.
    pub destination_error: Option<&'a str>,
    /// Whether `POST /bigcommerce/app/resend` exists (fields `token`, `order` or `state`).
    pub can_resend: bool,
}

/// The offer to forward past orders.
#[derive(Debug, Clone, Copy)]
pub enum Backfill<'a> {
    /// Nothing has been counted yet. `earliest` and `latest` (`2026-11-21`) limit the date that can be chosen.
    Ask {
        /// The earliest date.
        earliest: &'a str,
        /// The latest date.
        latest: &'a str,
        /// What was wrong with the last input, as a sentence.
        error: Option<&'a str>,
    },
    /// Orders since that date have been counted.
    Counted {
        /// The date that was entered.
        since: &'a str,
        /// How many orders would be forwarded.
        count: u64,
    },
}

/// The data of the page.
#[derive(Debug, Clone, Copy)]
pub struct StatusPage<'a> {
    /// The facts about the connection.
    pub facts: &'a Facts,
    /// The judgment of the facts.
    pub judgment: &'a Judgment,
    /// What the chart draws.
    pub activity: Activity<'a>,
    /// What has just been done, as a sentence: the page is shown by a redirect after the form.
    pub notice: Option<&'a str>,
    /// The order that was searched for.
    pub search: Option<&'a Search>,
    /// The audience.
    pub audience: Audience<'a>,
    /// The texts of the page.
    pub texts: &'static Texts,
}

/// The target of a form: its method, its address, and its hidden fields.
pub(super) struct Target<'a> {
    pub method: &'static str,
    pub action: String,
    pub hidden: Vec<(&'static str, &'a str)>,
}

impl<'a> StatusPage<'a> {
    /// Renders the page.
    pub fn render(&self) -> Markup {
        let verdict = verdict(self.facts, self.judgment);
        let report = report(self.facts, self.judgment);
        document(&format!("{} · One Tribe relay", verdict.title), &self.content(&verdict, &report))
    }

    fn content(&self, verdict: &Verdict, report: &Report) -> Markup {
        let is_incomplete = self.facts.connection.state == ConnectionState::Incomplete;
        // What was searched for is not renewed.
        let (live, root) = match self.audience {
            _ if self.search.is_some() => (None, None),
            Audience::Operator(_) => (Some(format!("{}integration", self.base())), None),
            Audience::Merchant(merchant) => (Some(self.check_target().action), Some(merchant.root)),
        };
        html! {
            main data-live=[live] data-root=[root] {
                (self.top())
                @if let Some(notice) = self.notice { p class="notice" role="status" { (notice) } }
                (parts::stale())
                (self.verdict(verdict))
                @if is_incomplete { (self.payload_url()) }
                (self.orders(verdict.action == Action::ResendFailed))
                (self.numbers())
                @if self.has_past() {
                    section id="past" data-part aria-labelledby="past-title" {
                        h2 id="past-title" { (self.texts.chart) }
                        (chart(self.activity, self.facts.connection.created_at, self.now(), self.texts))
                    }
                }
                (self.checks(report))
                (self.settings())
                (self.details(report))
                footer class="muted" { p { "onetribe-relay " (env!("CARGO_PKG_VERSION")) } }
            }
        }
    }

    /// Whether the chart has anything to show.
    fn has_past(&self) -> bool {
        let summary = self.facts.summary();
        summary.is_some_and(|summary| summary.last_delivered_at.is_some()) || !self.activity.hours.is_empty()
    }

    fn top(&self) -> Markup {
        let connection = &self.facts.connection;
        let address = match (&connection.label, connection.source) {
            (Some(label), _) if !label.address.is_empty() => shown(&label.address),
            (_, SourceKind::WooCommerce) => shown(&connection.store),
            _ => format!("BigCommerce store {}", shown(&connection.store)),
        };
        let name = connection.store_label();
        let source = if connection.source == SourceKind::BigCommerce { "BigCommerce" } else { "WooCommerce" };
        html! {
            header class="top" {
                div {
                    h1 { (if name == connection.store { source } else { name.as_str() }) " → " (connection.destination_name().trim_start_matches("The ")) }
                    p class="muted" { (address) }
                }
                @if let Audience::Operator(Operator { root, is_one_of_many: true }) = self.audience {
                    nav { a href={ (root) "connections" } { (self.texts.all_connections) } }
                }
            }
        }
    }

    /// When the facts were read.
    pub(super) fn now(&self) -> Timestamp {
        self.facts.at
    }

    pub(super) fn as_of(&self) -> Markup {
        html! { (self.texts.as_of) " " (time(self.now(), Style::Clock)) }
    }

    /// The path below which this connection's routes are.
    pub(super) fn base(&self) -> String {
        match self.audience {
            Audience::Operator(Operator { root, is_one_of_many: true }) => {
                format!("{root}connections/{}/", self.facts.connection.id)
            }
            Audience::Operator(operator) => operator.root.to_owned(),
            Audience::Merchant(merchant) => format!("{}bigcommerce/app/", merchant.root),
        }
    }

    fn merchant(&self, deed: &str, mut hidden: Vec<(&'static str, &'a str)>) -> Option<Target<'a>> {
        let Audience::Merchant(merchant) = self.audience else { return None };
        hidden.push(("token", merchant.token));
        Some(Target { method: "post", action: format!("{}{deed}", self.base()), hidden })
    }

    pub(super) fn check_target(&self) -> Target<'a> {
        let action = format!("{}integration/check", self.base());
        self.merchant("check", vec![]).unwrap_or(Target { method: "get", action, hidden: vec![] })
    }

    pub(super) fn update_target(&self) -> Target<'a> {
        let action = format!("{}integration/update", self.base());
        self.merchant("update", vec![]).unwrap_or(Target { method: "post", action, hidden: vec![] })
    }

    /// The target of the search form: the field `order`, and for merchants the token.
    pub(super) fn search_target(&self) -> Target<'a> {
        let action = format!("{}integration", self.base());
        self.merchant("check", vec![]).unwrap_or(Target { method: "get", action, hidden: vec![] })
    }

    pub(super) fn resend_target(&self, order: &'a str) -> Option<Target<'a>> {
        match self.audience {
            Audience::Operator(_) => {
                let action = format!("{}orders/{}/resend", self.base(), path_segment(order));
                Some(Target { method: "post", action, hidden: vec![] })
            }
            Audience::Merchant(Merchant { can_resend: true, .. }) => self.merchant("resend", vec![("order", order)]),
            Audience::Merchant(_) => None,
        }
    }

    pub(super) fn resend_all_target(&self) -> Option<Target<'a>> {
        match self.audience {
            Audience::Operator(_) => {
                let action = format!("{}orders/resend?state=failed", self.base());
                Some(Target { method: "post", action, hidden: vec![] })
            }
            Audience::Merchant(Merchant { can_resend: true, .. }) => self.merchant("resend", vec![("state", "failed")]),
            Audience::Merchant(_) => None,
        }
    }

    /// The target of one of the merchant's forms: `destination`, `pause`, `resume`, `backfill`.
    pub(super) fn deed_target(&self, deed: &str) -> Option<Target<'a>> {
        self.merchant(deed, vec![])
    }

    /// The path of the connection for `PATCH`, if the page may change it: for operators, except for the environment's
    /// own.
    pub(super) fn patch_address(&self) -> Option<String> {
        let connection = &self.facts.connection;
        let is_changeable =
            connection.origin != Origin::Environment && connection.state != ConnectionState::Disconnected;
        match self.audience {
            Audience::Operator(operator) if is_changeable => {
                Some(format!("{}connections/{}", operator.root, connection.id))
            }
            _ => None,
        }
    }
}

impl Target<'_> {
    /// A form around `content`.
    pub fn form(&self, class: &str, content: &Markup) -> Markup {
        html! {
            form method=(self.method) action=(self.action) class=[(!class.is_empty()).then_some(class)] {
                @for (name, value) in &self.hidden { input type="hidden" name=(name) value=(value); }
                (content)
            }
        }
    }
}

/// An id, escaped for use as one segment of a path.
fn path_segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>().replace('+', "%20")
}
