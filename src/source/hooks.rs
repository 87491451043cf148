//! Hooks of any kind of store, in one type.

use crate::secret::Secret;

/// Whether a hook carries the secret that the relay sets on its own hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookToken {
    /// It shows the right secret.
    Right,
    /// It shows no secret: it has none, or the store does not show it.
    Hidden,
    /// It shows a different secret.
    Wrong,
}

/// A hook as registered at the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The hook's id at the store.
    pub id: i64,
    /// The event that it fires for: a scope of BigCommerce, a topic of WooCommerce.
    pub topic: String,
    /// The URL that it posts to.
    pub destination: String,
    /// Whether the store has it switched on.
    pub is_active: bool,
    /// Whether it carries the relay's secret.
    pub token: HookToken,
}

impl Hook {
    /// Whether it posts to this URL; a trailing slash makes no difference.
    pub fn points_to(&self, destination: &str) -> bool {
        self.destination.trim_end_matches('/') == destination.trim_end_matches('/')
    }
}

/// A hook as the relay wants it registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedHook {
    /// The event that it fires for.
    pub topic: String,
    /// The URL that it posts to.
    pub destination: String,
    /// The secret that proves its webhooks: BigCommerce sends it back as `x-relay-token`, WooCommerce signs with it.
    pub secret: Secret,
}
