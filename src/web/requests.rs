//! Gives each request an id, which is in every log line about it and in its answer; and logs each request.

use std::{
    cell::Cell,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse,
    body::{BodySize, EitherBody, MessageBody},
    dev::{Extensions, ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use bytes::Bytes;
use futures_util::stream;
use tracing::Instrument;

use super::{
    Refusal,
    format::{self, Format},
    pages, refuse,
};

/// The header with the id, taken from a proxy or made here, and always sent back.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ids are replaced.
const LONGEST: usize = 64;

/// The proxy's id, if it is suitable for a log line.
fn given(request: &ServiceRequest) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (!id.is_empty() && id.len() <= LONGEST && id.bytes().all(plain)).then(|| id.to_owned())
}

/// Marks requests that are proven to come from an authorised caller: they may keep their connection.
struct Proven;

/// Marks a request as proven.
pub(super) fn mark_proven(request: &HttpRequest) {
    request.extensions_mut().insert(Proven);
}

/// Set once the client of a connection has been told that it is closed. The HTTP server still serves requests that
/// were sent before the client read that, and keeps answers that are not read in memory.
struct Closing(Rc<Cell<bool>>);

/// How long the last answer has to reach a client that has sent more requests behind it.
const LAST_ANSWER_TIME: Duration = Duration::from_secs(1);

/// Attaches the record to a connection; `is_closing` is set when its last answer is sent.
pub(crate) fn connected(connection: &mut Extensions, is_closing: Rc<Cell<bool>>) {
    connection.insert(Closing(is_closing));
}

fn is_closing(request: &HttpRequest) -> bool {
    request.conn_data::<Closing>().is_some_and(|closing| closing.0.get())
}

/// Answers a request that comes after a connection's last answer: by closing the connection, a moment later.
fn broken_off(request: ServiceRequest) -> ServiceResponse {
    let end = async {
        tokio::time::sleep(LAST_ANSWER_TIME).await;
        Err::<Bytes, io::Error>(io::ErrorKind::ConnectionAborted.into())
    };
    request.into_response(HttpResponse::ServiceUnavailable().streaming(stream::once(end)))
}

/// A path for the log: webhook URLs are shortened, since knowing one is as good as a password.
fn shown(path: &str) -> String {
    match path.strip_prefix("/webhooks/") {
        Some(key) if key != "bigcommerce" => "/webhooks/…".to_owned(),
        _ => path.chars().filter(|c| !c.is_control()).take(LONGEST).collect(),
    }
}

/// Says which methods a path takes, where the framework has answered with a header alone; and tells whoever browses
/// with a page what programs are told as JSON.
fn explained<B: MessageBody>(response: ServiceResponse<B>) -> ServiceResponse<EitherBody<B>> {
    let status = response.status();
    let is_empty = matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0));
    let browses = format::preferred(response.request()) == Some(Format::Html);
    let refusal = response.response().extensions().get::<Refusal>().map(|refusal| refusal.error.clone());
    let error = match refusal {
        _ if status == StatusCode::METHOD_NOT_ALLOWED && is_empty => {
            let allowed = response.headers().get(header::ALLOW).and_then(|allowed| allowed.to_str().ok());
            let method = response.request().method();
            format!("{method} is not possible here: use {}", allowed.unwrap_or_default())
        }
        Some(error) if browses => error,
        _ => return response.map_into_left_body(),
    };
    let (request, former) = response.into_parts();
    let mut answer = if browses { pages::refused(&request, status, &error) } else { refuse(status, error) };
    for (name, value) in former.headers() {
        if !answer.headers().contains_key(name) {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
    }
    ServiceResponse::new(request, answer).map_into_right_body()
}

/// Wraps every route: gives the id, logs, and decides whether the connection is kept.
pub(crate) async fn logged(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if is_closing(request.request()) {
        return Ok(broken_off(request).map_into_right_body());
    }
    let id = given(&request).unwrap_or_else(|| format!("{:016x}", rand::random::<u64>()));
    let span = tracing::info_span!("request", request_id = %id);
    let began = Instant::now();
    let answered = async {
        let mut response = explained(next.call(request).await?);
        // Failures are logged where they happen; a busy store's successes would fill the log.
        if tracing::enabled!(tracing::Level::DEBUG) {
            let (method, status) = (response.request().method(), response.status().as_u16());
            // Without the query, which a caller can fill with anything.
            let path = shown(response.request().path());
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(%method, path, status, took_ms, "{method} {path}: {status}");
        }
        // A refused or unknown caller must not hold a connection that others may need.
        let is_proven = response.request().extensions().contains::<Proven>();
        if response.status().is_client_error() || !is_proven {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
            if let Some(closing) = response.request().conn_data::<Closing>() {
                closing.0.set(true);
            }
        }
        if let Ok(value) = HeaderValue::try_from(id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        Ok(response)
    };
    answered.instrument(span).await
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_hook_key_is_not_shown() {
        assert_eq!(shown("/webhooks/X85SW8y4gRx7d53dbCISVJK6rRcMAsqv"), "/webhooks/…");
        assert_eq!(shown("/webhooks/bigcommerce"), "/webhooks/bigcommerce");
        assert_eq!(shown("/orders/\u{7}218"), "/orders/218");
    }
}
