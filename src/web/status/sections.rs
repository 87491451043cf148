//! The sections for verdict, numbers, checks and technical details.

use maud::{Markup, html};

use super::{
    page::{StatusPage, Target},
    parts::{self, Style, class, icon, prose, shown, time},
    texts::{Texts, fill},
};
use crate::{
    clock::Timestamp,
    health::{Action, Check, CheckId, Condition, Light, Report, Severity, Status, Verdict},
    humanize,
    inbox::ConnectionState,
    spec::SourceKind,
};

impl StatusPage<'_> {
    /// The verdict, what to do, and the buttons: the one that helps most is the main one.
    pub(super) fn verdict(&self, verdict: &Verdict) -> Markup {
        let others = verdict.others.iter().filter_map(|at| self.judgment.conditions.get(*at));
        let texts = self.texts;
        html! {
            section id="verdict" data-part class={ "verdict " (class(Some(verdict.light))) } aria-labelledby="verdict-title" {
                (icon(Some(verdict.light)))
                div class="words" {
                    h2 id="verdict-title" { (verdict.title) }
                    p { (prose(&verdict.sentence)) }
                    @if let Some(cure) = &verdict.cure {
                        p { b { (texts.what_to_do) ": " } (prose(cure)) }
                    }
                    p class="muted" {
                        @if let Some(since) = verdict.since.filter(|_| verdict.light == Light::Red) {
                            (texts.since) " " (time(since, Style::Full)) ". "
                        }
                        (self.as_of()) "."
                    }
                }
                @if !verdict.others.is_empty() {
                    div class="others" {
                        h3 { (texts.also) }
                        ul { @for condition in others { (other(condition)) } }
                    }
                }
                (self.actions(verdict.action))
            }
        }
    }

    fn actions(&self, first: Action) -> Markup {
        let is_ended = self.facts.connection.state == ConnectionState::Disconnected;
        if is_ended {
            return Markup::default();
        }
        let texts = self.texts;
        let resend = (first == Action::ResendFailed).then(|| self.resend_all_target()).flatten();
        let resume = (first == Action::Resume).then(|| self.deed_target("resume")).flatten();
        let patch = (first == Action::Resume).then(|| self.patch_address()).flatten();
        let has_own = resend.is_some() || resume.is_some() || patch.is_some() || first == Action::SetDestination;
        let updates = first == Action::Update && self.facts.connection.has_webhooks;
        let class_if = |is_first: bool| if is_first { "first" } else { "" };
        let press = |target: &Target<'_>, word: &str, is_first: bool| {
            target.form("", &html! { button type="submit" class=(class_if(is_first)) { (word) } })
        };
        let check = press(&self.check_target(), texts.check, !updates && !has_own);
        let update = press(&self.update_target(), texts.update, updates);
        html! {
            div class="actions" {
                @if let Some(target) = &resend { (press(target, texts.resend_all, true)) }
                @if let Some(target) = &resume { (press(target, texts.resume, true)) }
                @if let Some(address) = &patch { (self.state_form(address, "active", texts.resume, true)) }
                @if updates { (update) (check) } @else { (check) (update) }
                p class="muted" { (texts.update_hint) }
            }
        }
    }

    /// The section with last webhook, last order, waiting, failed.
    pub(super) fn numbers(&self) -> Markup {
        let Some(summary) = self.facts.summary() else { return Markup::default() };
        let (texts, now) = (self.texts, self.now());
        html! {
            section id="numbers" data-part aria-labelledby="numbers-title" {
                h2 id="numbers-title" { (texts.numbers) }
                dl class="numbers" {
                    div { dt { (texts.last_webhook) } (self.moment_ago(summary.last_event_at)) }
                    div { dt { (texts.last_forwarded) } (self.moment_ago(summary.last_delivered_at)) }
                    div {
                        dt { (texts.waiting_now) }
                        dd { (humanize::number(summary.waiting)) }
                        @if let Some(since) = summary.oldest_waiting.filter(|_| summary.waiting > 0) {
                            dd class="muted" { (texts.oldest) " " (humanize::ago(now.since(since))) }
                        }
                    }
                    div class=[(summary.failed > 0).then_some("bad")] {
                        dt { (texts.failed_now) }
                        dd { (humanize::number(summary.failed)) }
                        @if summary.gone > 0 {
                            dd class="muted" { (humanize::number(summary.gone)) " " (texts.gone_now) }
                        }
                    }
                }
            }
        }
    }

    fn moment_ago(&self, at: Option<Timestamp>) -> Markup {
        html! {
            @match at {
                Some(at) => { dd { (parts::ago(at, self.now())) } }
                None => { dd class="none" { (self.texts.none_yet) } }
            }
        }
    }

    /// The section with the current result of each check.
    pub(super) fn checks(&self, report: &Report) -> Markup {
        let is_quiet = report.checks.iter().all(|check| matches!(check.status, Status::Pass | Status::Skip));
        let list = html! { ul class="list" { @for check in &report.checks { (self.check(check)) } } };
        html! {
            section id="checks" data-part aria-labelledby="checks-title" {
                h2 id="checks-title" { (self.texts.checks) }
                @if is_quiet && self.is_merchants() {
                    details id="all-checks" { summary { (quiet(report, self.texts)) } (list) }
                } @else { (list) }
            }
        }
    }

    fn check(&self, check: &Check) -> Markup {
        let (light, word) = match check.status {
            Status::Pass => (Some(Light::Green), self.texts.good),
            Status::Warn => (Some(Light::Amber), self.texts.look),
            Status::Fail => (Some(Light::Red), self.texts.bad),
            Status::Skip => (None, self.texts.skip),
        };
        html! {
            li class={ "check " (class(light)) } {
                (icon(light))
                div {
                    h3 { (check.title) span class="word" { span class="apart" { ": " } (word) } }
                    // What is wrong is told once, in full, where the page begins.
                    @match check.status {
                        Status::Warn | Status::Fail => { p { a href="#verdict" { (self.texts.see_top) } } }
                        Status::Pass | Status::Skip => { p { (prose(&check.detail)) } }
                    }
                }
            }
        }
    }

    /// Details that only the operator, or a person who helps a merchant, needs.
    pub(super) fn details(&self, report: &Report) -> Markup {
        let facts = self.facts;
        let connection = &facts.connection;
        let store = if connection.source == SourceKind::BigCommerce { "Store hash" } else { "Shop" };
        let hooks = CheckId::Hooks.code(connection.source, connection.destination);
        let knows_hooks = report.checks.iter().any(|check| check.id == hooks && check.status != Status::Skip);
        let poll = connection
            .poll_interval
            .map_or_else(|| "off".to_owned(), |every| format!("every {}", humanize::span(every)));
        html! {
            details id="details" class="card" data-part {
                summary { h2 { (self.texts.details) } }
                dl class="facts" {
                    dt { "Connection" } dd { (connection.id) " (" (shown(&connection.name)) ", " (connection.origin) ", " (connection.state) ")" }
                    dt { (store) } dd { (shown(&connection.store)) }
                    @if let Some(host) = &connection.destination_host { dt { "Destination" } dd { (shown(host)) } }
                    dt { "Made" } dd { (time(connection.created_at, Style::Full)) }
                    dt { "Polling" } dd { (poll) }
                    @for feed in &facts.feeds {
                        dt { "Read up to: " (shown(&feed.name)) }
                        dd { @match feed.watermark { Some(at) => (time(at, Style::Full)), None => "not yet" } }
                    }
                    @for hook in &facts.hooks.rows {
                        dt { "Webhook " (shown(&hook.topic)) }
                        dd { @if !knows_hooks { "last known: " } (hook.state.code()) @if let Some(id) = hook.hook_id { " (" (id) ")" } }
                    }
                    @for condition in &self.judgment.conditions {
                        dt { code { (condition.code) } }
                        dd {
                            @if condition.severity == Severity::Info { (prose(&condition.line())) }
                            @else {
                                (condition.severity)
                                @if let Some(since) = condition.since { ", since " (time(since, Style::Full)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn quiet(report: &Report, texts: &Texts) -> String {
    let passed = report.checks.iter().filter(|check| check.status == Status::Pass).count();
    fill(texts.all_good, &[("count", &passed.to_string())])
}

fn other(condition: &Condition) -> Markup {
    let light = if condition.severity == Severity::Error { Light::Red } else { Light::Amber };
    html! {
        li class=(class(Some(light))) {
            (icon(Some(light)))
            div { p { (prose(&condition.detail())) } p class="muted" { (prose(&condition.cure)) } }
        }
    }
}
