//! The elements that are offered, as `GET /elements` and instances show them. Pure.
//!
//! Source: Cloud Elements, "Example response for an authenticated element instance" and the element pages (ids, keys,
//! authentication).

use serde_json::{Value, json};

use crate::spec::SourceKind;

/// One element: the API's name for a kind of store.
#[derive(Debug, PartialEq, Eq)]
pub struct Element {
    /// The vendor's number for it.
    pub id: u32,
    /// The vendor's key for it.
    pub key: &'static str,
    /// The kind of store behind it.
    pub kind: SourceKind,
    name: &'static str,
    hook_name: &'static str,
    description: &'static str,
    image: &'static str,
    authentication: &'static str,
    is_extendable: bool,
}

/// Every element.
pub static ELEMENTS: [Element; 2] = [
    Element {
        id: 274,
        key: "bigcommerce",
        kind: SourceKind::BigCommerce,
        name: "BigCommerce",
        hook_name: "BigCommerce",
        description: "Add a Big Commerce Instance to connect your existing Big Commerce account to the eCommerce Hub, \
            allowing you to manage orders and products across multiple eCommerce Elements. You will need your Big \
            Commerce account information to add an instance.",
        image: "elements/provider_bigcommerce.png",
        authentication: "basic",
        is_extendable: true,
    },
    Element {
        id: 2881,
        key: "woocommercerest",
        kind: SourceKind::WooCommerce,
        name: "WooCommerce REST",
        hook_name: "WooCommercewp",
        description: "Add a WooCommerce Instance to connect your existing WooCommerce store to the eCommerce Hub, \
            allowing you to manage orders and products across multiple eCommerce Elements. You will need your \
            WooCommerce account information to add an instance.",
        image: "elements/provider_woocommerce.png",
        authentication: "custom",
        is_extendable: false,
    },
];

impl Element {
    /// The element with this key or number.
    pub fn find(key_or_id: &str) -> Option<&'static Self> {
        let key_or_id = key_or_id.trim();
        ELEMENTS.iter().find(|element| element.key == key_or_id || element.id.to_string() == key_or_id)
    }

    /// The element of a kind of store.
    pub fn of(kind: SourceKind) -> &'static Self {
        let [bigcommerce, woocommerce] = &ELEMENTS;
        match kind {
            SourceKind::BigCommerce => bigcommerce,
            SourceKind::WooCommerce => woocommerce,
        }
    }

    /// The element as instances show it.
    pub fn within_instance(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "hookName": self.hook_name,
            "key": self.key,
            "description": self.description,
            "image": self.image,
            "active": true,
            "deleted": false,
            "typeOauth": false,
            "trialAccount": false,
            "resources": [],
            "transformationsEnabled": true,
            "bulkDownloadEnabled": true,
            "bulkUploadEnabled": true,
            "cloneable": true,
            "extendable": self.is_extendable,
            "beta": false,
            "authentication": { "type": self.authentication },
            "extended": false,
            "hub": "ecommerce",
            "protocolType": "http",
            "parameters": [],
            "private": false
        })
    }

    /// The element as `GET /elements` and `GET /elements/{keyOrId}` show it: as in instances, with what it offers
    /// besides.
    pub fn listed(&self) -> Value {
        let mut element = self.within_instance();
        let resources: Vec<String> =
            super::poller::defaults(self.kind).iter().map(|resource| resource.name.to_string()).collect();
        element["metadata"] = json!({
            "events": {
                "supported": true,
                "methods": ["polling", "webhook"],
                "polling": { "supported": true, "resources": resources }
            }
        });
        element
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_key_and_id() {
        for (text, id) in
            [("bigcommerce", Some(274)), ("274", Some(274)), ("woocommercerest", Some(2881)), ("2881", Some(2881))]
        {
            assert_eq!(Element::find(text).map(|element| element.id), id);
        }
        for unknown in ["woocommerce", "127", "", "0274", "BigCommerce"] {
            assert_eq!(Element::find(unknown), None);
        }
        for kind in [SourceKind::BigCommerce, SourceKind::WooCommerce] {
            let element = Element::of(kind);
            assert_eq!(element.kind, kind);
            assert_eq!(element.listed()["metadata"]["events"]["methods"], json!(["polling", "webhook"]));
        }
    }
}
