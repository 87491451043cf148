//! onetribe-relay: takes the order webhooks of online stores, keeps them, fetches each order and forwards it, byte for
//! byte, to the merchant's destination.

pub mod clock;
pub mod elements;
pub mod http;
pub mod humanize;
pub mod inbox;
pub mod object;
pub mod resource;
pub mod secret;
pub mod signature;
pub mod destination {
    //! Destinations (in the making).
    pub mod cloud_elements;
}
pub mod connection {
    //! Connections (in the making).
    pub mod spec;
}
