//! The check that goes out and comes back in: does the public address reach this relay, over a certificate that
//! BigCommerce will take?

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::ExposeSecret;
use url::Url;

use super::{Checker, Finding, probes::NOBODY_BEHIND};
use crate::{
    clock::Timestamp,
    http::{self, CallError, Seen, Transport},
    signature, words,
};

/// The path at which a relay proves who it is, relative to its public address.
pub const ECHO_PATH: &str = "/integration/echo";
/// A webhook this young proves that BigCommerce gets through, even if the relay itself does not.
const LATELY: Duration = Duration::from_secs(3600);
/// Less than the limit of a check, so that a silent address is told from a slow check.
const ECHO_TIME: Duration = Duration::from_secs(8);
const REMEDY: &str =
    "Check that PUBLIC_URL is the relay's own address and that it can be reached from the internet on port 443.";

/// What came of asking the public address.
enum Answer {
    Came(StatusCode, String),
    BadCertificate(&'static str),
    Failed(Seen),
}

impl Checker {
    pub(super) async fn public_url(&self) -> Finding {
        let Some(base) = &self.connection.config.public_url else {
            return Finding::skip("PUBLIC_URL is not set.");
        };
        let nonce = format!("{:032x}", rand::random::<u128>());
        match ask_echo(base, &nonce).await {
            Answer::Came(StatusCode::OK, answer) => self.judge(&nonce, answer.trim()).await,
            Answer::Came(status, _) if NOBODY_BEHIND.contains(&status.as_u16()) => Finding::fail(
                format!("The public address answers that it is not available (HTTP {}).", status.as_u16()),
                REMEDY,
            ),
            Answer::Came(status, _) => not_this_relay(status),
            Answer::BadCertificate(problem) => Finding::fail(
                format!("The certificate of the public address is not valid: {problem}."),
                "Install a valid certificate with its whole chain: BigCommerce calls no address without one.",
            ),
            Answer::Failed(seen) => self.unreachable(seen).await,
        }
    }

    /// Some networks do not let a machine call its own public address, while everybody outside may.
    async fn unreachable(&self, seen: Seen) -> Finding {
        let last = self.inbox.summary(self.connection.id).await.ok().and_then(|summary| summary.last_event_at);
        match last.map(|at| Timestamp::now().since(at)).filter(|age| *age < LATELY) {
            Some(age) => Finding::warn(
                format!(
                    "The relay cannot reach its own public address ({seen}), yet a webhook came {}.",
                    words::ago(age)
                ),
                "If webhooks keep coming, your network only keeps the relay from calling itself, and nothing is to be done.",
            ),
            None => Finding::fail(format!("The public address cannot be reached: {seen}."), REMEDY),
        }
    }

    async fn judge(&self, nonce: &str, answer: &str) -> Finding {
        match self.echo(nonce).await {
            Ok(ours) if ours.iter().any(|ours| signature::same_secret(ours.expose_secret(), answer)) => {
                Finding::pass("The public address reaches this relay.")
            }
            Ok(_) => not_this_relay(StatusCode::OK),
            Err(error) => {
                tracing::warn!(%error, "the relay's own identity cannot be read: {error}");
                Finding::fail(
                    "Something answers at the public address. Whether it is this relay cannot be told, since the database cannot be read.",
                    "See the check of the storage.",
                )
            }
        }
    }
}

fn not_this_relay(status: StatusCode) -> Finding {
    let status = status.as_u16();
    Finding::fail(format!("Something answers at the public address (HTTP {status}), and it is not this relay."), REMEDY)
}

/// Asks the public address to prove that it is this relay.
async fn ask_echo(base: &Url, nonce: &str) -> Answer {
    const LIMIT: usize = 1024;
    let url = format!("{}{ECHO_PATH}?nonce={nonce}", base.as_str().trim_end_matches('/'));
    let sent = match http::client(base, ECHO_TIME) {
        Ok(client) => client.get(url).send().await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(response) => {
            let status = response.status();
            let body = http::read_body(response, LIMIT).await.unwrap_or_default();
            Answer::Came(status, String::from_utf8_lossy(&body).into_owned())
        }
        Err(error) => match CallError::from(&error).seen {
            Seen::Transport(Transport::Tls) => Answer::BadCertificate(
                http::tls_error(&error).map_or("no secure connection could be agreed on", http::certificate_problem),
            ),
            seen => Answer::Failed(seen),
        },
    }
}
