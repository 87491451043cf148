//! The app, the Cloud Elements API and WooCommerce shops, each figure beside its goal. Exits with 1 when a figure
//! misses its goal.
//!
//! `cargo bench --bench rooms`, or parts of it: `cargo bench --bench rooms -- app shops`. `QUICK=1` measures less of
//! everything, to see that it runs.

mod app;
mod elements;
mod shops;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use sandbox::measure::figures::Figures;

/// How much of something is done: all of it, or enough to see that it runs.
fn amount(all: usize, quick: usize) -> usize {
    if std::env::var_os("QUICK").is_some() { quick } else { all }
}

/// The relay that was built with this benchmark.
fn this_relay() -> PathBuf {
    env!("CARGO_BIN_EXE_onetribe-relay").into()
}

/// Milliseconds since then.
fn ms_since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

fn main() -> ExitCode {
    // Cargo adds `--bench` of its own.
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [command] = named.as_slice()
        && command == shops::PEER
    {
        return shops::be_peer();
    }
    let is_wanted = |name: &str| named.is_empty() || named.iter().any(|named| named == name);
    let runtime = tokio::runtime::Runtime::new().expect("threads can be had");
    let mut figures = Figures::default();
    runtime.block_on(async {
        if is_wanted("app") {
            app::measure(&mut figures).await;
        }
        if is_wanted("elements") {
            elements::measure(&mut figures).await;
        }
        if is_wanted("shops") {
            shops::measure(&mut figures).await;
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
