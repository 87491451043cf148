//! Command line → configuration → logs → service or command → exit code. The only place that has the environment read.

mod environment;

use std::{io, process::ExitCode};

use clap::Parser;
use onetribe_relay::{
    app::{Application, Parts, half_of_processors},
    cli::{self, Cli, Command, PartsCommand, WRONG},
    config::{Config, ConfigError, Database, Value},
    telemetry::{self, Output},
};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or(Command::Serve);
    if let Command::Completions { shell } = command {
        return cli::completions(shell);
    }
    let vars = match environment::read() {
        Ok(vars) => vars,
        Err(error) => {
            cli::aside(format_args!("error: {error}"));
            return ExitCode::from(WRONG);
        }
    };
    let mut runtime = runtime::Builder::new_multi_thread();
    let runtime = match runtime.worker_threads(half_of_processors()).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            cli::aside(format_args!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match command {
        Command::Completions { .. } => ExitCode::SUCCESS,
        Command::Healthcheck => {
            configured(Config::listen_address(vars), |(host, port)| runtime.block_on(cli::healthcheck(host, port)))
        }
        Command::Backup { to } => configured(Config::database(vars), |from| runtime.block_on(cli::backup(from, to))),
        Command::Migrate { to } => configured(Config::database(vars), |from| runtime.block_on(cli::migrate(from, to))),
        Command::Serve => configured(Config::from_vars(vars), |config| runtime.block_on(serve(config))),
        Command::Check { json } => with_parts(&runtime, vars, PartsCommand::Check { json }),
        Command::Backfill(args) => with_parts(&runtime, vars, PartsCommand::Backfill(args)),
        Command::Hooks(command) => with_parts(&runtime, vars, PartsCommand::Hooks(command)),
        Command::Orders(command) => with_parts(&runtime, vars, PartsCommand::Orders(command)),
    }
}

fn configured<T>(config: Result<T, ConfigError>, run: impl FnOnce(T) -> ExitCode) -> ExitCode {
    match config {
        Ok(config) => run(config),
        Err(error) => {
            cli::aside(format_args!("error: {error}"));
            ExitCode::from(WRONG)
        }
    }
}

fn with_parts(runtime: &runtime::Runtime, vars: Vec<(String, Value)>, command: PartsCommand) -> ExitCode {
    configured(Config::from_vars(vars), |config| {
        telemetry::init(config.log_format, "warn", Output::Stderr);
        let made_anew = matches!(&config.database, Database::Sqlite(path) if !path.exists());
        runtime.block_on(async {
            match Parts::open(config).await {
                Ok(parts) => {
                    if made_anew {
                        cli::aside(
                            "note: there was no database where DATABASE_URL says; a new, empty one has been made",
                        );
                    }
                    cli::run(command, parts).await
                }
                Err(error) => {
                    cli::aside(format_args!("error: {error}"));
                    ExitCode::FAILURE
                }
            }
        })
    })
}

async fn serve(config: Config) -> ExitCode {
    telemetry::init(config.log_format, &config.log_filter, Output::Stdout);
    let stop = CancellationToken::new();
    let run = async {
        let signals = tokio::spawn(stop_on_signals(stop.clone())?);
        let outcome = Application::build(config).await?.run_until_stopped(stop).await;
        signals.abort();
        outcome.map_err(Box::<dyn std::error::Error>::from)
    };
    match run.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The first SIGTERM or SIGINT stops in order, the second at once. Both are caught from here on.
fn stop_on_signals(stop: CancellationToken) -> io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        for second in [false, true] {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            if second {
                tracing::warn!("stopped at once: what was under way will be done again after the next start");
                std::process::exit(1);
            }
            stop.cancel();
        }
    })
}
