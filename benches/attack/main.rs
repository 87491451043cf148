//! Attacks on the real program from outside: forgeries, malformed requests, slow and hostile clients, an unread log,
//! kills. Each with the number of attempts, what was accepted or lost, a figure and its goal. Exits with 1 if a goal is
//! missed.
//!
//! `cargo bench --bench attack`, or parts by name: `cargo bench --bench attack -- forgeries kills`.
#![expect(clippy::unwrap_used, reason = "an attack that cannot go on has failed")]

mod clients;
mod forgeries;
mod kills;
mod load;
mod malformed;
mod signatures;
mod target;
mod tokens;

use std::process::ExitCode;

use futures_util::future::LocalBoxFuture;

/// One line of the table.
struct Row {
    what: String,
    tried: usize,
    /// How many requests were accepted that should not have been, or lost that should have been stored.
    bad: usize,
    /// What was measured, and its goal.
    figure: String,
    goal: String,
    is_reached: bool,
}

impl Row {
    /// A row whose only goal is that nothing bad happened.
    fn of(what: &str, tried: usize, bad: usize) -> Self {
        let (figure, goal) = (String::new(), String::new());
        Self { what: what.to_owned(), tried, bad, figure, goal, is_reached: bad == 0 }
    }

    /// Adds a figure with a goal of its own.
    #[must_use]
    fn with(mut self, figure: String, goal: &str, is_reached: bool) -> Self {
        (self.figure, self.goal) = (figure, goal.to_owned());
        self.is_reached &= is_reached;
        self
    }

    fn line(&self) -> String {
        let reached = if self.is_reached { "reached" } else { "MISSED" };
        let Self { what, tried, bad, figure, goal, .. } = self;
        format!("| {what:<62} | {tried:>6} | {bad:>5} | {figure:<34} | {goal:<22} | {reached:<7} |")
    }
}

type Part = (&'static str, fn() -> LocalBoxFuture<'static, Vec<Row>>);

const PARTS: [Part; 13] = [
    ("forgeries", || Box::pin(forgeries::all())),
    ("replays", || Box::pin(forgeries::replays())),
    ("tokens", || Box::pin(tokens::all())),
    ("malformed", || Box::pin(malformed::all())),
    ("signatures", || Box::pin(signatures::beside_others())),
    ("pipelines", || Box::pin(clients::pipelines())),
    ("one-pipeline", || Box::pin(clients::one_pipeline())),
    ("unread", || Box::pin(clients::unread())),
    ("drain", || Box::pin(clients::drain())),
    ("idle", || Box::pin(clients::idle())),
    ("slow-bodies", || Box::pin(clients::slow_bodies())),
    ("log", || Box::pin(clients::unread_log())),
    ("kills", || Box::pin(kills::amid_load())),
];

#[tokio::main]
async fn main() -> ExitCode {
    // Cargo adds the argument `--bench`.
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let mut missed = 0;
    println!("| {:<62} | {:>6} | {:>5} | {:<34} | {:<22} | {:<7} |", "what", "tried", "bad", "figure", "goal", "");
    for (name, run) in PARTS.iter().filter(|(name, _)| named.is_empty() || named.iter().any(|named| named == name)) {
        let _ = name;
        for row in run().await {
            println!("{}", row.line());
            missed += usize::from(!row.is_reached);
        }
    }
    println!("{missed} missed");
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
