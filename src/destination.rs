//! Destinations: where a connection's objects go. A closed set, so the compiler lists every place that a new kind has
//! to touch.

pub mod cloud_elements;
pub mod one_tribe;

use cloud_elements::Callback;
use one_tribe::OneTribe;

/// The destination of one connection.
#[derive(Debug)]
pub enum Destination {
    /// A merchant's payload URL at One Tribe.
    OneTribe(OneTribe),
    /// A Cloud Elements callback.
    CloudElements(Box<Callback>),
}
