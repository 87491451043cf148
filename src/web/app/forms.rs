//! Reads and verifies the page's forms: they must come from the app's own page, with a token for this store and user.

use std::{borrow::Cow, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use url::{Url, form_urlencoded};

use super::{
    super::{
        Relay,
        bodies::{BodyError, Sender},
    },
    App, installed_connection, message,
    visitor::Visitor,
};
use crate::{
    clock::Timestamp,
    connection::Connection,
    source::bigcommerce::install::{
        form_token::{FormTokenError, is_same_site_post},
        texts::texts,
    },
};

/// A payload URL has at most 2,048 characters, each of which may be encoded as three.
const MAX_FORM: usize = 16 * 1024;

/// A verified form from a page of this store and user.
pub(super) struct Form {
    /// The user who sent it.
    pub visitor: Visitor,
    /// The store's connection; it has not ended.
    pub connection: Arc<Connection>,
    fields: Vec<(String, String)>,
}

impl Form {
    /// A field without surrounding white space; empty if it was not sent.
    pub fn field(&self, name: &str) -> &str {
        field(&self.fields, name)
    }
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
}

/// The value of the hidden field `token`: store and user as plain text, then the proof.
pub(super) fn token_for(app: &App, visitor: &Visitor) -> String {
    let proof = app.tokens.issue(&visitor.store_hash, visitor.user_id, Timestamp::now());
    format!("{}.{}.{proof}", visitor.store_hash, visitor.user_id)
}

fn visitor_of(app: &App, token: &str) -> Result<Visitor, FormTokenError> {
    let mut parts = token.splitn(3, '.');
    let (Some(store_hash), Some(user_id), Some(proof)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(FormTokenError::Wrong);
    };
    let user_id = user_id.parse().map_err(|_| FormTokenError::Wrong)?;
    app.tokens.verify(proof, store_hash, user_id, Timestamp::now())?;
    Ok(Visitor::new(store_hash, user_id, ""))
}

/// The origins that count as the relay's own: its public address, and the one that the request was sent to. A proxy
/// may have replaced `Host`.
fn own_origins(relay: &Relay, request: &HttpRequest) -> Vec<Url> {
    let host = header(request, "host").unwrap_or_default();
    let asked = ["https", "http"].into_iter().filter_map(|scheme| Url::parse(&format!("{scheme}://{host}")).ok());
    relay.services.settings.public_url.iter().cloned().chain(asked).collect()
}

/// A header as text; a header that is not text counts as present but invalid.
fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Reads and verifies a form. If it is refused, nothing has been changed.
///
/// # Errors
/// The page that says why the form was refused.
pub(super) async fn read(
    relay: &Relay,
    app: &App,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Form, HttpResponse> {
    let said = &texts("").form;
    let own = own_origins(relay, request);
    if !is_same_site_post(header(request, "sec-fetch-site"), header(request, "origin"), &own) {
        return Err(message(relay, StatusCode::FORBIDDEN, said.other_site));
    }
    let body = relay.bodies.read(Sender::Visitor, request.headers(), payload, MAX_FORM).await.map_err(|error| {
        let status = match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Incomplete => StatusCode::REQUEST_TIMEOUT,
            BodyError::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        };
        message(relay, status, said.wrong_token)
    })?;
    let pairs = form_urlencoded::parse(&body.bytes);
    let fields: Vec<_> = pairs.map(|(name, value)| (Cow::into_owned(name), Cow::into_owned(value))).collect();
    let visitor = visitor_of(app, field(&fields, "token")).map_err(|error| {
        tracing::debug!(%error, "a form of the app's was refused: {error}");
        message(relay, StatusCode::FORBIDDEN, texts("").form_problem(error))
    })?;
    let Some(connection) = installed_connection(relay, &visitor.store_hash) else {
        return Err(message(relay, StatusCode::CONFLICT, said.uninstalled));
    };
    Ok(Form { visitor, connection, fields })
}
