//! Command line → configuration → logs → service or command → exit code. The only module that calls `environment`.

mod environment;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use onetribe_relay::{
    app::{AppError, Application, half_of_processors},
    cli::{self, AlertsCommand, Cli, Command, StoreCommand, Target, WRONG},
    config::{Config, ConfigError, Value},
    secret::Secret,
    telemetry::{self, Output},
};
use tokio::{
    runtime::{self, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use environment::Environment;

/// Supervisors and wrappers often send SIGTERM twice, to the process and to its group; a second signal within this
/// time does not count. A person who presses Ctrl-C twice means it.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or(Command::Serve);
    if let Command::Completions { shell } = command {
        return cli::completions(shell);
    }
    let environment = match environment::read() {
        Ok(environment) => environment,
        Err(error) => return wrong(error),
    };
    let mut runtime = runtime::Builder::new_multi_thread();
    let runtime = match runtime.worker_threads(half_of_processors()).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error),
    };
    let code = run(command, environment, &runtime);
    // Whatever is still running has been told to stop, or need not be waited for.
    runtime.shutdown_background();
    code
}

fn run(command: Command, environment: Environment, runtime: &Runtime) -> ExitCode {
    let Environment { vars, warnings } = environment;
    match command {
        Command::Completions { shell } => cli::completions(shell),
        Command::Healthcheck => {
            configured(Config::listen_address(vars), |(host, port)| runtime.block_on(cli::healthcheck(host, port)))
        }
        Command::Backup { to } => configured(Config::database(vars), |from| runtime.block_on(cli::backup(from, to))),
        Command::Migrate(args) => {
            let target = Target { args, variable: variable(&vars, "MIGRATE_TO") };
            configured(Config::database(vars), |from| runtime.block_on(cli::migrate(from, target)))
        }
        Command::Alerts(AlertsCommand::Test) => {
            wholly_configured(vars, &warnings, |config| runtime.block_on(cli::test_alert(&config.settings)))
        }
        Command::Store(command) => wholly_configured(vars, &warnings, |config| {
            if matches!(command, StoreCommand::Check { .. }) {
                print_warnings(&warnings);
            }
            let _last = telemetry::init(config.settings.log_format, "warn", Output::Stderr);
            runtime.block_on(cli::run(command, config))
        }),
        Command::Serve => wholly_configured(vars, &warnings, |config| {
            let _last = telemetry::init(config.settings.log_format, &config.settings.log_filter, Output::Stdout);
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            runtime.block_on(serve(config))
        }),
    }
}

/// A variable of a single command, which is not part of the configuration.
fn variable(vars: &[(String, Value)], name: &str) -> Option<Secret> {
    vars.iter().find_map(|(other, value)| match value {
        Value::Own(text) if other == name => text.to_str().map(Secret::from),
        _ => None,
    })
}

fn configured<T>(config: Result<T, ConfigError>, run: impl FnOnce(T) -> ExitCode) -> ExitCode {
    match config {
        Ok(config) => run(config),
        Err(error) => wrong(error),
    }
}

/// The same with all variables read. What may have led to a fault is said after it.
fn wholly_configured(
    vars: Vec<(String, Value)>,
    warnings: &[String],
    run: impl FnOnce(Config) -> ExitCode,
) -> ExitCode {
    let config = Config::from_vars(vars);
    let is_faulty = config.is_err();
    let code = configured(config, run);
    if is_faulty {
        print_warnings(warnings);
    }
    code
}

fn print_warnings(warnings: &[String]) {
    warnings.iter().for_each(|warning| cli::print_note(format_args!("warning: {warning}")));
}

fn wrong(error: impl std::fmt::Display) -> ExitCode {
    cli::print_note(format_args!("error: {error}"));
    ExitCode::from(WRONG)
}

fn failed(error: impl std::fmt::Display) -> ExitCode {
    cli::print_note(format_args!("error: {error}"));
    ExitCode::FAILURE
}

/// Runs the relay until it is told to stop. The first signal stops it gracefully, the second at once.
async fn serve(config: Config) -> ExitCode {
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    let (mut term, mut int) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!("signals cannot be caught: {error}");
            return ExitCode::FAILURE;
        }
    };
    let stop = CancellationToken::new();
    let ended = async { Application::build(config).await?.run_until_stopped(stop.clone()).await };
    let told_twice = async {
        let first = next_signal(&mut term, &mut int).await;
        stop.cancel();
        let stopped = Instant::now();
        let is_same = |kind| kind == first && kind == SignalKind::terminate() && stopped.elapsed() < SAME_SIGNAL;
        while is_same(next_signal(&mut term, &mut int).await) {}
    };
    tokio::select! {
        ended = ended => match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!("{error}");
                match error {
                    AppError::Services(error) if cli::is_configuration(&error) => ExitCode::from(WRONG),
                    _ => ExitCode::FAILURE,
                }
            }
        },
        () = told_twice => {
            tracing::warn!("stopped at once: what was under way will be done again after the next start");
            ExitCode::FAILURE
        }
    }
}

async fn next_signal(term: &mut Signal, int: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = term.recv() => SignalKind::terminate(),
        _ = int.recv() => SignalKind::interrupt(),
    }
}
