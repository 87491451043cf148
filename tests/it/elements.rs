//! The Cloud Elements API: a real relay in this process, between simulated stores and a client's callback.

mod codes;
mod errors;
mod killed;
mod lifecycle;
mod narrow;
mod polling;
mod retries;
mod seeds;
mod shops;
mod webhooks;
mod world;
