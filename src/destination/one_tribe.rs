//! The client of one merchant's destination at One Tribe. The whole URL is a secret, and so is what is sent there.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, header};
use url::Url;

use crate::{
    clock::Timestamp,
    http::{self, CallError, Failure, Http, TimelyBody, TooLate},
    metrics::Metrics,
    object::{Digest, ObjectId},
    secret::Secret,
};

/// One merchant's payload URL, and the client to call it.
#[derive(Debug)]
pub struct OneTribe {
    http: Arc<Http>,
    url: Secret,
    /// Whether the operator set the URL; it may then lead to any address.
    is_operators: bool,
    store: String,
    timeout: Duration,
    metrics: Arc<Metrics>,
}

/// Why a snapshot was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// The deadline passed before it could be sent: nothing was sent.
    #[error("{TooLate}")]
    TooLate,
    /// The call failed.
    #[error(transparent)]
    Failed(#[from] CallError),
}

/// How much of an answer is read to keep the connection usable; its content is ignored.
const DRAINED: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(500);

impl OneTribe {
    /// A client for a payload URL. `store` is part of the idempotency key.
    pub fn new(
        http: Arc<Http>,
        url: Secret,
        is_operators: bool,
        store: String,
        timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { http, url, is_operators, store, timeout, metrics }
    }

    fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, CallError> {
        if self.is_operators {
            Ok(self.http.operator(method, url, self.timeout))
        } else {
            self.http.guarded(method, url, self.timeout)
        }
    }

    fn url(&self) -> Result<Url, CallError> {
        Url::parse(self.url.expose()).map_err(|_| Failure::Dns.into())
    }

    /// Forwards one snapshot, unless `until` passes before it can be sent. Any 2xx counts as taken; the body of the
    /// answer is ignored.
    ///
    /// # Errors
    /// What happened instead of a 2xx.
    pub async fn deliver(
        &self,
        id: &ObjectId,
        digest: Digest,
        body: Bytes,
        until: Timestamp,
    ) -> Result<(), Undelivered> {
        let (body, begun) = TimelyBody::new(body, until);
        let outcome = self.post(id, digest, body).await;
        if outcome.is_err() && !begun.is_begun() && Timestamp::now() >= until {
            return Err(Undelivered::TooLate);
        }
        self.metrics.forwarded(outcome.as_ref().err().map(|error| error.failure));
        Ok(outcome?)
    }

    async fn post(&self, id: &ObjectId, digest: Digest, body: TimelyBody) -> Result<(), CallError> {
        let request = self.request(Method::POST, self.url()?)?;
        let response = request
            .header(header::CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", digest.idempotency_key(&self.store, id))
            .body(reqwest::Body::wrap(body))
            .send()
            .await?;
        if !response.status().is_success() {
            // If the answer is a web page, only its status is reported.
            return Err(CallError {
                failure: Failure::Status(response.status().as_u16()),
                ..CallError::of_status(&response)
            });
        }
        // The status alone decides; a body that is slow or breaks off changes nothing.
        let _ = tokio::time::timeout(DRAIN_TIME, http::read_body(response, DRAINED)).await;
        Ok(())
    }

    /// Checks whether the destination can be reached (DNS, connection, TLS) without sending it anything that could be
    /// taken for an order: a HEAD of its host's root. Returns the status, which says little: there need be nothing at
    /// that path.
    ///
    /// # Errors
    /// Why no answer came.
    pub async fn probe(&self) -> Result<u16, CallError> {
        let mut url = self.url()?;
        url.set_path("/");
        url.set_query(None);
        Ok(self.request(Method::HEAD, url)?.send().await?.status().as_u16())
    }
}
