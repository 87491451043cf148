//! Instances: creating, showing, changing, switching off and on, ending.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode, header::HeaderValue},
    web,
};
use serde_json::Value;

use super::{Call, NEXT_PAGE, TOTAL_COUNT, Target, events::release, is_instance, listed, set_count, spec_of};
use crate::{
    connection::Connection,
    directory::{Change, DirectoryError},
    elements::{
        authorization::{new_token, token_digest},
        error::ApiError,
        instance::{CodeExchange, Draft, InstanceRequest, Surroundings, show},
    },
    humanize,
    inbox::{ConnectionState, PauseReason},
    secret::Secret,
    source::bigcommerce::install::oauth::{self, EXCHANGE_TIMEOUT, ExchangeError},
    spec::ConnectionSpec,
};

/// How often a change is validated again because another process has changed a connection meanwhile.
const TRIES: u32 = 3;

/// Answers `POST /instances` and `POST /elements/{keyOrId}/instances`.
pub(super) async fn create(
    call: &Call<'_>,
    payload: web::Payload,
    element: Option<&str>,
) -> Result<HttpResponse, ApiError> {
    if !call.caller.is_organization {
        return Err(ApiError::unauthorized());
    }
    let request = InstanceRequest::parse(&call.body(payload).await?, element)?;
    let draft = request.create(surroundings(call))?;
    let draft = settled(call, draft).await?;
    let token = new_token();
    let directory = &call.relay.services.directory;
    let connection = directory.create(draft.spec, ConnectionState::Active, Some(token_digest(&token)), true).await?;
    tracing::info!(connection = %connection.id, "connection {} has been made, as an instance", connection.id);
    Ok(answer(&connection, Some(&token)))
}

fn surroundings<'a>(call: &Call<'a>) -> Surroundings<'a> {
    let services = &call.relay.services;
    Surroundings { api_url: &services.settings.api_url, policy: services.http.policy() }
}

/// Completes a draft: checks where its URLs lead, and exchanges a code for a token.
async fn settled(call: &Call<'_>, mut draft: Draft) -> Result<Draft, ApiError> {
    let services = &call.relay.services;
    let policy = services.http.policy();
    for check in &draft.checks {
        check.judge(policy, policy.look_up(&check.url).await)?;
    }
    if let Some(CodeExchange { client_id, client_secret, code, context, scope, redirect_uri }) = draft.exchange.clone()
    {
        let exchange = oauth::CodeExchange { client_id, client_secret, code, scope, context, redirect_uri };
        let login_url = &services.settings.login_url;
        let far_call = services.far_calls.take_urgent().await;
        let grant = oauth::exchange(&services.http, login_url, &exchange, &[], EXCHANGE_TIMEOUT).await;
        drop(far_call);
        let grant = grant.map_err(|error| refused_code(&error))?;
        draft.set_token(&grant.store_hash, grant.access_token)?;
    }
    Ok(draft)
}

fn refused_code(error: &ExchangeError) -> ApiError {
    let message = "providerData.code cannot be exchanged for a token";
    match error {
        ExchangeError::SpentOrWrongCode | ExchangeError::Refused { .. } | ExchangeError::MissingScope => {
            ApiError::refused_by_store(message, error.to_string())
        }
        ExchangeError::LoginDown(failure) => ApiError {
            status: 502,
            message: format!("{message}: the login server cannot be asked; try again"),
            provider_message: Some(humanize::failure(*failure)),
        },
        ExchangeError::BadAnswer => {
            ApiError { status: 502, message: message.to_owned(), provider_message: Some(error.to_string()) }
        }
    }
}

fn view(connection: &Connection, token: Option<&Secret>, is_hydrated: bool) -> Option<Value> {
    let link = connection.link.as_ref()?;
    let view = show::InstanceView {
        id: connection.id,
        spec: &link.spec,
        created_at: connection.created_at,
        is_disabled: is_disabled(connection),
        is_valid: link.source.credentials().trouble().is_none(),
        token,
        is_hydrated,
    };
    Some(view.json())
}

/// Whether a client has switched an instance off. One that is paused because of its callback does not count.
pub(super) fn is_disabled(connection: &Connection) -> bool {
    let reason = connection.pause_reason.unwrap_or(PauseReason::Asked);
    connection.state == ConnectionState::Paused && reason == PauseReason::Asked
}

fn answer(connection: &Connection, token: Option<&Secret>) -> HttpResponse {
    super::super::json(StatusCode::OK, &view(connection, token, true))
}

/// Answers `GET /instances`: all of them by id, or those with one of the given tags.
pub(super) fn list(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let tags = call.parameters(&["tags[]", "tags"]);
    let is_hydrated = call.parameter("hydrate").as_deref() != Some("false");
    let after = match call.parameter("nextPage").filter(|token| !token.is_empty()) {
        Some(token) => token
            .parse::<i64>()
            .map_err(|_| ApiError::invalid("nextPage", "not a token of `Elements-Next-Page-Token`"))?,
        None => 0,
    };
    let own = call.caller.instance.as_ref().filter(|_| !call.caller.is_organization).map(|own| own.id);
    let mut found: Vec<Arc<Connection>> = call.relay.services.catalog.all();
    found.retain(|connection| {
        let has_tag = |spec: &crate::spec::InstanceSpec| spec.tags.iter().any(|tag| tags.contains(tag));
        is_instance(connection)
            && own.is_none_or(|own| own == connection.id)
            && (tags.is_empty() || spec_of(connection).is_some_and(has_tag))
    });
    found.sort_unstable_by_key(|connection| connection.id);
    let total = found.len();
    found.retain(|connection| connection.id.0 > after);
    let size = call.page_size()?.map_or(usize::MAX, |size| size as usize);
    let next = found.get(size.saturating_sub(1)).filter(|_| found.len() > size).map(|last| last.id);
    found.truncate(size);
    let mut response = listed(found.iter().filter_map(|connection| view(connection, None, is_hydrated)).collect());
    set_count(&mut response, TOTAL_COUNT, total as u64);
    if let Some(next) = next {
        response.headers_mut().insert(NEXT_PAGE, HeaderValue::from(next.0));
    }
    Ok(response)
}

/// Answers `GET /instances/{id}`.
pub(super) fn show(call: &Call<'_>, target: &Target) -> Result<HttpResponse, ApiError> {
    Ok(answer(&*call.instance(target)?, None))
}

/// Answers `GET /instances[/{id}]/configuration`.
pub(super) fn configuration(call: &Call<'_>, target: &Target) -> Result<HttpResponse, ApiError> {
    let connection = call.instance(target)?;
    let entries = spec_of(&connection).map(|spec| show::configuration_list(&spec.configuration));
    match entries {
        Some(Value::Array(entries)) => Ok(listed(entries)),
        _ => Ok(listed(Vec::new())),
    }
}

/// Answers `PUT` and `PATCH /instances[/{id}]`. New credentials are tried first; if they are refused, nothing changes.
pub(super) async fn change(call: &Call<'_>, payload: web::Payload, target: &Target) -> Result<HttpResponse, ApiError> {
    let mut connection = call.instance(target)?;
    let request = InstanceRequest::parse(&call.body(payload).await?, None)?;
    let services = &call.relay.services;
    for _ in 0..TRIES {
        let Some(link) = &connection.link else { break };
        let asked = request.clone();
        let draft = match *call.request.method() == Method::PATCH {
            true => asked.merge(&link.spec, surroundings(call))?,
            false => asked.replace(&link.spec, surroundings(call))?,
        };
        let has_code = draft.exchange.is_some();
        let draft = settled(call, draft).await?;
        if draft.has_new_credentials {
            services.directory.verify(&draft.spec).await?;
        }
        // Concurrent changes must not be undone, so the change is applied anew; not with a code, which is good for
        // one exchange only.
        let current = call.instance(target)?;
        if !Arc::ptr_eq(&current, &connection) && !has_code {
            connection = current;
            continue;
        }
        match apply(call, &connection, draft.spec).await? {
            Some(changed) => return Ok(answer(&changed, None)),
            None if has_code => break,
            None => connection = call.instance(target)?,
        }
    }
    Err(ApiError::new(409, "the instance is being changed by others at the same time; try again"))
}

/// Applies a change. `None` if another process has changed the instance first.
async fn apply(call: &Call<'_>, old: &Connection, spec: ConnectionSpec) -> Result<Option<Arc<Connection>>, ApiError> {
    let services = &call.relay.services;
    let Some(link) = &old.link else { return Err(ApiError::not_found("no such instance")) };
    let has_events = |spec: &ConnectionSpec| spec.instance.as_ref().is_some_and(|instance| instance.has_events);
    let drops_hooks = link.spec.has_webhooks && !spec.has_webhooks;
    let has_new_callback = spec.destination.is_some() && spec.destination != link.spec.destination;
    let change = Change {
        // Changes count from the time at which events are enabled.
        begins_anew: has_events(&spec) && !has_events(&link.spec),
        spec: Some(spec).filter(|spec| *spec != link.spec),
        former: Some(link.spec.clone()),
        ..Change::default()
    };
    let changed = match services.directory.change(old.id, change).await {
        Err(DirectoryError::Overtaken(_)) => return Ok(None),
        done => done?,
    };
    if drops_hooks && let Err(error) = services.registrar.remove(old).await {
        // Webhooks that these hooks still send are stored as before.
        tracing::warn!(connection = %old.id, %error, "connection {}: its hooks could not be removed: {error}", old.id);
    }
    if has_new_callback && changed.state == ConnectionState::Active {
        release(services, &changed, false).await?;
    }
    Ok(Some(changed))
}

/// Answers `PUT` and `DELETE /instances[/{id}]/enabled`.
pub(super) async fn enable(call: &Call<'_>, target: &Target, is_enabled: bool) -> Result<HttpResponse, ApiError> {
    let connection = call.instance(target)?;
    let state = match is_enabled {
        true => (ConnectionState::Active, None),
        false => (ConnectionState::Paused, Some(PauseReason::Asked)),
    };
    let change = Change { state: Some(state), ..Change::default() };
    let connection = match (connection.state, connection.pause_reason) == state {
        true => connection,
        false => call.relay.services.directory.change(connection.id, change).await?,
    };
    Ok(answer(&connection, None))
}

/// Answers `DELETE /instances[/{id}]`: removes its hooks and wipes its credentials; its token is no longer valid.
pub(super) async fn end(call: &Call<'_>, target: &Target) -> Result<HttpResponse, ApiError> {
    let connection = call.instance(target)?;
    call.relay.services.directory.end_with_hooks(connection.id).await?;
    Ok(HttpResponse::Ok().finish())
}
