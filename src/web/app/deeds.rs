//! Carries out the page's forms. Each answers with the resulting page: a redirect would have to put the token into
//! its URL.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use url::Url;

use super::{
    super::{Relay, integration::mend, notices::Notice, pages},
    App, TRIES, backfill,
    forms::{self, Form},
    page::{self, Said},
    served, unavailable,
};
use crate::{
    clock::Timestamp,
    connection::{Connection, request::check_addresses},
    directory::{Change, DirectoryError},
    inbox::{ConnectionState, InboxError, ObjectState, PauseReason, Wanted},
    object::{ObjectId, ResourceName},
    spec::{
        ConnectionSpec, DestinationSpec,
        payload_url::{PayloadUrlProblem, check_payload_url},
    },
};

/// The path from the forms' addresses to the relay's root.
const ROOT: &str = "../../";

/// The app and a verified form; otherwise returns the refusal from the function.
macro_rules! proven {
    ($relay:expr, $request:expr, $payload:expr) => {{
        let app = match served(&$relay) {
            Ok(app) => app,
            Err(nowhere) => return nowhere,
        };
        match forms::read(&$relay, app, &$request, $payload).await {
            Ok(form) => (app, form),
            Err(refused) => return refused,
        }
    }};
}

/// The page as it is now.
async fn answer(relay: &Relay, app: &App, connection: &Connection, form: &Form, said: Said) -> HttpResponse {
    page::show(relay, app, connection, &form.visitor, ROOT, said).await
}

/// Runs the checks, then shows the page.
async fn checked(relay: &Relay, app: &App, connection: &Connection, form: &Form, said: Said) -> HttpResponse {
    let examined = relay.checker.check(&relay.services, connection).await;
    page::show_examined(relay, app, connection, &form.visitor, (ROOT, examined), said).await
}

/// The page that says why a connection was not changed.
fn not_changed(relay: &Relay, form: &Form, error: &DirectoryError) -> HttpResponse {
    let texts = form.visitor.texts;
    match error {
        DirectoryError::Disconnected(_) | DirectoryError::Unknown(_) => {
            super::message(relay, actix_web::http::StatusCode::CONFLICT, texts.form.uninstalled)
        }
        DirectoryError::Inbox(error) => unavailable(relay, error, texts.form.not_saved),
        error => {
            let id = form.connection.id;
            tracing::error!(connection = %id, %error, "connection {id}: the app could not change it: {error}");
            super::message(relay, actix_web::http::StatusCode::SERVICE_UNAVAILABLE, texts.form.not_saved)
        }
    }
}

fn not_written(relay: &Relay, form: &Form, error: &InboxError) -> HttpResponse {
    unavailable(relay, error, form.visitor.texts.form.not_saved)
}

/// Changes the connection, one change at a time. `change` gets the current connection and returns the change, if any;
/// it is called again if another replica has changed a connection meanwhile.
async fn changed(
    relay: &Relay,
    app: &App,
    form: &Form,
    change: impl Fn(&Connection) -> Option<Change>,
) -> Result<Arc<Connection>, DirectoryError> {
    let (id, services) = (form.connection.id, &relay.services);
    let _changing = app.changing.lock().await;
    for _ in 0..TRIES {
        services.directory.refresh().await?;
        let current = services.connection(id).ok_or(DirectoryError::Unknown(id))?;
        if current.state == ConnectionState::Disconnected {
            return Err(DirectoryError::Disconnected(id));
        }
        let Some(change) = change(&current) else { return Ok(current) };
        match services.directory.change(id, change).await {
            Err(DirectoryError::Overtaken(_)) => {}
            done => return done,
        }
    }
    Err(DirectoryError::Overtaken(id))
}

/// The payload URL of the form, if it is acceptable.
async fn payload_url(relay: &Relay, form: &Form) -> Result<Url, PayloadUrlProblem> {
    let services = &relay.services;
    let url = check_payload_url(form.field("destination"), &services.settings.one_tribe_hosts, services.http.policy())?;
    let Some(link) = &form.connection.link else { return Ok(url) };
    let asked = with_destination(&link.spec, &url);
    let looked_up = check_addresses(&asked, services.http.policy()).await;
    looked_up.map(|()| url).map_err(|_| PayloadUrlProblem::PrivateAddress)
}

fn with_destination(spec: &ConnectionSpec, url: &Url) -> ConnectionSpec {
    let destination = Some(DestinationSpec::OneTribe { url: url.as_str().into() });
    ConnectionSpec { destination, ..spec.clone() }
}

/// Stores a payload URL whose form and host have been checked, then ensures the hooks and runs the checks.
pub(super) async fn destination(
    request: HttpRequest,
    payload: web::Payload,
    relay: web::Data<Arc<Relay>>,
) -> HttpResponse {
    let (app, form) = proven!(relay, request, payload);
    let texts = form.visitor.texts;
    let url = match payload_url(&relay, &form).await {
        Ok(url) => url,
        Err(problem) => {
            // Never the URL itself: any part of it may be the token.
            let id = form.connection.id;
            tracing::info!(connection = %id, "connection {id}: a payload URL was refused: it {problem}");
            let error = texts.payload_url_problem(problem, &relay.services.settings.one_tribe_hosts);
            let said = Said { destination_error: Some(error), ..Said::default() };
            return answer(&relay, app, &form.connection, &form, said).await;
        }
    };
    let change = |current: &Connection| {
        let link = current.link.as_ref()?;
        let spec = with_destination(&link.spec, &url);
        let is_first = current.state == ConnectionState::Incomplete;
        let state = is_first.then_some((ConnectionState::Active, None));
        let former = Some(link.spec.clone());
        (is_first || spec != link.spec).then(|| Change { spec: Some(spec), former, state, ..Change::default() })
    };
    match changed(&relay, app, &form, change).await {
        Ok(connection) => {
            let id = connection.id;
            tracing::info!(connection = %id, "connection {id}: its payload URL was set in the app");
            mend(&relay, &connection).await;
            let said = Said::notice(texts.page.payload_url_saved);
            // Only form and host of a newly entered payload URL have been checked; its host is called by the next
            // check.
            let examined = relay.checker.check_source(&relay.services, &connection).await;
            page::show_examined(&relay, app, &connection, &form.visitor, (ROOT, examined), said).await
        }
        Err(error) => not_changed(&relay, &form, &error),
    }
}

/// Runs the checks; with a field `order`, looks up that order instead. A page that renews itself sends a field `root`,
/// the path from its own address to the relay's root: only old checks run again for it.
pub(super) async fn check(request: HttpRequest, payload: web::Payload, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let (app, form) = proven!(relay, request, payload);
    if let Some(root) = [page::OPENED_ROOT, ROOT].into_iter().find(|root| *root == form.field("root")) {
        pages::checks_renewed(&relay, &form.connection).await;
        return page::show(&relay, app, &form.connection, &form.visitor, root, Said::default()).await;
    }
    let order = form.field("order").to_owned();
    if order.is_empty() {
        return checked(&relay, app, &form.connection, &form, Said::default()).await;
    }
    let said = Said { order: Some(order), ..Said::default() };
    answer(&relay, app, &form.connection, &form, said).await
}

/// Registers or repairs the hooks, then runs the checks.
pub(super) async fn update(request: HttpRequest, payload: web::Payload, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let (app, form) = proven!(relay, request, payload);
    let done = mend(&relay, &form.connection).await;
    checked(&relay, app, &form.connection, &form, Said::notice(done)).await
}

/// Pauses an active connection.
pub(super) async fn pause(request: HttpRequest, payload: web::Payload, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let (app, form) = proven!(relay, request, payload);
    let change = |current: &Connection| {
        let state = Some((ConnectionState::Paused, Some(PauseReason::Asked)));
        (current.state == ConnectionState::Active).then(|| Change { state, ..Change::default() })
    };
    match changed(&relay, app, &form, change).await {
        Ok(connection) if connection.state == ConnectionState::Paused => {
            let said = Said::notice(form.visitor.texts.page.paused_help);
            answer(&relay, app, &connection, &form, said).await
        }
        Ok(connection) => answer(&relay, app, &connection, &form, Said::default()).await,
        Err(error) => not_changed(&relay, &form, &error),
    }
}

/// Resumes a paused connection.
pub(super) async fn resume(request: HttpRequest, payload: web::Payload, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let (app, form) = proven!(relay, request, payload);
    let change = |current: &Connection| {
        let has_destination = current.link.as_ref().is_some_and(|link| link.spec.destination.is_some());
        let state = if has_destination { ConnectionState::Active } else { ConnectionState::Incomplete };
        (current.state == ConnectionState::Paused).then(|| Change { state: Some((state, None)), ..Change::default() })
    };
    match changed(&relay, app, &form, change).await {
        Ok(connection) => answer(&relay, app, &connection, &form, Said::default()).await,
        Err(error) => not_changed(&relay, &form, &error),
    }
}

/// Resends one order, or all that failed or are gone.
pub(super) async fn resend(request: HttpRequest, payload: web::Payload, relay: web::Data<Arc<Relay>>) -> HttpResponse {
    let (app, form) = proven!(relay, request, payload);
    let (inbox, id, now) = (&relay.services.inbox, form.connection.id, Timestamp::now());
    let state = form.field("state").parse().ok();
    let order = form.field("order").parse::<ObjectId>().ok().filter(|order| order.number().is_some());
    let done = match (order, state) {
        (Some(order), _) => {
            let wanted = vec![Wanted::updated(order.clone())];
            let kept = inbox.want(id, ResourceName::orders(), wanted, true, now).await;
            kept.map(|()| Some(Notice::OrderResent(order)))
        }
        // Delivered orders are not resent in bulk: each one may request money again.
        (None, Some(state @ (ObjectState::Failed | ObjectState::Gone))) => {
            inbox.want_all(id, state, now).await.map(|count| Some(Notice::OrdersResent(count)))
        }
        _ => Ok(None),
    };
    match done {
        Ok(Some(notice)) => {
            let sentence = notice.sentence();
            tracing::info!(connection = %id, "connection {id}: asked in the app: {sentence}");
            answer(&relay, app, &form.connection, &form, Said::notice(sentence)).await
        }
        Ok(None) => answer(&relay, app, &form.connection, &form, Said::default()).await,
        Err(error) => not_written(&relay, &form, &error),
    }
}

/// Counts past orders, starts forwarding them, or stores that none are wanted.
pub(super) async fn backfill(
    request: HttpRequest,
    payload: web::Payload,
    relay: web::Data<Arc<Relay>>,
) -> HttpResponse {
    let (app, form) = proven!(relay, request, payload);
    let page = &form.visitor.texts.page;
    let (since, step, connection) = (form.field("since"), form.field("step"), &form.connection);
    let (answer_kept, notice) = match (step, backfill::beginning(since)) {
        // The page offers this only to connections with a payload URL.
        _ if connection.destination_host.is_none() => {
            return answer(&relay, app, connection, &form, Said::default()).await;
        }
        ("decline", _) => (backfill::answer(&relay, app, connection.id, None).await, page.backfill_declined),
        ("start", Some(at)) => (backfill::answer(&relay, app, connection.id, Some(at)).await, page.backfill_started),
        (_, at) => {
            let said = counted(&relay, &form, at).await;
            return answer(&relay, app, connection, &form, said).await;
        }
    };
    match answer_kept {
        Ok(()) => answer(&relay, app, connection, &form, Said::notice(notice)).await,
        Err(error) => not_changed(&relay, &form, &error),
    }
}

/// Counts past orders; the page says how many there are, or why that is not known.
async fn counted(relay: &Relay, form: &Form, since: Option<Timestamp>) -> Said {
    let (page, connection) = (&form.visitor.texts.page, &form.connection);
    let Some(at) = since else {
        return Said { backfill_error: Some(page.backfill_bad_date.to_owned()), ..Said::default() };
    };
    match backfill::count(relay, connection, at).await {
        Ok(count) => {
            let notice = (!count.is_whole).then(|| (page.backfill_at_least)(count.orders));
            Said { notice, counted: Some((form.field("since").to_owned(), count.orders)), ..Said::default() }
        }
        Err(error) => {
            let id = connection.id;
            tracing::warn!(connection = %id, %error, "connection {id}: past orders could not be counted: {error}");
            Said { backfill_error: Some(page.backfill_not_counted.to_owned()), ..Said::default() }
        }
    }
}
