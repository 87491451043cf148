//! The client of one WooCommerce shop's REST API: at most two calls at a time, each limited in time and size. It
//! finds out by itself where the API is and how the keys have to be sent.
//!
//! `root` and `discover` know where the API is, `auth` and `call` make a call, `objects` and `changes` read the
//! answers, `hooks` and `webhook` are about webhooks, `keys` about connecting by one click, `problem` about faults of
//! the shop.

mod auth;
mod call;
pub mod changes;
mod discover;
mod gate;
pub mod hooks;
pub mod keys;
pub mod objects;
mod older;
pub mod problem;
mod refusal;
pub mod root;
mod shop;
pub mod webhook;

pub use auth::AuthMode;
pub use gate::{CALLS_AT_ONCE, PATIENCE, Permit};
pub use refusal::{Code, Refusal};
pub use shop::{DateSupport, Observer, Operation, Shop, ShopFacts, Shops};

use crate::{
    http::Failure,
    retry::{self, FetchBlame},
};

/// Whose fault a failed fetch is.
///
/// | seen | blame |
/// |---|---|
/// | 401, 403 as JSON | the credentials: keys deleted, user demoted, header taken away |
/// | 404, 410 about an object | the object is missing |
/// | 429 | the host's limit |
/// | 406, 501 | the store: ModSecurity's favourites |
/// | other 5xx, a web page under any status, a 404 about a route, no connection, no answer in time | the store |
/// | not JSON, another object, too large, other 4xx | this object |
pub fn blame(failure: Failure) -> FetchBlame {
    match failure {
        Failure::Status(406 | 501) => FetchBlame::Store,
        failure => retry::blame_fetch(failure),
    }
}
