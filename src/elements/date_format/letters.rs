//! What both ways need to know of the letters: names, and which fields are digits.

/// From January on.
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
/// From Monday on.
pub(super) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Whether a field is written in digits.
pub(super) fn is_number(letter: char, width: usize) -> bool {
    match letter {
        'M' | 'L' => width < 3,
        _ => "yYDduHkKhmsS".contains(letter),
    }
}
