//! The sections of the status page.

use maud::{Markup, html};

use super::{Light, Status, Verdict, class, icon};
use crate::{
    check::{self, Check},
    clock::Timestamp,
    inbox::OrderRow,
    words,
};

fn written(at: Timestamp, format: &str) -> String {
    jiff::Timestamp::from_millisecond(at.millis()).map(|at| at.strftime(format).to_string()).unwrap_or_default()
}

/// `21 November 2026, 15:14 UTC`
fn date_and_time(at: Timestamp) -> String {
    written(at, "%-d %B %Y, %H:%M UTC")
}

/// A moment as people read it, exact in the `datetime` for machines.
pub(super) fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (date_and_time(at)) } }
}

/// The time of day at which a page was made.
fn time_of_day(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (written(at, "%H:%M:%S UTC")) } }
}

/// What stands between backticks is for a terminal.
fn prose(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// What the inbox noted of a failure, without its abbreviations, and what it means.
fn reason(row: &OrderRow) -> String {
    let noted = row.last_error.as_deref().unwrap_or("no reason was noted");
    match (noted.strip_prefix("destination: "), noted.strip_prefix("store: ")) {
        (Some(seen), _) if seen.starts_with("HTTP 4") => {
            format!("One Tribe refused this order ({seen}). Tell One Tribe, with the order's number.")
        }
        (Some(seen), _) => format!("One Tribe did not take it: {seen}"),
        (_, Some(seen)) => format!("BigCommerce did not give it: {seen}"),
        _ => noted.to_owned(),
    }
}

fn light(status: check::Status) -> Option<(Light, &'static str)> {
    match status {
        check::Status::Pass => Some((Light::Green, "Good")),
        check::Status::Warn => Some((Light::Amber, "Look")),
        check::Status::Fail => Some((Light::Red, "Failed")),
        check::Status::Skip => None,
    }
}

impl Status {
    fn ago(&self, at: Timestamp) -> String {
        words::ago(self.now.since(at))
    }

    fn moment_ago(&self, at: Option<Timestamp>, never: &str) -> Markup {
        html! {
            @match at {
                Some(at) => { dd { time datetime=(at) title=(date_and_time(at)) { (self.ago(at)) } } }
                None => { dd class="none" { (never) } }
            }
        }
    }

    /// The verdict and the two buttons.
    pub(super) fn head(&self, verdict: &Verdict) -> Markup {
        let checked = match &self.facts.report {
            Some(report) => format!("Checked {}.", self.ago(report.checked_at)),
            None => "Not checked since the relay started.".to_owned(),
        };
        html! {
            section class={ "verdict " (class(verdict.light)) } aria-labelledby="verdict" {
                (icon(verdict.light))
                div class="words" {
                    h2 id="verdict" { (verdict.title) }
                    p { (verdict.sentence) }
                    p class="muted" { "As of " (time_of_day(self.now)) ". " (checked) }
                }
                div class="actions" {
                    form method="get" action={ (self.root) "integration/check" } {
                        button class="first" type="submit" { "Check Integration" }
                    }
                    form method="post" action={ (self.root) "integration/update" } {
                        button type="submit" aria-describedby="update" { "Update Integration" }
                    }
                    p id="update" class="muted" { "Update Integration makes missing webhooks anew and mends altered ones." }
                }
            }
        }
    }

    /// Last webhook, last order, waiting, failed.
    pub(super) fn numbers(&self) -> Markup {
        let Some(summary) = &self.facts.summary else { return Markup::default() };
        html! {
            section aria-labelledby="orders" {
                h2 id="orders" { "Orders" }
                dl class="numbers" {
                    div { dt { "Last webhook" } (self.moment_ago(summary.last_event_at, "none yet")) }
                    div { dt { "Last order forwarded" } (self.moment_ago(summary.last_forwarded_at, "none yet")) }
                    div {
                        dt { "Under way or waiting" }
                        dd { (words::number(summary.waiting)) }
                        @if let Some(since) = summary.oldest_waiting {
                            dd class="muted" { "the oldest for " (words::span(self.now.since(since))) }
                        }
                    }
                    div class=[(summary.failed > 0).then_some("bad")] {
                        dt { "Failed" }
                        dd { (words::number(summary.failed)) }
                        @if summary.gone > 0 {
                            dd class="muted" { (words::count(summary.gone, "order")) " no longer in the store" }
                        }
                    }
                }
            }
        }
    }

    /// Each failed order with its button, and one for all.
    pub(super) fn failed_orders(&self) -> Markup {
        let failed = self.facts.summary.map_or(0, |summary| summary.failed);
        let hidden = failed.saturating_sub(self.failed.len() as u64);
        html! {
            section aria-labelledby="failed" {
                div class="row" {
                    h2 id="failed" { "Failed orders" }
                    form method="post" action={ (self.root) "orders/resend?state=failed" } {
                        button type="submit" { "Resend all failed (" (words::number(failed)) ")" }
                    }
                }
                ul class="list" {
                    @for row in &self.failed {
                        li class="row" {
                            div {
                                b { "Order " (row.order_id) }
                                p { (reason(row)) }
                                p class="muted" {
                                    (words::count(u64::from(row.attempts), "attempt")) ", last heard of " (self.ago(row.last_event_at))
                                }
                            }
                            form method="post" action={ (self.root) "orders/" (row.order_id) "/resend" } {
                                button type="submit" aria-label={ "Resend order " (row.order_id) } { "Resend" }
                            }
                        }
                    }
                }
                @if hidden > 0 { p class="muted" { "and " (words::number(hidden)) " more" } }
            }
        }
    }

    /// What the last check found, one by one, and what is known to be otherwise by now.
    pub(super) fn checks(&self) -> Markup {
        html! {
            section aria-labelledby="checks" {
                h2 id="checks" { "Checks" }
                @match &self.facts.report {
                    Some(report) => {
                        @let checks: Vec<_> = self.facts.checks(report, self.now).collect();
                        @let changed = checks.iter().any(|(then, now)| now.as_ref().is_some_and(|now| now.status != then.status));
                        p class="muted" {
                            "Run " (self.ago(report.checked_at)) ", " (moment(report.checked_at)) "."
                            @if changed { " What is known to have changed since then is shown as it is now." }
                        }
                        ul class="list" { @for (then, now) in &checks { (item(now.as_ref().unwrap_or(then))) } }
                    }
                    None => {
                        p { "No check has been run since the relay started. " b { "Check Integration" } " asks BigCommerce, One Tribe and the relay's own address; no order is sent for it." }
                    }
                }
            }
        }
    }
}

fn item(check: &Check) -> Markup {
    let (shape, word) = light(check.status).map_or((None, "Skipped"), |(light, word)| (Some(light), word));
    html! {
        li class={ "check " (shape.map_or("grey", class)) } {
            @match shape {
                Some(light) => (icon(light)),
                None => { svg class="icon" viewBox="0 0 32 32" aria-hidden="true" { circle cx="16" cy="16" r="15" {} path d="M9 16h14" {} } },
            }
            div {
                h3 { (check.title) span class="word" { span class="apart" { ": " } (word) } }
                p { (prose(&check.detail)) }
                @if let Some(remedy) = &check.remedy {
                    p class="next" { b { "What to do: " } (prose(remedy)) }
                }
            }
        }
    }
}
