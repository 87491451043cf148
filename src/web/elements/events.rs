//! Shows the notifications that were sent, and releases those that wait.

use std::sync::Arc;

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::json;

use super::{Call, Target, is_instance, listed, printable, spec_of};
use crate::{
    clock::Timestamp,
    connection::Connection,
    destination::cloud_elements::event_record,
    directory::Change,
    elements::{
        ceql::{Expression, Operator, Term},
        error::ApiError,
        instance::show,
    },
    inbox::{ConnectionState, Notification, NotificationStatus, PauseReason},
    services::Services,
};

/// Most events of an answer if the client does not say.
const DEFAULT_PAGE: u32 = 200;

fn element_key(connection: &Connection) -> &str {
    spec_of(connection).map_or("", |spec| &spec.element_key)
}

/// Answers `GET /instances[/{id}]/events`, the newest first.
pub(super) async fn list(call: &Call<'_>, target: &Target) -> Result<HttpResponse, ApiError> {
    let connection = call.instance(target)?;
    let limit = call.page_size()?.unwrap_or(DEFAULT_PAGE);
    let notifications = call.relay.services.inbox.notifications(connection.id, limit).await?;
    let key = element_key(&connection);
    Ok(listed(notifications.iter().map(|notification| event_record(notification, key)).collect()))
}

/// Answers `GET /instances[/{id}]/events/{eventId}`.
pub(super) async fn show(call: &Call<'_>, target: &Target, id: &str) -> Result<HttpResponse, ApiError> {
    let connection = call.instance(target)?;
    let notification = call.relay.services.inbox.notification(connection.id, id).await?;
    let nothing = || ApiError::not_found(format!("No event found with ID {}", printable(id)));
    let notification = notification.ok_or_else(nothing)?;
    Ok(super::super::json(StatusCode::OK, &event_record(&notification, element_key(&connection))))
}

/// The deliveries that a clause selects.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    status: Option<NotificationStatus>,
    url: Option<String>,
    /// Set if no delivery can have the status or channel asked for.
    is_nothing: bool,
}

impl Wanted {
    fn parse(clause: &str) -> Result<Self, ApiError> {
        let expression = Expression::parse(clause).map_err(|error| ApiError::new(400, error.to_string()))?;
        let terms = expression.conjunction().ok_or_else(|| ApiError::invalid("where", "`OR` is not possible here"))?;
        let mut wanted = Self::default();
        for term in terms {
            wanted.add(term)?;
        }
        Ok(wanted)
    }

    fn add(&mut self, term: &Term) -> Result<(), ApiError> {
        let value = term.values.first().map(String::as_str).unwrap_or_default();
        if term.operator != Operator::Equal {
            return Err(ApiError::invalid("where", format!("`{} {}` is not possible here", term.field, term.operator)));
        }
        match (term.field.as_str(), value) {
            ("channel", channel) => self.is_nothing |= channel != "webhook",
            ("status", "queued") => self.status = Some(NotificationStatus::Queued),
            ("status", "retry") => self.status = Some(NotificationStatus::Retry),
            ("status", _) => self.is_nothing = true,
            ("config.url", url) => self.url = Some(url.to_owned()),
            (field, _) => {
                let problem = format!("`{field}` is none of `channel`, `status` and `config.url`");
                return Err(ApiError::invalid("where", problem));
            }
        }
        Ok(())
    }

    fn fits(&self, connection: &Connection) -> bool {
        let url = || Some(connection.link.as_ref()?.spec.destination.as_ref()?.url().expose().to_owned());
        let same = |asked: &str, url: &str| asked.trim_end_matches('/') == url.trim_end_matches('/');
        let is_callback = self.url.as_ref().is_none_or(|asked| url().is_some_and(|url| same(asked, &url)));
        !self.is_nothing && is_callback && is_instance(connection)
    }
}

/// Whether a connection is paused because of its callback.
fn is_stuck(connection: &Connection) -> bool {
    connection.state == ConnectionState::Paused
        && matches!(connection.pause_reason, Some(PauseReason::CallbackGone | PauseReason::RetriesExhausted))
}

/// Answers `PUT /notifications/subscriptions/deliveries?where=…`: connections that were paused because of their
/// callbacks resume, and what waits is due now. An instance that its client has switched off stays off.
pub(super) async fn release_queue(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let clause = call.parameter("where").filter(|clause| !clause.trim().is_empty());
    let wanted = Wanted::parse(&clause.ok_or_else(|| ApiError::missing("where"))?)?;
    let services = &call.relay.services;
    let concerned: Vec<Arc<Connection>> = match &call.caller.instance {
        Some(instance) => vec![instance.clone()],
        None => services.catalog.all(),
    };
    let mut released = Vec::new();
    for connection in concerned.iter().filter(|connection| wanted.fits(connection)) {
        let is_going = connection.state == ConnectionState::Active && wanted.status == Some(NotificationStatus::Retry);
        if !is_going && !is_stuck(connection) {
            continue;
        }
        let notifications = release(services, connection, is_stuck(connection)).await?;
        released.extend(notifications.iter().map(|one| delivery(one, element_key(connection))));
    }
    Ok(listed(released))
}

/// A delivery in the vendor's form, without its content.
fn delivery(notification: &Notification, element_key: &str) -> serde_json::Value {
    let connection = notification.connection;
    json!({
        "notificationId": notification.id,
        "subscriptionId": connection,
        "status": "retry",
        "createdDate": show::date(notification.created_at),
        "updatedDate": show::date(Timestamp::now()),
        "topics": [format!("instance-{connection}-{element_key}-events")]
    })
}

/// Makes failed and waiting notifications due now, with a new retry schedule; with `activates`, a paused connection
/// then resumes. Returns those notifications.
pub(super) async fn release(
    services: &Services,
    connection: &Connection,
    activates: bool,
) -> Result<Vec<Notification>, ApiError> {
    let (inbox, id) = (&services.inbox, connection.id);
    let mut released = Vec::new();
    for mut notification in inbox.outstanding(id).await? {
        if notification.attempts == 0 && notification.status == NotificationStatus::Retry {
            // It is being sent for the first time.
            continue;
        }
        notification.status = NotificationStatus::Retry;
        (notification.attempts, notification.failed_at) = (0, None);
        notification.retry_at = Some(Timestamp::now());
        inbox.save_notification(notification.clone()).await?;
        released.push(notification);
    }
    if activates {
        let change = Change { state: Some((ConnectionState::Active, None)), ..Change::default() };
        services.directory.change(id, change).await?;
        tracing::info!(connection = %id, "connection {id} goes on: its queue is released");
    }
    inbox.recover(id).await?;
    Ok(released)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_name_deliveries() {
        let queued = Wanted { status: Some(NotificationStatus::Queued), url: None, is_nothing: false };
        assert_eq!(Wanted::parse("channel='webhook' and status='queued'"), Ok(queued));
        let with_url = Wanted::parse("channel = 'webhook' AND config.url = 'https://x.example/a'");
        assert_eq!(with_url.map(|wanted| wanted.url), Ok(Some("https://x.example/a".to_owned())));
        assert!(Wanted::parse("channel='sms'").is_ok_and(|wanted| wanted.is_nothing));
        for wrong in ["nonsense", "status>'queued'", "owner='me'", "status='queued' or status='retry'"] {
            assert_eq!(Wanted::parse(wrong).map_err(|error| error.status), Err(400), "{wrong}");
        }
    }
}
