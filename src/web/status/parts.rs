//! Small things that several sections show: icons, times, prose.

use maud::{Markup, html};

use crate::{clock::Timestamp, health::Light, humanize};

/// How a time is written once the script knows the reader's zone.
#[derive(Clone, Copy)]
pub(super) enum Style {
    /// `21 Nov 2026, 15:14`
    Full,
    /// `15:14:09`
    Clock,
    /// `Sat 14:00`
    Hour,
}

/// A moment as people read it, in UTC until the script has put it into the reader's zone; exact in `datetime`.
pub(super) fn time(at: Timestamp, style: Style) -> Markup {
    let (name, format) = match style {
        Style::Full => ("full", "%-d %b %Y, %H:%M UTC"),
        Style::Clock => ("clock", "%H:%M:%S UTC"),
        Style::Hour => ("hour", "%a %H:%M UTC"),
    };
    html! { time datetime=(at) data-at=(name) { (written(at, format)) } }
}

/// How long ago something was; the moment itself in the title.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let title = written(at, "%-d %b %Y, %H:%M UTC");
    html! { time datetime=(at) title=(title) { (humanize::ago(now.since(at))) } }
}

/// A moment in a format of `strftime`.
pub(super) fn written(at: Timestamp, format: &str) -> String {
    jiff::Timestamp::from_millisecond(at.millis()).map(|at| at.strftime(format).to_string()).unwrap_or_default()
}

/// What stands between backticks is for a terminal or a form.
pub(super) fn prose(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A text from outside, safe to show.
pub(super) fn shown(text: &str) -> String {
    humanize::printable(text).into_owned()
}

/// An icon whose shape says as much as its colour; a dash where there is no light.
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

/// The way a light is named in the style.
pub(super) fn class(light: Option<Light>) -> &'static str {
    match light {
        Some(Light::Green) => "green",
        Some(Light::Amber) => "amber",
        Some(Light::Red) => "red",
        None => "grey",
    }
}
