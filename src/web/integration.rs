//! What a merchant sees and clicks.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web,
};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::{Relay, admin::Admin, refuse};
use crate::check::{Report, Status};

pub(super) async fn page(admin: Admin, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    check(admin, relay).await
}

pub(super) async fn check(_: Admin, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    answer(&relay.checker.run().await)
}

pub(super) async fn update(_: Admin, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    if let Err(error) = relay.registrar.ensure().await {
        // The check that follows says it in a merchant's words.
        tracing::warn!(%error, "hooks could not be put right: {error}");
    }
    answer(&relay.checker.run().await)
}

fn answer(report: &Report) -> HttpResponse {
    let status = if report.status == Status::Fail { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(report)
}

#[derive(Deserialize)]
pub(super) struct Echo {
    nonce: String,
}

/// Proves to a check that asks from outside that this is the relay. Tells nothing of the secret it is derived from.
pub(super) async fn echo(query: web::Query<Echo>, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    const MAX_NONCE: usize = 64;
    if query.nonce.len() > MAX_NONCE {
        return refuse(StatusCode::BAD_REQUEST, "the nonce is too long");
    }
    let proofs = relay.connection.echo(&query.nonce);
    let proof = proofs.first().map(|proof| proof.expose_secret().to_owned()).unwrap_or_default();
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).content_type("text/plain").body(proof)
}
