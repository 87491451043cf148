//! onetribe-relay: takes a BigCommerce store's order webhooks, keeps them, fetches each order and forwards it, byte for
//! byte, to the merchant's One Tribe destination.

pub mod alerts;
pub mod app;
pub mod backfill;
pub mod bigcommerce;
pub mod callback;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod dispatch;
pub mod event;
pub mod http;
pub mod inbox;
pub mod lead;
pub mod metrics;
pub mod one_tribe;
pub mod reconcile;
pub mod registrar;
pub mod retry;
pub mod signature;
pub mod telemetry;
pub mod web;
pub mod words;
