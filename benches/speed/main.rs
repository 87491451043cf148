//! Speed and memory of the relay, each result beside its goal. What depends on the machine is measured as a ratio
//! within one run, in turns with a peer that does less. Exits with 1 if a goal is missed.
//!
//! `cargo bench --bench speed`, or parts of it: `cargo bench --bench speed -- relay fairness`. `QUICK=1` measures less
//! of everything, to try whether it runs. `BASELINE=<an older binary>` makes the part `relay` measure that binary in
//! turns with this one. Quote the ratios, not the absolute results of one machine.

mod confined;
mod fairness;
mod inbox;
mod many;
mod peers;
mod process;
mod relay;
mod replicas;
mod scale;
mod share;

use std::process::ExitCode;

use figures::Figures;
use sandbox::measure::{figures, load};

/// Whether `QUICK=1` is set.
fn is_quick() -> bool {
    std::env::var_os("QUICK").is_some()
}

/// The full amount, or with `QUICK=1` the smaller one.
fn amount(all: usize, quick: usize) -> usize {
    if is_quick() { quick } else { all }
}

fn main() -> ExitCode {
    // Cargo adds the argument `--bench`.
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [command, kind] = named.as_slice()
        && command == peers::COMMAND
    {
        return peers::run(kind);
    }
    let is_wanted = |name: &str| named.is_empty() || named.iter().any(|named| named == name);
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    let mut figures = Figures::default();
    runtime.block_on(async {
        if is_wanted("inbox") {
            inbox::measure(&mut figures).await;
        }
        relay::measure(&mut figures, |part| is_wanted("relay") || is_wanted(part)).await;
        if is_wanted("scale") {
            scale::measure(&mut figures).await;
        }
        if is_wanted("fairness") {
            fairness::measure(&mut figures).await;
        }
        if is_wanted("replicas") {
            replicas::measure(&mut figures).await;
        }
    });
    match figures.missed() {
        0 => ExitCode::SUCCESS,
        missed => {
            println!("\n{missed} figures missed their goal");
            ExitCode::FAILURE
        }
    }
}
