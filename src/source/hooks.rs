//! Hooks as the relay sees them, whatever the kind of store.

use crate::secret::Secret;

/// Whether a hook carries the secret that the relay gives its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookToken {
    /// It shows the right one.
    Right,
    /// It shows none: it has none, or the store does not show it.
    Hidden,
    /// It shows another.
    Wrong,
}

/// One hook as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its number.
    pub id: i64,
    /// What it fires for: a scope of BigCommerce, a topic of WooCommerce.
    pub topic: String,
    /// Where it posts to.
    pub destination: String,
    /// Whether the store uses it.
    pub is_active: bool,
    /// Whether it carries the relay's secret.
    pub token: HookToken,
}

impl Hook {
    /// Whether it posts to this address; a trailing slash makes no difference.
    pub fn points_to(&self, destination: &str) -> bool {
        self.destination.trim_end_matches('/') == destination.trim_end_matches('/')
    }
}

/// A hook as the relay wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedHook {
    /// What it fires for.
    pub topic: String,
    /// Where it posts to.
    pub destination: String,
    /// What proves its callbacks: sent back by BigCommerce as `x-relay-token`, signed with by WooCommerce.
    pub secret: Secret,
}
