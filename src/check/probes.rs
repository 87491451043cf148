//! The single checks. None of them sends anything to the destination that could be taken for an order.

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::ExposeSecret;
use url::Url;

use super::{Checker, Finding};
use crate::{
    clock::Timestamp,
    http::{self, CallError, Seen, Transport},
    registrar::{HookState, RegistrarError},
    signature,
};

/// The path at which a relay proves who it is, relative to its public address.
pub const ECHO_PATH: &str = "/integration/echo";
/// An order that waits longer than this deserves a look.
const LONG_WAIT: Duration = Duration::from_secs(15 * 60);

fn minutes(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3600),
    }
}

impl Checker {
    pub(super) async fn configuration(&self) -> Finding {
        let config = &self.config;
        if config.connection.public_url.is_none() {
            return Finding::warn(
                "PUBLIC_URL is not set: BigCommerce cannot call the relay, orders are found by polling alone.",
                "Set PUBLIC_URL to the https address under which the relay can be reached.",
            );
        }
        if config.admin_token.is_none() {
            return Finding::warn(
                "ADMIN_TOKEN is not set: the status page is closed.",
                "Set ADMIN_TOKEN to a long random text, and keep it.",
            );
        }
        Finding::pass(format!("Everything needed is set, for the store {}.", config.connection.store))
    }

    pub(super) async fn storage(&self) -> Finding {
        match self.inbox.probe(Timestamp::now()).await {
            Ok(()) => Finding::pass("The database can be written."),
            Err(error) => Finding::fail(
                format!("The database cannot be written: {error}."),
                "Make room on the disk, or give the relay the right to write there. Until then BigCommerce keeps new orders' webhooks for up to 48 hours.",
            ),
        }
    }

    pub(super) async fn bigcommerce_api(&self) -> Finding {
        let api = &self.connection.api;
        match api.can_read_orders().await {
            Ok(()) => Finding::pass("The access token is right and may read orders."),
            Err(error) => match error.seen {
                Seen::Status(401) => Finding::fail(
                    "BigCommerce refuses the access token.",
                    "In BigCommerce, make an API account with the scope Orders: read-only, and set BIGCOMMERCE_ACCESS_TOKEN (and BIGCOMMERCE_CLIENT_SECRET) from it.",
                ),
                Seen::Status(403) => Finding::fail(
                    "The access token may not read orders.",
                    "In BigCommerce, give the API account the scope Orders: read-only (or make a new one that has it).",
                ),
                Seen::Status(404) => Finding::fail(
                    "BigCommerce does not know this store.",
                    "Check BIGCOMMERCE_STORE_HASH: it is the part after `stores/` in the API path.",
                ),
                Seen::Status(429) => Finding::warn(
                    "The store's API limit is used up at the moment, perhaps by another app.",
                    "Nothing to do: the relay waits its turn and goes on by itself.",
                ),
                seen => Finding::fail(
                    format!("BigCommerce does not answer as it should: {seen}."),
                    "Usually this passes. Orders wait meanwhile and none is lost. If it lasts, look at BigCommerce's status page.",
                ),
            },
        }
    }

    pub(super) async fn bigcommerce_hooks(&self) -> Finding {
        let reports = match self.registrar.inspect().await {
            Ok(reports) => reports,
            Err(RegistrarError::NoPublicUrl) => {
                return Finding::skip("No webhooks are registered, since PUBLIC_URL is not set.");
            }
            Err(RegistrarError::Call(CallError { seen: Seen::Status(401 | 403), .. })) => {
                return Finding::fail(
                    "BigCommerce refuses to show the webhooks with this access token.",
                    "Check BIGCOMMERCE_ACCESS_TOKEN, then click Update Integration.",
                );
            }
            Err(error) => {
                return Finding::fail(
                    format!("The webhooks cannot be read: {error}."),
                    "Check again in a minute. Orders are found by polling meanwhile.",
                );
            }
        };
        let wrong: Vec<String> = reports
            .iter()
            .filter_map(|report| {
                let what = match report.state {
                    HookState::Healthy => return None,
                    HookState::Missing => "is missing",
                    HookState::Inactive => "has been switched off by BigCommerce",
                    HookState::Elsewhere => "points to another address",
                    HookState::WithoutToken => "does not carry the relay's token",
                };
                Some(format!("The webhook for {} {what}.", report.scope))
            })
            .collect();
        if !wrong.is_empty() {
            return Finding::fail(wrong.join(" "), "Click Update Integration: the relay puts its webhooks right.");
        }
        match self.registrar.blocked().await {
            Ok(Some(seconds)) => Finding::warn(
                format!("BigCommerce has the relay's domain on its blocklist, for {seconds} seconds more."),
                "It comes off by itself. If it happens again, the relay has been answering too slowly or not at all.",
            ),
            _ => Finding::pass("The webhooks are there, active, and point to this relay."),
        }
    }

    pub(super) async fn public_url(&self) -> Finding {
        let Some(base) = &self.connection.config.public_url else {
            return Finding::skip("PUBLIC_URL is not set.");
        };
        let nonce = format!("{:032x}", rand::random::<u128>());
        const REMEDY: &str = "Check that PUBLIC_URL is the relay's own address and that it can be reached from the internet on port 443.";
        match ask_echo(base, &nonce).await {
            Ok((StatusCode::OK, answer)) if self.is_own_echo(&nonce, &answer) => {
                Finding::pass("The public address reaches this relay.")
            }
            Ok((status, _)) => Finding::fail(
                format!(
                    "Something answers at the public address (HTTP {}), and it is not this relay.",
                    status.as_u16()
                ),
                REMEDY,
            ),
            Err(CallError { seen: Seen::Transport(Transport::Tls), .. }) => Finding::fail(
                "The public address has a certificate that is not valid.",
                "Install a valid certificate with its whole chain: BigCommerce calls no address without one.",
            ),
            Err(error) => Finding::fail(format!("The public address cannot be reached: {error}."), REMEDY),
        }
    }

    fn is_own_echo(&self, nonce: &str, answer: &str) -> bool {
        self.connection.echo(nonce).iter().any(|ours| signature::same_secret(ours.expose_secret(), answer.trim()))
    }

    pub(super) async fn one_tribe_destination(&self) -> Finding {
        if let Some((since, seen)) = self.connection.destination_breaker().outage() {
            return Finding::fail(
                format!("One Tribe has not been taking orders for {}: {seen}.", minutes(since.elapsed())),
                match seen {
                    Seen::Status(401 | 403 | 404 | 410) => {
                        "Copy the payload URL from One Tribe once more into ONE_TRIBE_DESTINATION: this one is not accepted."
                    }
                    _ => {
                        "Nothing to do at first: orders wait and go out when One Tribe is back. If it lasts, tell One Tribe."
                    }
                },
            );
        }
        match self.connection.destination.reach().await {
            Ok(()) => Finding::pass("One Tribe can be reached. (No order was sent to find out.)"),
            Err(error) => Finding::fail(
                match error.seen {
                    Seen::Transport(Transport::Dns) => "The name in ONE_TRIBE_DESTINATION does not exist.".into(),
                    Seen::Transport(Transport::Tls) => "One Tribe's certificate is not valid.".into(),
                    seen => format!("One Tribe cannot be reached: {seen}."),
                },
                "Compare ONE_TRIBE_DESTINATION with the payload URL that One Tribe shows. If it is the same, try again later.",
            ),
        }
    }

    pub(super) async fn deliveries(&self) -> Finding {
        let summary = match self.inbox.summary(self.connection.id).await {
            Ok(summary) => summary,
            Err(error) => {
                return Finding::fail(format!("The inbox cannot be read: {error}."), "See the check of the storage.");
            }
        };
        let waited = summary.oldest_waiting.map_or(Duration::ZERO, |since| Timestamp::now().since(since));
        if summary.failed > 0 {
            return Finding::warn(
                format!("One Tribe has refused {} order(s) for too long; {} waiting.", summary.failed, summary.waiting),
                "Look at the failed orders and click resend once the reason is gone.",
            );
        }
        if waited > LONG_WAIT {
            return Finding::warn(
                format!("{} order(s) are waiting, the oldest for {}.", summary.waiting, minutes(waited)),
                "See the other checks for the reason. Nothing is lost meanwhile.",
            );
        }
        match (summary.waiting, summary.last_forwarded_at) {
            (0, None) => Finding::pass("No order has come yet."),
            (0, Some(at)) => Finding::pass(format!("All orders are delivered, the last one at {at}.")),
            (waiting, _) => Finding::pass(format!("{waiting} order(s) under way or waiting for their turn.")),
        }
    }
}

/// Asks the public address to prove that it is this relay.
async fn ask_echo(base: &Url, nonce: &str) -> Result<(StatusCode, String), CallError> {
    const LIMIT: usize = 1024;
    let client = http::client(base, Duration::from_secs(8))?;
    let url = format!("{}{ECHO_PATH}?nonce={nonce}", base.as_str().trim_end_matches('/'));
    let response = client.get(url).send().await?;
    let status = response.status();
    let body = http::read_body(response, LIMIT).await.unwrap_or_default();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
