//! The settings on the page: the payload URL, pause and resume, past orders; for operators also the connection's
//! credentials.
//!
//! Merchants' forms are plain posts. An operator's forms send `PATCH` with JSON, for which the page's script is
//! needed: an input named `source.access_token` becomes `{"source":{"access_token":…}}`, and empty ones are left out.

use maud::{Markup, html};

use super::{
    page::{Audience, Backfill, StatusPage},
    texts::fill,
};
use crate::{
    health::Code,
    humanize,
    inbox::ConnectionState,
    spec::{DestinationKind, SourceKind},
};

impl StatusPage<'_> {
    /// The form of a connection that has no payload URL yet.
    pub(super) fn payload_url(&self) -> Markup {
        let Some(form) = self.destination_form(self.texts.payload_connect, "first") else { return Markup::default() };
        html! {
            section aria-labelledby="payload-title" {
                h2 id="payload-title" { (self.texts.payload_title) }
                (form)
            }
        }
    }

    fn destination_form(&self, button: &str, class: &str) -> Option<Markup> {
        let error = match self.audience {
            Audience::Merchant(merchant) => merchant.destination_error,
            Audience::Operator(_) => None,
        };
        let content = |name: &str| {
            html! {
                label for="payload-url" { (self.texts.payload_label) }
                input id="payload-url" name=(name) type="url" required autocomplete="off" spellcheck="false"
                    placeholder="https://" aria-describedby="payload-hint" aria-invalid=[error.map(|_| "true")];
                @if let Some(error) = error { p class="error" role="alert" { (error) } }
                p id="payload-hint" class="muted" { (self.texts.payload_hint) }
                button type="submit" class=(class) { (button) }
            }
        };
        if let Some(target) = self.deed_target("destination") {
            return Some(target.form("fields", &content("destination")));
        }
        let kind = self.facts.connection.destination.unwrap_or(DestinationKind::OneTribe);
        let address = self.patch_address().filter(|_| kind == DestinationKind::OneTribe)?;
        let fields = html! {
            input type="hidden" name="destination.kind" value=(kind);
            (content("destination.url"))
        };
        Some(json_form(&address, &fields))
    }

    /// A button that sets the connection's state by `PATCH`.
    pub(super) fn state_form(&self, address: &str, state: &str, word: &str, is_first: bool) -> Markup {
        let class = if is_first { "first" } else { "" };
        json_form(
            address,
            &html! {
                input type="hidden" name="state" value=(state);
                button type="submit" class=(class) { (word) }
            },
        )
    }

    pub(super) fn settings(&self) -> Markup {
        let connection = &self.facts.connection;
        if connection.state == ConnectionState::Disconnected {
            return Markup::default();
        }
        let is_incomplete = connection.state == ConnectionState::Incomplete;
        let destination = (!is_incomplete).then(|| self.destination_form(self.texts.payload_save, "")).flatten();
        let (state, backfill, credentials) = (self.pause_or_resume(), self.backfill(), self.credentials());
        if destination.is_none() && state.is_none() && backfill.is_none() && credentials.is_none() {
            return Markup::default();
        }
        let needs_address = destination.is_some() && self.judgment.find(Code::DestinationRefuses).is_some();
        // What is to be corrected is not hidden in a fold, and neither is a count or an error that has just been
        // produced.
        let has_answer = match self.audience {
            Audience::Merchant(merchant) => {
                let counted =
                    matches!(merchant.backfill, Some(Backfill::Counted { .. } | Backfill::Ask { error: Some(_), .. }));
                counted || (merchant.destination_error.is_some() && !is_incomplete)
            }
            Audience::Operator(_) => false,
        };
        html! {
            details id="settings" class="card" open[has_answer || needs_address] {
                summary { h2 { (self.texts.settings) } }
                @if let Some(state) = state { (state) }
                @if let Some(form) = destination {
                    div class="setting" { h3 { (self.texts.payload_change) } (form) }
                }
                @if let Some(backfill) = backfill { (backfill) }
                @if let Some(credentials) = credentials { (credentials) }
            }
        }
    }

    fn pause_or_resume(&self) -> Option<Markup> {
        let (deed, state, word) = match self.facts.connection.state {
            ConnectionState::Active => ("pause", "paused", self.texts.pause),
            ConnectionState::Paused => ("resume", "active", self.texts.resume),
            _ => return None,
        };
        let form = match self.deed_target(deed) {
            Some(target) => target.form("", &html! { button type="submit" { (word) } }),
            None => self.state_form(&self.patch_address()?, state, word, false),
        };
        Some(html! {
            div class="setting row" {
                div { h3 { (word) } p class="muted" { (self.texts.pause_hint) } }
                (form)
            }
        })
    }

    fn backfill(&self) -> Option<Markup> {
        let Audience::Merchant(merchant) = self.audience else { return None };
        let target = self.deed_target("backfill")?;
        let decline = html! {
            button type="submit" name="step" value="decline" formnovalidate { (self.texts.backfill_decline) }
        };
        let content = match merchant.backfill? {
            Backfill::Ask { earliest, latest, error } => html! {
                label for="since" { (self.texts.backfill_since) }
                input id="since" name="since" type="date" required min=(earliest) max=(latest) aria-describedby="since-hint";
                @if let Some(error) = error { p class="error" role="alert" { (error) } }
                p id="since-hint" class="muted" { (self.texts.backfill_hint) }
                div class="row" {
                    button type="submit" name="step" value="count" { (self.texts.backfill_count) }
                    (decline)
                }
            },
            Backfill::Counted { since, count } => html! {
                input type="hidden" name="since" value=(since);
                p role="status" {
                    (fill(self.texts.backfill_counted, &[("orders", &humanize::count(count, "order")), ("since", since)]))
                }
                div class="row" {
                    button type="submit" name="step" value="start" class="first" { (self.texts.backfill_start) }
                    (decline)
                }
            },
        };
        Some(html! {
            div class="setting" { h3 { (self.texts.backfill_title) } (target.form("fields", &content)) }
        })
    }

    fn credentials(&self) -> Option<Markup> {
        let address = self.patch_address()?;
        let connection = &self.facts.connection;
        let fields: &[(&str, &str)] = match (connection.origin, connection.source) {
            // An app's token comes from installing it, an instance's from its own API.
            (crate::spec::Origin::Api, SourceKind::BigCommerce) => {
                &[("access_token", "New access token"), ("client_secret", "New client secret")]
            }
            (crate::spec::Origin::Api, SourceKind::WooCommerce) => {
                &[("consumer_key", "New consumer key"), ("consumer_secret", "New consumer secret")]
            }
            _ => return None,
        };
        let content = html! {
            @for (name, label) in fields {
                label for=(name) { (label) }
                input id=(name) name={ "source." (name) } type="password" autocomplete="off" spellcheck="false";
            }
            p class="muted" { (self.texts.credentials_hint) " " (self.texts.credentials_empty) }
            button type="submit" { "Save" }
        };
        Some(html! { div class="setting" { h3 { "Credentials" } (json_form(&address, &content)) } })
    }
}

/// A form that sends `PATCH` with its fields as JSON, and reloads the page on success.
fn json_form(address: &str, content: &Markup) -> Markup {
    html! {
        form method="post" action=(address) data-json="PATCH" class="fields" {
            (content)
            p class="error" role="alert" hidden {}
        }
    }
}
