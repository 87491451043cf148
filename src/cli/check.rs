//! `check`: the integration checks in the terminal.

use std::process::ExitCode;

use super::{Failure, output};
use crate::{app::Parts, check::Status, reconcile::forget_trouble};

pub(super) async fn run(parts: &Parts, json: bool) -> Result<ExitCode, Failure> {
    let served = parts.is_served().await;
    let (connection, inbox) = (&parts.connection, parts.inbox.as_ref());
    if let Ok(false) = served
        && let Err(error) = tokio::try_join!(connection.forget_noted(inbox), forget_trouble(connection, inbox))
    {
        tracing::debug!(%error, "what the last relay has noted is taken for the present: {error}");
    }
    let report = parts.checker().run().await;
    if json {
        output::json(&*report)?;
    } else if output::for_people() {
        let width = report.checks.iter().map(|check| check.title.chars().count()).max().unwrap_or_default();
        for check in &report.checks {
            output::line(format!("{} {:<width$}  {}", symbol(check.status), check.title, check.detail))?;
            if let Some(remedy) = &check.remedy {
                output::line(format!("  {:<width$}  \x1b[2m→\x1b[0m {remedy}", ""))?;
            }
        }
        output::line(format!("\n{}", conclusion(report.status)))?;
    } else {
        for check in &report.checks {
            output::line(format!("{}\t{}\t{}", word(check.status), check.id, check.detail))?;
            if let Some(remedy) = &check.remedy {
                output::line(format!("\t\t{remedy}"))?;
            }
        }
    }
    if !served? {
        output::aside("note: no relay is running on this database");
    }
    Ok(if report.status == Status::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn conclusion(status: Status) -> &'static str {
    match status {
        Status::Fail => "\x1b[31mNot connected.\x1b[0m",
        Status::Warn => "\x1b[33mConnected, and something needs a look.\x1b[0m",
        Status::Pass | Status::Skip => "\x1b[32mConnected.\x1b[0m",
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Warn => "warn",
        Status::Fail => "fail",
        Status::Skip => "skip",
    }
}

/// Told apart by shape as well as by colour.
fn symbol(status: Status) -> &'static str {
    match status {
        Status::Pass => "\x1b[32m✔\x1b[0m",
        Status::Warn => "\x1b[33m▲\x1b[0m",
        Status::Fail => "\x1b[31m✘\x1b[0m",
        Status::Skip => "\x1b[90m–\x1b[0m",
    }
}
