//! Cuts a JSON list into its rows, byte for byte. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::http::{Failure, json_start, not_json};

/// The rows of a list, which share its memory. A byte order mark before the list, and bytes within strings that are
/// not UTF-8, are tolerated.
///
/// # Errors
/// [`Failure::NotJson`] if it is not an array, [`Failure::Html`] if it is a web page.
pub fn cut_list(list: &Bytes) -> Result<Vec<Bytes>, Failure> {
    let json = json_start(list);
    let offset = list.len() - json.len();
    let readable = readable(json);
    let rows: Vec<&RawValue> = serde_json::from_str(&readable).map_err(|_| not_json(200, list))?;
    let row = |row: &RawValue| {
        let begin = offset + (row.get().as_ptr() as usize - readable.as_ptr() as usize);
        list.slice(begin..begin + row.get().len())
    };
    Ok(rows.into_iter().map(row).collect())
}

/// A copy of the same length in which bytes that are not UTF-8 are replaced: no such byte can end a value.
fn readable(list: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(list) {
        return text.into();
    }
    let mut text = String::with_capacity(list.len());
    for chunk in list.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text.into()
}
