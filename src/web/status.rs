//! The status page, rendered here and sent whole: no script, no asset from anywhere, readable by ear, by thumb and at night.
//!
//! `verdict` finds the sentence at the top, `chart` draws the last two days, `sections` holds the rest of the page.

mod chart;
mod sections;
pub(super) mod verdict;

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::{
    clock::Timestamp,
    inbox::{Hour, OrderRow},
};
use verdict::{Facts, Light, Verdict, verdict};

pub(super) use chart::HOURS;

const STYLE: &str = include_str!("status/style.css");

/// Nothing but this page's own style, told by its hash, and forms that go back to this relay.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
});

/// Failed orders shown; the rest are counted.
pub(super) const FAILED_SHOWN: u32 = 20;

/// What the page is made of.
pub(super) struct Status {
    /// The store's hash.
    pub store: String,
    /// Now.
    pub now: Timestamp,
    /// What is known.
    pub facts: Facts,
    /// Orders refused for too long, at most [`FAILED_SHOWN`].
    pub failed: Vec<OrderRow>,
    /// The last hours.
    pub history: Vec<Hour>,
    /// What has just been done, in one sentence.
    pub notice: Option<String>,
    /// The way from the page's own address to the relay's root: the relay may live below a path.
    pub root: &'static str,
    /// Whether the page comes anew while it is left open.
    pub renewed: bool,
}

/// Where a browser goes from a page by itself, and after how many seconds.
pub(super) struct Onward {
    pub seconds: u32,
    pub to: String,
}

/// A page left open tells what is so a minute later.
const RENEWAL_SECONDS: u32 = 60;

impl Status {
    /// The whole page.
    pub fn render(&self) -> Markup {
        let verdict = verdict(&self.facts, self.now);
        let title = format!("{} · One Tribe relay", verdict.title);
        let content = html! {
            header class="top" {
                h1 { "BigCommerce to One Tribe" }
                p class="muted" { "Store " b { (self.store) } }
            }
            (self.head(&verdict))
            @if let Some(notice) = &self.notice {
                p class="notice" role="status" { (notice) }
            }
            (self.numbers())
            @if !self.failed.is_empty() { (self.failed_orders()) }
            (self.checks())
            section aria-labelledby="past" {
                h2 id="past" { "The last 48 hours" }
                (chart::chart(&self.history, self.now))
            }
            footer class="muted" {
                "onetribe-relay " (env!("CARGO_PKG_VERSION")) " · " (sections::moment(self.now))
            }
        };
        // To the page itself: a check is not run again, and what was just done not told again.
        let onward = self.renewed.then(|| Onward { seconds: RENEWAL_SECONDS, to: format!("{}integration", self.root) });
        document(&title, onward, &content)
    }
}

/// An icon whose shape says as much as its colour.
fn icon(light: Light) -> Markup {
    html! {
        svg class="icon" viewBox="0 0 32 32" aria-hidden="true" {
            @match light {
                Light::Green => { circle cx="16" cy="16" r="15" {} path d="M9 16.5l5 5 9-10" {} }
                Light::Amber => { path class="body" d="M16 2 31 29H1Z" {} path d="M16 12v8M16 24.4v.2" {} }
                Light::Red => { path class="body" d="M10 1h12l9 9v12l-9 9H10l-9-9V10Z" {} path d="M11 11l10 10M21 11L11 21" {} }
            }
        }
    }
}

/// The way a light is named in the style.
fn class(light: Light) -> &'static str {
    match light {
        Light::Green => "green",
        Light::Amber => "amber",
        Light::Red => "red",
    }
}

fn document(title: &str, onward: Option<Onward>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                @if let Some(Onward { seconds, to }) = onward {
                    meta http-equiv="refresh" content={ (seconds) "; url=" (to) };
                }
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (content) } }
        }
    }
}

/// A page of one sentence, for a browser that may not see more.
pub(super) fn sentence(status: StatusCode, title: &str, sentence: &str) -> HttpResponse {
    let content = html! {
        header class="top" { h1 { (title) } }
        p { (sentence) }
    };
    respond(status, &document(title, None, &content))
}

/// A page that says what has been done, and leads on at once; with a link for a browser that does not go by itself.
pub(super) fn done(status: StatusCode, sentence: &str, to: String) -> HttpResponse {
    let content = html! {
        header class="top" { h1 { "Done" } }
        p class="notice" role="status" { (sentence) }
        p { a href=(to) { "Back to the status page" } }
    };
    respond(status, &document("Done · One Tribe relay", Some(Onward { seconds: 0, to }), &content))
}

/// A page with everything that keeps other sites out of it. `Referrer-Policy: no-referrer` would make browsers send
/// `Origin: null` with the page's own forms, so it is `same-origin`.
pub(super) fn respond(status: StatusCode, page: &Markup) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Accept"))
        .body(page.0.clone())
}
