//! The sandbox command: its start, its signals and its exit code. The simulators are in the library.

mod app;
mod elements;
mod many_stores;
mod one_store;
mod options;
mod output;
mod troubles;
mod way;

use std::{error::Error, io, process::ExitCode, time::Duration};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use options::Options;
use output::Output;

/// How many stores the control panel has by default.
const APP_STORES: usize = 3;

/// Signals this close together count as one.
const ONE_SIGNAL: Duration = Duration::from_secs(1);

/// What every mode of the sandbox needs.
#[derive(Debug, Clone)]
struct Session {
    out: Output,
    /// Cancelled on Ctrl-C, and when the output is no longer read.
    stop: CancellationToken,
}

/// Runs the command until it is done or interrupted. The first Ctrl-C stops everything in order, the second ends it at
/// once.
pub async fn main() -> ExitCode {
    let options = Options::parse();
    let stop = CancellationToken::new();
    let session = Session { out: Output::new(stop.clone()), stop: stop.clone() };
    let mut running = std::pin::pin!(run(options, session.clone()));
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = interrupted() => {
            stop.cancel();
            let again = async {
                // `timeout` and some supervisors send a signal to the process and to its group; both count as one.
                tokio::time::sleep(ONE_SIGNAL).await;
                interrupted().await;
            };
            tokio::select! {
                ended = running => ended,
                () = again => Err("ended before everything had stopped".into()),
            }
        }
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            session.out.error(&*error);
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options, session: Session) -> Result<bool, Box<dyn Error>> {
    let port = match options.port {
        Some(port) => available(port)?,
        None => sandbox::relay::free_port()?,
    };
    match options.stores {
        _ if options.elements => elements::run(&options, port, &session).await,
        stores if options.app => app::run(stores.unwrap_or(APP_STORES), port, &session).await,
        Some(stores) => many_stores::run(stores, &options, port, &session).await,
        None => one_store::run(&options, port, &session).await,
    }
}

/// The port, if it can be listened on now.
fn available(port: u16) -> Result<u16, String> {
    match std::net::TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(port),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(format!("port {port} is in use; choose another with --port, or leave --port out"))
        }
        Err(error) => Err(format!("port {port} cannot be used: {error}")),
    }
}

/// Returns on Ctrl-C, on SIGTERM, or when the terminal goes away.
async fn interrupted() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => drop(signals.recv().await),
        // Without a handler the signal ends the process.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
