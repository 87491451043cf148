//! onetribe-relay: takes the order webhooks of online stores, keeps them, fetches each order and forwards it, byte for
//! byte, to the merchant's destination.

pub mod breaker;
pub mod clock;
pub mod http;
pub mod humanize;
pub mod inbox;
pub mod object;
pub mod resource;
pub mod retry;
pub mod secret;
pub mod signature;
pub mod connection {
    //! Connections (in the making).
    pub mod spec;
}
pub mod source {
    //! Sources (in the making).
    pub mod bigcommerce {
        //! BigCommerce (in the making).
        pub mod credentials;
    }
    pub mod cut;
    pub mod hooks;
    pub mod woocommerce;

    use crate::clock::Timestamp;

    /// The order of a list of changes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Sort {
        /// The longest unchanged first.
        OldestFirst,
        /// The latest change first.
        NewestFirst,
    }

    /// One page of what changed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ChangesRequest {
        /// From when on.
        pub since: Timestamp,
        /// In which order.
        pub sort: Sort,
        /// Which page, from 1.
        pub page: u32,
        /// At most so many rows.
        pub limit: u32,
    }
}
