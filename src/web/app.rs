//! The single-click app of BigCommerce's marketplace: its callbacks, and the forms of its page.
//!
//! `install` adds a store, `callbacks` opens and ends it, `forms` verifies the page's forms, `deeds` carries them
//! out, `backfill` counts past orders and stores the merchant's choice, `page` shows the state.
//! `source::bigcommerce::install` has BigCommerce's side.

mod backfill;
mod callbacks;
mod deeds;
mod forms;
mod install;
mod page;
mod visitor;

use std::{collections::HashMap, sync::Arc, time::Instant};

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    Relay, not_found,
    status::{self, Frame},
};
use crate::{
    clock::Timestamp,
    config::Settings,
    connection::Connection,
    inbox::{ConnectionState, InboxError},
    secret::Secret,
    source::bigcommerce::install::{form_token::FormTokens, payload::PayloadVerifier, texts::Message},
    spec::{Origin, SourceKind},
};

/// Most concurrent exchanges: anybody who knows the address can start one, and each is a call to BigCommerce.
const MOST_EXCHANGES: usize = 32;
/// Most installs remembered, of which only the newest of a store counts.
const MOST_INSTALLS: usize = 4096;

/// How often a change is repeated because another replica has changed a connection meanwhile.
const TRIES: u32 = 20;

/// What the app's routes share, if the app is configured.
pub(super) struct App {
    client_id: String,
    client_secret: Secret,
    payloads: PayloadVerifier,
    tokens: FormTokens,
    /// Held during changes of the app's connections: a new token and a new payload URL must not undo each other.
    changing: tokio::sync::Mutex<()>,
    exchanges: Semaphore,
    installs: Mutex<HashMap<String, Installed>>,
}

/// When this process last stored a token of a store.
#[derive(Debug, Clone, Copy)]
struct Installed {
    moment: Instant,
    at: Timestamp,
}

impl App {
    /// The app that the settings describe, if any.
    pub fn new(settings: &Settings) -> Option<Self> {
        let app = settings.app.as_ref()?;
        Some(Self {
            client_id: app.client_id.clone(),
            client_secret: app.client_secret.clone(),
            payloads: PayloadVerifier::new(&app.client_id, &app.client_secret),
            tokens: FormTokens::new(&app.client_secret),
            changing: tokio::sync::Mutex::default(),
            exchanges: Semaphore::new(MOST_EXCHANGES),
            installs: Mutex::default(),
        })
    }

    fn last_install(&self, store_hash: &str) -> Option<Installed> {
        self.installs.lock().get(store_hash).copied()
    }

    fn note_install(&self, store_hash: &str) {
        let mut installs = self.installs.lock();
        if installs.len() >= MOST_INSTALLS
            && let Some(oldest) = installs.iter().min_by_key(|(_, one)| one.moment).map(|(hash, _)| hash.clone())
        {
            installs.remove(&oldest);
        }
        installs.insert(store_hash.to_owned(), Installed { moment: Instant::now(), at: Timestamp::now() });
    }
}

/// The routes. Without the app they answer like unknown paths.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/bigcommerce/auth").route(web::get().to(install::auth)))
        .service(web::resource("/bigcommerce/load").route(web::get().to(callbacks::load)))
        .service(web::resource("/bigcommerce/uninstall").route(web::get().to(callbacks::uninstall)))
        .service(web::resource("/bigcommerce/remove-user").route(web::get().to(callbacks::remove_user)))
        .service(web::resource("/bigcommerce/app/destination").route(web::post().to(deeds::destination)))
        .service(web::resource("/bigcommerce/app/check").route(web::post().to(deeds::check)))
        .service(web::resource("/bigcommerce/app/update").route(web::post().to(deeds::update)))
        .service(web::resource("/bigcommerce/app/pause").route(web::post().to(deeds::pause)))
        .service(web::resource("/bigcommerce/app/resume").route(web::post().to(deeds::resume)))
        .service(web::resource("/bigcommerce/app/resend").route(web::post().to(deeds::resend)))
        .service(web::resource("/bigcommerce/app/backfill").route(web::post().to(deeds::backfill)));
}

/// The app, or the answer of a path that leads nowhere.
fn served(relay: &Relay) -> Result<&App, HttpResponse> {
    match &relay.app {
        Some(app) => Ok(app),
        None => Err(not_found()),
    }
}

/// A page with one message, which the control panel may frame.
fn message(relay: &Relay, status: StatusCode, message: Message) -> HttpResponse {
    let page = status::message(message.title, &[message.what, message.cure], None);
    status::respond(status, &page, Frame::App(&relay.services.settings.frame_ancestors))
}

/// The answer while the database cannot be used. The details go to the log.
fn unavailable(relay: &Relay, error: &InboxError, said: Message) -> HttpResponse {
    tracing::error!(%error, "a request of the app's could not be answered: {error}");
    let mut response = message(relay, StatusCode::SERVICE_UNAVAILABLE, said);
    response.headers_mut().insert(header::RETRY_AFTER, super::RETRY_AFTER);
    response
}

/// The app's connection for a store, preferably one that has not ended.
fn connection_of_store(relay: &Relay, store_hash: &str) -> Option<Arc<Connection>> {
    let is_the_stores = |connection: &Arc<Connection>| {
        connection.origin == Origin::App
            && connection.source_kind == SourceKind::BigCommerce
            && connection.store == store_hash
    };
    let found = relay.services.catalog.select(is_the_stores).into_iter();
    found.min_by_key(|connection| (connection.state == ConnectionState::Disconnected, connection.id))
}

/// Like [`connection_of_store`], but only one that has not ended.
fn installed_connection(relay: &Relay, store_hash: &str) -> Option<Arc<Connection>> {
    connection_of_store(relay, store_hash).filter(|connection| connection.state != ConnectionState::Disconnected)
}
