//! The single-click app, driven as merchants, BigCommerce and strangers drive it: over real sockets.

mod backfill;
mod forms;
mod frame;
mod incomplete;
mod install;
mod lifecycle;
mod load;
mod logged;
mod world;
