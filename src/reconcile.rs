//! Reconciliation: polls a store's lists for changes, and hands on what no webhook brought.
//!
//! `poll` walks a list of orders; `standing` compares each order with the inbox; `orders` and `backfill` are the two
//! kinds of walk: recent changes, and a span of the past; `requested` is a backfill that a merchant has asked for.
//! `resource` polls any list of a Cloud Elements instance.

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
