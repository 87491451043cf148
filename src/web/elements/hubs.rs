//! Hub reads, which return what the store answers, with the instance's credentials and quota; and `/ping`.

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderValue},
};
use serde_json::json;

use super::{
    Call, INSTANCE_ID, NEXT_PAGE, RETURNED_COUNT, TOTAL_COUNT, Target, instances::is_disabled, set_count, spec_of,
};
use crate::{
    clock::Timestamp,
    connection::{Connection, Link},
    elements::{error::ApiError, hub::HubRead, instance::show, rows::take_apart, values},
    http::{CallError, Failure},
    humanize,
};

/// The link of the instance that a hub call is about.
fn link_of(connection: &Connection) -> Result<&Link, ApiError> {
    if is_disabled(connection) {
        return Err(ApiError::new(403, format!("the instance {} is disabled", connection.id)));
    }
    connection.link.as_ref().ok_or_else(ApiError::unauthorized)
}

/// Answers `GET /hubs/{any}/{resource}[/{id}]`.
pub(super) async fn read(call: &Call<'_>, path: &str) -> Result<HttpResponse, ApiError> {
    let connection = call.instance(&Target::Token)?;
    let link = link_of(&connection)?;
    let read = HubRead::parse(path, call.request.query_string())?;
    let request = read.store_request(link.source.kind())?;
    let permit = link.source.take_urgent().await.map_err(|error| refused(&error))?;
    let answer = link.source.read(permit, &request).await.map_err(|error| refused(&error))?;
    let page = take_apart(&answer.body, request.api.is_enveloped())
        .map_err(|_| refused(&CallError::from(Failure::NotJson)))?;
    let drops_nulls = spec_of(&connection)
        .and_then(|spec| spec.configuration.get("filter.response.nulls"))
        .and_then(values::boolean)
        .unwrap_or(true);
    let total = answer.total.or(page.total);
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    let mut response = response.body(read.answer(&page, drops_nulls));
    set_count(&mut response, RETURNED_COUNT, page.rows.len() as u64);
    if let Some(total) = total.filter(|_| page.is_list) {
        set_count(&mut response, TOTAL_COUNT, total);
    }
    let next = read.next_page(request.api, &page, total).and_then(|token| HeaderValue::try_from(token).ok());
    if let Some(next) = next {
        response.headers_mut().insert(NEXT_PAGE, next);
    }
    response.headers_mut().insert(INSTANCE_ID, HeaderValue::from(connection.id.0));
    Ok(response)
}

/// Answers `GET /ping`: for an instance, whether the store accepts its credentials.
pub(super) async fn ping(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let now = show::date(Timestamp::now());
    let Some(connection) = &call.caller.instance else {
        return Ok(super::super::json(actix_web::http::StatusCode::OK, &json!({ "dateTime": now })));
    };
    let link = link_of(connection)?;
    link.can_read().await.map_err(|error| refused(&error))?;
    let endpoint = spec_of(connection).map(|spec| spec.element_key.as_str());
    let body = json!({ "dateTime": now, "endpoint": endpoint });
    Ok(super::super::json(actix_web::http::StatusCode::OK, &body))
}

/// The store's refusal in the vendor's form. Its text is not passed on: it may quote the request.
fn refused(error: &CallError) -> ApiError {
    let (status, message) = match error.failure {
        Failure::Status(400 | 405 | 406 | 409 | 415 | 422) => (400, "the store refuses the request"),
        Failure::Status(401) => (401, "the store refuses the instance's credentials"),
        Failure::Status(403) => (403, "the store does not let the instance's credentials read this"),
        Failure::Status(404 | 410) => (404, "the store has no such resource"),
        Failure::Status(429) => (429, "the store's request quota is used up; try again"),
        _ => (502, "the store cannot be asked; try again"),
    };
    ApiError { status, message: message.to_owned(), provider_message: Some(humanize::failure(error.failure)) }
}
