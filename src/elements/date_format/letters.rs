//! What formatting and parsing both need: names, and which fields are numbers.

/// English names, from January on.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// English names, from Monday on.
pub(super) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Whether a field consists of digits.
pub(super) fn is_number(letter: char, width: usize) -> bool {
    match letter {
        'M' | 'L' => width < 3,
        _ => "yYDduHkKhmsS".contains(letter),
    }
}
