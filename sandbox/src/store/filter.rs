//! The filters of `GET v2/orders`. A value that cannot be read is silently ignored, as by the real store.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt};
use url::form_urlencoded;

/// BigCommerce's default page size.
const DEFAULT_LIMIT: usize = 50;

/// The field that a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SortKey {
    Id,
    DateModified,
}

/// What one list call asks for. Times are unix seconds, bounds inclusive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) ids: (i64, i64),
    pub(crate) modified: (i64, i64),
    pub(crate) status_id: Option<u8>,
    pub(crate) sort: SortKey,
    pub(crate) descending: bool,
    pub(crate) page: usize,
    pub(crate) limit: usize,
}

impl Filter {
    /// Reads a query string. A `limit` above `max_limit` is reduced to it; `exclusive_dates` excludes the bounds
    /// themselves.
    pub(crate) fn parse(query: &str, max_limit: usize, exclusive_dates: bool) -> Self {
        let mut filter = Self {
            ids: (i64::MIN, i64::MAX),
            modified: (i64::MIN, i64::MAX),
            status_id: None,
            sort: SortKey::Id,
            descending: false,
            page: 1,
            limit: DEFAULT_LIMIT,
        };
        let inset = i64::from(exclusive_dates);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "min_id" => set(&mut filter.ids.0, value.parse().ok()),
                "max_id" => set(&mut filter.ids.1, value.parse().ok()),
                "min_date_modified" => set(&mut filter.modified.0, unix_seconds(&value).map(|at| at + inset)),
                "max_date_modified" => set(&mut filter.modified.1, unix_seconds(&value).map(|at| at - inset)),
                "status_id" => filter.status_id = value.parse().ok(),
                "page" => set(&mut filter.page, value.parse().ok().filter(|page| *page > 0)),
                "limit" => set(&mut filter.limit, value.parse().ok().filter(|limit| *limit > 0)),
                "sort" => filter.sort_by(&value),
                _ => {}
            }
        }
        filter.limit = filter.limit.min(max_limit);
        filter
    }

    fn sort_by(&mut self, value: &str) {
        (self.sort, self.descending) = match value {
            "id:asc" => (SortKey::Id, false),
            "id:desc" => (SortKey::Id, true),
            "date_modified:asc" => (SortKey::DateModified, false),
            "date_modified:desc" => (SortKey::DateModified, true),
            _ => return,
        };
    }

    /// How many matching orders come before the page.
    pub(crate) fn skip(&self) -> usize {
        (self.page - 1).saturating_mul(self.limit)
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Reads RFC 2822 or ISO 8601; a time without an offset counts as UTC.
pub(crate) fn unix_seconds(text: &str) -> Option<i64> {
    let utc = |local: DateTime| local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let at = fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let at = at.or_else(|| text.parse::<Timestamp>().ok());
    let at = at.or_else(|| text.parse::<DateTime>().ok().and_then(utc));
    let at = at.or_else(|| text.parse::<Date>().ok().and_then(|date| utc(date.at(0, 0, 0, 0))));
    at.map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_in_many_forms() {
        let encoded: String = form_urlencoded::byte_serialize(b"Tue, 05 Mar 2019 21:40:11 +0000").collect();
        for date in [&*encoded, "2019-03-05T21:40:11Z", "2019-03-05T22:40:11%2B01:00", "2019-03-05T21:40:11"] {
            let filter = Filter::parse(&format!("min_date_modified={date}"), 250, false);
            assert_eq!(filter.modified.0, 1_551_822_011, "{date}");
        }
        assert_eq!(Filter::parse("max_date_modified=1970-01-02", 250, true).modified.1, 86_399);
    }

    #[test]
    fn what_cannot_be_read_is_ignored() {
        // An unescaped plus sign is decoded as a space: the usual mistake in these dates, and the filter is ignored.
        let query =
            "min_date_modified=Tue, 05 Mar 2019 21:40:11 +0000&min_id=x&limit=0&page=0&sort=up&status_id=many&foo=1";
        assert_eq!(Filter::parse(query, 250, false), Filter::parse("", 250, false));
    }

    #[test]
    fn limits_are_cut() {
        let filter = Filter::parse("limit=1000&page=3&sort=date_modified:desc", 250, false);
        assert_eq!((filter.limit, filter.skip()), (250, 500));
        assert_eq!((filter.sort, filter.descending), (SortKey::DateModified, true));
    }
}
