//! onetribe-relay: accepts the order webhooks of online stores, stores the events, fetches each order and forwards
//! it, byte for byte, to the merchant's destination.

pub mod app;
pub mod breaker;
pub mod checker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod destination;
pub mod directory;
pub mod dispatch;
pub mod elements;
pub mod health;
pub mod http;
pub mod humanize;
pub mod inbox;
pub mod leader;
pub mod metrics;
pub mod object;
pub mod polled;
pub mod reconcile;
pub mod registrar;
pub mod resource;
pub mod retry;
pub mod secret;
pub mod services;
pub mod signature;
pub mod source;
pub mod spec;
pub mod storage;
pub mod telemetry;
pub mod upkeep;
pub mod watch;
pub mod web;
