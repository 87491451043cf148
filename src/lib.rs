//! onetribe-relay: takes the order webhooks of online stores, keeps them, fetches each order and forwards it, byte for
//! byte, to the merchant's destination.

pub mod clock;
pub mod health;
pub mod http;
pub mod humanize;
pub mod inbox;
pub mod object;
pub mod resource;
pub mod secret;
pub mod signature;
pub mod connection {
    //! Connections (in the making).
    pub mod spec;
}
pub mod web {
    //! The HTTP side (in the making).
    pub mod status;
}
