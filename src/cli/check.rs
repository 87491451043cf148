//! `check`: a connection's checks in the terminal.

use super::{failure::CommandError, output, terminal, which::Which};
use crate::{
    checker::{Checker, Examined},
    connection::Connection,
    health::{self, CheckId, Facts, Judgment, Report, Status},
    inbox::Side,
    services::Services,
};

pub(super) async fn run(services: &Services, which: &Which, json: bool) -> Result<(), CommandError> {
    let connection = which.find(services)?;
    let is_served = services.inbox.is_served().await?;
    let is_new = !is_served && !has_been_served(services, &connection).await?;
    if !is_served {
        // Outages that the last relay noted may be over.
        for side in Side::ALL {
            services.inbox.save_outage(connection.id, side, None).await?;
        }
    }
    let Examined { facts, judgment } = Checker::default().check(services, &connection).await;
    let mut report = health::report(&facts, &judgment);
    if is_new {
        pass_over_what_a_relay_makes(&mut report, &connection);
    }
    if json {
        output::json(&report)?;
    } else {
        print(&report, &headline(&facts, &judgment, &report, is_new))?;
    }
    if !is_served {
        terminal::print_note(if is_new {
            "note: no relay has run on this database yet: start the relay first, then check again"
        } else {
            "note: no relay is running on this database"
        });
    }
    // The faults have been printed already.
    if report.status == Status::Fail { Err(CommandError::failed("")) } else { Ok(()) }
}

/// Whether a relay has served the connection before: it has made hooks, or polled.
async fn has_been_served(services: &Services, connection: &Connection) -> Result<bool, CommandError> {
    let hooks = services.inbox.hooks(connection.id).await?;
    let feeds = services.inbox.feeds(connection.id).await?;
    Ok(!feeds.is_empty() || hooks.iter().any(|hook| hook.hook_id.is_some()))
}

/// Skips checks that cannot pass before the first start: there are no hooks yet, and nothing answers at the public
/// address.
fn pass_over_what_a_relay_makes(report: &mut Report, connection: &Connection) {
    let destination = connection.destination_host.as_ref().map(|(kind, _)| *kind);
    let code = |check: CheckId| check.code(connection.source_kind, destination);
    let made = [
        (code(CheckId::Hooks), "The relay makes its webhooks when it starts: start the relay first."),
        (code(CheckId::PublicUrl), "Nobody answers there before the relay runs: start the relay first."),
    ];
    for (id, detail) in made {
        let found = report.checks.iter_mut().find(|check| check.id == id);
        if let Some(check) = found.filter(|check| matches!(check.status, Status::Warn | Status::Fail)) {
            (check.status, check.detail, check.remedy) = (Status::Skip, detail.to_owned(), None);
        }
    }
    report.status = report.checks.iter().map(|check| check.status).max().unwrap_or(Status::Pass).max(Status::Pass);
}

/// The page's headline; before the first start, whether the relay can be started.
fn headline(facts: &Facts, judgment: &Judgment, report: &Report, is_new: bool) -> String {
    if is_new && report.status != Status::Fail {
        return "The settings are right: the relay can be started.".to_owned();
    }
    health::verdict(facts, judgment).title
}

fn print(report: &Report, headline: &str) -> Result<(), CommandError> {
    let rows: Vec<[String; 3]> = report
        .checks
        .iter()
        .map(|check| {
            let remedy = check.remedy.as_ref().map(|remedy| format!(" → {remedy}")).unwrap_or_default();
            [word(check.status).to_owned(), check.title.to_owned(), format!("{}{remedy}", check.detail)]
        })
        .collect();
    output::painted_table(["STATUS", "CHECK", "FOUND"], &rows, colour)?;
    output::line("")?;
    output::line(format_args!("{}{headline}\x1b[0m", colour(word(report.status))))
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Warn => "warn",
        Status::Fail => "fail",
        Status::Skip => "skip",
    }
}

fn colour(word: &str) -> &'static str {
    match word {
        "pass" => "\x1b[32m",
        "warn" => "\x1b[33m",
        "fail" => "\x1b[31m",
        _ => "\x1b[90m",
    }
}
