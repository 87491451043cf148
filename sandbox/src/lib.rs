//! Simulators that the sandbox command, the tests and the benchmarks of onetribe-relay share: BigCommerce stores, their
//! control panel and login server, the sender of their webhooks, WooCommerce shops, One Tribe's endpoint, and an audit
//! of what arrived. Everything listens on loopback only.

mod answer;
pub mod app;
pub mod audit;
mod barrier;
mod blocklist;
pub mod callback;
pub mod callback_sim;
pub mod clock;
pub mod control_panel;
mod controls;
pub mod event;
pub mod fault;
pub mod http;
pub mod measure;
pub mod one_tribe;
pub mod order;
pub mod postgres;
pub mod process_clock;
pub mod relay;
pub mod sender;
pub mod store;
pub mod stores;
pub mod woocommerce;

pub use audit::{Report, audit};
pub use barrier::TimedOut;
pub use callback::{SendOptions, send_once, signed_request};
pub use callback_sim::{CallbackSim, Notified, NotifiedEvent};
pub use control_panel::{AppRegistration, ControlPanelSim, InstallOptions, Jwt, UninstallOptions, User};
pub use event::{Event, Scope};
pub use fault::{Action, Coding, Fault, Operation};
pub use one_tribe::{OneTribeConfig, OneTribeSim, Received};
pub use process_clock::ProcessClock;
pub use sender::{Acknowledged, Sender, SenderOptions};
pub use store::{ApiAccount, Call, HookForm, HookRules, QuotaRule, StoreConfig, StoreFarm, StoreSim};
pub use woocommerce::{
    KeyRights, RestState, ShopConfig, ShopDelivery, ShopHook, ShopKey, ShopOrder, ShopPermalinks, ShopSim, ShopVersion,
};
