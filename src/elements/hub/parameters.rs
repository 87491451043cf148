//! Translates comparisons, pages and sort orders to each store's query parameters. Pure.

use jiff::civil::DateTime;

use super::Order;
use crate::elements::{
    ceql::{Operator, Term},
    error::ApiError,
};
use crate::resource::{StoreApi, StoreRequest};

/// Parameters that clients may not set: paging and credentials, which are the relay's, and those that change what a
/// call does, such as WordPress's `_method`, which turns a GET into a DELETE (all that begin with `_` are refused).
const RESERVED: [&str; 11] = [
    "page",
    "limit",
    "per_page",
    "offset",
    "sort",
    "direction",
    "order",
    "orderby",
    "consumer_key",
    "consumer_secret",
    "rest_route",
];

/// Whether a text may name a field or parameter.
pub fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-[]".contains(&b))
}

/// Adds a query parameter.
///
/// # Errors
/// 400 for a parameter that clients may not set.
pub fn push(query: &mut Vec<(String, String)>, name: &str, value: &str) -> Result<(), ApiError> {
    // PHP reads `rest.route` and `rest[route` as `rest_route`.
    let read: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if !is_name(name) || read.starts_with("oauth") || RESERVED.contains(&read.trim_end_matches('_')) {
        let name: String = name.chars().take(64).collect();
        return Err(ApiError::invalid("where", format!("`{name}` cannot be asked for")));
    }
    query.push((name.to_owned(), with_plus(value)));
    Ok(())
}

/// The parameters for a comparison; `None` where the store has none. A strict comparison of dates becomes one that
/// includes the date itself.
pub fn of_term(api: StoreApi, term: &Term) -> Option<Vec<(String, String)>> {
    let field = term.field.as_str();
    let value = term.values.first().map(String::as_str).unwrap_or_default();
    let one = |name: String, value: String| Some(vec![(name, value)]);
    if term.operator == Operator::Equal {
        return one(field.to_owned(), value.to_owned());
    }
    match api {
        StoreApi::BigCommerceV2 => of_v2(term.operator, field, value),
        StoreApi::BigCommerceV3 => {
            let suffix = match term.operator {
                Operator::GreaterOrEqual => "min",
                Operator::LessOrEqual => "max",
                Operator::Greater => "greater",
                Operator::Less => "less",
                Operator::NotEqual => "not",
                Operator::In => "in",
                Operator::Like => "like",
                Operator::Equal | Operator::IsNull => return None,
            };
            one(format!("{field}:{suffix}"), term.values.join(",").trim_matches('%').to_owned())
        }
        StoreApi::WooCommerceV3 => match (term.operator, field) {
            (Operator::In, "id") => one("include".to_owned(), term.values.join(",")),
            (Operator::In, "status") => one("status".to_owned(), term.values.join(",")),
            (operator, field) => of_woo_date(operator, field, value),
        },
    }
}

/// BigCommerce v2 has inclusive `min_` and `max_` parameters for four fields.
fn of_v2(operator: Operator, field: &str, value: &str) -> Option<Vec<(String, String)>> {
    let step = |by: i64| value.trim().parse::<i64>().ok()?.checked_add(by).map(|id| id.to_string());
    let (prefix, value) = match (operator, field) {
        (Operator::GreaterOrEqual, "id" | "total") => ("min", value.to_owned()),
        (Operator::LessOrEqual, "id" | "total") => ("max", value.to_owned()),
        (Operator::Greater, "id") => ("min", step(1)?),
        (Operator::Less, "id") => ("max", step(-1)?),
        (Operator::GreaterOrEqual | Operator::Greater, "date_created" | "date_modified") => ("min", value.to_owned()),
        (Operator::LessOrEqual | Operator::Less, "date_created" | "date_modified") => ("max", value.to_owned()),
        _ => return None,
    };
    Some(vec![(format!("{prefix}_{field}"), value)])
}

/// WooCommerce's bounds are exclusive; `dates_are_gmt` is needed only for times without a zone.
fn of_woo_date(operator: Operator, field: &str, value: &str) -> Option<Vec<(String, String)>> {
    let (after, before) = match field.trim_end_matches("_gmt") {
        "date_created" => ("after", "before"),
        "date_modified" => ("modified_after", "modified_before"),
        _ => return None,
    };
    let (name, seconds) = match operator {
        Operator::Greater | Operator::GreaterOrEqual => (after, -1),
        Operator::Less | Operator::LessOrEqual => (before, 1),
        _ => return None,
    };
    let bare = value.strip_suffix('Z').unwrap_or(value);
    let zone = &value[bare.len()..];
    let bound = match bare.parse::<DateTime>() {
        Ok(date) => {
            date.saturating_add(jiff::SignedDuration::from_secs(seconds)).strftime("%Y-%m-%dT%H:%M:%S").to_string()
        }
        Err(_) => bare.to_owned(),
    };
    if field.ends_with("_gmt") {
        return Some(vec![(name.to_owned(), bound), ("dates_are_gmt".to_owned(), "true".to_owned())]);
    }
    Some(vec![(name.to_owned(), format!("{bound}{zone}"))])
}

/// Adds page number and page size.
pub fn add_page(request: &mut StoreRequest, page: u32, size: u32) {
    let limit = if request.api == StoreApi::WooCommerceV3 { "per_page" } else { "limit" };
    request.query.push(("page".to_owned(), page.to_string()));
    request.query.push((limit.to_owned(), size.to_string()));
}

/// Adds a sort order.
///
/// # Errors
/// 400 where the store has no such order.
pub fn add_order(request: &mut StoreRequest, order: &Order) -> Result<(), ApiError> {
    let direction = if order.is_descending { "desc" } else { "asc" };
    let field = order.field.as_str();
    let pairs = match request.api {
        StoreApi::BigCommerceV2 if request.path == "orders" => vec![("sort", format!("{field}:{direction}"))],
        StoreApi::BigCommerceV2 => return Err(ApiError::invalid("orderBy", "the store orders `orders` only")),
        StoreApi::BigCommerceV3 => vec![("sort", field.to_owned()), ("direction", direction.to_owned())],
        StoreApi::WooCommerceV3 => {
            let field = match field.trim_end_matches("_gmt") {
                "date_created" => "date",
                "date_modified" => "modified",
                other => other,
            };
            vec![("orderby", field.to_owned()), ("order", direction.to_owned())]
        }
    };
    request.query.extend(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(())
}

/// Restores the `+` of a date: if it was not escaped it arrives as a space, and stores ignore a filter that they
/// cannot read. Handles `… 21:40:11  0000` and `…T21:40:11 00:00`.
fn with_plus(value: &str) -> String {
    let restored = || {
        let (head, zone) = value.rsplit_once(' ')?;
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_rfc = zone.len() == 4 && is_digits(zone) && head.ends_with(' ');
        let is_iso = head.contains('T')
            && head.starts_with(|c: char| c.is_ascii_digit())
            && zone.split_once(':').is_some_and(|(hours, minutes)| {
                hours.len() == 2 && minutes.len() == 2 && is_digits(hours) && is_digits(minutes)
            });
        (head.contains(':') && (is_rfc || is_iso)).then(|| format!("{head}+{zone}"))
    };
    restored().unwrap_or_else(|| value.to_owned())
}
