//! Fetches any resource unchanged, and the store's information about itself.

use reqwest::{Method, StatusCode};

use super::{Operation, Permit, Store, orders::MAX_LIST};
use crate::{
    http::{self, CallError, Failure, read_body},
    source::Answer,
    spec::BigCommerceAuth,
};

/// A store's information about itself (`GET /v2/store`).
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct StoreInformation {
    /// The store's name.
    pub name: String,
    /// The domain of the storefront.
    pub domain: String,
    /// The same as a URL.
    pub secure_url: String,
    /// The URL of the control panel.
    pub control_panel_base_url: String,
}

/// The largest answer with a store's information that is read.
const MAX_INFORMATION: usize = 256 * 1024;

impl Store {
    /// Fetches a path with its query, such as `v2/products?limit=50` or `v3/catalog/products`. For an empty list the
    /// store answers 204, and the body is empty. Totals, if any, are in the body.
    ///
    /// # Errors
    /// The call's failure; 404 for v3 where a legacy account has only v2; [`Failure::NotJson`] or [`Failure::Html`]
    /// for a body that does not begin like JSON.
    pub async fn get(&self, mut permit: Permit, path: &str) -> Result<Answer, CallError> {
        if matches!(self.auth, BigCommerceAuth::Legacy { .. }) && path.starts_with("v3/") {
            return Err(Failure::Status(404).into());
        }
        let response = self.call(&mut permit, Operation::Resource, Method::GET, path, None).await?;
        let status = response.status();
        let body = read_body(response, MAX_LIST).await?;
        let is_empty = status == StatusCode::NO_CONTENT;
        if !is_empty && !matches!(http::json_start(&body).first(), Some(b'{' | b'[')) {
            return Err(http::not_json(status.as_u16(), &body).into());
        }
        Ok(Answer { body, total: None, pages: None })
    }

    /// The store's information; the access token may lack the permission for it (403).
    ///
    /// # Errors
    /// The call's failure.
    pub async fn information(&self) -> Result<StoreInformation, CallError> {
        let mut permit = self.take_urgent().await?;
        let response = self.call(&mut permit, Operation::Store, Method::GET, "v2/store", None).await?;
        let body = read_body(response, MAX_INFORMATION).await?;
        serde_json::from_slice(http::json_start(&body)).map_err(|_| Failure::NotJson.into())
    }
}
