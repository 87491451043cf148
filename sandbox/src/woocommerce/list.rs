//! Lists: which rows a query selects in WooCommerce. Unknown parameters are silently ignored.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::config::{ShopConfig, ShopVersion};
use super::rest_error::RestError;

/// The properties of a row that queries filter by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub id: i64,
    pub status: Option<&'a str>,
    pub created: i64,
    pub modified: i64,
}

/// A query's parameters, decoded.
pub(super) type Params = Vec<(String, String)>;

/// What one list call asks for.
#[derive(Debug)]
pub(super) struct List {
    statuses: Vec<String>,
    include: Vec<i64>,
    modified_after: Option<i64>,
    modified_before: Option<i64>,
    created_after: Option<i64>,
    created_before: Option<i64>,
    orderby: OrderBy,
    is_descending: bool,
    pub per_page: usize,
    skip: usize,
    lists_drafts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrderBy {
    Date,
    Id,
    Include,
    Modified,
}

pub(super) fn param<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    params.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

impl List {
    /// Reads a query. `knows_dates` is false for customers.
    pub fn read(params: &Params, config: &ShopConfig, knows_dates: bool) -> Result<Self, RestError> {
        let text = |name| param(params, name);
        let number = |name, default: usize, range: std::ops::RangeInclusive<usize>| match text(name) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) if range.contains(&number) => Ok(number),
                _ => Err(RestError::invalid_param(name)),
            },
        };
        let per_page = number("per_page", 10, 1..=100)?;
        let page = number("page", 1, 1..=usize::MAX)?;
        let offset = number("offset", 0, 0..=usize::MAX)?;
        let orderby = match text("orderby") {
            None | Some("date") => OrderBy::Date,
            Some("id" | "name" | "registered_date") => OrderBy::Id,
            Some("include") => OrderBy::Include,
            Some("modified") if config.sorts_by_change && knows_dates => OrderBy::Modified,
            _ => return Err(RestError::invalid_param("orderby")),
        };
        let filters = knows_dates && config.version > ShopVersion::V5_7;
        let is_gmt = text("dates_are_gmt") == Some("true");
        let date = |name| match text(name) {
            Some(text) => read_date(text, is_gmt, config.utc_offset).map(Some).ok_or(RestError::invalid_param(name)),
            None => Ok(None),
        };
        let list = |name| text(name).unwrap_or_default().split(',').filter(|part| !part.is_empty());
        let mut statuses: Vec<String> = list("status").map(str::to_owned).collect();
        if statuses.is_empty() || statuses.iter().any(|status| status == "any") {
            statuses.clear();
        }
        Ok(Self {
            statuses,
            include: list("include").filter_map(|id| id.parse().ok()).collect(),
            modified_after: if filters { date("modified_after")? } else { None },
            modified_before: if filters { date("modified_before")? } else { None },
            created_after: if knows_dates { date("after")? } else { None },
            created_before: if knows_dates { date("before")? } else { None },
            orderby,
            is_descending: text("order") != Some("asc"),
            per_page,
            skip: match (config.repeats_first_page, text("offset")) {
                (true, _) => 0,
                (false, Some(_)) => offset,
                (false, None) => (page - 1).saturating_mul(per_page),
            },
            lists_drafts: config.version < ShopVersion::V11_0,
        })
    }

    /// The ids of the page, and how many rows there are in all.
    pub fn page<'a>(&self, rows: impl Iterator<Item = Row<'a>>) -> (Vec<i64>, usize) {
        let mut found: Vec<Row<'a>> = rows.filter(|row| self.has(row)).collect();
        let place = |row: &Row<'_>| self.include.iter().position(|id| *id == row.id);
        found.sort_by(|a, b| {
            let by = match self.orderby {
                OrderBy::Date => (a.created, a.id).cmp(&(b.created, b.id)),
                OrderBy::Id => a.id.cmp(&b.id),
                OrderBy::Modified => (a.modified, a.id).cmp(&(b.modified, b.id)),
                OrderBy::Include => return place(a).cmp(&place(b)),
            };
            if self.is_descending { by.reverse() } else { by }
        });
        let ids = found.iter().skip(self.skip).take(self.per_page).map(|row| row.id).collect();
        (ids, found.len())
    }

    fn has(&self, row: &Row<'_>) -> bool {
        let has_status = match (row.status, self.statuses.is_empty()) {
            (None, _) => true,
            (Some("trash"), true) => false,
            (Some("checkout-draft"), true) => self.lists_drafts,
            (Some(_), true) => true,
            (Some(status), false) => self.statuses.iter().any(|wanted| wanted == status),
        };
        // Both ends of a date range are excluded.
        has_status
            && (self.include.is_empty() || self.include.contains(&row.id))
            && self.modified_after.is_none_or(|after| row.modified > after)
            && self.modified_before.is_none_or(|before| row.modified < before)
            && self.created_after.is_none_or(|after| row.created > after)
            && self.created_before.is_none_or(|before| row.created < before)
    }
}

/// Reads a date as `WP_Date_Query` does. One with an offset is converted to the shop's local time; with `dates_are_gmt`
/// (`is_gmt`) that local time is then compared with the UTC column as if it were UTC. A date without a time is refused.
fn read_date(text: &str, is_gmt: bool, utc_offset: i64) -> Option<i64> {
    if !text.contains('T') {
        return None;
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(if is_gmt { at.as_second() + utc_offset } else { at.as_second() });
    }
    let bare = text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    Some(if is_gmt { bare } else { bare - utc_offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(query: &str, config: &ShopConfig) -> Result<List, RestError> {
        let params = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        List::read(&params, config, true)
    }

    #[test]
    fn only_some_forms_of_a_date_find_the_right_rows() {
        let at = 1_764_151_200; // 2025-11-26T10:00:00Z
        for (form, is_right) in [
            ("modified_after=2025-11-26T10:00:00&dates_are_gmt=true", true),
            ("modified_after=2025-11-26T10:00:00Z", true),
            ("modified_after=2025-11-26T10:00:00Z&dates_are_gmt=true", false),
            ("modified_after=2025-11-26T10:00:00%2B00:00&dates_are_gmt=true", false),
            ("modified_after=2025-11-26T10:00:00", false),
        ] {
            let config = ShopConfig { utc_offset: 7200, ..ShopConfig::default() };
            assert_eq!(list(form, &config).expect("a list").modified_after == Some(at), is_right, "{form}");
        }
        let old = ShopConfig { version: ShopVersion::V5_7, ..ShopConfig::default() };
        assert_eq!(list("modified_after=2025-11-26T10:00:00Z", &old).expect("a list").modified_after, None);
        assert!(list("modified_after=2025-11-26", &ShopConfig::default()).is_err());
    }

    #[test]
    fn pages_and_statuses_are_as_woocommerce_has_them() {
        let config = ShopConfig::default();
        for refused in ["per_page=0", "per_page=101", "page=0", "orderby=total"] {
            assert!(list(refused, &config).is_err(), "{refused}");
        }
        let statuses = ["processing", "trash", "checkout-draft", "pending"];
        let rows =
            || statuses.iter().zip(1..).map(|(status, id)| Row { id, status: Some(status), created: id, modified: id });
        let found = |query: &str, config: &ShopConfig| list(query, config).expect("a list").page(rows()).0;
        assert_eq!(found("order=asc", &config), [1, 4]);
        assert_eq!(found("status=any,trash", &config), [4, 1], "any wins");
        assert_eq!(found("status=trash,pending", &config), [4, 2]);
        assert_eq!(found("include=1,2,4&orderby=include", &config), [1, 4], "what is in the trash is left out");
        let nine = ShopConfig { version: ShopVersion::V9_0, ..config };
        assert_eq!(found("status=any", &nine), [4, 3, 1]);
    }
}
