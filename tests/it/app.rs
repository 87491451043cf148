//! The single-click app as merchants, BigCommerce and strangers use it, over real sockets.

mod backfill;
mod forms;
mod frame;
mod incomplete;
mod install;
mod lifecycle;
mod load;
mod logged;
mod world;
