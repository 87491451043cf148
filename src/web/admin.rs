//! Access to the operator's pages: `ADMIN_TOKEN` as a bearer token or as a Basic password, and no POST from another
//! site's page.

use std::{
    collections::HashMap,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, ResponseError,
    dev::Payload,
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
    web,
};
use actix_web_httpauth::headers::authorization::{Basic, Bearer, Scheme};
use parking_lot::Mutex;
use url::Url;

use super::{
    Relay,
    format::{self, Format},
    pages, refuse, requests,
};
use crate::secret::{self, Secret};

/// How long the answer to a wrong password is delayed.
const WRONG_ANSWER_TIME: Duration = Duration::from_secs(1);
/// How many wrong passwords of one sender are answered per minute; further ones are refused until the minute is over.
const WRONG_ANSWERS: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);
/// If there are more senders than this, all counts start over.
const MOST_SENDERS: usize = 4096;

/// Counts wrong passwords by sender, so that parallel or aborted requests gain nothing: one sender gets
/// `WRONG_ANSWERS` guesses a minute, and locks out no other.
#[derive(Default)]
pub struct Guesses(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Guesses {
    /// Counts one more. False if that is too many.
    fn count(&self, sender: Option<IpAddr>) -> bool {
        let sender = sender.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let mut senders = self.0.lock();
        if senders.len() > MOST_SENDERS {
            senders.clear();
        }
        let now = Instant::now();
        let (since, count) = senders.entry(sender).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= MINUTE {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= WRONG_ANSWERS
    }
}

/// Proof that a request was made by the operator.
pub struct Admin(());

/// Why access was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// `ADMIN_TOKEN` is not set, so no password can be right.
    #[error("ADMIN_TOKEN is not set, so this page is closed; set it and start the relay again")]
    Closed,
    /// There is no password, or it is wrong.
    #[error("the password (ADMIN_TOKEN) is missing or wrong")]
    Wrong,
    /// There were too many wrong passwords.
    #[error("too many wrong passwords at once; try again in a minute")]
    TooMany,
    /// The request was sent by a page of another site.
    #[error("this was sent by another site's page")]
    CrossSite,
}

impl AdminError {
    fn status(self) -> StatusCode {
        match self {
            Self::Closed | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::Wrong => StatusCode::UNAUTHORIZED,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// What a person who sees the error can do.
    fn cure(self) -> &'static str {
        match self {
            Self::Closed => {
                "ADMIN_TOKEN is not set, so nobody can open this page. Whoever runs the relay sets it and starts the relay again."
            }
            Self::Wrong => "Ask whoever runs the relay for the password (ADMIN_TOKEN). The user name does not matter.",
            Self::TooMany => "Too many wrong passwords have come from here. Try again in a minute.",
            Self::CrossSite => "This was sent by another site's page. Open the relay's own page and try again there.",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Closed => "This page is closed",
            Self::Wrong => "Password needed",
            Self::TooMany => "Too many wrong passwords",
            Self::CrossSite => "Not from here",
        }
    }
}

/// A refusal, in the format that the request prefers.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    error: AdminError,
    html: bool,
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        self.error.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = match (self.html, self.error) {
            (true, AdminError::Wrong) => pages::password_needed(self.error.status()),
            (true, error) => pages::sentence(error.status(), error.title(), error.cure()),
            (false, error) => refuse(error.status(), error),
        };
        if self.error == AdminError::Wrong {
            let realm = header::HeaderValue::from_static("Basic realm=\"onetribe-relay\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        }
        response
    }
}

impl FromRequest for Admin {
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refused>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let relay = request.app_data::<web::Data<Arc<Relay>>>().expect("the app is built with the relay").clone();
        let request = request.clone();
        Box::pin(async move {
            let html = format::preferred(&request) == Some(Format::Html);
            let admitted = admit(&request, &relay).await;
            if admitted.is_ok() {
                requests::mark_proven(&request);
            }
            admitted.map_err(|error| Refused { error, html })
        })
    }
}

async fn admit(request: &HttpRequest, relay: &Relay) -> Result<Admin, AdminError> {
    let token = relay.services.settings.admin_token.as_ref().ok_or(AdminError::Closed)?;
    let public = relay.services.settings.public_url.as_ref();
    let headers = request.headers();
    if is_embedded_elsewhere(headers) || (request.method() != Method::GET && is_cross_site(headers, public)) {
        return Err(AdminError::CrossSite);
    }
    match password(request) {
        Some(given) if secret::same_secret(token.expose(), given.expose()) => Ok(Admin(())),
        // A browser's first request has no password; the answer makes it ask for one.
        None => Err(AdminError::Wrong),
        Some(_) if relay.guesses.count(request.peer_addr().map(|peer| peer.ip())) => {
            tokio::time::sleep(WRONG_ANSWER_TIME).await;
            // The same limit keeps guesses from filling the log.
            tracing::warn!("a wrong password was given");
            Err(AdminError::Wrong)
        }
        Some(_) => Err(AdminError::TooMany),
    }
}

/// The bearer token, or the password of Basic authentication (with any user name).
fn password(request: &HttpRequest) -> Option<Secret> {
    let (scheme, given) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.trim_start().split_once(' ')?;
    // The parsers accept one spelling of each scheme, but its case does not matter (RFC 9110, section 11.1).
    let spelt = |name: &str| HeaderValue::try_from(format!("{name} {}", given.trim_start())).ok();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Bearer::parse(&spelt("Bearer")?).ok()?.token().into());
    }
    let basic = Basic::parse(&spelt("Basic").filter(|_| scheme.eq_ignore_ascii_case("basic"))?).ok()?;
    Some(basic.password().unwrap_or_default().into())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Whether another site embeds this page. Links from other sites are allowed, but an image or a frame must not start
/// checks.
fn is_embedded_elsewhere(headers: &HeaderMap) -> bool {
    let elsewhere = text(headers, "sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    elsewhere && text(headers, "sec-fetch-dest").is_some_and(|dest| dest != "document")
}

/// Whether a POST comes from another site. Browsers say so in `Sec-Fetch-Site`; without https, or if they are old, in
/// `Origin` or `Referer`. `Origin: null` (a sandboxed frame, a redirect from elsewhere) does not count as ours.
/// Programs send none of the three.
///
/// A proxy may have replaced `Host`, so the public address counts as ours as well.
fn is_cross_site(headers: &HeaderMap, public: Option<&Url>) -> bool {
    if let Some(site) = text(headers, "sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(from) = text(headers, "origin").or_else(|| text(headers, "referer")) else { return false };
    let Ok(from) = Url::parse(from) else { return true };
    let host = text(headers, "host").unwrap_or_default();
    let own = Url::parse(&format!("{}://{host}", from.scheme()));
    let same = |own: &Url| own.origin().is_tuple() && own.origin() == from.origin();
    !own.as_ref().is_ok_and(same) && !public.is_some_and(same)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_post_from_another_sites_page_is_told_from_our_own() {
        let public = Url::parse("https://relay.example/below").expect("a URL");
        let at_home = [("host", "relay.example")];
        let cases: [(&[(&str, &str)], bool); 20] = [
            (&[], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "")], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://relay.example")], true),
            (&[("origin", "https://relay.example")], false),
            (&[("origin", "https://relay.example:443")], false),
            (&[("host", "relay.example:443"), ("origin", "https://relay.example")], false),
            (&[("host", "relay.example:80"), ("origin", "http://relay.example")], false),
            (&[("host", "10.0.0.5:8080"), ("origin", "https://relay.example")], false),
            (&[("host", "10.0.0.5:8080"), ("origin", "http://10.0.0.5:8080")], false),
            (&[("host", "10.0.0.5:8080"), ("origin", "http://10.0.0.5:9090")], true),
            (&[("origin", "https://relay.example.evil.test")], true),
            (&[("origin", "https://evil.test")], true),
            (&[("origin", "null")], true),
            (&[("origin", "file://")], true),
            (&[("referer", "https://evil.test/relay.example")], true),
            (&[("referer", "https://relay.example/below/integration")], false),
        ];
        for (headers, cross) in cases {
            let mut request = TestRequest::post();
            for (name, value) in at_home.iter().chain(headers) {
                request = request.insert_header((*name, *value));
            }
            assert_eq!(is_cross_site(request.to_http_request().headers(), Some(&public)), cross, "{headers:?}");
        }
    }

    #[test]
    fn links_lead_here_and_images_do_not() {
        for (site, dest, embedded) in [
            ("cross-site", "document", false),
            ("cross-site", "image", true),
            ("cross-site", "iframe", true),
            ("same-site", "empty", true),
            ("same-origin", "empty", false),
            ("none", "document", false),
        ] {
            let request =
                TestRequest::get().insert_header(("sec-fetch-site", site)).insert_header(("sec-fetch-dest", dest));
            assert_eq!(is_embedded_elsewhere(request.to_http_request().headers()), embedded, "{site} {dest}");
        }
    }
}
