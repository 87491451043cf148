//! One id per request, in every log line that it causes and in its answer; and a line of its own for each.

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

/// Given by a proxy in front, or made here; sent back in any case.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer one is not genuine.
const LONGEST: usize = 64;

/// The proxy's id, if it is one that a log line can bear.
fn given(request: &ServiceRequest) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (!id.is_empty() && id.len() <= LONGEST && id.bytes().all(plain)).then(|| id.to_owned())
}

/// A mark on requests that are proven to come from somebody who may ask: they may keep their connection.
struct Proven;

/// Marks a request as proven.
pub(super) fn mark_proven(request: &HttpRequest) {
    request.extensions_mut().insert(Proven);
}

/// What is known of one connection: whether it has been told that it is closed. The server underneath goes on to serve
/// the requests that were sent before that was read, and keeps all answers in memory where nobody reads them.
struct Closing(Rc<Cell<bool>>);

/// How long the last answer has to reach whoever has sent more requests behind it.
const LAST_ANSWER_TIME: Duration = Duration::from_secs(1);

/// Begins the record of a connection; `is_closing` is set when it gets its last answer.
pub(crate) fn connected(connection: &mut Extensions, is_closing: Rc<Cell<bool>>) {
    connection.insert(Closing(is_closing));
}

fn is_closing(request: &HttpRequest) -> bool {
    request.conn_data::<Closing>().is_some_and(|closing| closing.0.get())
}

/// Answers what comes behind a connection's last answer: with the end of the connection, a moment later.
fn broken_off(request: ServiceRequest) -> ServiceResponse {
    let end = async {
        tokio::time::sleep(LAST_ANSWER_TIME).await;
        Err::<Bytes, io::Error>(io::ErrorKind::ConnectionAborted.into())
    };
    request.into_response(HttpResponse::ServiceUnavailable().streaming(stream::once(end)))
}

/// A path as a log line may have it: a webhook address is as good as a password for whoever is told of it.
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

/// Wraps every route.
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
        // What went wrong has been said where it did; a busy store's webhooks would fill the log with what went well.
        if tracing::enabled!(tracing::Level::DEBUG) {
            let (method, status) = (response.request().method(), response.status().as_u16());
            // Without its query, which a caller may fill with anything.
            let path = shown(response.request().path());
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(%method, path, status, took_ms, "{method} {path}: {status}");
        }
        // Whoever is refused, or a stranger, does not hold a connection that others may need.
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
