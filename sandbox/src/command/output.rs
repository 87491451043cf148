//! What the sandbox prints: lines of at most 80 columns, until standard output is closed.

use std::{
    error::Error,
    fmt::Display,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

/// Lines are wrapped at word boundaries to this width.
const WIDTH: usize = 80;
/// Durations below this are printed in milliseconds.
const LONG: Duration = Duration::from_secs(10);

/// Standard output.
#[derive(Debug, Clone)]
pub struct Output {
    /// Cancelled when standard output is no longer read.
    stop: CancellationToken,
    closed: CancellationToken,
    /// Whether the previous line was empty.
    has_gap: Arc<AtomicBool>,
}

impl Output {
    /// Cancels `stop` as soon as the output is no longer read (`| head`).
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, closed: CancellationToken::new(), has_gap: Arc::default() }
    }

    /// Prints one line as it is.
    pub fn line(&self, text: impl Display) {
        self.has_gap.store(false, Ordering::Relaxed);
        if !self.closed.is_cancelled() && writeln!(io::stdout().lock(), "{text}").is_err() {
            self.closed.cancel();
            self.stop.cancel();
        }
    }

    /// Prints an empty line, unless one has just been printed.
    pub fn gap(&self) {
        if !self.has_gap.load(Ordering::Relaxed) {
            self.line("");
            self.has_gap.store(true, Ordering::Relaxed);
        }
    }

    /// Prints text, wrapped at word boundaries.
    pub fn paragraph(&self, text: impl Display) {
        self.hanging("", text);
    }

    /// Prints text after a label; further lines are indented to the start of the text.
    pub fn hanging(&self, label: &str, text: impl Display) {
        for line in wrapped(label, &text.to_string()) {
            self.line(line);
        }
    }

    /// Prints why the command has failed; an error in writing that is ignored.
    pub fn error(&self, error: &dyn Error) {
        let _ = writeln!(io::stderr().lock(), "error: {error}");
    }
}

fn wrapped(label: &str, text: &str) -> Vec<String> {
    let indent = " ".repeat(label.chars().count());
    let (mut lines, mut line, mut is_empty) = (Vec::new(), label.to_owned(), true);
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

/// Formats a duration, at least seven columns wide.
pub fn span(span: Duration) -> String {
    if span < LONG { format!("{:>4} ms", span.as_millis()) } else { format!("{:>5.1} s", span.as_secs_f64()) }
}

/// `1 order`, `2 orders`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_words_below_itself() {
        let text = "word ".repeat(40);
        let lines = wrapped("  Label   ", &text);
        assert!(lines.len() > 2 && lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
        assert!(lines[0].starts_with("  Label   word") && lines[1].starts_with("          word"), "{lines:?}");
        // A word longer than a line gets a line of its own.
        let long = "x".repeat(100);
        assert_eq!(wrapped("  ", &format!("a {long} b")), ["  a".to_owned(), format!("  {long}"), "  b".to_owned()]);
    }

    #[test]
    fn spans_keep_their_width() {
        assert_eq!(span(Duration::from_millis(7)), "   7 ms");
        assert_eq!(span(Duration::from_millis(9_999)), "9999 ms");
        assert_eq!(span(Duration::from_millis(34_260)), " 34.3 s");
        assert_eq!(count(1, "order") + &count(0, " order"), "1 order0  orders");
    }
}
