//! The chart of the last 48 hours, drawn here: orders forwarded as bars, orders waiting as a line. No script, no asset.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::{
    clock::Timestamp,
    inbox::{Hour, hour_of},
    words,
};

/// How many hours are shown.
pub(crate) const HOURS: i64 = 48;
/// One hour's width in the drawing, and the drawing's height.
const STEP: i64 = 10;
const HEIGHT: f64 = 100.0;

/// Every hour of the window, the oldest first, gaps filled.
fn window(history: &[Hour], now: Timestamp) -> Vec<Hour> {
    let last = hour_of(now);
    (last - HOURS + 1..=last)
        .map(|number| {
            history.iter().find(|hour| hour.number == number).copied().unwrap_or(Hour { number, ..Hour::default() })
        })
        .collect()
}

/// The least of 4, 10, 20, 40, 100, … that is not below `most`: each can be halved for the middle line.
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

/// `Sat 14:00 UTC`, when an hour begins.
fn hour_name(number: i64) -> String {
    jiff::Timestamp::from_second(number.saturating_mul(3600))
        .map(|at| at.strftime("%a %H:%M UTC").to_string())
        .unwrap_or_default()
}

fn sentence(hours: &[Hour]) -> String {
    let forwarded: u64 = hours.iter().map(|hour| hour.forwarded).sum();
    let waiting = hours.iter().filter_map(|hour| hour.waiting).max().unwrap_or_default();
    format!(
        "{} forwarded in the last {HOURS} hours; at most {} waiting at once.",
        words::count(forwarded, "order"),
        words::number(waiting)
    )
}

/// A line with steps, broken where nobody looked.
fn waiting_line(hours: &[Hour], y: impl Fn(u64) -> f64) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (x, hour) in (0..).step_by(STEP as usize).zip(hours) {
        let Some(waiting) = hour.waiting else {
            pen_down = false;
            continue;
        };
        let (y, command) = (y(waiting), if pen_down { 'L' } else { 'M' });
        // A String takes whatever is written to it.
        let _ = write!(path, "{command}{x} {y:.1}H{}", x + STEP);
        pen_down = true;
    }
    path
}

/// The chart with its legend, and the same numbers as a table.
pub(super) fn chart(history: &[Hour], now: Timestamp) -> Markup {
    let hours = window(history, now);
    let busiest = hours.iter().map(|hour| hour.forwarded.max(hour.waiting.unwrap_or_default())).max();
    let top = ceiling(busiest.unwrap_or_default());
    let y = |count: u64| HEIGHT - count as f64 * HEIGHT / top as f64;
    let said = sentence(&hours);
    let hover = |hour: &Hour| {
        let waiting = hour.waiting.map_or_else(String::new, |n| format!(", at most {} waiting", words::number(n)));
        format!("{}: {} forwarded{waiting}", hour_name(hour.number), words::number(hour.forwarded))
    };
    html! {
        figure class="chart" {
            div class="plot" {
                div class="scale" aria-hidden="true" {
                    span { (words::number(top)) } span { (words::number(top / 2)) } span { "0" }
                }
                svg viewBox={ "0 0 " (HOURS * STEP) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(said) {
                    @for line in [0.0, HEIGHT / 2.0, HEIGHT] {
                        line class="grid" x1="0" x2=(HOURS * STEP) y1=(line) y2=(line) {}
                    }
                    @for (x, hour) in (0..).step_by(STEP as usize).zip(&hours).filter(|(_, hour)| hour.forwarded > 0) {
                        rect class="forwarded" x=(x as f64 + 1.0) width=(STEP - 2)
                            y=(format!("{:.1}", y(hour.forwarded).min(HEIGHT - 1.5)))
                            height=(format!("{:.1}", (HEIGHT - y(hour.forwarded)).max(1.5))) {}
                    }
                    path class="waiting" d=(waiting_line(&hours, y)) {}
                    @for (x, hour) in (0..).step_by(STEP as usize).zip(&hours) {
                        rect class="hover" x=(x) y="0" width=(STEP) height=(HEIGHT) { title { (hover(hour)) } }
                    }
                }
                div class="times" aria-hidden="true" {
                    span { "48 h ago" } span { "36" } span { "24" } span { "12" } span { "now" }
                }
            }
            figcaption {
                span class="key forwarded" { "forwarded per hour" }
                span class="key waiting" { "waiting (the most at once)" }
                span class="total" { (said) }
            }
        }
        details {
            summary { "The same as a table" }
            div class="scroll" tabindex="0" role="region" aria-label="Orders by hour" {
                table {
                    thead { tr { th scope="col" { "Hour" } th scope="col" { "Forwarded" } th scope="col" { "Waiting at most" } } }
                    tbody {
                        @for hour in hours.iter().rev().filter(|hour| hour.forwarded > 0 || hour.waiting.is_some()) {
                            tr {
                                th scope="row" { (hour_name(hour.number)) }
                                td { (words::number(hour.forwarded)) }
                                td { @match hour.waiting { Some(n) => (words::number(n)), None => "not known" } }
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

    #[test]
    fn the_scale_fits_and_can_be_halved() {
        for (most, top) in [(0, 4), (4, 4), (5, 10), (11, 20), (21, 40), (41, 100), (101, 200), (9_999, 10_000)] {
            assert_eq!(ceiling(most), top);
        }
    }

    #[test]
    fn hours_without_a_note_are_gaps_in_the_line() {
        let last = hour_of(NOW);
        let hour = |back, waiting| Hour { number: last - back, forwarded: 1, waiting };
        let history = [hour(60, Some(9)), hour(3, Some(2)), hour(2, None), hour(1, Some(4)), hour(0, Some(0))];
        let hours = window(&history, NOW);
        assert_eq!((hours.len(), hours[47], hours[0].forwarded), (48, history[4], 0));
        let path = waiting_line(&hours, |count| count as f64);
        assert_eq!(path, "M440 2.0H450M460 4.0H470L470 0.0H480");
        assert_eq!(sentence(&hours), "4 orders forwarded in the last 48 hours; at most 4 waiting at once.");
    }
}
