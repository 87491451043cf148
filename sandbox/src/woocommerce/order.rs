//! A shop's objects as its REST API returns them.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::config::ShopConfig;

/// The fields in which simulated orders differ. Times are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopOrder {
    /// The order's id.
    pub id: i64,
    /// 1 when placed, one more with each change; carried in `customer_note`.
    pub revision: u64,
    /// The slug of the status.
    pub status: String,
    /// `date_created_gmt`
    pub created: i64,
    /// `date_modified_gmt`
    pub modified: i64,
    /// The status that it had before it was put into the trash.
    pub(super) before_trash: Option<String>,
}

impl ShopOrder {
    /// Whether it is in the trash.
    pub fn is_trashed(&self) -> bool {
        self.status == "trash"
    }

    /// Whether it is a draft: a checkout that has not been paid for.
    pub fn is_draft(&self) -> bool {
        self.status == "checkout-draft"
    }

    /// The order's JSON, byte for byte as a fetch returns it, escaped as PHP does.
    pub(super) fn render(&self, config: &ShopConfig, home: &str) -> String {
        let Self { id, revision, status, .. } = self;
        let date = |at: i64| date(at);
        let local = |at: i64| date(at + config.utc_offset);
        let (created, modified) = (local(self.created), local(self.modified));
        let (created_gmt, modified_gmt) = (date(self.created), date(self.modified));
        let version = config.version.name();
        let home = home.replace('/', "\\/");
        let padding = "x".repeat(config.padding);
        format!(
            concat!(
                r#"{{"id":{id},"parent_id":0,"status":"{status}","currency":"EUR","version":"{version}","prices_include_tax":true,"#,
                r#""date_created":"{created}","date_modified":"{modified}","discount_total":"0.00","discount_tax":"0.00","#,
                r#""shipping_total":"4.90","shipping_tax":"0.78","cart_tax":"3.19","total":"28.87","total_tax":"3.97","#,
                r#""customer_id":0,"order_key":"wc_order_{id}","billing":{{"first_name":"J\u00f6rg","last_name":"M\u00fcller","#,
                r#""company":"","address_1":"Hauptstra\u00dfe 1","address_2":"","city":"K\u00f6ln","state":"","#,
                r#""postcode":"50667","country":"DE","email":"joerg@example.com","phone":"0221 1"}},"#,
                r#""shipping":{{"first_name":"J\u00f6rg","last_name":"M\u00fcller","company":"","address_1":"Hauptstra\u00dfe 1","#,
                r#""address_2":"","city":"K\u00f6ln","state":"","postcode":"50667","country":"DE","phone":""}},"#,
                r#""payment_method":"bacs","payment_method_title":"Bank","transaction_id":"","#,
                r#""customer_ip_address":"127.0.0.1","customer_user_agent":"sandbox","created_via":"checkout","#,
                r#""customer_note":"revision {revision}","date_completed":null,"date_paid":null,"cart_hash":"","number":"{id}","#,
                r#""meta_data":[{{"id":1,"key":"_padding","value":"{padding}"}}],"#,
                r#""line_items":[{{"id":{id},"name":"Tee \u2013 gr\u00fcn","product_id":11,"quantity":2,"total":"20.00"}}],"#,
                r#""tax_lines":[],"shipping_lines":[],"fee_lines":[],"coupon_lines":[],"refunds":[],"#,
                r#""date_created_gmt":"{created_gmt}","date_modified_gmt":"{modified_gmt}","#,
                r#""date_completed_gmt":null,"date_paid_gmt":null,"currency_symbol":"\u20ac","#,
                r#""_links":{{"self":[{{"href":"{home}\/wp-json\/wc\/v3\/orders\/{id}"}}]}}}}"#
            ),
            id = id,
            status = status,
            version = version,
            created = created,
            modified = modified,
            revision = revision,
            padding = padding,
            created_gmt = created_gmt,
            modified_gmt = modified_gmt,
            home = home,
        )
    }
}

/// The revision that a rendered order carries.
pub fn shop_revision_of(body: &[u8]) -> Option<u64> {
    let order: Value = serde_json::from_slice(body).ok()?;
    order["customer_note"].as_str()?.strip_prefix("revision ")?.parse().ok()
}

/// An object of another resource, as it was added.
#[derive(Debug, Clone)]
pub(super) struct OtherObject {
    pub id: i64,
    pub status: Option<String>,
    pub created: i64,
    pub modified: i64,
    pub body: Bytes,
}

/// `2017-03-22T16:28:02`, with neither zone nor offset.
pub(super) fn date(at: i64) -> String {
    Timestamp::from_second(at).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S").to_string()
}
