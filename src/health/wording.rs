//! Names for use in sentences, and how to change a setting, which depends on the way the connection was made.

use crate::{
    health::facts::ConnectionFacts,
    humanize,
    inbox::ConnectionState,
    spec::{DestinationKind, Origin, SourceKind},
};

/// The title of a connection of which no more is known than its state.
pub fn state_title(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Active => "Connected",
        ConnectionState::Paused => "Paused",
        ConnectionState::Incomplete => "One step is left",
        ConnectionState::Disconnected => "Disconnected",
    }
}

/// The title of orders that have failed.
pub fn failed_title(count: u64) -> String {
    format!("{} failed", humanize::count(count, "order"))
}

/// A cure that is no merchant's: it names variables and the like.
pub(super) fn operator(cure: &str) -> String {
    format!("Whoever runs the relay: {cure}")
}

impl ConnectionFacts {
    /// The store's side, as the subject of a sentence.
    pub fn store_name(&self) -> &'static str {
        match self.source {
            SourceKind::BigCommerce => "BigCommerce",
            SourceKind::WooCommerce => "The shop",
        }
    }

    /// The same within a sentence.
    pub(super) fn store_within(&self) -> &'static str {
        match self.source {
            SourceKind::BigCommerce => "BigCommerce",
            SourceKind::WooCommerce => "the shop",
        }
    }

    /// The destination's side, as the subject of a sentence.
    pub fn destination_name(&self) -> &'static str {
        match self.destination {
            Some(DestinationKind::CloudElements) => "The callback",
            _ => "One Tribe",
        }
    }

    /// The same within a sentence.
    pub(super) fn destination_within(&self) -> &'static str {
        match self.destination {
            Some(DestinationKind::CloudElements) => "the callback",
            _ => "One Tribe",
        }
    }

    /// The name of the store's credentials.
    pub(super) fn credentials(&self) -> &'static str {
        match self.source {
            SourceKind::BigCommerce => "access token",
            SourceKind::WooCommerce => "keys",
        }
    }

    /// The store's name for people, safe to show: its own name for itself, or its hash or address.
    pub fn store_label(&self) -> String {
        let label = self.label.as_ref().map(|label| label.name.trim()).filter(|name| !name.is_empty());
        humanize::printable(label.unwrap_or(&self.store)).into_owned()
    }

    /// How to renew the store's credentials, the way that this connection was made.
    pub(super) fn renew_credentials(&self) -> String {
        let id = self.id;
        match (self.origin, self.source) {
            (Origin::Environment, _) => operator(
                "set BIGCOMMERCE_ACCESS_TOKEN anew (and BIGCOMMERCE_CLIENT_SECRET, if the API account is a new one) and restart the relay.",
            ),
            (Origin::App, _) => "Open the app in BigCommerce once: that gives the relay a new access token.".to_owned(),
            (Origin::Api, SourceKind::BigCommerce) => operator(&format!(
                "enter a new access token under Settings on this page (or `PATCH /connections/{id}` with `{{\"source\":{{\"access_token\":…}}}}`)."
            )),
            (Origin::Api, SourceKind::WooCommerce) => format!(
                "Make new keys with Read/Write in WooCommerce (Settings, Advanced, REST API). {}",
                operator(&format!(
                    "enter them under Settings on this page (or `PATCH /connections/{id}` with `{{\"source\":{{\"consumer_key\":…,\"consumer_secret\":…}}}}`)."
                ))
            ),
            (Origin::Instance, SourceKind::BigCommerce) => {
                format!("Update instance {id} with a valid `oauth.user.token`.")
            }
            (Origin::Instance, SourceKind::WooCommerce) => {
                format!("Update instance {id} with valid `username` and `password` (consumer key and secret).")
            }
        }
    }

    /// How to grant the permission to read orders.
    pub(super) fn grant_rights(&self) -> String {
        match (self.origin, self.source) {
            (Origin::App, _) => {
                "Open the app in BigCommerce once and accept what it asks for (Orders: read-only).".to_owned()
            }
            (_, SourceKind::BigCommerce) => {
                "In BigCommerce, give the API account the scope Orders: read-only (or make a new one that has it)."
                    .to_owned()
            }
            (_, SourceKind::WooCommerce) => {
                "In WooCommerce, the keys must belong to an administrator or shop manager and have Read/Write (Settings, Advanced, REST API).".to_owned()
            }
        }
    }

    /// How to correct the name of the store.
    pub(super) fn name_the_store(&self) -> String {
        let id = self.id;
        match (self.origin, self.source) {
            (Origin::Environment, _) => operator(
                "check BIGCOMMERCE_STORE_HASH, the part after `stores/` in the API path. Set it anew and restart the relay.",
            ),
            (Origin::App, _) => "Open the app in BigCommerce once, or install it again.".to_owned(),
            (Origin::Api, SourceKind::BigCommerce) => operator(&format!(
                "check the store hash, the part after `stores/` in the API path. End connection {id} and connect the right store."
            )),
            (Origin::Api, SourceKind::WooCommerce) => {
                "Check the shop's address, and that its REST API is reachable.".to_owned()
            }
            (Origin::Instance, SourceKind::BigCommerce) => {
                format!("Update instance {id} with the right `store.url` or `store.hash`.")
            }
            (Origin::Instance, SourceKind::WooCommerce) => format!("Update instance {id} with the right `store.url`."),
        }
    }

    /// How to correct the address of the destination.
    pub(super) fn renew_destination(&self) -> String {
        let id = self.id;
        match self.origin {
            Origin::Environment => {
                "Copy the payload URL from One Tribe once more; whoever runs the relay sets it as ONE_TRIBE_DESTINATION and restarts the relay."
                    .to_owned()
            }
            Origin::App => "Copy the payload URL from One Tribe once more and enter it under Settings below.".to_owned(),
            Origin::Api if self.destination == Some(DestinationKind::CloudElements) => {
                format!("Give the connection the right `callback_url`: `PATCH /connections/{id}`.")
            }
            Origin::Api => format!(
                "Copy the payload URL from One Tribe once more; whoever runs the relay enters it under Settings on this page (or `PATCH /connections/{id}` with `{{\"destination\":…}}`)."
            ),
            Origin::Instance => {
                format!("Update instance {id} with the right `event.notification.callback.url`.")
            }
        }
    }

    /// How to correct the secret that verifies webhooks.
    pub(super) fn renew_secret(&self) -> String {
        match self.origin {
            Origin::Environment => operator(
                "set BIGCOMMERCE_CLIENT_SECRET to the client secret of the API account that BIGCOMMERCE_ACCESS_TOKEN belongs to, and restart the relay.",
            ),
            Origin::App => {
                operator("compare BIGCOMMERCE_APP_CLIENT_SECRET with the Developer Portal's and restart the relay.")
            }
            Origin::Api | Origin::Instance if self.source == SourceKind::WooCommerce => {
                "Click Update Integration: the relay agrees on a new secret with the shop.".to_owned()
            }
            Origin::Api | Origin::Instance => operator(&format!(
                "enter the client secret of the API account that the access token belongs to under Settings on this page (or `PATCH /connections/{}` with `{{\"source\":{{\"client_secret\":…}}}}`).",
                self.id
            )),
        }
    }

    /// How to switch polling on again.
    pub(super) fn enable_polling(&self) -> String {
        operator(match self.origin {
            Origin::Instance => "set `event.poller.refresh_interval`, or remove RECONCILE_INTERVAL.",
            _ => "remove RECONCILE_INTERVAL, or set it to a duration such as 15m.",
        })
    }

    /// What is done about a destination that is away: the breaker probes it once a minute at least.
    pub(super) fn wait_for_destination(&self) -> String {
        let within = self.destination_within();
        format!("Nothing to do at first: the relay tries every minute, and orders go out when {within} is back.")
    }

    /// What happens to new orders while no webhooks come.
    pub(super) fn meanwhile(&self) -> String {
        match self.poll_interval {
            Some(interval) => {
                format!("Meanwhile the relay looks for new orders itself, up to {} late.", humanize::span(interval))
            }
            None => "New orders are not found meanwhile (RECONCILE_INTERVAL is 0: polling is switched off).".to_owned(),
        }
    }

    /// Whether webhooks are expected.
    pub(super) fn expects_webhooks(&self) -> bool {
        self.has_webhooks && self.public_url.is_some()
    }
}
