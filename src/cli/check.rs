//! `check`: the integration checks in the terminal.

use std::process::ExitCode;

use super::{Failure, output};
use crate::{app::Parts, check::Status};

pub(super) async fn run(parts: &Parts, json: bool) -> Result<ExitCode, Failure> {
    let report = parts.checker().run().await;
    if json {
        output::json(&*report)?;
    } else {
        for check in &report.checks {
            output::line(format!("{} {}: {}", symbol(check.status), check.title, check.detail));
            if let Some(remedy) = &check.remedy {
                output::line(format!("       → {remedy}"));
            }
        }
    }
    Ok(if report.status == Status::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn symbol(status: Status) -> String {
    let (word, symbol, colour) = match status {
        Status::Pass => ("pass", "✔", 32),
        Status::Warn => ("warn", "!", 33),
        Status::Fail => ("fail", "✘", 31),
        Status::Skip => ("skip", "–", 90),
    };
    if output::for_people() { format!("\x1b[{colour}m{symbol} {word}\x1b[0m") } else { word.to_owned() }
}
