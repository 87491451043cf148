//! Who may see the pages: `ADMIN_TOKEN` as a bearer token or as a Basic password, and no POST from another site's page.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, ResponseError,
    dev::Payload,
    http::{Method, StatusCode, header},
    web,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, Semaphore};

use super::{Relay, refuse};
use crate::signature;

/// One wrong password is answered in this time, the next one after it.
const WRONG_ANSWER_TIME: Duration = Duration::from_secs(1);
/// Wrong passwords that wait for their answer; more are turned away at once.
const WRONG_ANSWERS_WAITING: usize = 32;

/// Answers wrong passwords one at a time, so that guessing side by side is no faster.
pub struct Guesses {
    turn: Mutex<()>,
    waiting: Semaphore,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { turn: Mutex::new(()), waiting: Semaphore::new(WRONG_ANSWERS_WAITING) }
    }
}

impl Guesses {
    /// False when too many are waiting already.
    async fn slow_down(&self) -> bool {
        let Ok(_place) = self.waiting.try_acquire() else { return false };
        let _turn = self.turn.lock().await;
        tokio::time::sleep(WRONG_ANSWER_TIME).await;
        true
    }
}

/// Proof that a request may see and do what the admin may.
pub struct Admin(());

/// Why it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// There is no password to be right.
    #[error("ADMIN_TOKEN is not set, so this page is closed; set it and start the relay again")]
    Closed,
    /// No password, or a wrong one.
    #[error("the password (ADMIN_TOKEN) is missing or wrong")]
    Wrong,
    /// Too many wrong ones at once.
    #[error("too many wrong passwords at once; try again in a minute")]
    TooMany,
    /// A page of another site sent this.
    #[error("this was sent by another site's page")]
    CrossSite,
}

impl ResponseError for AdminError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Closed | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::Wrong => StatusCode::UNAUTHORIZED,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = refuse(self.status_code(), self);
        if *self == Self::Wrong {
            let realm = header::HeaderValue::from_static("Basic realm=\"onetribe-relay\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        }
        response
    }
}

impl FromRequest for Admin {
    type Error = AdminError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, AdminError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let relay = request.app_data::<web::Data<Arc<Relay>>>().expect("the app is built with the relay").clone();
        let request = request.clone();
        Box::pin(async move {
            let token = relay.config.admin_token.as_ref().ok_or(AdminError::Closed)?;
            if request.method() != Method::GET && is_cross_site(&request) {
                return Err(AdminError::CrossSite);
            }
            match password(&request) {
                Some(given) if signature::same_secret(token.expose_secret(), given.expose_secret()) => Ok(Self(())),
                // A browser's first request carries none, and is only asking to be asked.
                None => Err(AdminError::Wrong),
                Some(_) if relay.guesses.slow_down().await => Err(AdminError::Wrong),
                Some(_) => Err(AdminError::TooMany),
            }
        })
    }
}

/// The bearer token, or the password of Basic (whatever the user's name).
fn password(request: &HttpRequest) -> Option<SecretString> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.into())
}

/// Browsers say where a POST comes from: in `Sec-Fetch-Site`, older ones in `Origin`. Programs say neither.
fn is_cross_site(request: &HttpRequest) -> bool {
    let text = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let host = text("host").unwrap_or_default();
    text("origin").is_some_and(|origin| origin.split_once("://").is_none_or(|(_, authority)| authority != host))
}
