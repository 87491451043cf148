//! A batch of events on its way into the database, and what comes back of it.

use std::collections::HashSet;

use sqlx::{Row, sqlite::SqliteRow};

use crate::inbox::{Accepted, rows::Event};

/// One event of a batch.
pub(super) struct Numbered {
    /// Its place, from 0.
    pub number: i64,
    pub event: Event,
    /// Whether an earlier one of the batch bears one of its marks.
    pub again: bool,
}

/// Numbers a batch.
pub(super) fn numbered(events: impl Iterator<Item = Event>) -> Vec<Numbered> {
    let mut met = HashSet::new();
    let one = |(number, event): (i64, Event)| {
        let again = event.marks().any(|mark| met.contains(&mark));
        met.extend(event.marks());
        Numbered { number, event, again }
    };
    (0..).zip(events).map(one).collect()
}

/// What became of `count` events, given the numbers and standings of those that had been met before.
pub(super) fn accepted(count: usize, standings: &[SqliteRow]) -> Result<Vec<Accepted>, sqlx::Error> {
    let mut accepted = vec![Accepted::First; count];
    for row in standings {
        let place = usize::try_from(row.try_get::<i64, _>(0)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
        if let Some(accepted) = accepted.get_mut(place) {
            *accepted = if row.try_get::<i64, _>(1)? == 1 { Accepted::Doubt } else { Accepted::Duplicate };
        }
    }
    Ok(accepted)
}
