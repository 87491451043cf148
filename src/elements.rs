//! The Cloud Elements API without its routes: what requests, configurations and answers mean. Pure; makes no calls.

pub mod authorization;
pub mod catalog;
pub mod ceql;
pub mod change;
pub mod date_format;
pub mod error;
pub mod hub;
pub mod instance;
pub mod paging;
pub mod poller;
pub mod rows;
pub mod template;
pub mod values;
pub mod zone;
