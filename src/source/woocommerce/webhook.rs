//! Verifies webhooks and reads which object changed. Nothing of a body is read before it is proven to come from the
//! shop, and then only id, status and dates. Pure.
//!
//! Source: WooCommerce, `class-wc-webhook.php`. `X-WC-Webhook-Delivery-ID` consists of the webhook and the second:
//! many deliveries share one, so it does not identify an event.

use std::{borrow::Cow, time::Duration};

use actix_web::http::header::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::Mac;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::{
    auth::hmac_sha256,
    objects::{DRAFT, TRASH, parse_gmt},
    root::front_page,
};
use crate::{
    clock::Timestamp,
    http::json_start,
    object::{ChangeKind, ObjectId},
    secret::Secret,
    spec::normalized_shop,
};

/// The largest body that is accepted: it contains the whole object.
pub const MAX_BODY: usize = 8 * 1024 * 1024;
/// A webhook that comes this long after the change is a sign that the shop's queue is not processed: WP-Cron runs
/// only when the shop is visited.
pub const LATE: Duration = Duration::from_secs(15 * 60);
/// Longest part of a sender's text that is logged.
const LOGGED: usize = 80;

/// Why a webhook is not proven to be genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthentic {
    /// There is no signature.
    #[error("there is no X-WC-Webhook-Signature")]
    Unsigned,
    /// The signature matches none of the secrets.
    #[error("the X-WC-Webhook-Signature is wrong")]
    Mismatch,
}

/// The content of a webhook. Each kind is answered with 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A watched object has changed.
    Event(ShopEvent),
    /// The shop tested whether the address answers. It is unsigned and changes nothing.
    Ping,
    /// The topic is not watched.
    Ignored {
        /// The topic, shortened for the log.
        topic: String,
    },
    /// It is no event; polling finds what changed.
    Dropped(Dropped),
    /// It is genuine but from another site: a copy of the shop that kept its webhooks.
    ForeignSource {
        /// The other site, shortened for the log.
        source: String,
    },
}

/// Why a genuine webhook is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// The body is an error of the REST API: the webhook's owner may no longer read the object, or it is gone.
    ErrorBody,
    /// The order is an unpaid cart.
    Draft,
    /// The body is not an object with an id.
    Unreadable,
}

/// A change of an object. The body is built when the webhook is delivered, so it may be newer than the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopEvent {
    /// The resource by its name in the REST API, such as `orders`.
    pub resource: &'static str,
    /// The object's id.
    pub id: ObjectId,
    /// The kind of change according to the topic. Deletions must be confirmed by a fetch: some are about other
    /// things. Before WooCommerce 9.2 the first webhook for a new order is an update: [`ChangeKind::Updated`] of an
    /// object not known before, and made after the connection, is its creation.
    pub change: ChangeKind,
    /// The status in the body.
    pub status: Option<String>,
    /// When the object was created, if the body says so.
    pub created: Option<Timestamp>,
    /// When the object was last changed, if the body says so.
    pub modified: Option<Timestamp>,
}

impl ShopEvent {
    /// How long after the last change the delivery came.
    pub fn lag(&self, now: Timestamp) -> Option<Duration> {
        self.modified.map(|modified| now.since(modified))
    }

    /// Whether it came so late that the shop's queue is not processed in time.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.lag(now).is_some_and(|lag| lag > LATE)
    }
}

/// Verifies the webhooks of one connection, and selects those that count.
#[derive(Debug, Clone)]
pub struct Verifier {
    shop: String,
    secrets: Vec<Secret>,
    topics: Vec<String>,
}

/// A webhook that is proven to be genuine, or a ping: only [`Verifier::verify`] makes one.
#[derive(Debug)]
pub struct VerifiedWebhook<'a> {
    verifier: &'a Verifier,
    topic: &'a str,
    source: Option<Cow<'a, str>>,
    body: &'a [u8],
    is_ping: bool,
}

impl Verifier {
    /// For the shop with this address, whose webhooks are signed with any of `secrets`. `topics` are those that the
    /// relay watches, such as `order.updated`.
    pub fn new(shop_url: &str, secrets: &[Secret], topics: Vec<String>) -> Self {
        let secrets = secrets.iter().map(|secret| decode_entities(secret.expose()).into()).collect();
        Self { shop: shop_of(shop_url), secrets, topics }
    }

    /// Requires a right signature, except for the ping, which has none. Compares in constant time.
    ///
    /// # Errors
    /// [`Unauthentic`], which contains nothing of the webhook.
    pub fn verify<'a>(&'a self, headers: &'a HeaderMap, body: &'a [u8]) -> Result<VerifiedWebhook<'a>, Unauthentic> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let webhook = |is_ping| VerifiedWebhook {
            verifier: self,
            topic: text("x-wc-webhook-topic").unwrap_or_default(),
            // Host names in other scripts come unencoded.
            source: headers
                .get("x-wc-webhook-source")
                .map(|source| String::from_utf8_lossy(source.as_bytes().trim_ascii()))
                .filter(|source| !source.is_empty()),
            body,
            is_ping,
        };
        if !headers.contains_key("x-wc-webhook-signature") {
            return if is_ping(body) { Ok(webhook(true)) } else { Err(Unauthentic::Unsigned) };
        }
        let given = text("x-wc-webhook-signature").and_then(|given| STANDARD.decode(given).ok());
        let given = given.ok_or(Unauthentic::Mismatch)?;
        let is_genuine = self.secrets.iter().fold(false, |is_genuine, secret| {
            is_genuine | hmac_sha256(secret.expose().as_bytes(), body).verify_slice(&given).is_ok()
        });
        if is_genuine { Ok(webhook(false)) } else { Err(Unauthentic::Mismatch) }
    }
}

/// Identifies the shop at an address: equivalent spellings of host and port give the same result, and so does the
/// address with the query that language plugins add.
fn shop_of(address: &str) -> String {
    normalized_shop(front_page(address).as_ref().map_or(address, Url::as_str))
}

/// Whether the body is `webhook_id=N`, a form without a signature.
fn is_ping(body: &[u8]) -> bool {
    let number = body.trim_ascii().strip_prefix(b"webhook_id=");
    number.is_some_and(|number| (1..=20).contains(&number.len()) && number.iter().all(u8::is_ascii_digit))
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    date_created_gmt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    date_modified_gmt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

impl VerifiedWebhook<'_> {
    /// Whether it is the unsigned ping.
    pub fn is_ping(&self) -> bool {
        self.is_ping
    }

    /// Parses the webhook. Never panics, whatever the bytes.
    pub fn read(&self) -> Notice {
        if self.is_ping {
            return Notice::Ping;
        }
        if let Some(source) = self.source.as_deref().filter(|source| shop_of(source) != self.verifier.shop) {
            return Notice::ForeignSource { source: logged(source) };
        }
        let known =
            self.verifier.topics.iter().any(|topic| topic == self.topic).then(|| change_of(self.topic)).flatten();
        let Some((resource, change)) = known else { return Notice::Ignored { topic: logged(self.topic) } };
        match read_event(resource, change, self.body) {
            Ok(event) => Notice::Event(event),
            Err(dropped) => Notice::Dropped(dropped),
        }
    }
}

fn read_event(resource: &'static str, change: ChangeKind, body: &[u8]) -> Result<ShopEvent, Dropped> {
    let body = json_start(body);
    if body.first() != Some(&b'{') {
        return Err(Dropped::Unreadable);
    }
    let body: Body<'_> = serde_json::from_slice(body).map_err(|_| Dropped::Unreadable)?;
    let Some(id) = body.id.and_then(read_id) else {
        let is_error = body.code.and_then(read_text).is_some() && body.data.is_some();
        return Err(if is_error { Dropped::ErrorBody } else { Dropped::Unreadable });
    };
    let status = body.status.and_then(read_text);
    if resource == "orders" && status.as_deref() == Some(DRAFT) {
        return Err(Dropped::Draft);
    }
    // WooCommerce 8.0 announces a move to the trash as an update.
    let change = if status.as_deref() == Some(TRASH) { ChangeKind::Deleted } else { change };
    let date = |raw: Option<&RawValue>| raw.and_then(read_text).and_then(|text| parse_gmt(&text));
    let (created, modified) = (date(body.date_created_gmt), date(body.date_modified_gmt));
    Ok(ShopEvent { resource, id, change, status, created, modified })
}

/// A positive whole number, also as a string.
fn read_id(raw: &RawValue) -> Option<ObjectId> {
    let text = read_text(raw).unwrap_or_else(|| raw.get().to_owned());
    ObjectId::from_text(&text).filter(|id| id.number().is_some())
}

fn read_text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The resource and the kind of change of a topic.
fn change_of(topic: &str) -> Option<(&'static str, ChangeKind)> {
    let (resource, event) = topic.split_once('.')?;
    let resource = match resource {
        "order" => "orders",
        "product" => "products",
        "coupon" => "coupons",
        "customer" => "customers",
        _ => return None,
    };
    let change = match event {
        "created" => ChangeKind::Created,
        "deleted" => ChangeKind::Deleted,
        "updated" | "restored" | "published" => ChangeKind::Updated,
        _ => return None,
    };
    Some((resource, change))
}

fn logged(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LOGGED).collect()
}

/// What WooCommerce actually signs with: `wp_specialchars_decode(secret, ENT_QUOTES)`.
fn decode_entities(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = rest.find(';').map(|end| &rest[..=end]);
        match entity.and_then(|entity| Some((entity.len(), character_of(entity)?))) {
            Some((length, character)) => {
                decoded.push(character);
                rest = &rest[length..];
            }
            None => {
                decoded.push('&');
                rest = &rest[1..];
            }
        }
    }
    decoded + rest
}

fn character_of(entity: &str) -> Option<char> {
    match entity {
        "&amp;" => return Some('&'),
        "&lt;" => return Some('<'),
        "&gt;" => return Some('>'),
        "&quot;" => return Some('"'),
        _ => {}
    }
    let number = entity.strip_prefix("&#")?.strip_suffix(';')?;
    match number.strip_prefix(['x', 'X']) {
        Some(hex) => match hex.trim_start_matches('0') {
            "26" => Some('&'),
            "22" => Some('"'),
            "27" => Some('\''),
            _ => None,
        },
        None => match number.trim_start_matches('0') {
            "38" => Some('&'),
            "60" => Some('<'),
            "62" => Some('>'),
            "34" => Some('"'),
            "39" => Some('\''),
            _ => None,
        },
    }
}

/// Signs a body as a shop does.
pub fn sign(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(hmac_sha256(decode_entities(secret).as_bytes(), body).finalize().into_bytes())
}

#[cfg(test)]
mod tests;
