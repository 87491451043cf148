//! The status page as merchants see it in the control panel.

use actix_web::{HttpResponse, http::StatusCode};
use jiff::tz::TimeZone;

use super::{
    super::{
        Relay, pages,
        status::{self, Audience, Backfill, Frame, Merchant},
    },
    App,
    backfill::EARLIEST,
    forms,
    visitor::Visitor,
};
use crate::{checker::Examined, connection::Connection, reconcile::requested::Offer};

/// The path from the addresses that BigCommerce opens to the relay's root.
pub(super) const OPENED_ROOT: &str = "../";

/// Additional content of the page, mostly the result of a form.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What was just done.
    pub notice: Option<String>,
    /// What is wrong with the payload URL that was entered.
    pub destination_error: Option<String>,
    /// What is wrong with the date that was entered.
    pub backfill_error: Option<String>,
    /// The date that was entered, and how many orders were counted.
    pub counted: Option<(String, u64)>,
    /// The order that was searched for.
    pub order: Option<String>,
}

impl Said {
    /// Only a notice.
    pub fn notice(notice: impl Into<String>) -> Self {
        Self { notice: Some(notice.into()), ..Self::default() }
    }

    fn status(&self) -> StatusCode {
        match self.destination_error.is_some() || self.backfill_error.is_some() {
            true => StatusCode::UNPROCESSABLE_ENTITY,
            false => StatusCode::OK,
        }
    }
}

/// Shows what is known of the connection; old checks run again meanwhile. `root` is the path from the request's
/// address to the relay's root.
pub(super) async fn show(
    relay: &Relay,
    app: &App,
    connection: &Connection,
    visitor: &Visitor,
    root: &str,
    said: Said,
) -> HttpResponse {
    // The page is to be there at once: their result is shown when it renews itself.
    drop(pages::renew_checks(relay, connection));
    let examined = relay.checker.examine(&relay.services, connection).await;
    show_examined(relay, app, connection, visitor, (root, examined), said).await
}

/// Shows the page of a connection that has been examined or checked; `root` as in [`show`].
pub(super) async fn show_examined(
    relay: &Relay,
    app: &App,
    connection: &Connection,
    visitor: &Visitor,
    (root, examined): (&str, Examined),
    said: Said,
) -> HttpResponse {
    let status = said.status();
    let token = forms::token_for(app, visitor);
    let latest = jiff::Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
    let ask = match &said.counted {
        Some((since, count)) => Backfill::Counted { since, count: *count },
        None => Backfill::Ask { earliest: EARLIEST, latest: &latest, error: said.backfill_error.as_deref() },
    };
    let offer = offer(relay, connection).await;
    let is_running = matches!(offer, Offer::Running(_));
    let found = || relay.services.past_orders.wanted(connection.id);
    let progress = is_running.then(|| (visitor.texts.page.backfill_running)(found()));
    let merchant = Merchant {
        root,
        token: &token,
        backfill: (offer == Offer::Open).then_some(ask),
        destination_error: said.destination_error.as_deref(),
        can_resend: true,
    };
    let notice = said.notice.or(progress);
    let audience = Audience::Merchant(merchant);
    let page = pages::status_page(relay, connection, examined, said.order, notice.as_deref(), audience).await;
    status::respond(status, &page, Frame::App(&relay.services.settings.frame_ancestors))
}

/// Whether past orders are still offered. They are not without a payload URL, nor while the inbox cannot be read.
async fn offer(relay: &Relay, connection: &Connection) -> Offer {
    if connection.destination_host.is_none() {
        return Offer::Closed;
    }
    let read = Offer::read(relay.services.inbox.as_ref(), connection.id).await;
    read.unwrap_or_else(|error| {
        let id = connection.id;
        tracing::warn!(connection = %id, %error, "connection {id}: past orders are not offered now: {error}");
        Offer::Closed
    })
}
