//! onetribe-relay: takes a BigCommerce store's order webhooks, keeps them, fetches each order and forwards it, byte for
//! byte, to the merchant's One Tribe destination.

pub mod config;
pub mod event;
pub mod signature;
