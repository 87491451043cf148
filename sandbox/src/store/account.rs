//! The API accounts of a store: which tokens it accepts, what each may do, and which hooks belong to which account.

use std::sync::{Arc, RwLock};

/// An API account: created in the store's control panel, or belonging to an installed app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiAccount {
    /// Owns its hooks: no other account of the store sees them.
    pub client_id: String,
    /// Signs the callbacks of the account's hooks.
    pub client_secret: String,
    /// Accepted as `X-Auth-Token`.
    pub token: String,
    /// The token's OAuth scopes; if empty, it may do everything.
    pub scopes: Vec<String>,
}

impl ApiAccount {
    /// Whether the token may do this, for which it needs any one of these scopes. An empty list needs none.
    pub fn may(&self, any_of: &[&str]) -> bool {
        any_of.is_empty() || self.scopes.is_empty() || self.scopes.iter().any(|scope| any_of.contains(&scope.as_str()))
    }
}

/// The accounts of one store.
#[derive(Debug)]
pub(crate) struct Accounts(RwLock<Vec<Arc<ApiAccount>>>);

impl Accounts {
    pub(crate) fn new(first: ApiAccount) -> Self {
        Self(RwLock::new(vec![Arc::new(first)]))
    }

    /// Adds an account; it replaces the client's former account, whose token is then invalid.
    pub(crate) fn grant(&self, account: ApiAccount) {
        let mut accounts = self.0.write().expect("no holder of this lock panics");
        accounts.retain(|other| other.client_id != account.client_id);
        accounts.push(Arc::new(account));
    }

    /// Returns whether there was such an account.
    pub(crate) fn revoke(&self, client_id: &str) -> bool {
        let mut accounts = self.0.write().expect("no holder of this lock panics");
        let before = accounts.len();
        accounts.retain(|account| account.client_id != client_id);
        accounts.len() < before
    }

    pub(crate) fn by_token(&self, token: &str) -> Option<Arc<ApiAccount>> {
        self.find(|account| account.token == token)
    }

    pub(crate) fn by_client(&self, client_id: &str) -> Option<Arc<ApiAccount>> {
        self.find(|account| account.client_id == client_id)
    }

    fn find(&self, fits: impl Fn(&ApiAccount) -> bool) -> Option<Arc<ApiAccount>> {
        let accounts = self.0.read().expect("no holder of this lock panics");
        accounts.iter().find(|account| fits(account)).cloned()
    }
}
