//! `GET v2/store`: the store's own description, with the fields that people and the relay use, and some personal data
//! that the relay must not store.

use serde_json::{Value, json};

use super::config::StoreConfig;

pub(crate) fn store_information(config: &StoreConfig) -> Value {
    let StoreConfig { hash, name, .. } = config;
    let domain = config.domain();
    json!({
        "id": hash,
        "account_uuid": format!("00000000-0000-4000-8000-{:0>12.12}", hash),
        "domain": domain,
        "secure_url": format!("https://{domain}"),
        "control_panel_base_url": format!("https://store-{hash}.mybigcommerce.com"),
        "status": "launch",
        "name": name,
        "first_name": "Olivia",
        "last_name": "Owner",
        "address": "1 Example Street, Austin TX",
        "country": "United States",
        "country_code": "US",
        "phone": "555-0100",
        "admin_email": format!("owner@{domain}"),
        "order_email": format!("orders@{domain}"),
        "favicon_url": "",
        "timezone": { "name": "America/Chicago", "raw_offset": -21600, "dst_offset": -18000, "dst_correction": true },
        "language": "en",
        "currency": "USD",
        "currency_symbol": "$",
        "default_channel_id": 1,
        "default_site_id": 1000,
        "plan_name": "Plus",
        "plan_level": "Plus",
        "is_price_entered_with_tax": false,
        "features": { "storefront_limits": { "active": 3, "total_including_inactive": 6 } },
    })
}
