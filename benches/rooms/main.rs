//! The app, the Cloud Elements API and WooCommerce shops: each result beside its goal. Exits with 1 if a goal is
//! missed.
//!
//! `cargo bench --bench rooms`, or parts of it: `cargo bench --bench rooms -- app shops`. `QUICK=1` measures less of
//! everything, to try whether it runs.

mod app;
mod elements;
mod shops;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use sandbox::measure::figures::Figures;

/// The full amount, or with `QUICK=1` the smaller one.
fn amount(all: usize, quick: usize) -> usize {
    if std::env::var_os("QUICK").is_some() { quick } else { all }
}

/// The relay built together with this benchmark.
fn this_relay() -> PathBuf {
    env!("CARGO_BIN_EXE_onetribe-relay").into()
}

/// Milliseconds since `began`.
fn ms_since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

fn main() -> ExitCode {
    // Cargo adds the argument `--bench`.
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
