//! onetribe-relay: takes the order webhooks of online stores, keeps them, fetches each order and forwards it, byte for
//! byte, to the merchant's destination.

pub mod clock;
pub mod http;
pub mod humanize;
pub mod inbox;
pub mod object;
pub mod resource;
pub mod secret;
pub mod signature;
pub mod connection {
    //! Connections (in the making).
    pub mod payload_url;
    pub mod spec;
}
pub mod source {
    //! Stores (in the making).
    pub mod bigcommerce {
        //! BigCommerce (in the making).
        pub mod install;
    }
}
