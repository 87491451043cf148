//! Simulators that the sandbox command, the tests and the benchmarks of onetribe-relay share: a BigCommerce store, the

mod answer;
mod barrier;
pub mod callback;
pub mod event;
pub mod fault;
pub mod http;
pub mod order;
pub mod sender;
pub mod store;

pub use barrier::TimedOut;
pub use callback::{SendOptions, send_once, signed_request};
pub use event::{Event, Scope};
pub use fault::{Action, Fault, Operation};
pub use sender::{Acknowledged, Sender, SenderOptions};
pub use store::{Call, HookRules, QuotaRule, StoreConfig, StoreSim};
