//! The one sentence at the top of the status page: is the store connected to One Tribe? Pure.
//!
//! What is known this moment (a far side is down, orders wait, one has gone through) outranks what a check found some time
//! ago, and nothing is called connected that no order has gone through and nobody has checked.

use std::{sync::Arc, time::Duration};

use crate::{
    check::{Check, Known, LONG_WAIT, Report, Status},
    clock::Timestamp,
    connection::Outage,
    inbox::Summary,
    words,
};

/// A check older than this no longer vouches for what no order has gone through.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// A check younger than this is what somebody is looking at just now.
const FRESH: Duration = Duration::from_secs(120);

/// What the page knows without asking anybody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// The inbox in numbers; `None` when the database cannot be read.
    pub summary: Option<Summary>,
    /// Whether the store's API is down.
    pub store_down: Option<Outage>,
    /// The same of the destination.
    pub destination_down: Option<Outage>,
    /// The status with which the store refuses the access token, as far as this relay has seen.
    pub credentials_refused: Option<u16>,
    /// Whether polling does not work.
    pub polling_fails: Option<Outage>,
    /// Hooks that were as they should be when last looked at, and how many there should be.
    pub hooks: Option<(u64, u64)>,
    /// The last check.
    pub report: Option<Arc<Report>>,
}

impl Facts {
    fn known(&self) -> Known<'_> {
        Known {
            summary: self.summary.as_ref(),
            store_down: self.store_down.as_ref(),
            destination_down: self.destination_down.as_ref(),
            polling_fails: self.polling_fails.as_ref(),
            hooks_well: self.hooks.map(|(healthy, wanted)| healthy >= wanted),
        }
    }

    /// The last check's parts, each with what is known of it now instead.
    pub fn checks<'a>(
        &'a self,
        report: &'a Report,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a Check, Option<Check>)> {
        let known = self.known();
        report.checks.iter().map(move |check| (check, known.instead_of(check, report.checked_at, now)))
    }
}

/// Green, amber or red.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Light {
    Green,
    Amber,
    Red,
}

/// What the page says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub light: Light,
    /// Two or three words.
    pub title: &'static str,
    /// One or two sentences.
    pub sentence: String,
}

impl Verdict {
    fn new(light: Light, title: &'static str, sentence: impl Into<String>) -> Self {
        Self { light, title, sentence: sentence.into() }
    }
}

/// The worst that is known decides.
pub(crate) fn verdict(facts: &Facts, now: Timestamp) -> Verdict {
    let Some(summary) = &facts.summary else {
        return Verdict::new(
            Light::Red,
            "Not working",
            "The relay's database cannot be read. BigCommerce keeps the webhooks of new orders meanwhile.",
        );
    };
    outage(facts)
        .or_else(|| refused(facts))
        .or_else(|| checked(facts, Status::Fail, Light::Red, "Not connected", now))
        .or_else(|| backlog(summary, now))
        .or_else(|| hooks(facts))
        .or_else(|| polling(facts))
        .or_else(|| checked(facts, Status::Warn, Light::Amber, "Needs a look", now))
        .or_else(|| unproven(facts, summary, now))
        .unwrap_or_else(|| connected(summary, now))
}

fn outage(facts: &Facts) -> Option<Verdict> {
    let not_arriving = |sentence| Verdict::new(Light::Red, "Orders are not arriving", sentence);
    if let Some((span, seen)) = &facts.destination_down {
        let span = words::span(*span);
        return Some(not_arriving(format!(
            "One Tribe has not been taking orders for {span} ({seen}). They wait here and none is lost."
        )));
    }
    let (span, seen) = facts.store_down.as_ref()?;
    Some(not_arriving(match seen.as_str() {
        "HTTP 401" | "HTTP 403" => {
            "BigCommerce refuses the relay's access token, so orders cannot be fetched. They wait and none is lost."
                .to_owned()
        }
        _ => format!(
            "BigCommerce has not been answering for {} ({seen}). Orders wait and none is lost.",
            words::span(*span)
        ),
    }))
}

fn refused(facts: &Facts) -> Option<Verdict> {
    let status = facts.credentials_refused?;
    let sentence = format!(
        "BigCommerce refuses the relay's access token (HTTP {status}), so no order can be fetched. Click Check Integration."
    );
    Some(Verdict::new(Light::Red, "Not connected", sentence))
}

fn polling(facts: &Facts) -> Option<Verdict> {
    let (span, why) = facts.polling_fails.as_ref().filter(|(span, _)| *span > LONG_WAIT)?;
    let span = words::span(*span);
    let sentence =
        format!("Polling has not worked for {span} ({why}). An order whose webhook is lost is not found meanwhile.");
    Some(Verdict::new(Light::Amber, "Needs a look", sentence))
}

/// What the last check found, or what is known since instead, if a part of it is `status`.
fn checked(facts: &Facts, status: Status, light: Light, title: &'static str, now: Timestamp) -> Option<Verdict> {
    let report = facts.report.as_ref()?;
    let (then, since) =
        facts.checks(report, now).find(|(then, since)| since.as_ref().unwrap_or(then).status == status)?;
    let age = now.since(report.checked_at);
    let sentence = match since {
        Some(since) => since.detail,
        None if age < FRESH => then.detail.clone(),
        None => format!("At the last check, {}: {}", words::ago(age), then.detail),
    };
    Some(Verdict::new(light, title, sentence))
}

fn backlog(summary: &Summary, now: Timestamp) -> Option<Verdict> {
    if summary.failed > 0 {
        let failed = words::count(summary.failed, "order");
        let sentence = format!("{failed} could not be delivered. See the reason below, and resend once it is gone.");
        return Some(Verdict::new(Light::Amber, "Needs a look", sentence));
    }
    let waited = summary.oldest_waiting.map(|since| now.since(since)).filter(|waited| *waited > LONG_WAIT)?;
    let (waiting, are) = (words::count(summary.waiting, "order"), words::are(summary.waiting));
    let sentence = format!("{waiting} {are} waiting, the oldest for {}. None is lost.", words::span(waited));
    Some(Verdict::new(Light::Amber, "Orders are late", sentence))
}

fn hooks(facts: &Facts) -> Option<Verdict> {
    facts.hooks.filter(|(healthy, wanted)| healthy < wanted).map(|_| {
        let sentence = "A webhook is missing or altered. Click Update Integration: the relay puts it right.";
        Verdict::new(Light::Amber, "Needs a look", sentence)
    })
}

/// Where no order has gone through yet, only a check can tell.
fn unproven(facts: &Facts, summary: &Summary, now: Timestamp) -> Option<Verdict> {
    if summary.last_forwarded_at.is_some() {
        return None;
    }
    let Some(report) = &facts.report else {
        return Some(Verdict::new(
            Light::Amber,
            "Not checked yet",
            "Nothing is known to be wrong, but the integration has not been checked since the relay started. Click Check Integration.",
        ));
    };
    let age = Some(now.since(report.checked_at)).filter(|age| *age > STALE)?;
    let sentence = format!(
        "All was well at the last check, {}, and nothing is known to be wrong since. Click Check Integration.",
        words::ago(age)
    );
    Some(Verdict::new(Light::Amber, "Not checked lately", sentence))
}

fn connected(summary: &Summary, now: Timestamp) -> Verdict {
    let last = match summary.last_forwarded_at {
        Some(at) => format!(" The last order was forwarded {}.", words::ago(now.since(at))),
        None => " No order has come yet.".to_owned(),
    };
    Verdict::new(Light::Green, "Connected", format!("Your store is connected to One Tribe.{last}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn report(status: Status, age: u64) -> Option<Arc<Report>> {
        report_of("public_url", status, age)
    }

    fn report_of(id: &'static str, status: Status, age: u64) -> Option<Arc<Report>> {
        let check = |status, detail: &str| Check {
            id,
            status,
            title: "A title",
            detail: detail.into(),
            remedy: None,
            duration_ms: 1,
        };
        let checks = vec![check(Status::Pass, "Fine."), check(status, "Found.")];
        Some(Arc::new(Report { status, checked_at: NOW.before(Duration::from_secs(age)), checks }))
    }

    #[test]
    fn the_worst_that_is_known_decides() {
        let fine = Facts {
            summary: Some(Summary::default()),
            report: report(Status::Pass, 60),
            hooks: Some((1, 1)),
            ..Facts::default()
        };
        let down = || Some((Duration::from_secs(300), "HTTP 503".to_owned()));
        let with = |summary: Summary| Facts { summary: Some(summary), ..fine.clone() };
        let waiting = |seconds| {
            with(Summary {
                waiting: 2,
                oldest_waiting: Some(NOW.before(Duration::from_secs(seconds))),
                ..Summary::default()
            })
        };
        let failed = Summary { failed: 1, ..Summary::default() };
        let forwarded = Summary { last_forwarded_at: Some(NOW.before(Duration::from_secs(120))), ..Summary::default() };
        for (facts, light, title, said) in [
            (fine.clone(), Light::Green, "Connected", "No order has come yet."),
            (with(forwarded), Light::Green, "Connected", "forwarded 2 minutes ago"),
            (Facts { report: None, ..with(forwarded) }, Light::Green, "Connected", "forwarded 2 minutes ago"),
            (Facts { report: report(Status::Pass, 200_000), ..with(forwarded) }, Light::Green, "Connected", ""),
            (
                Facts { report: report_of("one_tribe_destination", Status::Fail, 300), ..with(forwarded) },
                Light::Green,
                "Connected",
                "",
            ),
            (
                Facts { report: report_of("one_tribe_destination", Status::Fail, 60), ..with(forwarded) },
                Light::Red,
                "Not connected",
                "Found.",
            ),
            (Facts { report: report(Status::Fail, 300), ..with(forwarded) }, Light::Red, "Not connected", "Found."),
            (Facts { summary: None, ..fine.clone() }, Light::Red, "Not working", "cannot be read"),
            (
                Facts { destination_down: down(), ..fine.clone() },
                Light::Red,
                "Orders are not arriving",
                "5 minutes (HTTP 503)",
            ),
            (
                Facts { store_down: down(), ..fine.clone() },
                Light::Red,
                "Orders are not arriving",
                "BigCommerce has not",
            ),
            (
                Facts { store_down: Some((Duration::ZERO, "HTTP 401".to_owned())), ..fine.clone() },
                Light::Red,
                "Orders are not arriving",
                "access token",
            ),
            (Facts { report: report(Status::Fail, 1), ..fine.clone() }, Light::Red, "Not connected", "Found."),
            (
                Facts { report: report(Status::Fail, 7200), ..fine.clone() },
                Light::Red,
                "Not connected",
                "At the last check, 2 hours ago: Found.",
            ),
            (Facts { report: report(Status::Fail, 1), ..with(failed) }, Light::Red, "Not connected", "Found."),
            (with(failed), Light::Amber, "Needs a look", "1 order could not"),
            (waiting(16 * 60), Light::Amber, "Orders are late", "2 orders are waiting, the oldest for 16 minutes"),
            (waiting(14 * 60), Light::Green, "Connected", ""),
            (Facts { hooks: Some((0, 1)), ..fine.clone() }, Light::Amber, "Needs a look", "Update Integration"),
            (Facts { report: report(Status::Warn, 1), ..fine.clone() }, Light::Amber, "Needs a look", "Found."),
            (Facts { report: None, ..fine.clone() }, Light::Amber, "Not checked yet", "has not been checked"),
            (
                Facts { report: report(Status::Pass, 200_000), ..fine.clone() },
                Light::Amber,
                "Not checked lately",
                "2 days ago",
            ),
        ] {
            let verdict = verdict(&facts, NOW);
            assert_eq!((verdict.light, verdict.title), (light, title), "{facts:?}");
            assert!(verdict.sentence.contains(said), "{verdict:?} does not say `{said}`");
        }
    }
    #[test]
    fn a_check_gives_way_to_what_is_known_now_and_to_nothing_else() {
        let down = |seen: &str| Some((Duration::from_secs(300), seen.to_owned()));
        let fine = Facts { summary: Some(Summary::default()), hooks: Some((1, 1)), ..Facts::default() };
        let waiting = Summary { waiting: 2, ..Summary::default() };
        for (id, was, facts, is) in [
            ("storage", Status::Pass, Facts::default(), Some((Status::Fail, "The database cannot be read."))),
            ("storage", Status::Fail, fine.clone(), None),
            ("deliveries", Status::Pass, Facts::default(), Some((Status::Fail, "The list of orders"))),
            (
                "deliveries",
                Status::Warn,
                Facts { summary: Some(waiting), ..fine.clone() },
                Some((Status::Pass, "2 orders under way")),
            ),
            ("bigcommerce_api", Status::Pass, fine.clone(), None),
            (
                "bigcommerce_api",
                Status::Pass,
                Facts { store_down: down("HTTP 401"), ..fine.clone() },
                Some((Status::Fail, "BigCommerce refuses")),
            ),
            (
                "one_tribe_destination",
                Status::Pass,
                Facts { destination_down: down("HTTP 404"), ..fine.clone() },
                Some((Status::Fail, "One Tribe has not been taking orders for 5 minutes (HTTP 404).")),
            ),
            (
                "bigcommerce_hooks",
                Status::Pass,
                Facts { hooks: Some((0, 1)), ..fine.clone() },
                Some((Status::Warn, "A webhook is missing")),
            ),
            ("bigcommerce_hooks", Status::Fail, fine.clone(), None),
            ("configuration", Status::Pass, Facts { destination_down: down("HTTP 404"), ..fine }, None),
        ] {
            let report = report_of(id, was, 600).expect("a report");
            let (_, now) = facts.checks(&report, NOW).nth(1).expect("the second check");
            assert_eq!(now.as_ref().map(|now| now.status), is.map(|(status, _)| status), "{id}: {facts:?}");
            let said = now.as_ref().map_or("", |now| &now.detail);
            assert!(said.starts_with(is.map_or("", |(_, said)| said)), "{said}");
        }
    }

    #[test]
    fn what_keeps_the_next_order_from_being_found_is_not_called_connected() {
        let at = Some(NOW.before(Duration::from_secs(90_000)));
        let fine = Facts {
            summary: Some(Summary { last_forwarded_at: at, ..Summary::default() }),
            hooks: Some((1, 1)),
            ..Facts::default()
        };
        let failing = |seconds| Some((Duration::from_secs(seconds), "BigCommerce: HTTP 500".to_owned()));
        let light = |facts: &Facts| verdict(facts, NOW).light;
        assert_eq!(light(&Facts { polling_fails: failing(60), ..fine.clone() }), Light::Green);
        for report in [None, report_of("deliveries", Status::Pass, 10)] {
            let facts = Facts { polling_fails: failing(80_000), report, ..fine.clone() };
            assert_eq!(light(&facts), Light::Amber);
            assert!(verdict(&facts, NOW).sentence.contains("Polling has not worked for 22 hours"));
        }
        let refused = Facts { credentials_refused: Some(401), ..fine };
        assert_eq!((light(&refused), verdict(&refused, NOW).title), (Light::Red, "Not connected"));
    }
}
