//! `GET /bigcommerce/auth`: exchanges the code for a token, makes a connection with its hooks, and shows the merchant
//! the page.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use maud::Markup;
use serde::Deserialize;

use super::{
    super::{
        Relay,
        integration::mend,
        query,
        status::{self, Frame},
    },
    App, TRIES, connection_of_store, message,
    page::{self, Said},
    served,
    visitor::Visitor,
};
use crate::{
    connection::Connection,
    directory::{Change, DirectoryError},
    http::Failure,
    humanize,
    inbox::ConnectionState,
    source::{
        Source,
        bigcommerce::install::{
            oauth::{self, CodeExchange, EXCHANGE_TIMEOUT, ExchangeError, Grant, ORDER_SCOPES},
            store_of_context,
            texts::{Message, Texts, texts},
        },
    },
    spec::{BigCommerceAuth, BigCommerceSpec, ConnectionSpec, Origin, SourceSpec},
};

/// Longest part of the query; BigCommerce's are far shorter.
const MAX_PART: usize = 4096;
/// Time limit for reading the store's name; without it, the connection is named by the hash.
const NAME_TIME: Duration = Duration::from_secs(2);
/// Longer names are cut.
const MAX_NAME: usize = 100;
/// How long the merchant waits for hooks; the relay then continues by itself.
const HOOKS_TIME: Duration = Duration::from_secs(4);
/// After this long the hooks are checked again: BigCommerce removes those of an earlier installation at some later
/// time, perhaps along with new ones.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Time limit for asking the store whether a token is valid.
const TOKEN_TIME: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct AuthQuery {
    code: String,
    scope: String,
    context: String,
    external_install: Option<String>,
}

impl AuthQuery {
    fn is_plausible(&self) -> bool {
        let parts = [&self.code, &self.scope, &self.context];
        parts.iter().all(|part| (1..=MAX_PART).contains(&part.len())) && store_of_context(&self.context).is_some()
    }

    fn is_external(&self) -> bool {
        self.external_install.as_deref().is_some_and(|value| !matches!(value, "" | "0" | "false"))
    }
}

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
enum InstallError {
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("PUBLIC_URL is not set: BigCommerce could not be told where the app is")]
    NoPublicUrl,
    #[error("the connection could not be kept: {0}")]
    NotKept(#[from] DirectoryError),
    #[error("the installation was broken off")]
    BrokenOff,
}

impl InstallError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Exchange(ExchangeError::SpentOrWrongCode | ExchangeError::MissingScope) => StatusCode::FORBIDDEN,
            Self::Exchange(ExchangeError::LoginDown(Failure::Timeout)) => StatusCode::GATEWAY_TIMEOUT,
            Self::Exchange(_) => StatusCode::BAD_GATEWAY,
            Self::NoPublicUrl | Self::NotKept(_) | Self::BrokenOff => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn message(&self, texts: &Texts) -> Message {
        match self {
            Self::Exchange(error) => texts.install_problem(*error),
            Self::NoPublicUrl => texts.install.no_address,
            Self::NotKept(_) | Self::BrokenOff => texts.install.not_kept,
        }
    }
}

/// Handles the auth callback.
pub(super) async fn auth(request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let app = match served(&relay) {
        Ok(app) => app,
        Err(nowhere) => return nowhere,
    };
    let texts = texts("");
    let Some(asked) = query::<AuthQuery>(&request).ok().filter(AuthQuery::is_plausible) else {
        return message(&relay, StatusCode::BAD_REQUEST, texts.install.incomplete_request);
    };
    let is_external = asked.is_external();
    // A code works only once: if the browser disconnects, the token must not be lost.
    let work = relay.get_ref().clone();
    let outcome = relay.jobs.finish(async move { install(&work, &asked).await }).await;
    match outcome.unwrap_or(Err(InstallError::BrokenOff)) {
        Ok(_) if is_external => led_on(&relay, app, "succeeded"),
        Ok((connection, visitor)) => {
            page::show(&relay, app, &connection, &visitor, page::OPENED_ROOT, Said::default()).await
        }
        Err(error) => {
            // Anybody can send an invalid code.
            if matches!(error, InstallError::Exchange(ExchangeError::SpentOrWrongCode)) {
                tracing::debug!(%error, "an installation of the app did not come about: {error}");
            } else {
                tracing::warn!(%error, "an installation of the app did not come about: {error}");
            }
            if is_external {
                return led_on(&relay, app, "failed");
            }
            message(&relay, error.status(), error.message(texts))
        }
    }
}

/// Redirects after an install that began outside the control panel, as BigCommerce documents it ("External app
/// installation").
fn led_on(relay: &Relay, app: &App, outcome: &str) -> HttpResponse {
    let mut url = relay.services.settings.login_url.clone();
    let path = format!("{}/app/{}/install/{outcome}", url.path().trim_end_matches('/'), app.client_id);
    url.set_path(&path);
    let frame = Frame::App(&relay.services.settings.frame_ancestors);
    let mut response = status::respond(StatusCode::FOUND, &Markup::default(), frame);
    if let Ok(location) = header::HeaderValue::try_from(url.as_str()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

async fn install(relay: &Arc<Relay>, asked: &AuthQuery) -> Result<(Arc<Connection>, Visitor), InstallError> {
    let (Some(app), settings) = (&relay.app, &relay.services.settings) else { return Err(InstallError::BrokenOff) };
    let public_url = settings.public_url.as_ref().ok_or(InstallError::NoPublicUrl)?;
    let turn = tokio::time::timeout(EXCHANGE_TIMEOUT, app.exchanges.acquire()).await;
    let Ok(Ok(turn)) = turn else { return Err(ExchangeError::LoginDown(Failure::Timeout).into()) };
    let began = Instant::now();
    let request = CodeExchange {
        client_id: app.client_id.clone(),
        client_secret: app.client_secret.clone(),
        code: asked.code.as_str().into(),
        scope: asked.scope.clone(),
        context: asked.context.clone(),
        redirect_uri: format!("{}/bigcommerce/auth", public_url.as_str().trim_end_matches('/')),
    };
    let http = &relay.services.http;
    let far_call = relay.services.far_calls.take_urgent().await;
    let grant = oauth::exchange(http, &settings.login_url, &request, &ORDER_SCOPES, EXCHANGE_TIMEOUT).await?;
    drop((turn, far_call));
    if store_of_context(&asked.context) != Some(grant.store_hash.as_str()) {
        tracing::warn!(store = %grant.store_hash, "an installation was asked for under another store's name than its own");
    }
    let visitor = Visitor::new(&grant.store_hash, grant.user_id, "");
    let connection = keep(relay, app, grant, began).await?;
    // Anything unfinished by then is done by the relay later; the page shows the state.
    drop(tokio::time::timeout(HOOKS_TIME, mend(relay, &connection)).await);
    let (later, id) = (relay.clone(), connection.id);
    relay.jobs.spawn(async move {
        tokio::time::sleep(LOOK_AGAIN).await;
        if let Some(connection) = later.services.connection(id) {
            mend(&later, &connection).await;
        }
    });
    Ok((connection, visitor))
}

/// The initial spec of a store's connection.
fn spec_of(relay: &Relay, grant: &Grant) -> ConnectionSpec {
    ConnectionSpec {
        name: grant.store_hash.clone(),
        origin: Origin::App,
        source: SourceSpec::BigCommerce(BigCommerceSpec {
            store_hash: grant.store_hash.clone(),
            auth: BigCommerceAuth::Token(grant.access_token.clone()),
            client_secrets: Vec::new(),
            scopes: relay.services.settings.scopes.clone(),
            is_app: true,
        }),
        destination: None,
        skip_statuses: Vec::new(),
        resources: Vec::new(),
        poll_interval: None,
        has_webhooks: true,
        instance: None,
    }
}

/// The store's name for itself, if the token may read it.
async fn name_of(relay: &Relay, spec: &ConnectionSpec) -> Option<String> {
    let link = relay.services.builder.try_link(spec)?;
    let Source::BigCommerce(store) = &link.source else { return None };
    let found = tokio::time::timeout(NAME_TIME, store.information()).await.ok()?.ok()?;
    let name: String = humanize::printable(found.name.trim()).chars().take(MAX_NAME).collect();
    Some(name).filter(|name| !name.is_empty())
}

/// Whether the store itself refuses a token.
async fn is_superseded(relay: &Relay, spec: &ConnectionSpec) -> bool {
    let Some(link) = relay.services.builder.try_link(spec) else { return false };
    let answer = tokio::time::timeout(TOKEN_TIME, link.source.can_read()).await;
    matches!(answer, Ok(Err(error)) if error.failure == Failure::Status(401))
}

/// Creates the store's connection, revives it, or gives it the new token.
async fn keep(relay: &Relay, app: &App, grant: Grant, began: Instant) -> Result<Arc<Connection>, DirectoryError> {
    let directory = &relay.services.directory;
    let mut spec = spec_of(relay, &grant);
    if let Some(name) = name_of(relay, &spec).await {
        spec.name = name;
    }
    let _changing = app.changing.lock().await;
    directory.refresh().await?;
    let known = connection_of_store(relay, &grant.store_hash);
    let live = known.filter(|known| known.state != ConnectionState::Disconnected);
    // Two concurrent installs of a store: the token of the later exchange is the valid one, whichever is stored last.
    let is_overtaken = app.last_install(&grant.store_hash).is_some_and(|last| last.moment > began);
    if let Some(live) = live.as_ref().filter(|_| is_overtaken)
        && is_superseded(relay, &spec).await
    {
        return Ok(live.clone());
    }
    let kept = match live {
        Some(live) => renew(relay, &live, spec).await?,
        None => match directory.create(spec.clone(), ConnectionState::Incomplete, None, false).await {
            // Another replica has created it meanwhile.
            Err(DirectoryError::Duplicate(id)) => {
                let live = relay.services.connection(id).ok_or(DirectoryError::Unknown(id))?;
                renew(relay, &live, spec).await?
            }
            made => made?,
        },
    };
    app.note_install(&grant.store_hash);
    tracing::info!(
        connection = %kept.id, store = %kept.store, state = %kept.state,
        "connection {}: the app was installed in BigCommerce store {}", kept.id, kept.store
    );
    Ok(kept)
}

/// Gives the new token to a connection that has not ended; payload URL and state stay, even if they are being changed
/// at the same time.
async fn renew(relay: &Relay, live: &Connection, granted: ConnectionSpec) -> Result<Arc<Connection>, DirectoryError> {
    let (id, services) = (live.id, &relay.services);
    for _ in 0..TRIES {
        let current = services.connection(id).ok_or(DirectoryError::Unknown(id))?;
        let former = current.link.as_ref().map(|link| link.spec.clone());
        let mut spec = granted.clone();
        if let Some(former) = former.clone() {
            let name = if granted.name == current.store { former.name.clone() } else { granted.name.clone() };
            spec = ConnectionSpec { source: spec.source, name, ..former };
        }
        // Without a link, the payload URL is lost as well.
        let state = spec.destination.is_none().then_some((ConnectionState::Incomplete, None));
        let change = Change { spec: Some(spec), former, state, ..Change::default() };
        match services.directory.change(id, change).await {
            Err(DirectoryError::Overtaken(_)) => {}
            done => return done,
        }
    }
    Err(DirectoryError::Overtaken(id))
}
