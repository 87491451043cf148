//! The single checks. None of them sends anything to the destination that could be taken for an order. What is known of
//! their subjects without running them is said in the same words.

use std::time::{Duration, Instant};

use super::{Check, Checker, Finding, LONG_WAIT, Status, meanwhile};
use crate::{
    bigcommerce,
    clock::Timestamp,
    connection::{Outage, Side},
    http::{CallError, Seen, Transport},
    inbox::{InboxError, Summary},
    reconcile,
    registrar::{HookReport, HookState, RegistrarError},
    words,
};

/// What a gateway answers while there is nothing behind it.
pub(super) const NOBODY_BEHIND: [u16; 3] = [502, 503, 504];

/// An order is fetched less than this before it is forwarded.
const FETCHED_BEFORE: Duration = Duration::from_secs(60);

/// What mends a hook.
const MEND: &str =
    "Click Update Integration (or run `onetribe-relay hooks update`): the relay puts its webhooks right.";

/// What is known of the checks' subjects without asking anybody.
pub(crate) struct Known<'a> {
    /// The inbox in numbers; `None` when it cannot be read.
    pub summary: Option<&'a Summary>,
    /// Whether the store's API is down.
    pub store_down: Option<&'a Outage>,
    /// The same of the destination.
    pub destination_down: Option<&'a Outage>,
    /// Whether polling does not work.
    pub polling_fails: Option<&'a Outage>,
    /// Whether the hooks were as they should be when last looked at.
    pub hooks_well: Option<bool>,
}

impl Known<'_> {
    /// A check of some time ago as it would come out now, where that is known; `None` where only asking again would tell.
    pub(crate) fn instead_of(&self, check: &Check, checked_at: Timestamp, now: Timestamp) -> Option<Check> {
        let forwarded = self.summary.and_then(|summary| summary.last_forwarded_at);
        // An order that has gone through since has been taken, and was fetched a little before.
        let gone_through = |fetched: Duration| {
            let since = checked_at.after(fetched);
            let at = forwarded.filter(|at| *at > since && matches!(check.status, Status::Fail | Status::Warn))?;
            Some(Finding::pass(format!("Orders go through: the last one was forwarded {}.", words::ago(now.since(at)))))
        };
        let Finding { status, detail, remedy } = match (check.id, self.summary) {
            ("storage", None) => Some(unusable("The database cannot be read. The relay's log says why.")),
            ("deliveries", None) => Some(no_list()),
            ("deliveries", Some(summary)) => Some(deliveries(summary, self.polling_fails, now)),
            ("bigcommerce_api", _) => {
                self.store_down.map(|(_, seen)| no_orders_given(seen)).or_else(|| gone_through(FETCHED_BEFORE))
            }
            ("one_tribe_destination", _) => self
                .destination_down
                .map(|(span, seen)| not_taking_orders(*span, seen))
                .or_else(|| gone_through(Duration::ZERO)),
            ("bigcommerce_hooks", _) => self.hooks(check),
            _ => None,
        }?;
        Some(Check { status, detail, remedy, ..check.clone() })
    }

    fn hooks(&self, check: &Check) -> Option<Finding> {
        match (self.hooks_well?, check.status) {
            (false, Status::Pass) => Some(Finding::warn("A webhook is missing or altered.", MEND)),
            // Only what was wrong with a hook is known to be right again.
            (true, Status::Fail) if check.remedy.as_deref() == Some(MEND) => Some(hooks_there()),
            _ => None,
        }
    }
}

impl Checker {
    pub(super) async fn configuration(&self) -> Finding {
        let config = &self.config;
        let polling = config.connection.reconcile_interval.is_some();
        if config.connection.public_url.is_none() && !polling {
            return Finding::fail(
                "PUBLIC_URL is not set and RECONCILE_INTERVAL is 0: nothing tells the relay of new orders.",
                "Set PUBLIC_URL to the https address under which the relay can be reached, or remove RECONCILE_INTERVAL.",
            );
        }
        if config.connection.public_url.is_none() {
            return Finding::warn(
                "PUBLIC_URL is not set: BigCommerce cannot call the relay, orders are found by polling alone.",
                "Set PUBLIC_URL to the https address under which the relay can be reached.",
            );
        }
        if config.admin_token.is_none() {
            return Finding::warn(
                "ADMIN_TOKEN is not set: the status page is closed.",
                "Set ADMIN_TOKEN to a long random text, and keep it.",
            );
        }
        if !polling {
            return Finding::warn(
                "RECONCILE_INTERVAL is 0: an order whose webhook is lost is not found by polling.",
                "Remove RECONCILE_INTERVAL, or set it to a duration such as 15m.",
            );
        }
        Finding::pass(format!("Everything needed is set, for the store {}.", config.connection.store))
    }

    pub(super) async fn storage(&self) -> Finding {
        match self.inbox.probe(Timestamp::now()).await {
            Ok(()) => Finding::pass("The database can be written."),
            Err(error) => {
                // The database's own words may name users and hosts: they are for the log.
                tracing::warn!(%error, "the database cannot be written: {error}");
                unusable("The database cannot be written. The relay's log says why.")
            }
        }
    }

    pub(super) async fn bigcommerce_api(&self) -> Finding {
        let api = &self.connection.api;
        if let Some(finding) = self.quota_used_up() {
            return finding;
        }
        match api.can_read_orders().await {
            Ok(()) => Finding::pass("The access token is right and may read orders."),
            Err(CallError { seen: Seen::Status(429), .. }) => quota_used_up(""),
            Err(error) => no_orders_given(&error.seen.to_string()),
        }
    }

    /// What would wait for the quota longer than a check may take is not even tried.
    fn quota_used_up(&self) -> Option<Finding> {
        let wait = self.connection.api.quota().closed_for(Instant::now());
        (wait > bigcommerce::PATIENCE).then(|| quota_used_up(&format!(" for {} more", words::span(wait))))
    }

    pub(super) async fn bigcommerce_hooks(&self) -> Finding {
        if self.connection.config.public_url.is_none() {
            return Finding::skip("No webhooks are registered, since PUBLIC_URL is not set.");
        }
        if let Some(finding) = self.quota_used_up() {
            return finding;
        }
        let (inspected, blocked) = tokio::join!(self.registrar.inspect(), self.registrar.blocked());
        let reports = match inspected {
            Ok(reports) => reports,
            Err(RegistrarError::Quota) => return quota_used_up(""),
            Err(RegistrarError::Call(CallError { seen: Seen::Status(401 | 403), .. })) => {
                return Finding::fail(
                    "BigCommerce refuses to show the webhooks with this access token.",
                    "Check BIGCOMMERCE_ACCESS_TOKEN, then click Update Integration.",
                );
            }
            Err(RegistrarError::Inbox(error)) => {
                tracing::warn!(%error, "which hooks are the relay's cannot be read: {error}");
                return Finding::fail(
                    "The relay cannot tell its own webhooks from others, since the database cannot be read.",
                    "See the check of the storage.",
                );
            }
            Err(error) => {
                let polling = self.connection.config.reconcile_interval.is_some();
                return Finding::fail(
                    format!("The webhooks cannot be read: {error}."),
                    format!("Check again in a minute. {}", meanwhile(polling)),
                );
            }
        };
        let wrong: Vec<String> = reports.iter().filter_map(fault).collect();
        if !wrong.is_empty() {
            return Finding::fail(wrong.join(" "), MEND);
        }
        match blocked {
            Ok(Some(seconds)) => Finding::warn(
                format!(
                    "BigCommerce has the relay's domain on its blocklist, for {} more.",
                    words::count(seconds.unsigned_abs(), "second")
                ),
                "It comes off by itself. If it happens again, the relay has been answering too slowly or not at all.",
            ),
            // Not every account may ask for the blocklist.
            Ok(None) | Err(_) => hooks_there(),
        }
    }

    pub(super) async fn one_tribe_destination(&self) -> Finding {
        if let Ok(Some((span, seen))) = self.connection.outage(Side::Destination, self.inbox.as_ref()).await {
            return not_taking_orders(span, &seen);
        }
        match self.connection.destination.reach().await {
            Ok(status) if NOBODY_BEHIND.contains(&status) => Finding::warn(
                format!("One Tribe's server answers, and says that it is not available (HTTP {status})."),
                "Nothing to do at first: orders wait and go out when One Tribe is back. If it lasts, tell One Tribe.",
            ),
            Ok(_) => Finding::pass("One Tribe can be reached. (No order was sent to find out.)"),
            Err(error) => Finding::fail(
                match error.seen {
                    Seen::Transport(Transport::Dns) => "The name in ONE_TRIBE_DESTINATION does not exist.".into(),
                    Seen::Transport(Transport::Tls) => "One Tribe's certificate is not valid.".into(),
                    seen => format!("One Tribe cannot be reached: {seen}."),
                },
                "Compare ONE_TRIBE_DESTINATION with the payload URL that One Tribe shows. If it is the same, try again later.",
            ),
        }
    }

    pub(super) async fn deliveries(&self) -> Finding {
        let read = async {
            let polling = reconcile::trouble(&self.connection, self.inbox.as_ref()).await?;
            Ok::<_, InboxError>((self.inbox.summary(self.connection.id).await?, polling))
        };
        match read.await {
            Ok((summary, polling_fails)) => deliveries(&summary, polling_fails.as_ref(), Timestamp::now()),
            Err(error) => {
                tracing::warn!(%error, "the inbox cannot be read: {error}");
                no_list()
            }
        }
    }
}

fn deliveries(summary: &Summary, polling_fails: Option<&Outage>, now: Timestamp) -> Finding {
    let waited = summary.oldest_waiting.map_or(Duration::ZERO, |since| now.since(since));
    let waiting = words::count(summary.waiting, "order");
    let late = (waited > LONG_WAIT).then(|| {
        let are = words::are(summary.waiting);
        format!("{waiting} {are} waiting, the oldest for {}.", words::span(waited))
    });
    if summary.failed > 0 {
        let failed = words::count(summary.failed, "order");
        return Finding::warn(
            format!("{failed} could not be delivered. {}", late.unwrap_or_default()).trim_end(),
            "Look at the failed orders, and resend them once the reason is gone.",
        );
    }
    if let Some((span, why)) = polling_fails.filter(|(span, _)| *span > LONG_WAIT) {
        let span = words::span(*span);
        return Finding::warn(
            format!("Polling has not worked for {span}: {why}. An order whose webhook is lost is not found meanwhile."),
            "If the other checks are well, tell the people who run the relay.",
        );
    }
    if let Some(late) = late {
        return Finding::warn(late, "See the other checks for the reason. Nothing is lost meanwhile.");
    }
    match (summary.waiting, summary.last_forwarded_at) {
        (0, None) => Finding::pass("No order has come yet."),
        (0, Some(at)) => {
            Finding::pass(format!("All orders are delivered, the last one {}.", words::ago(now.since(at))))
        }
        _ => Finding::pass(format!("{waiting} under way or waiting for a turn.")),
    }
}

fn no_list() -> Finding {
    Finding::fail("The list of orders cannot be read.", "See the check of the storage.")
}

fn unusable(what: &str) -> Finding {
    let remedy = "Make room on the disk, or give the relay the right to write there. Until then BigCommerce keeps new orders' webhooks for up to 48 hours.";
    Finding::fail(what, remedy)
}

fn hooks_there() -> Finding {
    Finding::pass("The webhooks are there, active, and point to this relay.")
}

fn no_orders_given(seen: &str) -> Finding {
    match seen {
        "HTTP 401" => Finding::fail(
            "BigCommerce refuses the access token.",
            "In BigCommerce, make an API account with the scope Orders: read-only, and set BIGCOMMERCE_ACCESS_TOKEN (and BIGCOMMERCE_CLIENT_SECRET) from it.",
        ),
        "HTTP 403" => Finding::fail(
            "The access token may not read orders.",
            "In BigCommerce, give the API account the scope Orders: read-only (or make a new one that has it).",
        ),
        "HTTP 404" => Finding::fail(
            "BigCommerce does not know this store.",
            "Check BIGCOMMERCE_STORE_HASH: it is the part after `stores/` in the API path.",
        ),
        seen => Finding::fail(
            format!("BigCommerce does not answer as it should: {seen}."),
            "Usually this passes. Orders wait meanwhile and none is lost. If it lasts, look at BigCommerce's status page.",
        ),
    }
}

fn not_taking_orders(span: Duration, seen: &str) -> Finding {
    let remedy = match seen {
        "HTTP 401" | "HTTP 403" | "HTTP 404" | "HTTP 410" => {
            "Copy the payload URL from One Tribe once more into ONE_TRIBE_DESTINATION: this one is not accepted."
        }
        _ => "Nothing to do at first: orders wait and go out when One Tribe is back. If it lasts, tell One Tribe.",
    };
    Finding::fail(format!("One Tribe has not been taking orders for {} ({seen}).", words::span(span)), remedy)
}

fn quota_used_up(how_long: &str) -> Finding {
    Finding::warn(
        format!("The store's API limit is used up{how_long}, perhaps by another app. Nothing could be asked."),
        "Nothing to do: the relay waits its turn and goes on by itself. Check again in a minute.",
    )
}

/// What is wrong with a hook, if anything is.
fn fault(report: &HookReport) -> Option<String> {
    let what = match report.state {
        HookState::Healthy => return None,
        HookState::Missing => "is missing",
        HookState::Inactive => "has been switched off by BigCommerce",
        HookState::Elsewhere => "points to another address",
        HookState::WithoutToken => "does not carry the relay's token",
        HookState::Doubled => "is there more than once: events come twice",
    };
    Some(format!("The webhook for {} {what}.", report.scope))
}
