//! Who looks at the app's page.

use crate::source::bigcommerce::install::texts::{Texts, texts};

/// Who looks at the page.
#[derive(Debug)]
pub(super) struct Visitor {
    /// The store.
    pub store_hash: String,
    /// A number of BigCommerce's.
    pub user_id: i64,
    /// The words of the user's language.
    pub texts: &'static Texts,
}

impl Visitor {
    /// A user of a store, whose language is `locale`.
    pub fn new(store_hash: &str, user_id: i64, locale: &str) -> Self {
        Self { store_hash: store_hash.to_owned(), user_id, texts: texts(locale) }
    }
}
