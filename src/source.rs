//! Sources: the kinds of store, and the questions that are asked of each. A closed set: the compiler lists every place
//! that another kind has to touch.

pub mod bigcommerce;
pub mod cut;
pub mod hooks;
mod page;
pub mod plan;
pub mod reach;
pub mod woocommerce;

pub use page::{ChangesRequest, Sort};

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    breaker::Health,
    clock::Timestamp,
    http::{CallError, Failure},
    object::{Due, ObjectId, Snapshot},
    resource::{StoreApi, StoreRequest},
    retry::{self, FetchBlame},
    secret::Secret,
    spec::SourceKind,
};
use bigcommerce::{
    credentials::RefusedCredentials,
    orders::{PAGE, Selection},
};
use hooks::{Hook, WantedHook};
use plan::{Call, PageHints};
use reach::Reach;

/// A store's clock that disagrees with this machine's by less than this is left alone: what is known of it is as old as
/// a call, and in whole seconds.
const MIN_SKEW: Duration = Duration::from_secs(5);

/// The right to make one call. Dropped unused, it goes back.
#[derive(Debug)]
pub enum CallPermit {
    /// On a BigCommerce store.
    BigCommerce(bigcommerce::Permit),
    /// On a WooCommerce shop.
    WooCommerce(woocommerce::Permit),
}

/// One connection's store.
#[derive(Debug, Clone)]
pub enum Source {
    /// A BigCommerce store.
    BigCommerce(Arc<bigcommerce::Store>),
    /// A WooCommerce shop.
    WooCommerce(Arc<woocommerce::Shop>),
}

/// A permit is used on the source that gave it; anything else is a mistake in the program.
const FOREIGN_PERMIT: &str = "a permit is used on the source that gave it";

impl Source {
    /// The kind of store.
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::BigCommerce(_) => SourceKind::BigCommerce,
            Self::WooCommerce(_) => SourceKind::WooCommerce,
        }
    }

    /// Takes up to `want` calls at once for a backlog, or says from when there will be one.
    ///
    /// # Errors
    /// The moment from which there may be a call.
    pub fn try_take(&self, want: u32) -> Result<Vec<CallPermit>, Instant> {
        match self {
            Self::BigCommerce(store) => Ok(store.try_take(want)?.into_iter().map(CallPermit::BigCommerce).collect()),
            Self::WooCommerce(shop) => Ok(shop.try_take(want)?.into_iter().map(CallPermit::WooCommerce).collect()),
        }
    }

    /// How long one call may take.
    pub fn timeout(&self) -> Duration {
        match self {
            Self::BigCommerce(store) => store.timeout(),
            Self::WooCommerce(shop) => shop.timeout(),
        }
    }

    /// Waits until one call may be made in its turn: for work that can wait, such as polling.
    pub async fn take(&self) -> CallPermit {
        match self {
            Self::BigCommerce(store) => CallPermit::BigCommerce(store.take().await),
            Self::WooCommerce(shop) => CallPermit::WooCommerce(shop.take().await),
        }
    }

    /// Until when no call may be made, since the store has said so.
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::BigCommerce(store) => store.quota().pause(now),
            Self::WooCommerce(shop) => shop.pause(now),
        }
    }

    /// Which calls bring which of the waiting orders: at most `calls` calls for at most `room` orders.
    pub fn plan(&self, due: &[Due], hints: &PageHints, calls: usize, room: usize) -> Vec<Call> {
        match self {
            Self::BigCommerce(_) => plan::windows(due, hints, calls, room),
            Self::WooCommerce(_) => plan::batches(due, hints, calls, room),
        }
    }

    /// Fetches one order. What comes back is the order asked for, or an error.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not this order.
    pub async fn order(&self, permit: CallPermit, id: &ObjectId) -> Result<Snapshot, CallError> {
        match (self, permit) {
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit)) => store.order(permit, id).await,
            (Self::WooCommerce(shop), CallPermit::WooCommerce(permit)) => shop.order(permit, id).await,
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }

    /// Fetches many orders with one call, as [`Source::plan`] put them together. Some may be lacking.
    ///
    /// # Errors
    /// The call's failure, or why the answer is no list of orders.
    pub async fn orders(&self, permit: CallPermit, ids: &[ObjectId]) -> Result<Vec<Snapshot>, CallError> {
        match (self, permit) {
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit)) => {
                let numbers = || ids.iter().filter_map(ObjectId::number);
                let (Some(min), Some(max)) = (numbers().min(), numbers().max()) else { return Ok(Vec::new()) };
                let limit = u32::try_from(max - min + 1).unwrap_or(PAGE);
                store.orders(permit, &Selection::Ids { min, max }, 1, limit).await
            }
            (Self::WooCommerce(shop), CallPermit::WooCommerce(permit)) => shop.orders(permit, ids).await,
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }

    /// One page of the orders that changed.
    ///
    /// # Errors
    /// The call's failure, or why the answer is no list of orders.
    pub async fn changes(&self, permit: CallPermit, request: &ChangesRequest) -> Result<Vec<Snapshot>, CallError> {
        match (self, permit) {
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit)) => {
                let selection = Selection::Modified { since: request.since, sort: request.sort };
                store.orders(permit, &selection, request.page, request.limit).await
            }
            (Self::WooCommerce(shop), CallPermit::WooCommerce(permit)) => shop.changes(permit, request).await,
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }

    /// Who has to change before fetching again makes sense.
    pub fn blame(&self, failure: Failure) -> FetchBlame {
        match self {
            Self::BigCommerce(_) => retry::blame_fetch(failure),
            Self::WooCommerce(_) => woocommerce::blame(failure),
        }
    }

    /// Whether an object is not yet anything that a destination should hear of: a cart at the checkout.
    pub fn is_draft(&self, snapshot: &Snapshot) -> bool {
        match self {
            Self::BigCommerce(_) => false,
            Self::WooCommerce(_) => woocommerce::objects::is_draft(snapshot),
        }
    }

    /// The widest page that is ever asked for.
    pub fn widest_page(&self) -> u32 {
        match self {
            Self::BigCommerce(_) => PAGE,
            Self::WooCommerce(_) => woocommerce::objects::PAGE,
        }
    }

    /// Asks for one order, any: proves that the credentials are right and may read orders.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn can_read(&self) -> Result<(), CallError> {
        match self {
            Self::BigCommerce(store) => store.can_read().await,
            Self::WooCommerce(shop) => shop.can_read().await,
        }
    }

    /// Whether the store takes the credentials.
    pub fn credentials(&self) -> Health<RefusedCredentials> {
        match self {
            Self::BigCommerce(store) => store.credentials(),
            Self::WooCommerce(shop) => shop.credentials(),
        }
    }

    /// Whether the store answers, by the calls of this connection.
    pub fn reach(&self) -> Reach {
        match self {
            Self::BigCommerce(store) => store.reach(),
            Self::WooCommerce(shop) => shop.reach(),
        }
    }

    /// Forgets what was seen of the store: whether it answers, and takes the credentials.
    pub fn forget(&self) {
        match self {
            Self::BigCommerce(store) => store.forget(),
            Self::WooCommerce(shop) => shop.forget(),
        }
    }

    /// How far the store's clock is ahead of this machine's, in milliseconds.
    pub fn ahead_ms(&self) -> i64 {
        match self {
            Self::BigCommerce(store) => store.ahead_ms(),
            Self::WooCommerce(shop) => shop.ahead_ms(),
        }
    }

    /// Reads whatever a hub call or a poll asks for.
    ///
    /// # Errors
    /// The call's failure, or why the answer is no JSON.
    pub async fn read(&self, permit: CallPermit, request: &StoreRequest) -> Result<Answer, CallError> {
        let path = request.path_and_query();
        match (self, permit, request.api) {
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit), StoreApi::BigCommerceV2) => {
                store.get(permit, &format!("v2/{path}")).await
            }
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit), StoreApi::BigCommerceV3) => {
                store.get(permit, &format!("v3/{path}")).await
            }
            (Self::WooCommerce(shop), CallPermit::WooCommerce(permit), StoreApi::WooCommerceV3) => {
                let answer = shop.get(permit, &request.path, &request.query).await?;
                Ok(Answer { body: answer.body, total: answer.total, pages: answer.pages })
            }
            // Requests are made for the kind of store that they go to.
            (Self::BigCommerce(_), CallPermit::BigCommerce(_), _)
            | (Self::WooCommerce(_), CallPermit::WooCommerce(_), _) => Err(Failure::Status(404).into()),
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }

    /// A moment of this machine's by the store's clock, where that is known to be another.
    pub fn stores_time(&self, at: Timestamp) -> Timestamp {
        let ahead = self.ahead_ms();
        let is_skewed = Duration::from_millis(ahead.unsigned_abs()) >= MIN_SKEW;
        if is_skewed { Timestamp::from_millis(at.millis().saturating_add(ahead)) } else { at }
    }

    /// All hooks that the credentials can see; `tokens` are the relay's own, of which any is right.
    ///
    /// # Errors
    /// Whatever went wrong with a call.
    pub async fn hooks(&self, tokens: &[Secret]) -> Result<Vec<Hook>, CallError> {
        match self {
            Self::BigCommerce(store) => store.hooks(tokens).await,
            Self::WooCommerce(shop) => shop.hooks(tokens).await,
        }
    }

    /// Waits only while the store itself would refuse: for rare calls that somebody waits for.
    ///
    /// # Errors
    /// What the store would answer, when that lasts for longer than anybody would wait.
    pub async fn take_urgent(&self) -> Result<CallPermit, CallError> {
        match self {
            Self::BigCommerce(store) => Ok(CallPermit::BigCommerce(store.take_urgent().await?)),
            Self::WooCommerce(shop) => Ok(CallPermit::WooCommerce(shop.take_urgent().await?)),
        }
    }

    /// Makes a hook; returns its number.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn create_hook(&self, permit: CallPermit, wanted: &WantedHook) -> Result<i64, CallError> {
        match (self, permit) {
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit)) => store.create_hook(permit, wanted).await,
            (Self::WooCommerce(shop), CallPermit::WooCommerce(permit)) => shop.create_hook(permit, wanted).await,
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }

    /// Mends a hook.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn update_hook(&self, permit: CallPermit, id: i64, wanted: &WantedHook) -> Result<(), CallError> {
        match (self, permit) {
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit)) => store.update_hook(permit, id, wanted).await,
            (Self::WooCommerce(shop), CallPermit::WooCommerce(permit)) => shop.update_hook(permit, id, wanted).await,
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }

    /// Removes a hook. One that is gone already counts as removed.
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn remove_hook(&self, permit: CallPermit, id: i64) -> Result<(), CallError> {
        match (self, permit) {
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit)) => store.remove_hook(permit, id).await,
            (Self::WooCommerce(shop), CallPermit::WooCommerce(permit)) => shop.remove_hook(permit, id).await,
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }
}

/// An answer of the store's API that is passed on as it is.
#[derive(Clone)]
pub struct Answer {
    /// The body. Personal data.
    pub body: Bytes,
    /// How many rows there are in all, if the store says so.
    pub total: Option<u64>,
    /// How many pages, likewise.
    pub pages: Option<u64>,
}
