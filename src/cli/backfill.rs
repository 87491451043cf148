//! `backfill`: relays past orders, with a progress bar, exact counts, and a way to continue after an interruption.
//!
//! This file has the arguments and the output; `delivery` delivers where no relay is running.

mod delivery;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{civil::Date, tz::TimeZone};
use serde::Serialize;

use super::{
    failure::CommandError,
    output,
    session::Session,
    terminal,
    which::{Which, disconnected},
};
use crate::{
    clock::Timestamp,
    config::Settings,
    connection::Connection,
    humanize,
    inbox::{ConnectionState, InboxError, ObjectQuery, ObjectState},
    reconcile::backfill::{Backfill, Span, Tally},
    services::Services,
};
use delivery::{Delivery, LOOK, has_outage, interrupted, stays_down};

/// Most orders read to find out whether any is still on its first try.
const LOOKED_AT: u32 = 1000;

/// Which part of the past to relay.
#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// Which connection.
    #[command(flatten)]
    which: Which,
    /// Orders changed from this day on (2024-03-05, from its beginning in UTC) or moment (2024-03-05T12:00:00Z)
    #[arg(long, value_name = "DATE", value_parser = beginning)]
    since: Timestamp,
    /// Orders changed up to this day (to its end in UTC) or moment; up to now if not given
    #[arg(long, value_name = "DATE", value_parser = end)]
    until: Option<Timestamp>,
    /// Only count: nothing is kept, nothing is sent
    #[arg(long)]
    dry_run: bool,
    /// Print the counts as JSON
    #[arg(long, requires = "dry_run")]
    json: bool,
}

impl BackfillArgs {
    /// Whether the run delivers anything.
    pub(super) fn delivers(&self) -> bool {
        !self.dry_run
    }
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
    /// A far side has stayed down.
    Down(String),
    /// This many remaining orders have been refused and will be tried again later.
    Refused(u64),
}

/// What a dry run has counted; `until` is null for up to now.
#[derive(Serialize)]
struct Counted<'a> {
    since: Timestamp,
    until: Option<Timestamp>,
    #[serde(flatten)]
    tally: &'a Tally,
}

/// One run over a connection's past.
struct Run<'a> {
    services: &'a Services,
    connection: Arc<Connection>,
    args: BackfillArgs,
    bar: ProgressBar,
}

pub(super) async fn run(session: &Session, args: BackfillArgs) -> Result<(), CommandError> {
    let (services, now) = (&session.services, Timestamp::now());
    if args.since >= args.until.unwrap_or(now) {
        return Err(CommandError::usage("--since must lie before --until, and in the past"));
    }
    let connection = args.which.find(services)?;
    if connection.link.is_none() {
        return Err(disconnected(&connection, "its store cannot be asked"));
    }
    let span = Span { since: args.since, until: args.until, dry_run: args.dry_run };
    let retention = services.settings.event_retention;
    let mut backfill = Backfill::new(connection.clone(), services.inbox.clone(), span, retention);
    if let Some(at) = backfill.resumes_at().await? {
        terminal::print_note(format_args!("Going on where it was broken off, at {at}."));
    }
    let failed_before = services.inbox.summary(connection.id).await?.failed;
    let delivery = if args.dry_run { None } else { Delivery::start(session, &connection).await? };
    let bar = progress_bar(&args, backfill.until());
    let run = Run { services, connection, args, bar };
    let read = backfill.tally();
    let walked = tokio::select! {
        walked = backfill.run() => walked.map(|_| End::Done),
        () = run.show(&read) => Ok(End::Done),
        () = interrupted() => Ok(End::Interrupted),
        down = stays_down(&run.connection), if delivery.is_some() => Ok(End::Down(down)),
    };
    let end = match walked {
        Ok(End::Done) if delivery.is_some() => run.deliver_rest().await.map_err(CommandError::from),
        Ok(end) => Ok(end),
        Err(error) => Err(CommandError::of_poll(&error, &run.connection)
            .and(format_args!("Once that is mended, run the same command again: {}", run.goes_on()))),
    };
    let served_here = delivery.is_some();
    if let Some(delivery) = delivery {
        delivery.finish().await;
    }
    run.bar.finish_and_clear();
    if end.is_ok() || read().seen > 0 {
        run.print_tally(&read())?;
    }
    let failed = services.inbox.summary(run.connection.id).await?.failed.saturating_sub(failed_before);
    run.conclude(end?, served_here, read().wanted, failed)
}

/// A progress bar over time, in seconds: the number of orders in the span is not known beforehand.
fn progress_bar(args: &BackfillArgs, until: Timestamp) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {percent:>3} %  {msg}").expect("the template is well-formed");
    ProgressBar::new(until.since(args.since).as_secs().max(1)).with_style(style)
}

impl Run<'_> {
    /// What the same command does the next time, once it has been broken off.
    fn goes_on(&self) -> &'static str {
        if self.args.dry_run { "a dry run keeps nothing and counts from the beginning" } else { "it goes on from here" }
    }

    /// Updates the progress bar; never returns.
    async fn show(&self, read: &impl Fn() -> Tally) {
        let since = self.args.since;
        loop {
            let tally = read();
            let day = tally.reached.map(|at| at.to_string().chars().take(10).collect::<String>()).unwrap_or_default();
            self.bar.set_position(tally.reached.map_or(0, |at| at.since(since).as_secs()));
            let waiting = self.services.inbox.summary(self.connection.id).await.map_or(0, |summary| summary.waiting);
            self.bar.set_message(format!(
                "{day}  {} seen, {} to relay, {} waiting",
                humanize::number(tally.seen),
                humanize::number(tally.wanted),
                humanize::number(waiting)
            ));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until nothing is waiting, or everything that is has been refused.
    async fn deliver_rest(&self) -> Result<End, InboxError> {
        let (inbox, id) = (&self.services.inbox, self.connection.id);
        let rest = async {
            let mut stuck = Stuck::new(&self.services.settings);
            loop {
                let waiting = inbox.summary(id).await?.waiting;
                if waiting == 0 {
                    return Ok(End::Done);
                }
                self.bar.set_message(format!("{} still to deliver", humanize::count(waiting, "order")));
                let query =
                    ObjectQuery { state: Some(ObjectState::Pending), limit: LOOKED_AT, ..ObjectQuery::default() };
                let pending = inbox.objects(id, query).await?;
                // Orders counted as waiting a moment ago may be delivered by now: only a complete list shows whether
                // the rest has been refused.
                let is_whole = pending.len() as u64 == waiting.min(u64::from(LOOKED_AT));
                let have_failed = is_whole && pending.iter().all(|row| row.last_failure.is_some());
                let are_refused = have_failed && pending.iter().all(|row| row.attempts > 0);
                if are_refused || stuck.looked(waiting, have_failed && !has_outage(&self.connection)) {
                    return Ok(End::Refused(waiting));
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            rest = rest => rest,
            () = interrupted() => Ok(End::Interrupted),
            down = stays_down(&self.connection) => Ok(End::Down(down)),
        }
    }

    /// Prints what became of the orders, one count per line.
    fn print_tally(&self, tally: &Tally) -> Result<(), CommandError> {
        let args = &self.args;
        if args.json {
            return output::json(&Counted { since: args.since, until: args.until, tally });
        }
        let seen = humanize::count(tally.seen, "order");
        output::line(format!("{seen} changed from {} to {}", args.since, args.until.unwrap_or_else(Timestamp::now)))?;
        let retention = humanize::span(self.services.settings.event_retention);
        let wanted = if args.dry_run { "would be relayed" } else { "put into the inbox, to be relayed" };
        let old = format!(
            "changed after the connection was made and over {retention} ago: counted as relayed, the notes on them are \
             gone"
        );
        let left_out = if self.connection.is_environments() {
            "left out by SKIP_ORDER_STATUSES"
        } else {
            "left out by the connection's skip_order_statuses"
        };
        for (count, what) in [
            (tally.wanted, wanted),
            (tally.relayed, "relayed before and unchanged since"),
            (tally.waiting, "under way already"),
            (tally.given_up, "failed or gone before, unchanged since: see `onetribe-relay orders list --state failed`"),
            (tally.skipped, left_out),
            (tally.presumed, &old),
        ] {
            if count > 0 || what == wanted {
                output::line(format!("{:>9}  {what}", humanize::number(count)))?;
            }
        }
        Ok(())
    }

    fn conclude(&self, end: End, served_here: bool, wanted: u64, failed: u64) -> Result<(), CommandError> {
        let said = match end {
            End::Interrupted => format!("Broken off. Run the same command again: {}.", self.goes_on()),
            End::Down(side) => format!("{side}. What is kept waits: start the relay, or run this again."),
            End::Refused(waiting) => {
                let orders = humanize::count(waiting, "order");
                format!("{orders} refused so far: start the relay, which tries again, or run this later.")
            }
            End::Done if failed > 0 => {
                let orders = humanize::count(failed, "order");
                format!("{orders} failed: see `onetribe-relay orders list --state failed`.")
            }
            End::Done => {
                if wanted > 0 && !self.args.dry_run {
                    output::line(self.who_delivers(served_here))?;
                }
                return Ok(());
            }
        };
        if self.args.json {
            terminal::print_note(said)
        } else {
            output::line(said)?
        }
        // Everything has been printed already.
        Err(CommandError::failed(""))
    }

    fn who_delivers(&self, served_here: bool) -> String {
        match self.connection.state {
            _ if served_here => "All delivered.".to_owned(),
            ConnectionState::Active => "The running relay delivers them.".to_owned(),
            state => format!("They wait until the connection is active: it is {state} now."),
        }
    }
}

/// Tells whether the remaining orders have failed and only wait for their own next tries, while both sides are up: no
/// call takes as long as this has not changed.
struct Stuck {
    longest_call: Duration,
    since: Option<(u64, Instant)>,
}

impl Stuck {
    fn new(settings: &Settings) -> Self {
        Self { longest_call: settings.fetch_timeout + settings.forward_timeout + LOOK, since: None }
    }

    fn looked(&mut self, waiting: u64, have_failed: bool) -> bool {
        match self.since.filter(|(before, _)| have_failed && *before == waiting) {
            Some((_, since)) => since.elapsed() > self.longest_call,
            None => {
                self.since = have_failed.then(|| (waiting, Instant::now()));
                false
            }
        }
    }
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
