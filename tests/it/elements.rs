//! The Cloud Elements API: the real relay in this process, between simulated stores and a client's callback.

mod errors;
mod lifecycle;
mod polling;
mod retries;
mod seeds;
mod webhooks;
mod world;
