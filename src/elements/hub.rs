//! Hub calls: what clients ask of `/hubs/{any}/{resource}`, and the request to the store that follows. Reads only.
//! Pure.
//!
//! Sources: Cloud Elements, "CEQL reference" and its API test suite; BigCommerce, "Orders v2" and "Catalog v3";
//! WooCommerce, `wc/v3`.

mod parameters;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use url::form_urlencoded;

use super::{
    ceql::Expression,
    error::ApiError,
    rows::{FieldPath, RowPage, list, with_fields, without_nulls},
    template::{Filter, HubQuery, ResourcePath},
};
use crate::{
    resource::{StoreApi, StoreRequest},
    spec::SourceKind,
};

/// Rows per page where the client does not say.
const DEFAULT_PAGE_SIZE: u32 = 100;
/// Highest page number that is taken.
const MAX_PAGE: u32 = 1_000_000;

/// A sort order by one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The field to sort by.
    pub field: String,
    /// Whether the largest comes first.
    pub is_descending: bool,
}

/// A client's read of a hub resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRead {
    /// The resource and its filter.
    pub query: HubQuery,
    /// The page number, from 1.
    pub page: u32,
    /// Rows per page, if the client gave a size.
    pub page_size: Option<u32>,
    /// The sort order, if the client gave one.
    pub order: Option<Order>,
    /// The fields to return; all if empty.
    pub fields: Vec<FieldPath>,
}

impl HubRead {
    /// Reads the path and query of a GET.
    ///
    /// # Errors
    /// 400 with the parameter's name; 404 for a path that names nothing.
    pub fn parse(path: &str, query: &str) -> Result<Self, ApiError> {
        let path = ResourcePath::parse(path).map_err(|_| ApiError::not_found("no such resource"))?;
        let query_parts = HubQuery { path, filter: None, parameters: Vec::new() };
        let mut read = Self { query: query_parts, page: 1, page_size: None, order: None, fields: Vec::new() };
        let mut token = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "where" if value.trim().is_empty() => {}
                "where" if read.query.filter.is_some() => return Err(ApiError::invalid("where", "it comes twice")),
                "where" => read.query.filter = Some(Filter { text: value.into_owned(), macros: Vec::new() }),
                "page" => read.page = whole_number("page", &value, MAX_PAGE)?,
                "pageSize" => read.page_size = Some(whole_number("pageSize", &value, u32::MAX)?),
                "nextPage" if value.is_empty() => {}
                "nextPage" => token = Some(page_of_token(&value)?),
                "orderBy" => read.order = Some(order(&value)?),
                "fields" => read.fields = fields(&value)?,
                _ => read.query.parameters.push((name.into_owned(), value.into_owned())),
            }
        }
        if let Some((page, size)) = token {
            (read.page, read.page_size) = (page, Some(size));
        }
        Ok(read)
    }

    /// The request to the store.
    ///
    /// # Errors
    /// 400 naming what cannot be asked of the store; 404 for a resource that is not offered.
    pub fn store_request(&self, kind: SourceKind) -> Result<StoreRequest, ApiError> {
        let mut request = store_request(kind, &self.query, false)?;
        let is_one = self.query.path.segments().last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        let size = self.size(request.api)?;
        if !is_one {
            parameters::add_page(&mut request, self.page, size);
        }
        if let Some(order) = &self.order {
            parameters::add_order(&mut request, order)?;
        }
        Ok(request)
    }

    fn size(&self, api: StoreApi) -> Result<u32, ApiError> {
        match self.page_size {
            None => Ok(DEFAULT_PAGE_SIZE),
            Some(size) if size <= api.max_page_size() => Ok(size),
            Some(_) => Err(ApiError::invalid("pageSize", format!("at most {} rows a page", api.max_page_size()))),
        }
    }

    /// The body of the answer: a bare list, or the object asked for.
    pub fn answer(&self, page: &RowPage, drops_nulls: bool) -> Vec<u8> {
        let shown = |row: &bytes::Bytes| {
            let row = if self.fields.is_empty() { row.to_vec() } else { with_fields(row, &self.fields) };
            if drops_nulls { without_nulls(&row) } else { row }
        };
        let mut rows: Vec<Vec<u8>> = page.rows.iter().map(shown).collect();
        match rows.pop() {
            Some(row) if !page.is_list => row,
            last => list(rows.iter().chain(&last).map(Vec::as_slice)),
        }
    }

    /// The value of `Elements-Next-Page-Token`, while there may be more pages. `total` is the number of rows in the
    /// whole list as the store gives it (in the body, or WooCommerce's `X-WP-Total`); if it gives none, only an empty
    /// page is the last.
    pub fn next_page(&self, api: StoreApi, page: &RowPage, total: Option<u64>) -> Option<String> {
        let size = self.size(api).ok()?;
        let is_last = match total.or(page.total) {
            Some(total) => u64::from(self.page) * u64::from(size) >= total,
            None => page.rows.is_empty(),
        };
        let more = page.is_list && !is_last && !page.rows.is_empty() && self.page < MAX_PAGE;
        more.then(|| URL_SAFE_NO_PAD.encode(format!("{} {size}", self.page + 1)))
    }
}

/// The request to the store for a hub call, without paging and sort order. When polling (`is_poll`), a comparison
/// with a macro's time is left out if the store has no such filter: the rows are compared with the last poll's time
/// afterwards.
///
/// # Errors
/// 400 naming what cannot be asked of the store; 404 for a resource that is not offered.
pub fn store_request(kind: SourceKind, query: &HubQuery, is_poll: bool) -> Result<StoreRequest, ApiError> {
    let (api, path) = store_path(kind, &query.path)?;
    let mut request = StoreRequest { api, path, query: Vec::new() };
    for (name, value) in &query.parameters {
        parameters::push(&mut request.query, name, value)?;
    }
    let Some(filter) = &query.filter else {
        return Ok(request);
    };
    let expression = Expression::parse(&filter.text).map_err(|error| ApiError::new(400, error.to_string()))?;
    let terms = expression.conjunction().ok_or_else(|| ApiError::invalid("where", "stores cannot be asked `OR`"))?;
    for term in terms {
        let is_from_macro =
            || filter.macros.iter().any(|range| range.start < term.values_at.end && term.values_at.start < range.end);
        match parameters::of_term(api, term) {
            Some(found) => {
                for (name, value) in found {
                    parameters::push(&mut request.query, &name, &value)?;
                }
            }
            None if is_poll && term.operator.is_range() && is_from_macro() => {}
            None => {
                let problem = format!("the store cannot be asked `{} {}`", term.field, term.operator);
                return Err(ApiError::invalid("where", problem));
            }
        }
    }
    Ok(request)
}

/// Resources not offered, because they would show the relay's own webhook URLs and tokens.
const WITHHELD: [&str; 2] = ["hooks", "webhooks"];

/// The store's path for a resource; some have another name at the hub.
fn store_path(kind: SourceKind, path: &ResourcePath) -> Result<(StoreApi, String), ApiError> {
    let mut segments: Vec<&str> = path.segments().iter().map(String::as_str).collect();
    let api = match (kind, segments[0]) {
        (SourceKind::WooCommerce, _) => StoreApi::WooCommerceV3,
        (SourceKind::BigCommerce, "v3") => StoreApi::BigCommerceV3,
        (SourceKind::BigCommerce, _) => StoreApi::BigCommerceV2,
    };
    if matches!(segments[0], "v2" | "v3") {
        segments.remove(0);
    }
    let first = segments.first().copied().unwrap_or_default();
    // BigCommerce's V2 takes `hooks.json` for `hooks`.
    let name = first.split('.').next().unwrap_or_default();
    let is_withheld = WITHHELD.iter().any(|withheld| withheld.eq_ignore_ascii_case(name));
    if name.is_empty() || is_withheld || matches!(first, "v2" | "v3") {
        return Err(ApiError::not_found("no such resource"));
    }
    if api != StoreApi::BigCommerceV3 {
        match segments[0] {
            "contacts" => segments[0] = "customers",
            "discounts" => segments[0] = "coupons",
            _ => {}
        }
        let is_woo = api == StoreApi::WooCommerceV3;
        match segments.as_slice() {
            ["customers", "groups", ..] if !is_woo => drop(segments.splice(..2, ["customer_groups"])),
            ["orders", "statuses"] if !is_woo => segments = vec!["order_statuses"],
            ["orders", id, "addresses"] if !is_woo => segments = vec!["orders", id, "shipping_addresses"],
            ["orders", id, "comments"] => segments = vec!["orders", id, if is_woo { "notes" } else { "messages" }],
            _ => {}
        }
    }
    Ok((api, segments.join("/")))
}

fn whole_number(key: &str, text: &str, most: u32) -> Result<u32, ApiError> {
    let number = text.trim().parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| ApiError::invalid(key, format!("a whole number from 1 to {most} is needed")))
}

fn page_of_token(token: &str) -> Result<(u32, u32), ApiError> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let (page, size) = text.split_once(' ')?;
        let (page, size) = (page.parse().ok()?, size.parse().ok()?);
        ((1..=MAX_PAGE).contains(&page) && size > 0).then_some((page, size))
    };
    read().ok_or_else(|| ApiError::invalid("nextPage", "not a token of `Elements-Next-Page-Token`"))
}

fn order(text: &str) -> Result<Order, ApiError> {
    let mut words = text.split_whitespace();
    let field = words.next().filter(|field| parameters::is_name(field));
    let direction = words.next().unwrap_or("asc").to_ascii_lowercase();
    match (field, direction.as_str(), words.next()) {
        (Some(field), "asc" | "desc", None) => {
            Ok(Order { field: field.to_owned(), is_descending: direction == "desc" })
        }
        _ => Err(ApiError::invalid("orderBy", "`<field> asc` or `<field> desc` is needed")),
    }
}

fn fields(text: &str) -> Result<Vec<FieldPath>, ApiError> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty()).take(200);
    let paths =
        names.map(|name| FieldPath::parse(name).ok_or_else(|| ApiError::invalid("fields", "not a field's path")));
    paths.collect()
}

#[cfg(test)]
mod tests;
