//! `backfill`: relays past orders, with a progress bar, honest counts, and a way to go on after an interruption.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{civil::Date, tz::TimeZone};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, Usage, output, remedy};
use crate::{
    app::Parts,
    backfill::{Backfill, Span, Tally},
    clock::Timestamp,
    inbox::{InboxError, OrderQuery, OrderState},
    reconcile::PollError,
    words,
};

/// A far side that is down for longer than this is not waited for.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(300);
/// Between looks at how far things are.
const LOOK: Duration = Duration::from_millis(250);
/// Orders looked at to find out whether any is still on its first try.
const LOOKED_AT: u32 = 1000;

/// Which part of the past to relay.
#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// Orders changed from this day on (2024-03-05, from its beginning in UTC) or moment (2024-03-05T12:00:00Z)
    #[arg(long, value_name = "DATE", value_parser = beginning)]
    since: Timestamp,
    /// Orders changed up to this day (to its end in UTC) or moment; up to now if not given
    #[arg(long, value_name = "DATE", value_parser = end)]
    until: Option<Timestamp>,
    /// Only count: nothing is put into the inbox, nothing is sent
    #[arg(long)]
    dry_run: bool,
}

const SHAPE: &str = "a date such as 2024-03-05, or a moment such as 2024-03-05T12:00:00Z";

fn beginning(text: &str) -> Result<Timestamp, &'static str> {
    moment(text).or_else(|| midnight(text.parse().ok()?)).ok_or(SHAPE)
}

/// The last second of a day: dates of changes have a resolution of one second.
fn end(text: &str) -> Result<Timestamp, &'static str> {
    let last = |date: Date| Some(midnight(date.tomorrow().ok()?)?.before(Duration::from_secs(1)));
    moment(text).or_else(|| last(text.parse().ok()?)).ok_or(SHAPE)
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp::from_millis(at.as_millisecond()))
}

fn midnight(date: Date) -> Option<Timestamp> {
    let at = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// How a run ended.
enum End {
    Done,
    Interrupted,
    /// A far side stays down.
    Down(String),
    /// What is left has been refused and will be tried again later.
    Refused(u64),
}

pub(super) async fn run(parts: &Parts, args: BackfillArgs) -> Result<ExitCode, Failure> {
    let now = Timestamp::now();
    if args.since >= args.until.unwrap_or(now) {
        return Err(Usage("--since must lie before --until, and in the past".into()).into());
    }
    let span = Span { since: args.since, until: args.until, dry_run: args.dry_run };
    let (connection, inbox) = (parts.connection.clone(), parts.inbox.clone());
    let mut backfill = Backfill::new(connection, inbox, span, parts.config.event_retention).await?;
    if let Some(at) = backfill.resumes_at().await? {
        output::aside(format_args!("Going on where it was broken off, at {at}."));
    }
    let failed_before = parts.inbox.summary(parts.connection.id).await?.failed;
    let courier = if args.dry_run { None } else { Courier::start(parts).await? };
    let bar = progress_bar(&args, backfill.until());
    let read = backfill.tally();

    let walked = tokio::select! {
        walked = backfill.run() => walked.map(|_| End::Done),
        () = show(&bar, &read, parts, args.since) => Ok(End::Done),
        () = interrupted() => Ok(End::Interrupted),
        down = stays_down(parts), if courier.is_some() => Ok(End::Down(down)),
    };
    let end = match (walked, &courier) {
        (Ok(End::Done), Some(_)) => deliver_rest(parts, &bar).await?,
        (Ok(end), _) => end,
        (Err(error), _) => {
            finish(courier, &bar).await;
            if read().seen > 0 {
                tell(&read(), parts, &args)?;
            }
            let advice = match &error {
                PollError::Call(error) => remedy(error.seen),
                _ => None,
            };
            return Err(match advice {
                Some(advice) => format!("{error}. {advice} Then run the same command again").into(),
                None => format!("{error}. Run the same command again to go on from here").into(),
            });
        }
    };
    let served_here = courier.is_some();
    finish(courier, &bar).await;
    tell(&read(), parts, &args)?;
    let failed = parts.inbox.summary(parts.connection.id).await?.failed.saturating_sub(failed_before);
    conclude(end, served_here, args.dry_run, read().wanted, failed)
}

/// Delivers while no other relay does: what `serve` would do with the inbox, and nothing else.
struct Courier {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Courier {
    /// `None` when a relay serves this inbox already.
    async fn start(parts: &Parts) -> Result<Option<Self>, InboxError> {
        let stop = CancellationToken::new();
        let delivery = parts.deliver_alone(stop.clone()).await?;
        Ok(delivery.map(|delivery| Self { stop, task: tokio::spawn(delivery) }))
    }
}

/// Finishes what is under way.
async fn finish(courier: Option<Courier>, bar: &ProgressBar) {
    if let Some(courier) = courier {
        courier.stop.cancel();
        // A dispatch that panicked has nothing more to finish.
        drop(courier.task.await);
    }
    bar.finish_and_clear();
}

async fn interrupted() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
}

/// How long the way through the span is, in seconds: the number of orders on it is not known beforehand.
fn progress_bar(args: &BackfillArgs, until: Timestamp) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {percent:>3} %  {msg}").expect("the template is well-formed");
    ProgressBar::new(until.since(args.since).as_secs().max(1)).with_style(style)
}

/// Shows how far the walk is; never ends.
async fn show(bar: &ProgressBar, read: &impl Fn() -> Tally, parts: &Parts, since: Timestamp) {
    loop {
        let tally = read();
        let day = tally.reached.map(|at| at.to_string().chars().take(10).collect::<String>()).unwrap_or_default();
        bar.set_position(tally.reached.map_or(0, |at| at.since(since).as_secs()));
        let waiting = parts.inbox.summary(parts.connection.id).await.map_or(0, |summary| summary.waiting);
        bar.set_message(format!(
            "{day}  {} seen, {} to relay, {} waiting",
            words::number(tally.seen),
            words::number(tally.wanted),
            words::number(waiting)
        ));
        tokio::time::sleep(LOOK).await;
    }
}

/// Ends when a far side has been down for longer than anybody would wait.
async fn stays_down(parts: &Parts) -> String {
    loop {
        let sides = [
            ("One Tribe", parts.connection.destination_breaker().outage()),
            ("BigCommerce", parts.connection.store_breaker().outage()),
        ];
        for (side, outage) in sides {
            if let Some((since, seen)) = outage
                && since.elapsed() > OUTAGE_PATIENCE
            {
                return format!("{side} has been down for {} ({seen})", words::span(since.elapsed()));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until nothing waits, or what does has been refused.
async fn deliver_rest(parts: &Parts, bar: &ProgressBar) -> Result<End, InboxError> {
    let rest = async {
        loop {
            let waiting = parts.inbox.summary(parts.connection.id).await?.waiting;
            if waiting == 0 {
                return Ok(End::Done);
            }
            bar.set_message(format!("{} still to deliver", words::count(waiting, "order")));
            let query = OrderQuery { state: Some(OrderState::Pending), limit: LOOKED_AT, before: None };
            let pending = parts.inbox.orders(parts.connection.id, query).await?;
            // What was waiting a moment ago may be delivered by now: only a list of all that waits tells of refusals.
            let whole = pending.len() as u64 == waiting.min(u64::from(LOOKED_AT));
            if whole && pending.iter().all(|row| row.attempts > 0 && row.last_error.is_some()) {
                return Ok(End::Refused(waiting));
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        rest = rest => rest,
        () = interrupted() => Ok(End::Interrupted),
        down = stays_down(parts) => Ok(End::Down(down)),
    }
}

/// What became of the orders, each line with its number.
fn tell(tally: &Tally, parts: &Parts, args: &BackfillArgs) -> Result<(), Failure> {
    let seen = words::count(tally.seen, "order");
    output::line(format!("{seen} changed from {} to {}", args.since, args.until.unwrap_or_else(Timestamp::now)))?;
    let retention = words::span(parts.config.event_retention);
    let wanted = if args.dry_run { "would be relayed" } else { "put into the inbox, to be relayed" };
    let old = format!(
        "changed after the relay's first start and over {retention} ago: counted as relayed, its notes on them are gone"
    );
    for (count, what) in [
        (tally.wanted, wanted),
        (tally.relayed, "relayed before and unchanged since"),
        (tally.waiting, "under way already"),
        (tally.given_up, "failed or gone before, unchanged since: see `onetribe-relay orders list --state failed`"),
        (tally.skipped, "left out by SKIP_ORDER_STATUSES"),
        (tally.presumed, &old),
    ] {
        if count > 0 || what == wanted {
            output::line(format!("{:>9}  {what}", words::number(count)))?;
        }
    }
    Ok(())
}

fn conclude(end: End, served_here: bool, dry_run: bool, wanted: u64, failed: u64) -> Result<ExitCode, Failure> {
    match end {
        End::Interrupted => output::line("Broken off. Run the same command again to go on from here.")?,
        End::Down(side) => {
            output::line(format!("{side}. What is in the inbox waits there: start the relay, or run this again."))?;
        }
        End::Refused(waiting) => {
            let orders = words::count(waiting, "order");
            output::line(format!("{orders} refused so far: start the relay, which tries again, or run this later."))?;
        }
        End::Done if failed > 0 => {
            output::line(format!(
                "{} failed: see `onetribe-relay orders list --state failed`.",
                words::count(failed, "order")
            ))?;
        }
        End::Done => {
            if wanted > 0 && !dry_run {
                output::line(if served_here { "All delivered." } else { "The running relay delivers them." })?;
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
    Ok(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_and_end_and_moments_are_themselves() {
        let seconds = |at: Timestamp| at.millis() / 1000;
        assert_eq!(beginning("2024-03-05").map(seconds), Ok(1_709_596_800));
        assert_eq!(end("2024-03-05").map(seconds), Ok(1_709_683_199));
        for read in [beginning, end] {
            assert_eq!(read("2024-03-05T12:00:00+02:00").map(seconds), Ok(1_709_632_800));
            for wrong in ["", "yesterday", "2024-13-01", "2024-3-5", "05.03.2024", "1709596800"] {
                assert_eq!(read(wrong), Err(SHAPE), "{wrong}");
            }
        }
    }
}
