//! Reconciliation: polls a store's orders for what changed, and hands on what webhooks did not bring.
//!
//! `poll` walks the list; `standing` says how each state of an order stands in the inbox; `orders` and `backfill` are
//! the two walks there are: what changed lately, and a span of the past; `requested` is such a span that a merchant has
//! asked for. `resource` polls any list of a Cloud Elements instance.

pub mod backfill;
mod orders;
mod poll;
pub mod requested;
mod resource;
mod standing;
mod turn;

pub use orders::{LatestOrders, OrderFeed};
pub use poll::{Page, Poll, PollError, Polled, Row, Walk};
pub use resource::{PollTools, ResourcePoll, ResourcePolled};
pub use standing::{KnownOrders, Standing};
pub use turn::Turn;
