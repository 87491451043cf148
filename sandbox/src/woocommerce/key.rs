//! A pair of keys of the REST API.

use super::config::KeyRights;

/// A pair of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopKey {
    /// The consumer key, `ck_…`.
    pub consumer_key: String,
    /// The consumer secret, `cs_…`.
    pub consumer_secret: String,
    /// What may be done with it.
    pub rights: KeyRights,
}
