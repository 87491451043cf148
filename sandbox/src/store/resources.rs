//! Lists of resources other than orders, such as products and customers: a test puts the rows in, and they are filtered
//! and paged as in v2 and v3.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use url::form_urlencoded;

use super::filter::{Filter, unix_seconds};

/// Rows by list (`v2/products`, `v3/catalog/products`) and id.
#[derive(Debug, Default)]
pub(crate) struct Resources(BTreeMap<String, BTreeMap<i64, Value>>);

impl Resources {
    /// Puts a row into a list; it replaces the row with the same `id`.
    pub(crate) fn put(&mut self, list: &str, row: Value) {
        let id = row["id"].as_i64().expect("a row has a number as its id");
        self.0.entry(list.to_owned()).or_default().insert(id, row);
    }

    /// Returns whether there was such a row.
    pub(crate) fn remove(&mut self, list: &str, id: i64) -> bool {
        self.0.get_mut(list).is_some_and(|rows| rows.remove(&id).is_some())
    }

    /// The body for the path of a list or of one of its rows. An empty list has no body in v2.
    pub(crate) fn answer(&self, path: &str, query: &str, max_limit: usize) -> Option<Option<String>> {
        let is_v3 = path.starts_with("v3/");
        if let Some(rows) = self.0.get(path) {
            return Some(list(rows, query, max_limit, is_v3));
        }
        let (list, id) = path.rsplit_once('/')?;
        let row = self.0.get(list)?.get(&id.parse().ok()?)?;
        Some(Some(if is_v3 { json!({ "data": row, "meta": {} }).to_string() } else { row.to_string() }))
    }
}

fn list(rows: &BTreeMap<i64, Value>, query: &str, max_limit: usize, is_v3: bool) -> Option<String> {
    let filter = Filter::parse(query, max_limit, false);
    let (mut since, mut ids) = (filter.modified.0, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "date_modified:min" => since = unix_seconds(&value).unwrap_or(since),
            "id:in" => ids = Some(value.split(',').filter_map(|id| id.parse().ok()).collect::<Vec<i64>>()),
            _ => {}
        }
    }
    let modified = |row: &Value| row["date_modified"].as_str().and_then(unix_seconds);
    let fits = |(id, row): &(&i64, &Value)| {
        (filter.ids.0..=filter.ids.1).contains(*id)
            && modified(row).is_none_or(|at| (since..=filter.modified.1).contains(&at))
            && ids.as_ref().is_none_or(|ids| ids.contains(*id))
    };
    let found: Vec<&Value> = rows.iter().filter(fits).map(|(_, row)| row).collect();
    let total = found.len();
    let page: Vec<&Value> = found.into_iter().skip(filter.skip()).take(filter.limit).collect();
    match is_v3 {
        true => Some(json!({ "data": page, "meta": { "pagination": { "total": total } } }).to_string()),
        false if page.is_empty() => None,
        false => Some(json!(page).to_string()),
    }
}
