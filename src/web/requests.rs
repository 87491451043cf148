//! One id per request, in every log line that it causes and in its answer; and a line of its own for each.

use std::time::Instant;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType,
        header::{HeaderName, HeaderValue},
    },
    middleware::Next,
};
use tracing::Instrument;

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

/// A path as a log line may have it: a webhook address is as good as a password for whoever is told of it.
fn shown(path: &str) -> String {
    match path.strip_prefix("/webhooks/") {
        Some(key) if key != "bigcommerce" => "/webhooks/…".to_owned(),
        _ => path.chars().filter(|c| !c.is_control()).take(LONGEST).collect(),
    }
}

/// Wraps every route.
pub(crate) async fn logged(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let id = given(&request).unwrap_or_else(|| format!("{:016x}", rand::random::<u64>()));
    let span = tracing::info_span!("request", request_id = %id);
    let began = Instant::now();
    let answered = async {
        let mut response = next.call(request).await?;
        // What went wrong has been said where it did; a busy store's webhooks would fill the log with what went well.
        if tracing::enabled!(tracing::Level::DEBUG) {
            let (method, status) = (response.request().method(), response.status().as_u16());
            // Without its query, which a caller may fill with anything.
            let path = shown(response.request().path());
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(%method, path, status, took_ms, "{method} {path}: {status}");
        }
        // Whoever is refused does not hold a connection that others may need.
        if response.status().is_client_error() {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
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
