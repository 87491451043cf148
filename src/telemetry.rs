//! Logs: one line per thing that happened, for people or as JSON. `docs/logging.md` names the fields.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt::writer::BoxMakeWriter};

use crate::config::LogFormat;

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The service's own output.
    Stdout,
    /// Beside the output of a command.
    Stderr,
}

/// Starts logging for the whole process; a second call changes nothing.
pub fn init(format: LogFormat, filter: &str, output: Output) {
    let (writer, colours) = match output {
        Output::Stdout => (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal()),
        Output::Stderr => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("actix_server=warn,{filter}")))
        .with_writer(writer)
        // Where no line can be written, none can say so either; telling of it would panic.
        .log_internal_errors(false);
    // Already started (by a test) is as good as started now.
    let _ = match format {
        LogFormat::Pretty => builder.with_ansi(colours).with_target(false).try_init(),
        LogFormat::Json => {
            // The one span there is, a request, lends its id to each line.
            builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
    };
}
