//! The orders as the inbox knows them, and sending them once more.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde::{Deserialize, Serialize};

use super::{
    Relay,
    accept::{self, Format},
    admin::Admin,
    integration::{order_resent, orders_resent},
    query, refuse, status, unavailable,
};
use crate::{
    clock::Timestamp,
    event::OrderId,
    inbox::{OrderQuery, OrderRow, OrderState},
};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

#[derive(Deserialize)]
struct ListQuery {
    state: Option<String>,
    limit: Option<String>,
    before: Option<String>,
}

impl ListQuery {
    fn read(&self) -> Result<OrderQuery, String> {
        let limit = match self.limit.as_deref().map(str::parse::<u32>) {
            None => DEFAULT_LIMIT,
            Some(Ok(limit @ 1..=MAX_LIMIT)) => limit,
            Some(_) => return Err(format!("limit: a whole number from 1 to {MAX_LIMIT}")),
        };
        let state = self.state.as_deref().map(str::parse).transpose().map_err(|error| format!("state: {error}"))?;
        let before = self.before.as_deref().map(str::parse).transpose().map_err(|error| format!("before: {error}"))?;
        Ok(OrderQuery { state, limit, before })
    }
}

#[derive(Serialize)]
struct Page {
    orders: Vec<OrderRow>,
    next: Option<OrderId>,
}

pub(super) async fn list(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let query: Result<ListQuery, _> = query(&request).map_err(|error| error.to_string());
    let query = match query.and_then(|query| query.read()) {
        Ok(query) => query,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    match relay.inbox.orders(relay.connection.id, query).await {
        Ok(orders) => {
            let full = orders.len() == query.limit as usize;
            let next = orders.last().map(|row| row.order_id).filter(|_| full);
            HttpResponse::Ok().json(Page { orders, next })
        }
        Err(error) => unavailable(&error),
    }
}

#[derive(Serialize)]
struct Resent {
    resent: u64,
}

/// 202 in any case: the count for a program, and for a browser's form a page that leads back to the status page, by a way
/// relative to its own address.
fn resent(request: &HttpRequest, count: u64, sentence: &str, back: String) -> HttpResponse {
    match accept::preferred(request) {
        Some(Format::Html) => status::done(StatusCode::ACCEPTED, sentence, back),
        _ => HttpResponse::Accepted().json(Resent { resent: count }),
    }
}

pub(super) async fn resend(
    _: Admin,
    id: web::Path<String>,
    request: HttpRequest,
    relay: web::Data<Arc<Relay>>,
) -> HttpResponse {
    let order: OrderId = match id.parse() {
        Ok(order) => order,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    match relay.inbox.want(relay.connection.id, vec![order], true, Timestamp::now()).await {
        Ok(()) => {
            tracing::info!(order_id = %order, "order {order}: to be sent again, by request");
            resent(&request, 1, &order_resent(order), format!("../../integration?order={order}"))
        }
        Err(error) => unavailable(&error),
    }
}

#[derive(Deserialize)]
struct ResendQuery {
    state: Option<String>,
}

pub(super) async fn resend_all(_: Admin, request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let query: Option<ResendQuery> = query(&request).ok();
    // What is delivered is not resent in bulk: each order sent again may be money asked for again.
    let state = match query.and_then(|query| query.state).as_deref().map(str::parse) {
        Some(Ok(state @ (OrderState::Failed | OrderState::Gone))) => state,
        _ => return refuse(StatusCode::BAD_REQUEST, "state: `failed` or `gone`"),
    };
    match relay.inbox.want_all(relay.connection.id, state, Timestamp::now()).await {
        Ok(resent) => {
            tracing::info!(resent, "orders that were {}: {resent} to be sent again, by request", state.name());
            self::resent(&request, resent, &orders_resent(resent), format!("../integration?resent={resent}"))
        }
        Err(error) => unavailable(&error),
    }
}
