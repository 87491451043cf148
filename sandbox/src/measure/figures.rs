//! A table of results, each beside its goal.

/// The results so far.
#[derive(Default)]
pub struct Figures {
    missed: usize,
}

impl Figures {
    /// Prints a heading for the results that follow.
    pub fn heading(&self, text: &str) {
        println!("\n{text}");
    }

    /// Prints a result without a goal.
    pub fn note(&self, what: &str, measured: &str) {
        println!("  {what:<66} {measured:>14}");
    }

    /// Prints a result that must reach its goal.
    pub fn at_least(&mut self, what: &str, measured: f64, goal: f64, unit: &str) {
        self.show(what, measured, ">=", goal, unit, measured >= goal);
    }

    /// Prints a result that must not exceed its goal.
    pub fn at_most(&mut self, what: &str, measured: f64, goal: f64, unit: &str) {
        self.show(what, measured, "<=", goal, unit, measured <= goal);
    }

    fn show(&mut self, what: &str, measured: f64, sign: &str, goal: f64, unit: &str, is_reached: bool) {
        let verdict = if is_reached { "reached" } else { "MISSED" };
        self.missed += usize::from(!is_reached);
        let shown = |value: f64| match value.abs() {
            100.0.. => format!("{value:.0}{unit}"),
            0.2.. => format!("{value:.2}{unit}"),
            _ => format!("{value:.4}{unit}"),
        };
        println!("  {what:<66} {:>14}   goal {sign} {:<10} {verdict}", shown(measured), shown(goal));
    }

    /// How many results missed their goal.
    pub fn missed(&self) -> usize {
        self.missed
    }
}

/// The median.
pub fn median(mut measured: Vec<f64>) -> f64 {
    measured.sort_unstable_by(f64::total_cmp);
    measured[measured.len() / 2]
}
