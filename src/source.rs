//! Sources: the kinds of store, and the calls made to each. A closed set, so the compiler lists every place that a
//! new kind has to touch.

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
use tokio::sync::OwnedSemaphorePermit;

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

/// A difference between a store's clock and this machine's below this is ignored: the store's time is known only in
/// whole seconds, and as of its last answer.
const MIN_SKEW: Duration = Duration::from_secs(5);

/// A permit for one call. Returned if dropped unused.
#[derive(Debug)]
pub enum CallPermit {
    /// For a call to a BigCommerce store.
    BigCommerce(bigcommerce::Permit),
    /// For a call to a WooCommerce shop.
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

impl CallPermit {
    /// The same, which counts among the calls under way of all connections.
    pub fn counted(self, far_call: Option<OwnedSemaphorePermit>) -> Self {
        match self {
            Self::BigCommerce(permit) => Self::BigCommerce(permit.counted(far_call)),
            Self::WooCommerce(permit) => Self::WooCommerce(permit.counted(far_call)),
        }
    }
}

/// A permit is used only on the source that gave it; anything else is a bug.
const FOREIGN_PERMIT: &str = "a permit is used on the source that gave it";

impl Source {
    /// The kind of store.
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::BigCommerce(_) => SourceKind::BigCommerce,
            Self::WooCommerce(_) => SourceKind::WooCommerce,
        }
    }

    /// Takes up to `want` permits at once, for a backlog.
    ///
    /// # Errors
    /// The time from which there may be a permit.
    pub fn try_take(&self, want: u32) -> Result<Vec<CallPermit>, Instant> {
        match self {
            Self::BigCommerce(store) => Ok(store.try_take(want)?.into_iter().map(CallPermit::BigCommerce).collect()),
            Self::WooCommerce(shop) => Ok(shop.try_take(want)?.into_iter().map(CallPermit::WooCommerce).collect()),
        }
    }

    /// The time limit of one call.
    pub fn timeout(&self) -> Duration {
        match self {
            Self::BigCommerce(store) => store.timeout(),
            Self::WooCommerce(shop) => shop.timeout(),
        }
    }

    /// Waits for a permit in turn, for calls that are not urgent, such as polling.
    pub async fn take(&self) -> CallPermit {
        match self {
            Self::BigCommerce(store) => CallPermit::BigCommerce(store.take().await),
            Self::WooCommerce(shop) => CallPermit::WooCommerce(shop.take().await),
        }
    }

    /// The same for a delivery, which is counted among the calls under way already.
    pub async fn take_in_slot(&self) -> CallPermit {
        match self {
            Self::BigCommerce(store) => CallPermit::BigCommerce(store.take_in_slot().await),
            Self::WooCommerce(shop) => CallPermit::WooCommerce(shop.take_in_slot().await),
        }
    }

    /// Until when the store has asked for no calls.
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::BigCommerce(store) => store.quota().pause(now),
            Self::WooCommerce(shop) => shop.pause(now),
        }
    }

    /// Plans which calls fetch which of the due orders: at most `calls` calls for at most `room` orders.
    pub fn plan(&self, due: &[Due], hints: &PageHints, calls: usize, room: usize) -> Vec<Call> {
        match self {
            Self::BigCommerce(_) => plan::windows(due, hints, calls, room),
            Self::WooCommerce(_) => plan::batches(due, hints, calls, room),
        }
    }

    /// Fetches one order. Returns the order asked for, or an error.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not that order.
    pub async fn order(&self, permit: CallPermit, id: &ObjectId) -> Result<Snapshot, CallError> {
        match (self, permit) {
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit)) => store.order(permit, id).await,
            (Self::WooCommerce(shop), CallPermit::WooCommerce(permit)) => shop.order(permit, id).await,
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }

    /// Fetches many orders with one call, as grouped by [`Source::plan`]. Some may be missing.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not a list of orders.
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

    /// Fetches one page of changed orders.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not a list of orders.
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

    /// Whose fault a failed fetch is.
    pub fn blame(&self, failure: Failure) -> FetchBlame {
        match self {
            Self::BigCommerce(_) => retry::blame_fetch(failure),
            Self::WooCommerce(_) => woocommerce::blame(failure),
        }
    }

    /// Whether an object is only a cart at checkout, which no destination should receive.
    pub fn is_draft(&self, snapshot: &Snapshot) -> bool {
        match self {
            Self::BigCommerce(_) => false,
            Self::WooCommerce(_) => woocommerce::objects::is_draft(snapshot),
        }
    }

    /// The largest page that is ever asked for.
    pub fn widest_page(&self) -> u32 {
        match self {
            Self::BigCommerce(_) => PAGE,
            Self::WooCommerce(_) => woocommerce::objects::PAGE,
        }
    }

    /// Asks for one order, any: a success proves that the credentials are right and may read orders.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn can_read(&self) -> Result<(), CallError> {
        match self {
            Self::BigCommerce(store) => store.can_read().await,
            Self::WooCommerce(shop) => shop.can_read().await,
        }
    }

    /// Whether the store accepts the credentials.
    pub fn credentials(&self) -> Health<RefusedCredentials> {
        match self {
            Self::BigCommerce(store) => store.credentials(),
            Self::WooCommerce(shop) => shop.credentials(),
        }
    }

    /// Whether the store answers this connection's calls.
    pub fn reach(&self) -> Reach {
        match self {
            Self::BigCommerce(store) => store.reach(),
            Self::WooCommerce(shop) => shop.reach(),
        }
    }

    /// Forgets whether the store answers and accepts the credentials.
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

    /// Fetches whatever a hub call or a poll asks for.
    ///
    /// # Errors
    /// The call's failure, or why the answer is not JSON.
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
            // A request is always built for the kind of store that it goes to.
            (Self::BigCommerce(_), CallPermit::BigCommerce(_), _)
            | (Self::WooCommerce(_), CallPermit::WooCommerce(_), _) => Err(Failure::Status(404).into()),
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }

    /// Converts a time of this machine to the store's clock, if that is known to differ.
    pub fn stores_time(&self, at: Timestamp) -> Timestamp {
        let ahead = self.ahead_ms();
        let is_skewed = Duration::from_millis(ahead.unsigned_abs()) >= MIN_SKEW;
        if is_skewed { Timestamp::from_millis(at.millis().saturating_add(ahead)) } else { at }
    }

    /// All hooks that the credentials can see; `tokens` are the relay's own, and any of them counts as right.
    ///
    /// # Errors
    /// The failure of a call.
    pub async fn hooks(&self, tokens: &[Secret]) -> Result<Vec<Hook>, CallError> {
        match self {
            Self::BigCommerce(store) => store.hooks(tokens).await,
            Self::WooCommerce(shop) => shop.hooks(tokens).await,
        }
    }

    /// Waits for a permit only while the store itself would refuse the call: for rare calls that a person waits for.
    ///
    /// # Errors
    /// The store's likely answer (a 429), if that would last longer than a person waits.
    pub async fn take_urgent(&self) -> Result<CallPermit, CallError> {
        match self {
            Self::BigCommerce(store) => Ok(CallPermit::BigCommerce(store.take_urgent().await?)),
            Self::WooCommerce(shop) => Ok(CallPermit::WooCommerce(shop.take_urgent().await?)),
        }
    }

    /// Creates a hook and returns its id.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn create_hook(&self, permit: CallPermit, wanted: &WantedHook) -> Result<i64, CallError> {
        match (self, permit) {
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit)) => store.create_hook(permit, wanted).await,
            (Self::WooCommerce(shop), CallPermit::WooCommerce(permit)) => shop.create_hook(permit, wanted).await,
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }

    /// Updates a hook to what is wanted.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn update_hook(&self, permit: CallPermit, id: i64, wanted: &WantedHook) -> Result<(), CallError> {
        match (self, permit) {
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit)) => store.update_hook(permit, id, wanted).await,
            (Self::WooCommerce(shop), CallPermit::WooCommerce(permit)) => shop.update_hook(permit, id, wanted).await,
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }

    /// Removes a hook. One that is already gone counts as removed.
    ///
    /// # Errors
    /// The call's failure.
    pub async fn remove_hook(&self, permit: CallPermit, id: i64) -> Result<(), CallError> {
        match (self, permit) {
            (Self::BigCommerce(store), CallPermit::BigCommerce(permit)) => store.remove_hook(permit, id).await,
            (Self::WooCommerce(shop), CallPermit::WooCommerce(permit)) => shop.remove_hook(permit, id).await,
            _ => unreachable!("{FOREIGN_PERMIT}"),
        }
    }
}

/// An answer of the store's API, to be passed on unchanged.
#[derive(Clone)]
pub struct Answer {
    /// The body; contains personal data.
    pub body: Bytes,
    /// How many rows there are in all, if the store says so.
    pub total: Option<u64>,
    /// How many pages there are, if the store says so.
    pub pages: Option<u64>,
}
