//! Without a password, a signed payload or a secret, nothing can be accessed.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{
    Row,
    target::{CREDENTIALS_KEY, Target},
};

const APP_SECRET: &str = "the-apps-own-client-secret";

/// Routes that only the admin may use.
const ADMIN: [(&str, &str); 14] = [
    ("GET", "/integration"),
    ("GET", "/integration/check"),
    ("POST", "/integration/update"),
    ("GET", "/orders"),
    ("POST", "/orders/218/resend"),
    ("POST", "/orders/resend?state=failed"),
    ("GET", "/connections"),
    ("POST", "/connections"),
    ("GET", "/connections/1"),
    ("PATCH", "/connections/1"),
    ("DELETE", "/connections/1"),
    ("GET", "/connections/1/orders"),
    ("GET", "/connections/1/integration/check"),
    ("POST", "/woocommerce/connect"),
];

pub async fn all() -> Vec<Row> {
    let target = Target::start(&[
        ("BIGCOMMERCE_APP_CLIENT_ID", "the-app"),
        ("BIGCOMMERCE_APP_CLIENT_SECRET", APP_SECRET),
        ("CREDENTIALS_KEY", CREDENTIALS_KEY),
        ("ELEMENTS_USER_SECRET", "the-users-own-secret"),
        ("ELEMENTS_ORGANIZATION_SECRET", "the-organizations-own-secret"),
        ("ALLOWED_PRIVATE_NETWORKS", "127.0.0.0/8"),
    ])
    .await;
    vec![admin(&target).await, payloads(&target).await, elements(&target).await, keys(&target).await]
}

async fn ask(target: &Target, method: &str, path: &str, authorization: Option<&str>) -> u16 {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = target.client.request(method, target.url(path)).header("accept", "application/json");
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    request.send().await.unwrap().status().as_u16()
}

async fn admin(target: &Target) -> Row {
    let (mut tried, mut opened) = (0, 0);
    for (method, path) in ADMIN {
        let authorizations = [None, Some("Bearer"), Some("Bearer "), Some("Basic Og=="), Some("Digest x")];
        for authorization in authorizations {
            tried += 1;
            let status = ask(target, method, path, authorization).await;
            opened += usize::from(!matches!(status, 401 | 429));
        }
    }
    Row::of("admin routes without the password", tried, opened)
}

/// Payloads like BigCommerce's, but not signed by BigCommerce.
async fn payloads(target: &Target) -> Row {
    let now = sandbox::clock::system_clock();
    let claims = json!({
        "aud": "the-app", "iss": "bc", "iat": now, "nbf": now, "exp": now + 3600, "jti": "1",
        "sub": "stores/abcde", "user": {"id": 1, "email": "a@b.example", "locale": "en"},
        "owner": {"id": 1, "email": "a@b.example"}, "url": "/", "channel_id": null,
    });
    let sign = |claims: &Value, algorithm, secret: &str| {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let good = sign(&claims, Algorithm::HS256, APP_SECRET);
    let (head, tail) = good.rsplit_once('.').unwrap();
    let mut forged = vec![String::new(), ".".to_owned(), "..".to_owned(), head.to_owned(), format!("{head}.")];
    for at in 0..tail.len() - 1 {
        let other = if tail.as_bytes()[at] == b'A' { 'B' } else { 'A' };
        forged.push(format!("{head}.{}{other}{}", &tail[..at], &tail[at + 1..]));
    }
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        forged.push(sign(&claims, algorithm, APP_SECRET));
    }
    for secret in ["", "the-app", "another-secret", &APP_SECRET[1..]] {
        forged.push(sign(&claims, Algorithm::HS256, secret));
    }
    for (claim, value) in [
        ("aud", json!("another-app")),
        ("aud", json!(null)),
        ("iss", json!("bcx")),
        ("exp", json!(now - 100)),
        ("exp", json!("9999999999")),
        ("nbf", json!(now + 3600)),
        ("sub", json!("abcde")),
        ("sub", json!(7)),
    ] {
        let mut other = claims.clone();
        other[claim] = value;
        forged.push(sign(&other, Algorithm::HS256, APP_SECRET));
    }
    let (mut tried, mut opened) = (0, 0);
    for payload in &forged {
        for path in ["load", "uninstall", "remove-user"] {
            tried += 1;
            let path = format!("/bigcommerce/{path}?signed_payload_jwt={payload}");
            opened += usize::from(ask(target, "GET", &path, None).await != 401);
        }
    }
    for deed in ["destination", "check", "update", "pause", "resume", "backfill"] {
        for token in ["", "abcde.1.2.x", &good, "%00"] {
            tried += 1;
            let request = target.client.post(target.url(&format!("/bigcommerce/app/{deed}")));
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let status = request.body(format!("token={token}")).send().await.unwrap().status().as_u16();
            opened += usize::from(status < 400);
        }
    }
    Row::of("the app: payloads and form tokens that are forged", tried, opened)
}

async fn elements(target: &Target) -> Row {
    let (user, organization) = ("the-users-own-secret", "the-organizations-own-secret");
    let authorizations = [
        String::new(),
        "User".to_owned(),
        format!("User {user}"),
        format!("Organization {organization}"),
        format!("User {user}, Organization x"),
        format!("User x, Organization {organization}"),
        format!("User {organization}, Organization {user}"),
        format!("User {user}, Organization "),
        format!("User {user}, Organization {}", &organization[1..]),
        format!("User {user}, Element x"),
        format!("User {user}, Element "),
        format!("Bearer {user}"),
    ];
    let (mut tried, mut opened) = (0, 0);
    for (method, path) in [
        ("GET", "/instances"),
        ("POST", "/instances"),
        ("GET", "/instances/1"),
        ("DELETE", "/instances/1"),
        ("GET", "/elements"),
        ("GET", "/hubs/ecommerce/orders"),
        ("PUT", "/notifications/subscriptions/deliveries"),
        ("GET", "/ping"),
    ] {
        for authorization in &authorizations {
            for prefix in ["", "/elements/api-v2"] {
                tried += 1;
                let status = ask(target, method, &format!("{prefix}{path}"), Some(authorization)).await;
                opened += usize::from(status < 400);
            }
        }
    }
    Row::of("the Elements API without both secrets", tried, opened)
}

/// `POST /woocommerce/keys` takes keys only for a request that is pending.
async fn keys(target: &Target) -> Row {
    let (mut tried, mut kept) = (0, 0);
    let shop = format!("http://127.0.0.1:{}", target.port);
    for body in [
        json!({"key_id": 1, "user_id": "1", "consumer_key": "ck_x", "consumer_secret": "cs_x", "key_permissions": "read_write"}),
        json!({"user_id": "", "consumer_key": "", "consumer_secret": ""}),
        json!({"user_id": null}),
        json!({"user_id": shop, "consumer_key": "ck_x", "consumer_secret": "cs_x"}),
        json!([]),
        json!("x".repeat(100_000)),
    ] {
        tried += 1;
        let request = target.client.post(target.url("/woocommerce/keys")).header("content-type", "application/json");
        let status = request.body(body.to_string()).send().await.unwrap().status().as_u16();
        kept += usize::from(status < 400);
    }
    Row::of("keys of a shop that nobody has asked for", tried, kept)
}
