//! The check that goes out and comes back in: does the public address lead to this relay, over a certificate that
//! stores will take?
//!
//! The answer proves with a digest that the responder shares this relay's database. It discloses nothing: the
//! database's identity is random and gives no access.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, StatusCode};
use sha2::{Digest, Sha256};
use url::Url;

use crate::{
    clock::Timestamp,
    health::facts::{AddressFault, Probe},
    http::{self, CallError, Failure},
    services::Services,
};

/// The path at which a relay proves its identity, relative to its public address.
pub const ECHO_PATH: &str = "/integration/echo";
/// Shorter than the limit of a check, so that an address that does not answer is told from a slow check.
const ECHO_TIME: Duration = Duration::from_secs(8);
/// The statuses of a gateway with nothing behind it.
const NOBODY_BEHIND: [u16; 3] = [502, 503, 504];

/// The answer to `nonce` of a relay whose database has this identity.
pub fn proof(identity: &[u8], nonce: &str) -> String {
    let digest = Sha256::new().chain_update(b"onetribe-relay echo\0").chain_update(identity).chain_update(nonce);
    URL_SAFE_NO_PAD.encode(digest.finalize())
}

/// Asks the public address for proof that it leads to this relay.
pub(super) async fn probe(services: &Services, base: &Url) -> Probe<Result<(), AddressFault>> {
    let began = Instant::now();
    let nonce = format!("{:032x}", rand::random::<u128>());
    let outcome = match ask(services, base, &nonce).await {
        Ok((StatusCode::OK, answer)) => judge(services, &nonce, answer.trim()).await,
        Ok((status, _)) if NOBODY_BEHIND.contains(&status.as_u16()) => Err(AddressFault::NotAvailable(status.as_u16())),
        Ok((status, _)) => Err(AddressFault::AnotherServer(status.as_u16())),
        Err(fault) => Err(fault),
    };
    Probe { at: Timestamp::now(), took: began.elapsed(), outcome }
}

async fn judge(services: &Services, nonce: &str, answer: &str) -> Result<(), AddressFault> {
    match services.inbox.identity().await {
        Ok(identity) if proof(&identity, nonce) == answer => Ok(()),
        Ok(_) => Err(AddressFault::AnotherServer(StatusCode::OK.as_u16())),
        Err(error) => {
            tracing::warn!(%error, "the relay's own identity cannot be read: {error}");
            Err(AddressFault::Unproven)
        }
    }
}

async fn ask(services: &Services, base: &Url, nonce: &str) -> Result<(StatusCode, String), AddressFault> {
    const LIMIT: usize = 1024;
    let url = format!("{}{ECHO_PATH}?nonce={nonce}", base.as_str().trim_end_matches('/'));
    let url = Url::parse(&url).map_err(|_| AddressFault::Unreachable(Failure::Dns))?;
    match services.http.operator(Method::GET, url, ECHO_TIME).send().await {
        Ok(response) => {
            let status = response.status();
            let body = http::read_body(response, LIMIT).await.unwrap_or_default();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        }
        Err(error) => Err(match CallError::from(&error).failure {
            Failure::Tls => AddressFault::Certificate(
                http::tls_error(&error).map_or("no secure connection could be agreed on", http::certificate_problem),
            ),
            failure => AddressFault::Unreachable(failure),
        }),
    }
}
