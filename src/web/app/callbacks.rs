//! The callbacks that carry `signed_payload_jwt`: load, uninstall, remove-user.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde::Deserialize;

use super::{
    super::{Relay, query},
    App, installed_connection, message,
    page::{self, Said},
    served, unavailable,
    visitor::Visitor,
};
use crate::{
    clock::Timestamp,
    directory::DirectoryError,
    source::bigcommerce::install::{
        payload::{LEEWAY, LoadPayload, PayloadError},
        texts::texts,
    },
};

#[derive(Deserialize)]
struct PayloadQuery {
    signed_payload_jwt: String,
}

/// Verifies the payload of a callback.
fn verified(app: &App, request: &HttpRequest) -> Result<LoadPayload, PayloadError> {
    let asked = query::<PayloadQuery>(request).map_err(|_| PayloadError::Malformed)?;
    app.payloads.verify(&asked.signed_payload_jwt, Timestamp::now(), 0)
}

/// The answer to a payload that is not BigCommerce's, or not valid now.
fn refused(relay: &Relay, error: PayloadError) -> HttpResponse {
    // Anybody can send such a payload.
    tracing::debug!(%error, "a callback of the app's was refused: {error}");
    message(relay, StatusCode::UNAUTHORIZED, texts("").load_problem(error))
}

/// A merchant opens the app.
pub(super) async fn load(request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let app = match served(&relay) {
        Ok(app) => app,
        Err(nowhere) => return nowhere,
    };
    let payload = match verified(app, &request) {
        Ok(payload) => payload,
        Err(error) => return refused(&relay, error),
    };
    let Some(connection) = installed_connection(&relay, &payload.store_hash) else {
        return message(&relay, StatusCode::NOT_FOUND, texts(&payload.locale).load.install_again);
    };
    let visitor = Visitor::new(&payload.store_hash, payload.user_id, &payload.locale);
    page::show(&relay, app, &connection, &visitor, page::OPENED_ROOT, Said::default()).await
}

/// An installation has ended: its token and hooks are already gone.
pub(super) async fn uninstall(request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let app = match served(&relay) {
        Ok(app) => app,
        Err(nowhere) => return nowhere,
    };
    let payload = match verified(app, &request) {
        Ok(payload) => payload,
        Err(error) => return refused(&relay, error),
    };
    let work = relay.get_ref().clone();
    match relay.jobs.finish(async move { end(&work, &payload).await }).await {
        Some(Ok(())) => HttpResponse::Ok().finish(),
        Some(Err(DirectoryError::Inbox(error))) => unavailable(&relay, &error, texts("").install.not_kept),
        Some(Err(error)) => {
            tracing::error!(%error, "an uninstalled store could not be disconnected: {error}");
            message(&relay, StatusCode::SERVICE_UNAVAILABLE, texts("").install.not_kept)
        }
        None => message(&relay, StatusCode::SERVICE_UNAVAILABLE, texts("").install.not_kept),
    }
}

async fn end(relay: &Relay, payload: &LoadPayload) -> Result<(), DirectoryError> {
    let Some(app) = &relay.app else { return Ok(()) };
    let _changing = app.changing.lock().await;
    relay.services.directory.refresh().await?;
    let Some(connection) = installed_connection(relay, &payload.store_hash) else { return Ok(()) };
    if app.last_install(&payload.store_hash).is_some_and(|install| is_older(payload, install.at)) {
        tracing::warn!(
            connection = %connection.id,
            "connection {}: an uninstall from before the last installation was ignored", connection.id
        );
        return Ok(());
    }
    // BigCommerce has removed the hooks, and the token no longer could.
    relay.services.directory.end(connection.id, false).await?;
    Ok(())
}

/// Whether a payload was signed before an install, by more than clocks differ, and so is about an earlier installation.
fn is_older(payload: &LoadPayload, install: Timestamp) -> bool {
    payload.issued_at.after(LEEWAY + Duration::from_secs(1)) < install
}

/// A user may no longer open the app. No data about users is stored.
pub(super) async fn remove_user(request: HttpRequest, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let app = match served(&relay) {
        Ok(app) => app,
        Err(nowhere) => return nowhere,
    };
    match verified(app, &request) {
        Ok(_) => HttpResponse::Ok().finish(),
        Err(error) => refused(&relay, error),
    }
}
