//! One call to the store, from its path to its answer: quota, credentials, fault and work, in this order.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, CONTENT_TYPE, DATE};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::account::ApiAccount;
use super::filter::Filter;
use super::hooks_api::{HookCall, Target, Version};
use super::info::store_information;
use super::state::State;
use crate::answer::{Answer, Ticket, respond};
use crate::fault::{Action, Asked, Fault, Operation};
use crate::order::STATUSES;

/// The root of the API for a legacy account, at the store's own address.
pub(crate) const LEGACY: &str = "/api/v2/";

const AUTH_TOKEN: &str = "x-auth-token";
const JSON: &str = "application/json";

/// OAuth scopes, any one of which lets a token read orders, and so on (BigCommerce, "OAuth scopes").
const ORDER_SCOPES: [&str; 2] = ["store_v2_orders_read_only", "store_v2_orders"];
const INFORMATION_SCOPES: [&str; 2] = ["store_v2_information_read_only", "store_v2_information"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Order(i64),
    Orders,
    OrderCount,
    Time,
    StoreInformation,
    Hooks(Version, Target),
    Unknown,
}

impl Route {
    fn of(path: &str, hash: &str) -> Self {
        let Some(rest) = below(path, hash) else { return Self::Unknown };
        let rest = rest.as_ref();
        match rest {
            "v2/orders" => return Self::Orders,
            "v2/orders/count" => return Self::OrderCount,
            "v2/time" => return Self::Time,
            "v2/store" => return Self::StoreInformation,
            _ => {}
        }
        if let Some(id) = rest.strip_prefix("v2/orders/") {
            return id.parse().map_or(Self::Unknown, Self::Order);
        }
        let (version, hooks) = match (rest.strip_prefix("v2/hooks"), rest.strip_prefix("v3/hooks")) {
            (Some(hooks), _) => (Version::V2, hooks),
            (_, Some(hooks)) => (Version::V3, hooks),
            _ => return Self::Unknown,
        };
        match hooks.strip_prefix('/') {
            None if hooks.is_empty() => Self::Hooks(version, Target::All),
            Some("admin") => Self::Hooks(version, Target::Admin),
            Some(id) => id.parse().map_or(Self::Unknown, |id| Self::Hooks(version, Target::One(id))),
            None => Self::Unknown,
        }
    }

    fn operation(self) -> Operation {
        match self {
            Self::Order(_) => Operation::OrderSingle,
            Self::Orders => Operation::OrderList,
            Self::OrderCount => Operation::OrderCount,
            Self::Time => Operation::Time,
            Self::StoreInformation => Operation::StoreInformation,
            Self::Hooks(..) => Operation::Hooks,
            Self::Unknown => Operation::Any,
        }
    }

    /// The scopes of which one is needed; hooks and unknown paths need none.
    fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::Order(_) | Self::Orders | Self::OrderCount => &ORDER_SCOPES,
            Self::Time | Self::StoreInformation => &INFORMATION_SCOPES,
            Self::Hooks(..) | Self::Unknown => &[],
        }
    }

    fn order(self) -> Option<i64> {
        if let Self::Order(id) = self { Some(id) } else { None }
    }
}

/// The path below the API's root, its version first.
fn below<'a>(path: &'a str, hash: &str) -> Option<Cow<'a, str>> {
    if let Some(rest) = path.strip_prefix(LEGACY) {
        return Some(format!("v2/{rest}").into());
    }
    path.strip_prefix("/stores/")?.strip_prefix(hash)?.strip_prefix('/').map(Cow::Borrowed)
}

/// Writes the status into the record once the answer is sent.
struct RecordTicket {
    state: Arc<State>,
    index: Option<usize>,
}

impl Ticket for RecordTicket {
    fn answered(self, status: u16) {
        if let Some(index) = self.index {
            self.state.record.answered(index, status);
        }
    }
}

impl Drop for RecordTicket {
    fn drop(&mut self) {
        self.state.barrier.changed();
    }
}

pub(crate) async fn serve(state: Arc<State>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let route = Route::of(request.path(), &state.config.hash);
    let operation = route.operation();
    let index = state.record.begin(operation, || (request.method().to_string(), request.uri().to_string()));
    let ticket = RecordTicket { state: state.clone(), index };
    state.barrier.changed();

    let (reading, shown) = {
        let mut quota = state.quota();
        let reading = quota.take(Instant::now());
        (reading, !reading.exceeded || quota.rule.headers_on_429)
    };
    let caller = if reading.exceeded {
        Err(Answer::refusal(429, "the quota is used up"))
    } else {
        credentials(&state, route, &request, &body)
    };
    let (mut answer, fault) = match caller {
        Err(refusal) => (refusal, None),
        Ok(account) => {
            let asked = || asked(&state, route, request.query_string());
            let fault = state.faults.take_list(operation, route.order(), request.method().as_str(), asked);
            let call = Call { state: &state, account: &account, route, request: &request, body: &body };
            (call.answer_under(fault.as_ref()).await, fault)
        }
    };
    let skew = state.clock_skew();
    if skew != 0 {
        answer.push(DATE, &http_date(crate::clock::system_clock().saturating_add(skew)));
    }
    if shown && !fault.as_ref().is_some_and(|fault| fault.bare) {
        answer.headers.extend(reading.headers());
    }
    respond(answer, fault.as_ref(), ticket)
}

/// `Tue, 05 Mar 2019 21:40:11 GMT`
fn http_date(unix_seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(unix_seconds).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The account that calls, or the refusal of a call with invalid headers.
fn credentials(state: &State, route: Route, request: &HttpRequest, body: &[u8]) -> Result<Arc<ApiAccount>, Answer> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // A legacy account was already recognised by its credentials when the store was looked up.
    let found = match request.path().starts_with(LEGACY) {
        true => state.accounts.by_client(&state.config.client_id),
        false => state.accounts.by_token(header(AUTH_TOKEN)),
    };
    let Some(account) = found else {
        return Err(Answer::refusal(401, "the X-Auth-Token is missing or wrong"));
    };
    if !account.may(route.scopes()) {
        return Err(Answer::refusal(403, "You don't have a required scope to access the endpoint"));
    }
    if !header(ACCEPT.as_str()).contains(JSON) {
        return Err(Answer::refusal(406, "Accept must be application/json"));
    }
    if !body.is_empty() && !header(CONTENT_TYPE.as_str()).starts_with(JSON) {
        return Err(Answer::refusal(415, "Content-Type must be application/json"));
    }
    Ok(account)
}

/// A call that passed the checks of quota and credentials.
struct Call<'a> {
    state: &'a State,
    account: &'a ApiAccount,
    route: Route,
    request: &'a HttpRequest,
    body: &'a [u8],
}

impl Call<'_> {
    async fn answer_under(&self, fault: Option<&Fault>) -> Answer {
        let (state, route) = (self.state, self.route);
        let Some(fault) = fault else { return self.work() };
        if let Some(refusal) = Answer::of_fault(fault) {
            return refusal;
        }
        match (&fault.action, route) {
            // `respond` cuts the connection, so this answer is never sent; it only keeps the work from being done.
            (Action::Drop, _) => return Answer::empty(200),
            (Action::NotJson | Action::Oversized { .. }, _) => return Answer::json(200, "{}"),
            (Action::AnotherOrder, Route::Order(id)) => return another_order(state, id),
            (Action::Hold, _) => state.faults.hold(&state.barrier).await,
            (Action::Slow(time), _) => tokio::time::sleep(*time).await,
            _ => {}
        }
        let answer = self.work();
        if fault.action == Action::HoldAnswer {
            state.faults.hold(&state.barrier).await;
        }
        answer
    }

    fn work(&self) -> Answer {
        let Self { state, account, route, request, body } = *self;
        if let Route::Hooks(version, target) = route {
            let (method, query, now) = (request.method(), request.query_string(), state.now());
            return HookCall { account, version, target, method, query, body, now }.answer(&mut state.hooks());
        }
        if route != Route::Unknown && request.method() != Method::GET {
            return Answer::refusal(405, "method not allowed");
        }
        match route {
            Route::Order(id) => {
                let order = state.orders().get(id);
                order.map_or_else(not_found, |order| Answer::json(200, state.render(&order)))
            }
            Route::Orders => list(state, request.query_string()),
            Route::OrderCount => count(state),
            Route::Time => Answer::json(200, format!(r#"{{"time":{}}}"#, state.now())),
            Route::StoreInformation => Answer::json(200, store_information(&state.config).to_string()),
            Route::Unknown if request.method() == Method::GET => resource(state, request),
            Route::Hooks(..) | Route::Unknown => not_found(),
        }
    }
}

fn resource(state: &State, request: &HttpRequest) -> Answer {
    let path = below(request.path(), &state.config.hash).unwrap_or_default();
    match state.resources().answer(&path, request.query_string(), state.config.max_page_size) {
        Some(Some(body)) => Answer::json(200, body),
        Some(None) => Answer::empty(204),
        None => not_found(),
    }
}

fn not_found() -> Answer {
    Answer::refusal(404, "The requested resource was not found.")
}

fn another_order(state: &State, id: i64) -> Answer {
    let order = state.orders().get(id);
    order.map_or_else(not_found, |mut order| {
        order.id = id.wrapping_add(1);
        Answer::json(200, state.template().render(&order))
    })
}

/// What a list of orders asks for; empty for other calls.
fn asked(state: &State, route: Route, query: &str) -> Asked {
    if route != Route::Orders {
        return Asked::default();
    }
    // The page size that was asked for, even if the store returns smaller pages.
    let limit = Filter::parse(query, usize::MAX, state.config.exclusive_dates).limit;
    let filter = Filter::parse(query, state.config.max_page_size, state.config.exclusive_dates);
    Asked { limit, orders: state.orders().list(&filter).iter().map(|order| order.id).collect() }
}

fn list(state: &State, query: &str) -> Answer {
    let filter = Filter::parse(query, state.config.max_page_size, state.config.exclusive_dates);
    let orders = state.orders().list(&filter);
    if orders.is_empty() {
        return Answer::empty(204);
    }
    let mut out = String::with_capacity(orders.len() * 3 * 1024);
    for (i, order) in orders.iter().enumerate() {
        out.push(if i == 0 { '[' } else { ',' });
        state.render_into(order, &mut out);
    }
    out.push(']');
    Answer::json(200, out)
}

fn count(state: &State) -> Answer {
    let counts = state.orders().counts();
    let statuses: Vec<_> = counts
        .iter()
        .zip(STATUSES)
        .enumerate()
        .map(|(id, (count, name))| serde_json::json!({ "id": id, "name": name, "count": count, "sort_order": id }))
        .collect();
    let total: usize = counts.iter().sum();
    Answer::json(200, serde_json::json!({ "statuses": statuses, "count": total }).to_string())
}
