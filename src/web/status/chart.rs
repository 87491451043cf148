//! The chart of orders forwarded (bars) and waiting (a line). It shows minutes in the first hour, then five minutes,
//! then hours, so that it is useful on the first day as well.

use std::{fmt::Write as _, time::Duration};

use maud::{Markup, html};

use super::{
    parts::{Style, time, written},
    texts::Texts,
};
use crate::{
    clock::Timestamp,
    humanize,
    inbox::{Hour, hour_of},
};

/// One bar's width in the drawing, and the drawing's height.
const STEP: i64 = 10;
const HEIGHT: f64 = 100.0;
const BARS: i64 = 48;

/// The recent activity of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Activity<'a> {
    /// The hours of the last two days, from [`crate::inbox::Inbox::history`].
    pub hours: &'a [Hour],
    /// When single orders were forwarded, if all of the last four hours are known (the newest rows may not include
    /// all).
    pub deliveries: Option<&'a [Timestamp]>,
}

/// One bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bar {
    begins: Timestamp,
    forwarded: u64,
    waiting: Option<u64>,
}

/// The time that one bar stands for, and the number of bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    bars: i64,
    minutes: i64,
}

impl Scale {
    fn of(age: Duration, has_deliveries: bool) -> Self {
        match age.as_secs() / 60 {
            0..48 if has_deliveries => Self { bars: BARS, minutes: 1 },
            48..240 if has_deliveries => Self { bars: BARS, minutes: 5 },
            0..1440 => Self { bars: 24, minutes: 60 },
            _ => Self { bars: BARS, minutes: 60 },
        }
    }

    fn span(self) -> String {
        match self.bars * self.minutes {
            minutes @ ..60 => format!("{minutes} minutes"),
            minutes => format!("{} hours", minutes / 60),
        }
    }

    fn each(self) -> &'static str {
        match self.minutes {
            1 => "minute",
            5 => "five minutes",
            _ => "hour",
        }
    }

    /// The labels below the chart, from left to right.
    fn labels(self) -> [String; 5] {
        let whole = self.bars * self.minutes;
        let unit = |minutes: i64| match minutes {
            minutes if whole < 60 => minutes.to_string(),
            minutes => (minutes / 60).to_string(),
        };
        let first = if whole < 60 { format!("{whole} min ago") } else { format!("{} h ago", whole / 60) };
        [first, unit(whole * 3 / 4), unit(whole / 2), unit(whole / 4), "now".to_owned()]
    }
}

/// All bars of the window, the oldest first.
fn bars(activity: Activity<'_>, scale: Scale, now: Timestamp) -> Vec<Bar> {
    if scale.minutes == 60 {
        let last = hour_of(now);
        let bar = |number: i64| {
            let hour = activity.hours.iter().find(|hour| hour.number == number).copied().unwrap_or_default();
            let begins = Timestamp::from_seconds(number.saturating_mul(3600));
            Bar { begins, forwarded: hour.forwarded, waiting: hour.waiting }
        };
        return (last - scale.bars + 1..=last).map(bar).collect();
    }
    let width = scale.minutes * 60_000;
    let last = now.millis().div_euclid(width);
    let mut bars: Vec<Bar> = (last - scale.bars + 1..=last)
        .map(|number| Bar { begins: Timestamp::from_millis(number * width), forwarded: 0, waiting: None })
        .collect();
    for at in activity.deliveries.unwrap_or_default() {
        let place = at.millis().div_euclid(width) - (last - scale.bars + 1);
        if let Some(bar) = usize::try_from(place).ok().and_then(|place| bars.get_mut(place)) {
            bar.forwarded += 1;
        }
    }
    bars
}

/// The smallest of 4, 10, 20, 40, 100, … that is not below `most`: each can be halved for the middle line.
fn ceiling(most: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for step in [2, 4, 10] {
            let top = power.saturating_mul(step);
            if top >= most.max(4) {
                return top;
            }
        }
        power = power.saturating_mul(10);
    }
}

fn sentence(bars: &[Bar], scale: Scale) -> String {
    let forwarded: u64 = bars.iter().map(|bar| bar.forwarded).sum();
    let said = format!("{} forwarded in the last {}", humanize::count(forwarded, "order"), scale.span());
    match bars.iter().filter_map(|bar| bar.waiting).max() {
        Some(waiting) => format!("{said}; at most {} waiting at once.", humanize::number(waiting)),
        None => format!("{said}."),
    }
}

/// The path of a stepped line, interrupted where there are no samples.
fn waiting_line(bars: &[Bar], y: impl Fn(u64) -> f64) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (x, bar) in (0..).step_by(STEP as usize).zip(bars) {
        let Some(waiting) = bar.waiting else {
            pen_down = false;
            continue;
        };
        let (y, command) = (y(waiting), if pen_down { 'L' } else { 'M' });
        // Writing to a `String` cannot fail.
        let _ = write!(path, "{command}{x} {y:.1}H{}", x + STEP);
        pen_down = true;
    }
    path
}

/// The rest of a bar's title after the time: `: 3 forwarded, at most 2 waiting`.
fn told(bar: &Bar) -> String {
    let waiting = bar.waiting.map_or_else(String::new, |n| format!(", at most {} waiting", humanize::number(n)));
    format!(": {} forwarded{waiting}", humanize::number(bar.forwarded))
}

fn drawing(bars: &[Bar], top: u64, said: &str) -> Markup {
    let y = |count: u64| HEIGHT - count as f64 * HEIGHT / top as f64;
    let width = bars.len() as i64 * STEP;
    let places = || (0..).step_by(STEP as usize).zip(bars);
    html! {
        svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(said) {
            @for line in [0.0, HEIGHT / 2.0, HEIGHT] {
                line class="grid" x1="0" x2=(width) y1=(line) y2=(line) {}
            }
            @for (x, bar) in places().filter(|(_, bar)| bar.forwarded > 0) {
                rect class="forwarded" x=(x as f64 + 1.0) width=(STEP - 2)
                    y=(format!("{:.1}", y(bar.forwarded).min(HEIGHT - 1.5)))
                    height=(format!("{:.1}", (HEIGHT - y(bar.forwarded)).max(1.5))) {}
            }
            path class="waiting" d=(waiting_line(bars, y)) {}
            @for (x, bar) in places() {
                rect class="hover" x=(x) y="0" width=(STEP) height=(HEIGHT) {
                    title data-at=(bar.begins) data-rest=(told(bar)) { (written(bar.begins, "%a %H:%M UTC")) (told(bar)) }
                }
            }
        }
    }
}

/// The chart with its legend, and its numbers as a table. `since` is when the connection was made.
pub(super) fn chart(activity: Activity<'_>, since: Timestamp, now: Timestamp, texts: &Texts) -> Markup {
    let scale = Scale::of(now.since(since), activity.deliveries.is_some());
    let bars = bars(activity, scale, now);
    let busiest = bars.iter().map(|bar| bar.forwarded.max(bar.waiting.unwrap_or_default())).max();
    let top = ceiling(busiest.unwrap_or_default());
    let said = sentence(&bars, scale);
    let is_told = |bar: &&Bar| bar.forwarded > 0 || bar.waiting.is_some();
    let knows_waiting = bars.iter().any(|bar| bar.waiting.is_some());
    html! {
        figure class="chart" {
            div class="plot" {
                div class="scale" aria-hidden="true" {
                    span { (humanize::number(top)) } span { (humanize::number(top / 2)) } span { "0" }
                }
                (drawing(&bars, top, &said))
                div class="times" aria-hidden="true" { @for label in scale.labels() { span { (label) } } }
            }
            figcaption {
                span class="key forwarded" { "forwarded per " (scale.each()) }
                @if knows_waiting { span class="key waiting" { "waiting (the most at once)" } }
                span class="total" { (said) }
            }
        }
        details id="chart-table" {
            summary { (texts.table) }
            div class="scroll" tabindex="0" role="region" aria-label=(texts.table) {
                table {
                    thead {
                        tr {
                            th scope="col" { (texts.table_from) }
                            th scope="col" { (texts.table_forwarded) }
                            @if knows_waiting { th scope="col" { (texts.table_waiting) } }
                        }
                    }
                    tbody {
                        @for bar in bars.iter().rev().filter(is_told) {
                            tr {
                                th scope="row" { (time(bar.begins, Style::Hour)) }
                                td { (humanize::number(bar.forwarded)) }
                                @if knows_waiting { td { (bar.waiting.map_or_else(|| "–".to_owned(), humanize::number)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const TWO_DAYS: Scale = Scale { bars: 48, minutes: 60 };

    #[test]
    fn the_axis_fits_and_can_be_halved() {
        for (most, top) in [(0, 4), (4, 4), (5, 10), (11, 20), (21, 40), (41, 100), (101, 200), (9_999, 10_000)] {
            assert_eq!(ceiling(most), top);
        }
        assert!(ceiling(u64::MAX) > 0);
    }

    #[test]
    fn hours_without_a_note_are_gaps_in_the_line() {
        let last = hour_of(NOW);
        let hour = |back, waiting| Hour { number: last - back, forwarded: 1, waiting };
        let hours = [hour(60, Some(9)), hour(3, Some(2)), hour(2, None), hour(1, Some(4)), hour(0, Some(0))];
        let bars = bars(Activity { hours: &hours, deliveries: None }, TWO_DAYS, NOW);
        assert_eq!((bars.len(), bars[47].forwarded, bars[0].forwarded), (48, 1, 0));
        let path = waiting_line(&bars, |count| count as f64);
        assert_eq!(path, "M440 2.0H450M460 4.0H470L470 0.0H480");
        let said = sentence(&bars, TWO_DAYS);
        assert_eq!(said, "4 orders forwarded in the last 48 hours; at most 4 waiting at once.");
    }

    #[test]
    fn the_first_day_is_drawn_in_minutes() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        for (age, known, bars, step) in
            [(3, true, 48, 1), (60, true, 48, 5), (60, false, 24, 60), (300, true, 24, 60), (1500, true, 48, 60)]
        {
            assert_eq!(Scale::of(minutes(age), known), Scale { bars, minutes: step });
        }
        let deliveries = [NOW, NOW.before(minutes(1)), NOW.before(minutes(47)), NOW.before(minutes(90))];
        let activity = Activity { hours: &[], deliveries: Some(&deliveries) };
        let scale = Scale { bars: 48, minutes: 1 };
        let bars = bars(activity, scale, NOW);
        assert_eq!((bars[47].forwarded, bars[46].forwarded, bars[0].forwarded), (1, 1, 1));
        assert_eq!(sentence(&bars, scale), "3 orders forwarded in the last 48 minutes.");
    }
}
