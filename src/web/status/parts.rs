//! Small parts of several sections: icons, times, prose.

use maud::{Markup, html};

use crate::{clock::Timestamp, health::Light, humanize};

/// The format of a time once the script knows the reader's time zone.
#[derive(Clone, Copy)]
pub(super) enum Style {
    /// A date and time: `21 Nov 2026, 15:14`.
    Full,
    /// A time of day: `15:14:09`.
    Clock,
    /// A weekday and time: `Sat 14:00`.
    Hour,
}

/// A time for people, in UTC until the script has converted it to the reader's time zone; exact in `datetime`.
pub(super) fn time(at: Timestamp, style: Style) -> Markup {
    let (name, format) = match style {
        Style::Full => ("full", "%-d %b %Y, %H:%M UTC"),
        Style::Clock => ("clock", "%H:%M:%S UTC"),
        Style::Hour => ("hour", "%a %H:%M UTC"),
    };
    html! { time datetime=(at) data-at=(name) { (written(at, format)) } }
}

/// How long ago something was, with the exact time in the title.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let title = written(at, "%-d %b %Y, %H:%M UTC");
    html! { time datetime=(at) title=(title) { (humanize::ago(now.since(at))) } }
}

/// A time in a `strftime` format.
pub(super) fn written(at: Timestamp, format: &str) -> String {
    jiff::Timestamp::from_millisecond(at.millis()).map(|at| at.strftime(format).to_string()).unwrap_or_default()
}

/// A text in which parts between backticks are shown as code, for a terminal or a form.
pub(super) fn prose(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A text from outside, made safe to show.
pub(super) fn shown(text: &str) -> String {
    humanize::printable(text).into_owned()
}

/// An icon that can be recognised by its shape as well as its colour; a dash if there is no light.
pub(super) fn icon(light: Option<Light>) -> Markup {
    html! {
        svg class="icon" viewBox="0 0 32 32" aria-hidden="true" focusable="false" {
            @match light {
                Some(Light::Green) => { circle cx="16" cy="16" r="15" {} path d="M9 16.5l5 5 9-10" {} }
                Some(Light::Amber) => { path class="body" d="M16 2 31 29H1Z" {} path d="M16 12v8M16 24.4v.2" {} }
                Some(Light::Red) => {
                    path class="body" d="M10 1h12l9 9v12l-9 9H10l-9-9V10Z" {}
                    path d="M11 11l10 10M21 11L11 21" {}
                }
                None => { circle cx="16" cy="16" r="15" {} path d="M9 16h14" {} }
            }
        }
    }
}

/// The CSS class of a light.
pub(super) fn class(light: Option<Light>) -> &'static str {
    match light {
        Some(Light::Green) => "green",
        Some(Light::Amber) => "amber",
        Some(Light::Red) => "red",
        None => "grey",
    }
}

/// Shown by the script while the relay does not answer: the page then shows what was so before.
pub fn stale() -> Markup {
    html! { p id="stale" role="alert" hidden { "The relay does not answer: what you see here may be out of date. If this stays, open the page again." } }
}
