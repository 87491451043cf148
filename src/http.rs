//! The clients for outgoing calls: limited in time and size, without redirects; failures are classified without URL
//! or body.

mod failure;
mod far_calls;
mod guard;
mod timely;

use std::{error::Error, sync::OnceLock, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, ClientBuilder, Method, RequestBuilder, Response,
    header::{self, HeaderMap, HeaderValue},
    redirect,
};
use rustls::CertificateError;
use url::Url;

pub use failure::{CallError, Failure, UnknownFailure};
pub use far_calls::FarCalls;
pub use guard::{AddressPolicy, LookupError, PrivateAddress};
pub use timely::{Begun, TimelyBody, TooLate};

/// The `User-Agent` of every call.
pub const USER_AGENT: &str = concat!("onetribe-relay/", env!("CARGO_PKG_VERSION"));

/// Shorter than a whole call, so that slow DNS or a host that drops packets does not use up its time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Shorter than common server keep-alives, so that a call seldom uses a connection that was just closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// A `Retry-After` beyond this is cut to it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The clients that all connections share: one for addresses that the operator has set, one for URLs that came
/// through an API or a page. Neither follows redirects nor uses a proxy; each call has a timeout of its own.
#[derive(Debug)]
pub struct Http {
    operator: Client,
    guarded: OnceLock<Client>,
    policy: AddressPolicy,
}

impl Http {
    /// Builds the clients. `policy` applies to URLs that are not the operator's own.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be read.
    pub fn new(policy: AddressPolicy) -> reqwest::Result<Self> {
        Ok(Self { operator: builder().build()?, guarded: OnceLock::new(), policy })
    }

    /// The addresses that URLs may lead to, other than the operator's own.
    pub fn policy(&self) -> &AddressPolicy {
        &self.policy
    }

    /// A call to an address that the operator has set; `timeout` covers the whole call, body included.
    pub fn operator(&self, method: Method, url: Url, timeout: Duration) -> RequestBuilder {
        self.operator.request(method, url).timeout(timeout)
    }

    /// Like [`Self::operator`], for a URL that came through an API or a page.
    ///
    /// # Errors
    /// [`Failure::PrivateAddress`] for a literal address that may not be called. A name that resolves to one fails
    /// when the call is made.
    pub fn guarded(&self, method: Method, url: Url, timeout: Duration) -> Result<RequestBuilder, CallError> {
        self.policy.check_literal(&url).map_err(|PrivateAddress| Failure::PrivateAddress)?;
        let client = match self.guarded.get() {
            Some(client) => client,
            None => {
                let client = builder().dns_resolver(self.policy.clone()).build().map_err(|_| Failure::Tls)?;
                self.guarded.get_or_init(|| client)
            }
        };
        Ok(client.request(method, url).timeout(timeout))
    }
}

fn builder() -> ClientBuilder {
    // Fails only if one is installed already, which is just as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Asks for answers without compression; a compressed one is decoded all the same (see `read_body`).
    let identity = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
    Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(identity)
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .no_proxy()
}

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        (&error).into()
    }
}

impl From<&reqwest::Error> for CallError {
    fn from(error: &reqwest::Error) -> Self {
        transport_failure(error).into()
    }
}

impl CallError {
    /// The error for an answer with an unsuccessful status.
    pub fn of_status(response: &Response) -> Self {
        let status = response.status().as_u16();
        let failure = if is_html(response.headers()) { Failure::Html(status) } else { Failure::Status(status) };
        Self { failure, retry_after: retry_after(response.headers()) }
    }
}

/// Whether the headers say that an answer is a web page.
pub fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/html")
}

/// Every cause of an error, from the outermost to the innermost. `io::Error` does not return what it wraps from
/// `source`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |inner| {
        let inner: &'a (dyn Error + 'static) = *inner;
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| inner.source())
    })
}

fn transport_failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::Timeout;
    }
    if tls_error(error).is_some() {
        return Failure::Tls;
    }
    if causes(error).any(|cause| cause.is::<PrivateAddress>()) {
        return Failure::PrivateAddress;
    }
    if causes(error).any(|cause| cause.to_string().contains("dns error")) {
        return Failure::Dns;
    }
    if error.is_connect() { Failure::Connect } else { Failure::Broken }
}

/// The TLS library's error, if that is the cause.
pub(crate) fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// What is wrong with a certificate, in the TLS library's terms.
pub(crate) fn certificate_problem(error: &rustls::Error) -> &'static str {
    let rustls::Error::InvalidCertificate(problem) = error else {
        return "no secure connection could be agreed on";
    };
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it was issued for another name"
        }
        CertificateError::Revoked => "it has been revoked",
        // The latter if an authority of the same name has another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it was issued by nobody who is trusted (self-signed, or its chain is incomplete)"
        }
        // The library has no variant for this one, which `openssl req -x509` causes.
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "it is marked as an authority's (CA:TRUE), not as a server's"
        }
        _ => "it cannot be verified",
    }
}

/// A header's value as a whole number, if it is one.
pub fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Reads `Retry-After` in seconds or as a date, or BigCommerce's older `X-Retry-After`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let date = || {
        let at = httpdate::parse_http_date(headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim()).ok()?;
        at.duration_since(std::time::SystemTime::now()).ok()
    };
    let seconds = |name| number(headers, name).map(Duration::from_secs);
    let wait = seconds("retry-after").or_else(date).or_else(|| seconds("x-retry-after"));
    wait.map(|wait| wait.min(MAX_RETRY_AFTER))
}

/// Reads a body of at most `limit` bytes: decoded if it came compressed, byte for byte otherwise.
///
/// # Errors
/// [`Failure::TooLarge`] beyond the limit; a transport failure if the body is incomplete.
pub async fn read_body(mut response: Response, limit: usize) -> Result<Bytes, CallError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(Failure::TooLarge.into());
    }
    let mut body = BytesMut::with_capacity(announced as usize);
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::TooLarge.into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The beginning of a body that should be JSON, without leading white space or byte order mark.
pub fn json_start(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).trim_ascii_start()
}

/// The failure for a successful answer that is not JSON: a web page is the far side's fault, anything else this
/// answer's.
pub fn not_json(status: u16, body: &[u8]) -> Failure {
    if json_start(body).first() == Some(&b'<') { Failure::Html(status) } else { Failure::NotJson }
}
