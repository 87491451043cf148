//! Connects a WooCommerce shop by one click: the operator's form sends the browser to the shop, the shop's server
//! posts its keys here, and the browser comes back. Keys are not trusted until the shop itself has accepted them.
//!
//! Source: WooCommerce, "Authentication endpoint".

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    Relay,
    admin::Admin,
    bodies::Sender,
    format::{self, Format},
    refuse,
    status::{self, Frame},
};
use crate::{
    clock::Timestamp,
    connection::request::{ConnectionRequest, FieldProblem, check_addresses},
    humanize,
    inbox::{InboxError, KeyRequest as PendingRequest, KeyRequestState},
    services::Services,
    source::woocommerce::{
        keys::{KeyRequest, MAX_BODY, NoKeyPage, PostedKeys, authorize_url, read_keys},
        root::front_page,
    },
    spec::{ConnectionSpec, SourceSpec},
};

/// How long a shop may take to send its keys: a person has to log in there first.
const PENDING_TIME: Duration = Duration::from_secs(15 * 60);
/// A trial of keys that takes longer than this has been abandoned: its process has ended.
const TRIAL_TIME: Duration = Duration::from_secs(120);
/// Time limit for finding the shop's API, for which a person waits.
const SEARCH_TIME: Duration = Duration::from_secs(20);
/// The largest form that is read; real ones have a few hundred bytes.
const MAX_FORM: usize = 16 * 1024;
/// Shown to the merchant, and put into the key's description in the shop.
const APP_NAME: &str = "One Tribe relay";

/// The routes.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/woocommerce/connect").route(web::post().to(connect)))
        .service(web::resource("/woocommerce/keys").route(web::post().to(keys)))
        .service(web::resource("/woocommerce/connected").route(web::get().to(connected)));
}

/// The id of a request in the database: a digest, since the `user_id` is enough to answer the request. (It is visible
/// in the address bar.)
fn id_of(user_id: &str) -> Vec<u8> {
    Sha256::new().chain_update(b"onetribe-relay key request\0").chain_update(user_id).finalize().to_vec()
}

/// Stores a request. Its `user_id` has 192 random bits, and is used once.
async fn begin(services: &Services, spec: &ConnectionSpec) -> Result<String, NotSent> {
    let user_id = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
    let sealed = services.catalog.keyring().seal(&user_id, spec).map_err(|_| NotSent::NoKey)?;
    let now = Timestamp::now();
    let request = PendingRequest { id: id_of(&user_id), sealed, until: now.after(PENDING_TIME) };
    services.inbox.begin_key_request(request, now).await?;
    Ok(user_id)
}

/// The connection to be made for a request that waits for keys; no other keys are accepted for it meanwhile.
async fn try_keys(services: &Services, user_id: &str) -> Result<Option<ConnectionSpec>, InboxError> {
    let (id, now) = (id_of(user_id), Timestamp::now());
    // Anybody can send keys: without a request for them, nothing is written.
    if !matches!(services.inbox.key_request(id.clone(), now).await?, Some(KeyRequestState::Waiting(_))) {
        return Ok(None);
    }
    let sealed = services.inbox.try_key_request(id, now, now.after(TRIAL_TIME)).await?;
    let opened = sealed.map(|sealed| services.catalog.keyring().open(user_id, &sealed)).transpose();
    Ok(opened.unwrap_or_else(|error| {
        tracing::warn!(%error, "a request for a shop's keys cannot be answered any more: {error}");
        None
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    shop: String,
    name: String,
    destination: String,
}

/// Why the browser is not sent to the shop.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    #[error("the form has the fields `shop`, `name` and `destination`")]
    Form,
    #[error("the form is too large, or did not come whole")]
    Body,
    #[error("{0}")]
    Field(#[from] FieldProblem),
    #[error("PUBLIC_URL is not set: no shop could send its keys here")]
    NoPublicUrl,
    #[error("CREDENTIALS_KEY is not set: the keys could not be kept")]
    NoKey,
    #[error("the database cannot be used at the moment")]
    NotNoted(#[from] InboxError),
    #[error(
        "no WooCommerce API was found at this address ({0}): check the address, and that WooCommerce is active there"
    )]
    NoApi(String),
    #[error(
        "{0}: make keys in the shop (WooCommerce, Settings, Advanced, REST API, Read/Write) and enter them under \"with keys\""
    )]
    NoPage(#[from] NoKeyPage),
}

impl NotSent {
    fn status(&self) -> StatusCode {
        match self {
            Self::Form | Self::Body => StatusCode::BAD_REQUEST,
            Self::Field(_) | Self::NoPage(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoPublicUrl | Self::NoKey => StatusCode::CONFLICT,
            Self::NotNoted(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoApi(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

async fn connect(_: Admin, request: HttpRequest, payload: web::Payload, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    match page_of_shop(&relay, &request, payload).await {
        Ok(address) => HttpResponse::SeeOther().insert_header((header::LOCATION, address)).finish(),
        Err(error) if format::preferred(&request) == Some(Format::Html) => {
            let page = status::message(
                "This shop cannot be connected by one click",
                &[&format!("{error}.")],
                Some(("../connections#add", "Back")),
            );
            status::respond(error.status(), &page, Frame::None)
        }
        Err(error) => refuse(error.status(), error),
    }
}

async fn page_of_shop(relay: &Relay, request: &HttpRequest, payload: web::Payload) -> Result<String, NotSent> {
    let body =
        relay.bodies.read(Sender::Client, request.headers(), payload, MAX_FORM).await.map_err(|_| NotSent::Body)?;
    let fields: HashMap<String, String> = url::form_urlencoded::parse(&body.bytes).into_owned().collect();
    let form = serde_json::to_value(fields).and_then(serde_json::from_value::<Form>).map_err(|_| NotSent::Form)?;
    let services = &relay.services;
    let public_url = services.settings.public_url.as_ref().ok_or(NotSent::NoPublicUrl)?;
    if !services.directory.can_seal() {
        return Err(NotSent::NoKey);
    }
    // Validates with the same rules as keys entered by hand; the shop's own keys will replace these placeholders.
    let asked = json!({
        "name": form.name.trim(),
        "source": {
            "kind": "woocommerce", "url": form.shop.trim(),
            "consumer_key": format!("ck_{:040}", 0), "consumer_secret": format!("cs_{:040}", 0),
        },
        "destination": {"kind": "one_tribe", "url": form.destination.trim()},
    });
    let spec = ConnectionRequest::from_value(&asked, &services.request_rules())?.spec;
    check_addresses(&spec, services.http.policy()).await?;
    let SourceSpec::WooCommerce(shop) = &spec.source else { return Err(NotSent::Form) };
    let site = front_page(&shop.url).ok_or_else(|| NotSent::NoApi("it is no address".to_owned()))?;
    let far_call = services.far_calls.take_urgent().await;
    let search = tokio::time::timeout(SEARCH_TIME, services.builder.shops.find_root(&site)).await;
    drop(far_call);
    let root = match search {
        Ok(Ok(root)) => root,
        Ok(Err(error)) => return Err(NotSent::NoApi(humanize::failure(error.failure))),
        Err(_) => return Err(NotSent::NoApi(humanize::failure(crate::http::Failure::Timeout))),
    };
    let at = |path: &str| {
        let mut url = public_url.clone();
        url.set_path(&format!("{}/woocommerce/{path}", public_url.path().trim_end_matches('/')));
        url
    };
    let (return_url, callback_url) = (at("connected"), at("keys"));
    let asked_with = |user_id: &str| {
        let request = KeyRequest { app_name: APP_NAME, user_id, return_url: &return_url, callback_url: &callback_url };
        authorize_url(&root, &request)
    };
    asked_with("")?;
    let user_id = begin(services, &spec).await?;
    Ok(asked_with(&user_id)?.into())
}

/// Called by the shop's server. WooCommerce takes only a 200 as success, and otherwise deletes the keys.
async fn keys(request: HttpRequest, payload: web::Payload, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let no = |why: &str| refuse(StatusCode::FORBIDDEN, why);
    let posted = match relay.bodies.read(Sender::Visitor, request.headers(), payload, MAX_BODY).await {
        Ok(body) => read_keys(&body.bytes),
        Err(_) => return no("the keys did not come whole"),
    };
    let Ok(posted) = posted else { return no("there are no keys in this") };
    let user_id = posted.user_id.expose().to_owned();
    let spec = match try_keys(&relay.services, &user_id).await {
        Ok(Some(spec)) => spec,
        Ok(None) => return no("nobody waits for these keys"),
        Err(error) => {
            tracing::error!(%error, "a shop's keys could not be taken: {error}");
            return no("the database cannot be used at the moment");
        }
    };
    // Runs to its end even if the shop's server disconnects: the keys are already valid.
    let work = relay.get_ref().clone();
    let outcome = relay.jobs.finish(async move {
        let made = make(&work, spec, posted).await;
        let ended = work.services.inbox.end_key_request(id_of(&user_id), made.as_ref().err().cloned()).await;
        if let Err(error) = ended {
            tracing::warn!(%error, "what became of a shop's keys could not be noted: {error}");
        }
        made
    });
    match outcome.await {
        Some(Ok(())) => HttpResponse::Ok().finish(),
        Some(Err(why)) => no(&why),
        None => no("the keys could not be tried"),
    }
}

async fn make(relay: &Relay, mut spec: ConnectionSpec, posted: PostedKeys) -> Result<(), String> {
    let may_write = posted.may_write;
    if let SourceSpec::WooCommerce(shop) = &mut spec.source {
        shop.consumer_key = posted.consumer_key;
        shop.consumer_secret = posted.consumer_secret;
    }
    let state = crate::inbox::ConnectionState::Active;
    match relay.services.directory.create(spec, state, None, true).await {
        Ok(connection) => {
            let id = connection.id;
            tracing::info!(connection = %id, may_write, "connection {id} has been made with keys that its shop sent");
            Ok(())
        }
        Err(error) => {
            tracing::warn!(%error, "keys that a shop sent were not taken: {error}");
            Err(error.to_string())
        }
    }
}

#[derive(Default, Deserialize)]
struct Return {
    success: Option<String>,
    user_id: Option<String>,
}

/// The shop sends the browser back here. The visitor is not authenticated, so only the result of this request is shown.
async fn connected(request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let back = Some(("../connections", "All connections"));
    let came: Return = super::query(&request).unwrap_or_default();
    let id = came.user_id.as_deref().map(id_of).unwrap_or_default();
    let progress = match relay.services.inbox.key_request(id, Timestamp::now()).await {
        Ok(progress) => progress,
        Err(error) => return super::unavailable(&error),
    };
    let is_refused = came.success.as_deref() != Some("1");
    let (title, sentence) = match progress {
        Some(KeyRequestState::Connected) => (
            "Connected",
            "The shop has sent its keys, and they work. Its orders go to One Tribe from now on.".to_owned(),
        ),
        Some(_) if is_refused => {
            ("Not connected", "The request was refused in the shop. Nothing has been kept.".to_owned())
        }
        Some(KeyRequestState::Trying) => {
            ("Nearly there", "The shop's keys are being tried. Reload this page.".to_owned())
        }
        Some(KeyRequestState::Waiting(Some(why))) => {
            ("Not connected", format!("The keys that the shop sent were not taken: {why}. Nothing has been kept."))
        }
        Some(KeyRequestState::Waiting(None)) => (
            "Not connected",
            "The shop has sent no keys: its server could not reach this relay. Nothing has been kept.".to_owned(),
        ),
        None => (
            "This request is not known",
            "It may be older than 15 minutes. Begin again from the list of connections.".to_owned(),
        ),
    };
    let status = if title == "This request is not known" { StatusCode::NOT_FOUND } else { StatusCode::OK };
    status::respond(status, &status::message(title, &[&sentence], back), Frame::None)
}
