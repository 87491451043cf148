//! The user who looks at the app's page.

use crate::source::bigcommerce::install::texts::{Texts, texts};

/// A user of a store.
#[derive(Debug)]
pub(super) struct Visitor {
    /// The hash of the store.
    pub store_hash: String,
    /// BigCommerce's id of the user.
    pub user_id: i64,
    /// The texts in the user's language.
    pub texts: &'static Texts,
}

impl Visitor {
    /// A user of a store, with the language `locale`.
    pub fn new(store_hash: &str, user_id: i64, locale: &str) -> Self {
        Self { store_hash: store_hash.to_owned(), user_id, texts: texts(locale) }
    }
}
