//! How twelve kinds of faults known from practice delay the good orders among them: the wait of the first good order
//! and the 95th percentile, each beside its goal. Exits with 1 if a goal is missed or an order is lost.
//!
//! `cargo bench --bench faults`, or kinds by their numbers: `cargo bench --bench faults -- 3 9`.
#![expect(clippy::unwrap_used, reason = "a trial that cannot go on has failed")]

mod answers;
mod bench;
mod forms;
mod lists;
mod poison;
mod time;

use std::process::ExitCode;

use bench::Trial;

type Kind = (u8, &'static str, fn() -> futures_util::future::LocalBoxFuture<'static, Vec<Trial>>);

/// Every kind, with its number in the table.
const KINDS: [Kind; 12] = [
    (1, "lists that are too wide for the store", || Box::pin(lists::too_wide())),
    (2, "an order that makes every list fail", || Box::pin(lists::unlistable())),
    (3, "orders that one side can never take", || Box::pin(poison::all())),
    (4, "an outage of the store that answers 200", || Box::pin(answers::outages())),
    (5, "a wall clock an hour ahead, then right", || Box::pin(time::ahead())),
    (6, "an outage between two refusals", || Box::pin(time::refused_around_an_outage())),
    (7, "standard output is not read", || Box::pin(time::unread_log())),
    (8, "answers that come coded", || Box::pin(answers::coded())),
    (9, "challenge pages and stray 401s", || Box::pin(answers::stray())),
    (10, "signature lists as proxies make them", || Box::pin(forms::signature_lists())),
    (11, "hooks in pages and odd forms", || Box::pin(forms::hook_lists())),
    (12, "orders in odd shapes", || Box::pin(forms::odd_orders())),
];

#[tokio::main]
async fn main() -> ExitCode {
    // Cargo adds the argument `--bench`.
    let numbers: Vec<u8> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let mut missed = 0;
    println!("{}", Trial::head());
    for (number, name, run) in KINDS.iter().filter(|(number, ..)| numbers.is_empty() || numbers.contains(number)) {
        for trial in run().await {
            println!("{}", trial.line(*number, name));
            missed += usize::from(!trial.has_reached());
        }
    }
    println!("{missed} missed");
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
