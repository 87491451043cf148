//! `orders` and the other resources of the REST API.

use actix_web::http::Method;
use serde_json::{Map, Value, json};

use super::answers::totals;
use super::list::{List, Params, Row, param};
use super::order::{OtherObject, ShopOrder};
use super::rest_error::RestError;
use super::state::State;
use crate::answer::Answer;

/// Answers a call below `orders`.
pub(super) fn orders(state: &State, method: &Method, id: Option<i64>, params: &Params, body: &[u8]) -> Answer {
    match (method.as_str(), id) {
        ("GET", None) => list_orders(state, params).unwrap_or_else(RestError::answer),
        ("GET", Some(id)) => order(state, id),
        ("POST", None) => {
            let status = status_in(body).unwrap_or_else(|| "pending".to_owned());
            let id = state.place(None, &status);
            state.tell_placed(id, status == "checkout-draft");
            Answer { status: 201, ..order(state, id) }
        }
        ("POST" | "PUT" | "PATCH", Some(id)) => {
            let now = state.data().orders.get(&id).map(|order| order.status.clone());
            let Some(now) = now else { return RestError::NO_ORDER.answer() };
            // An update without a status still changes the date.
            state.set_status(id, &status_in(body).unwrap_or(now));
            order(state, id)
        }
        ("DELETE", Some(id)) => {
            let before = order(state, id);
            match param(params, "force") {
                Some("true") => state.delete(id),
                _ => state.trash(id),
            };
            before
        }
        _ => RestError::NO_ROUTE.answer(),
    }
}

fn status_in(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body["status"].as_str().map(str::to_owned)
}

/// One order.
pub(super) fn order(state: &State, id: i64) -> Answer {
    let order = state.data().orders.get(&id).cloned();
    order.map_or_else(|| RestError::NO_ORDER.answer(), |order| Answer::json(200, state.render(&order)))
}

/// `refunds` and `notes` of an order, which are always empty.
pub(super) fn part_of_order(state: &State, id: i64, part: &str) -> Answer {
    match (state.data().orders.contains_key(&id), part) {
        (false, _) => RestError::NO_ORDER.answer(),
        (true, "refunds" | "notes") => Answer::json(200, "[]"),
        (true, _) => RestError::NO_ROUTE.answer(),
    }
}

fn list_orders(state: &State, params: &Params) -> Result<Answer, RestError> {
    let list = List::read(params, &state.config(), true)?;
    let (page, total): (Vec<ShopOrder>, usize) = {
        let data = state.data();
        let rows = data.orders.values().map(|order| Row {
            id: order.id,
            status: Some(&order.status),
            created: order.created,
            modified: order.modified,
        });
        let (ids, total) = list.page(rows);
        (ids.iter().filter_map(|id| data.orders.get(id).cloned()).collect(), total)
    };
    let rows: Vec<String> = page.iter().map(|order| state.render(order)).collect();
    let mut answer = list_answer(rows, params);
    answer.headers.extend(totals(total, list.per_page));
    Ok(answer)
}

/// Answers a call below another resource, which can only be read.
pub(super) fn others(state: &State, method: &Method, resource: &str, id: Option<i64>, params: &Params) -> Answer {
    if !matches!(resource, "products" | "coupons" | "customers") || method != Method::GET {
        return RestError::NO_ROUTE.answer();
    }
    let data = state.data();
    let objects = data.others.get(resource);
    if let Some(id) = id {
        let object = objects.and_then(|objects| objects.get(&id));
        return object.map_or_else(|| RestError::NO_OBJECT.answer(), |object| Answer::json(200, object.body.clone()));
    }
    // Only products have a status; for other resources the parameter is ignored.
    let ignored: Params = params.iter().filter(|(name, _)| name != "status").cloned().collect();
    let params = if resource == "products" { params } else { &ignored };
    let list = match List::read(params, &state.config(), resource != "customers") {
        Ok(list) => list,
        Err(error) => return error.answer(),
    };
    let rows = objects.into_iter().flat_map(|objects| objects.values()).map(|object: &OtherObject| Row {
        id: object.id,
        status: object.status.as_deref(),
        created: object.created,
        modified: object.modified,
    });
    let (ids, total) = list.page(rows);
    let found = ids.iter().filter_map(|id| objects?.get(id));
    let rows = found.map(|object| String::from_utf8_lossy(&object.body).into_owned()).collect();
    let mut answer = list_answer(rows, params);
    answer.headers.extend(totals(total, list.per_page));
    answer
}

fn list_answer(rows: Vec<String>, params: &Params) -> Answer {
    if param(params, "_fields").is_some() {
        let rows: Vec<Value> = rows.iter().filter_map(|row| serde_json::from_str(row).ok()).collect();
        let rows: Vec<Value> = rows.iter().map(|row| with_fields(row, params)).collect();
        return Answer::json(200, json!(rows).to_string());
    }
    Answer::json(200, format!("[{}]", rows.join(",")))
}

/// The fields of an object that `_fields` names, or all fields without it.
fn with_fields(object: &Value, params: &Params) -> Value {
    let (Some(fields), Some(object)) = (param(params, "_fields"), object.as_object()) else { return object.clone() };
    let wanted = |name: &str| fields.split(',').any(|field| field.trim() == name);
    let kept: Map<String, Value> =
        object.iter().filter(|(name, _)| wanted(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    Value::Object(kept)
}

/// An answer with one object, reduced to `_fields`.
pub(super) fn answer_with_fields(status: u16, object: &Value, params: &Params) -> Answer {
    Answer::json(status, with_fields(object, params).to_string())
}
