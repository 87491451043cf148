//! Logs: one line per event, for people or as JSON. `docs/logging.md` lists the fields.
//!
//! A separate thread writes the lines, so that a reader of the log that stops reading does not block the relay. Lines
//! that do not fit into the buffer are dropped and counted.

mod escape;
mod facts;

use std::{
    io::{self, IsTerminal, Write},
    sync::OnceLock,
    time::{Duration, Instant},
};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use escape::Escaping;
use facts::OnceOnly;

/// Most lines waiting to be written: a few megabytes.
const BUFFERED: usize = 8192;
/// How often the number of dropped lines is logged while lines are being dropped.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// How long the last lines may take to be written at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Libraries that log more at these levels than is useful with the relay's own lines. `actix_http` logs malformed
/// requests as errors, so anybody could fill the log with them.
const QUIET: [(&str, LevelFilter); 9] = [
    ("actix_http", LevelFilter::OFF),
    ("actix_server", LevelFilter::WARN),
    ("h2", LevelFilter::INFO),
    ("hyper", LevelFilter::INFO),
    ("hyper_util", LevelFilter::INFO),
    ("mio", LevelFilter::INFO),
    ("reqwest", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("sqlx", LevelFilter::WARN),
];

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// The stream that log lines are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output, for the service.
    Stdout,
    /// Standard error, for commands, whose output goes to standard output.
    Stderr,
}

/// Writes the remaining lines when dropped; must be kept until the end of the process.
#[derive(Debug)]
#[must_use = "the last lines are lost without it"]
pub struct Guard(Option<WorkerGuard>);

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(guard) = self.0.take() else { return };
        // The appender prints a complaint when it runs out of time, and may block on that if its stream is not read;
        // so it is dropped on a thread of its own.
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(guard);
            let _ = done.send(());
        });
        let _ = ended.recv_timeout(FLUSH_TIMEOUT);
    }
}

/// Starts logging for the whole process; a second call changes nothing. Panics are logged from here on.
pub fn init(format: LogFormat, filter: &str, output: Output) -> Guard {
    let (writer, colours): (Box<dyn Write + Send>, bool) = match output {
        Output::Stdout => (Box::new(io::stdout()), io::stdout().is_terminal()),
        Output::Stderr => (Box::new(io::stderr()), io::stderr().is_terminal()),
    };
    let colours = colours && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = NonBlockingBuilder::default().buffered_lines_limit(BUFFERED).thread_name("log");
    let (lines, guard) = builder.finish(Accounted { writer, told: 0, told_at: Instant::now() });
    let _ = DROPPED.set(lines.error_counter());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives(filter)))
        // If no line can be written, logging that fails too, and would panic.
        .log_internal_errors(false);
    // A test may have started logging already.
    let _ = match format {
        LogFormat::Pretty => {
            let writer = move || Escaping::new(lines.clone(), LogFormat::Pretty);
            builder.with_writer(writer).with_ansi(colours).with_target(false).fmt_fields(OnceOnly).try_init()
        }
        LogFormat::Json => {
            let writer = move || Escaping::new(lines.clone(), LogFormat::Json);
            let builder = builder.with_writer(writer).json();
            // The only span is that of a request; its id is added to each line.
            builder.flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
    };
    std::panic::set_hook(Box::new(log_panic));
    Guard(Some(guard))
}

/// How many lines this process has dropped because the log was not read fast enough.
pub fn dropped_lines() -> u64 {
    DROPPED.get().map_or(0, |counter| counter.dropped_lines() as u64)
}

fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("a panic without a text");
    let thread = std::thread::current();
    let (thread, place) = (thread.name().unwrap_or("unnamed"), panic.location().map(ToString::to_string));
    let place = place.as_deref().unwrap_or("an unknown place");
    tracing::error!(thread, place, "this is a bug in the relay, please report it: {said}");
}

/// The filter of `RUST_LOG`, preceded by limits for the libraries in [`QUIET`], unless it names them itself.
fn directives(filter: &str) -> String {
    let general = filter.split(',').filter_map(|directive| directive.trim().parse::<LevelFilter>().ok()).next_back();
    // Of two directives for the same target the later one counts, and a specific directive takes precedence over a
    // general one.
    let quiet = QUIET.iter().filter(|(_, level)| general.is_some_and(|general| general > *level));
    let quiet: String = quiet.map(|(part, level)| format!("{part}={level},")).collect();
    quiet + filter
}

/// Logs how many lines were dropped, once lines can be written again.
struct Accounted<W> {
    writer: W,
    told: u64,
    told_at: Instant,
}

impl<W> Accounted<W> {
    fn tell(&mut self) {
        let dropped = dropped_lines();
        let fresh = dropped.saturating_sub(self.told);
        if fresh > 0 {
            (self.told, self.told_at) = (dropped, Instant::now());
            let lines = crate::humanize::count(fresh, "log line");
            tracing::warn!(dropped_lines = fresh, "{lines} dropped: the reader of this log did not keep up");
        }
    }
}

impl<W: Write> Write for Accounted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(line);
        if self.told_at.elapsed() > TOLD_EVERY {
            self.tell();
        }
        written
    }

    /// Called when no more lines are waiting.
    fn flush(&mut self) -> io::Result<()> {
        self.tell();
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_projects_are_quiet_unless_they_are_asked() {
        assert_eq!(directives("info"), "actix_http=off,actix_server=warn,sqlx=warn,info");
        assert_eq!(directives("error"), "actix_http=off,error");
        assert_eq!(directives("onetribe_relay=debug"), "onetribe_relay=debug");
        let debug = directives("debug,hyper=trace");
        assert!(debug.starts_with("actix_http=off,actix_server=warn,h2=info,hyper=info,"), "{debug}");
        assert!(debug.ends_with(",debug,hyper=trace"), "{debug}");
        let filter = EnvFilter::new(debug).to_string();
        assert!(filter.contains("hyper=trace") && !filter.contains("hyper=info"), "{filter}");
    }
}
