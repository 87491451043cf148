//! A client of the simulated store that calls it correctly and returns the answer.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use sandbox::StoreSim;
use serde_json::Value;

pub struct Api {
    client: reqwest::Client,
    base: String,
    token: String,
}

pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the answer is JSON")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("the header is text"))
    }

    pub fn ids(&self) -> Vec<i64> {
        let Value::Array(items) = self.json() else { panic!("no list: {}", self.body) };
        items.iter().map(|item| item["id"].as_i64().expect("every item has an id")).collect()
    }
}

impl Api {
    pub fn of(store: &StoreSim) -> Self {
        let config = store.config();
        let base = format!("{}/stores/{}/", store.api_url(), config.hash);
        Self { client: sandbox::http::client(), base, token: config.token.clone() }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .header("X-Auth-Token", &self.token)
            .header("Accept", "application/json")
    }

    pub async fn try_get(&self, path: &str) -> reqwest::Result<Got> {
        finish(self.request(Method::GET, path)).await
    }

    pub async fn get(&self, path: &str) -> Got {
        self.try_get(path).await.expect("an answer")
    }

    pub async fn list(&self, query: &str) -> Vec<i64> {
        let got = self.get(&format!("v2/orders?{query}")).await;
        if got.status == StatusCode::NO_CONTENT { Vec::new() } else { got.ids() }
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> Got {
        let request = self.request(method, path).header("Content-Type", "application/json").body(body.to_string());
        finish(request).await.expect("an answer")
    }
}

pub async fn finish(request: reqwest::RequestBuilder) -> reqwest::Result<Got> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await?;
    Ok(Got { status, headers, body })
}
