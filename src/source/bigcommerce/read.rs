//! Reading any resource, as it is, and what the store says of itself.

use reqwest::{Method, StatusCode};

use super::{Operation, Permit, Store, orders::MAX_LIST};
use crate::{
    http::{self, CallError, Failure, read_body},
    source::Answer,
    spec::BigCommerceAuth,
};

/// What a store says of itself (`GET /v2/store`).
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct StoreInformation {
    /// Its name.
    pub name: String,
    /// The address that shoppers know.
    pub domain: String,
    /// The same as a URL.
    pub secure_url: String,
    /// Where merchants work.
    pub control_panel_base_url: String,
}

/// The largest description of a store that is taken.
const MAX_INFORMATION: usize = 256 * 1024;

impl Store {
    /// Reads a path with its query, such as `v2/products?limit=50` or `v3/catalog/products`. An empty list is an empty
    /// body where the store answers 204. Totals, where there are any, are in the body.
    ///
    /// # Errors
    /// The call's failure, 404 for v3 where a legacy account has v2 only; [`Failure::NotJson`] or [`Failure::Html`] for
    /// a body that does not begin like JSON.
    pub async fn get(&self, permit: Permit, path: &str) -> Result<Answer, CallError> {
        if matches!(self.auth, BigCommerceAuth::Legacy { .. }) && path.starts_with("v3/") {
            return Err(Failure::Status(404).into());
        }
        let response = self.call(permit, Operation::Resource, Method::GET, path, None).await?;
        let status = response.status();
        let body = read_body(response, MAX_LIST).await?;
        let is_empty = status == StatusCode::NO_CONTENT;
        if !is_empty && !matches!(http::json_start(&body).first(), Some(b'{' | b'[')) {
            return Err(http::not_json(status.as_u16(), &body).into());
        }
        Ok(Answer { body, total: None, pages: None })
    }

    /// What the store says of itself; the access token may lack the right to ask (403).
    ///
    /// # Errors
    /// Whatever went wrong with the call.
    pub async fn information(&self) -> Result<StoreInformation, CallError> {
        let permit = self.take_urgent().await?;
        let response = self.call(permit, Operation::Store, Method::GET, "v2/store", None).await?;
        let body = read_body(response, MAX_INFORMATION).await?;
        serde_json::from_slice(http::json_start(&body)).map_err(|_| Failure::NotJson.into())
    }
}
