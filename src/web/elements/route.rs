//! Finds which of the vendor's routes a path is. Pure.

use crate::object::ConnectionId;

/// The vendor's prefix; every route is available with and without it.
pub const PREFIX: &str = "/elements/api-v2";

/// First segments of the vendor's paths. Those without routes here answer like the vendor's unknown routes.
pub const FIRST_SEGMENTS: [&str; 16] = [
    "instances",
    "elements",
    "hubs",
    "notifications",
    "ping",
    "events",
    "accounts",
    "organizations",
    "formulas",
    "transformations",
    "objects",
    "bulk",
    "authentication",
    "users",
    "usage",
    "jobs",
];

/// The instance that a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The instance with this id.
    Id(ConnectionId),
    /// No instance can have this id.
    Nobody(String),
    /// The instance of the `Element` token.
    Token,
}

/// A route that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/instances`
    Instances,
    /// `/elements/{keyOrId}/instances`
    InstancesOf(String),
    /// `/instances/{id}`
    Instance(Target),
    /// `/instances[/{id}]/enabled`
    Enabled(Target),
    /// `/instances[/{id}]/configuration`
    Configuration(Target),
    /// `/instances[/{id}]/events`
    Events(Target),
    /// `/instances[/{id}]/events/{eventId}`
    Event(Target, String),
    /// `/elements`
    Elements,
    /// `/elements/{keyOrId}`
    Element(String),
    /// `/ping`
    Ping,
    /// `/hubs/{any}/{resource}[/…]`
    Hub,
    /// `/notifications/subscriptions/deliveries`
    Deliveries,
}

/// A path without the prefix, beginning with a slash.
pub fn without_prefix(path: &str) -> &str {
    match path.strip_prefix(PREFIX) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

impl Route {
    /// The route of a path without the prefix, if it is offered.
    pub fn of(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        Some(match segments.as_slice() {
            ["instances"] => Self::Instances,
            ["instances", "enabled"] => Self::Enabled(Target::Token),
            ["instances", "configuration"] => Self::Configuration(Target::Token),
            ["instances", "events"] => Self::Events(Target::Token),
            // The vendor's statistics.
            ["instances", .., "events", "analytics"] => return None,
            ["instances", "events", event] => Self::Event(Target::Token, (*event).to_owned()),
            ["instances", id] => Self::Instance(target(id)),
            ["instances", id, "enabled"] => Self::Enabled(target(id)),
            ["instances", id, "configuration"] => Self::Configuration(target(id)),
            ["instances", id, "events"] => Self::Events(target(id)),
            ["instances", id, "events", event] => Self::Event(target(id), (*event).to_owned()),
            ["elements"] => Self::Elements,
            ["elements", element] => Self::Element((*element).to_owned()),
            ["elements", element, "instances"] => Self::InstancesOf((*element).to_owned()),
            ["ping"] => Self::Ping,
            ["hubs", _, resource, ..] if !resource.is_empty() => Self::Hub,
            ["notifications", "subscriptions", "deliveries"] => Self::Deliveries,
            _ => return None,
        })
    }
}

fn target(id: &str) -> Target {
    let shown = || id.chars().filter(|c| !c.is_control()).take(64).collect();
    id.parse().map_or_else(|_| Target::Nobody(shown()), Target::Id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_routes_with_and_without_the_prefix() {
        let seven = || Target::Id(ConnectionId(7));
        for (path, route) in [
            ("/instances", Some(Route::Instances)),
            ("/instances/", Some(Route::Instances)),
            ("/instances/7", Some(Route::Instance(seven()))),
            ("/instances/9223372036854775808", Some(Route::Instance(Target::Nobody("9223372036854775808".to_owned())))),
            ("/instances/7/enabled", Some(Route::Enabled(seven()))),
            ("/instances/enabled", Some(Route::Enabled(Target::Token))),
            ("/instances/events/e1", Some(Route::Event(Target::Token, "e1".to_owned()))),
            ("/instances/7/events/e1", Some(Route::Event(seven(), "e1".to_owned()))),
            ("/instances/events/analytics", None),
            ("/instances/7/events/analytics", None),
            ("/instances/7/docs", None),
            ("/elements/274", Some(Route::Element("274".to_owned()))),
            ("/elements/bigcommerce/instances", Some(Route::InstancesOf("bigcommerce".to_owned()))),
            ("/elements/bigcommerce/metadata", None),
            ("/hubs/crm/contacts/5", Some(Route::Hub)),
            ("/hubs/crm", None),
            ("/ping", Some(Route::Ping)),
            ("/notifications/subscriptions", None),
            ("/accounts", None),
            ("/", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
            assert_eq!(Route::of(without_prefix(&format!("{PREFIX}{path}"))), route, "{path}");
        }
        assert_eq!(without_prefix("/elements/api-v2"), "/");
        assert_eq!(without_prefix("/elements/api-v22"), "/elements/api-v22");
    }
}
