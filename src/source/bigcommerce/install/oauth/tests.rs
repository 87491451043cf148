use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const ANSWER: &str = r#"{"access_token":"the-token","scope":"store_v2_orders_read_only users_basic_information",
    "user":{"id":24654,"username":"Ann Owner","email":"ann@shop.example"},
    "owner":{"id":12345,"username":"Ann Owner","email":"ann@shop.example"},
    "context":"stores/g5cd38","account_uuid":"u-1"}"#;

fn request() -> CodeExchange {
    CodeExchange {
        client_id: "the-client-id".to_owned(),
        client_secret: "the-client-secret".into(),
        code: "the-code".into(),
        scope: "store_v2_orders_read_only".to_owned(),
        context: "stores/another".to_owned(),
        redirect_uri: "https://relay.example/bigcommerce/auth".to_owned(),
    }
}

/// Serves one request with this answer, and stores the request in the returned text.
async fn served(answer: String) -> (Url, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = Url::parse(&format!("http://{}/", listener.local_addr().expect("an address"))).expect("a URL");
    let asked = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&bytes).ends_with('}') {
            match stream.read(&mut chunk).await.expect("bytes") {
                0 => break,
                read => bytes.extend_from_slice(&chunk[..read]),
            }
        }
        *kept.lock() = String::from_utf8_lossy(&bytes).into_owned();
        if answer.is_empty() {
            std::future::pending::<()>().await;
        }
        stream.write_all(answer.as_bytes()).await.expect("sent");
    });
    (url, asked)
}

fn answer(status: u16, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

async fn exchanged(answer: String) -> Result<Grant, ExchangeError> {
    let (url, _) = served(answer).await;
    let http = Http::new(Default::default()).expect("clients");
    exchange(&http, &url, &request(), &ORDER_SCOPES, Duration::from_millis(300)).await
}

#[tokio::test]
async fn the_request_is_as_documented_and_the_answers_store_counts() {
    let (url, asked) = served(answer(200, "application/json", ANSWER)).await;
    let http = Http::new(Default::default()).expect("clients");
    let grant = exchange(&http, &url, &request(), &ORDER_SCOPES, EXCHANGE_TIMEOUT).await.expect("a grant");
    assert_eq!(grant.store_hash, "g5cd38");
    assert_eq!(grant.access_token.expose(), "the-token");
    assert_eq!(grant.scopes, ["store_v2_orders_read_only", "users_basic_information"]);
    let shown = format!("{grant:?} {:?}", request());
    for secret in ["the-token", "the-client-secret", "the-code", "ann@shop.example", "Ann Owner"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let asked = asked.lock().clone();
    assert!(asked.starts_with("POST /oauth2/token HTTP/1.1\r\n"), "{asked}");
    let (head, body) = asked.split_once("\r\n\r\n").expect("a head and a body");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("content-type: application/json") && head.contains("accept: application/json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let expected = serde_json::json!({
        "client_id": "the-client-id", "client_secret": "the-client-secret", "code": "the-code",
        "context": "stores/another", "scope": "store_v2_orders_read_only", "grant_type": "authorization_code",
        "redirect_uri": "https://relay.example/bigcommerce/auth",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    use ExchangeError::{LoginDown, Refused, SpentOrWrongCode};
    for (status, kind, body, error) in [
        (400, "application/json", r#"{"error":"invalid_grant"}"#, SpentOrWrongCode),
        (401, "application/json", r#"{"error":"invalid_grant"}"#, SpentOrWrongCode),
        (400, "application/json", r#"{"error":"Code has been used"}"#, SpentOrWrongCode),
        (400, "application/json", "", SpentOrWrongCode),
        (400, "application/json", r#"{"error":"invalid_client"}"#, Refused { status: 400 }),
        (401, "application/json", r#"{"error":"invalid_client"}"#, Refused { status: 401 }),
        (406, "application/json", r#"{"error":"Invalid format."}"#, Refused { status: 406 }),
        (403, "application/json", "{}", Refused { status: 403 }),
        (403, "text/html", "<html>challenge</html>", LoginDown(Failure::Html(403))),
        (302, "text/plain", "", LoginDown(Failure::Status(302))),
        (429, "application/json", "{}", LoginDown(Failure::Status(429))),
        (500, "application/json", "{}", LoginDown(Failure::Status(500))),
        (503, "text/html", "<html>", LoginDown(Failure::Html(503))),
        (200, "text/html", "<html>maintenance</html>", LoginDown(Failure::Html(200))),
    ] {
        assert_eq!(exchanged(answer(status, kind, body)).await, Err(error), "{status} {body}");
    }
    assert_eq!(exchanged(String::new()).await, Err(LoginDown(Failure::Timeout)));
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let http = Http::new(Default::default()).expect("clients");
    let url = Url::parse(&format!("http://{closed}")).expect("a URL");
    let refused = exchange(&http, &url, &request(), &ORDER_SCOPES, EXCHANGE_TIMEOUT).await;
    assert_eq!(refused, Err(LoginDown(Failure::Connect)));
}

#[tokio::test]
async fn only_whole_answers_make_a_grant() {
    let long = format!(r#"{{"access_token":"{}","context":"stores/a","scope":"store_v2_orders"}}"#, "t".repeat(5000));
    for body in [
        "",
        "{}",
        "[]",
        r#"{"access_token":"t","scope":"store_v2_orders"}"#,
        r#"{"access_token":"","context":"stores/a","scope":"store_v2_orders"}"#,
        r#"{"access_token":"a b","context":"stores/a","scope":"store_v2_orders"}"#,
        r#"{"access_token":"a\r\nX: y","context":"stores/a","scope":"store_v2_orders"}"#,
        r#"{"access_token":"t","context":"stores/a/../b","scope":"store_v2_orders"}"#,
        r#"{"access_token":"t","context":"a","scope":"store_v2_orders"}"#,
        r#"{"access_token":17,"context":"stores/a","scope":"store_v2_orders"}"#,
        &long,
    ] {
        assert_eq!(exchanged(answer(200, "application/json", body)).await, Err(ExchangeError::BadAnswer), "{body}");
    }
    let huge = " ".repeat(MAX_ANSWER + 1);
    let error = exchanged(answer(200, "application/json", &huge)).await;
    assert_eq!(error, Err(ExchangeError::LoginDown(Failure::TooLarge)));
}

#[test]
fn scopes_are_compared_whole() {
    for (scope, enough) in [
        ("store_v2_orders_read_only", true),
        ("default store_v2_orders", true),
        ("store_v2_orders_read_only_not", false),
        ("store_v2_products", false),
        ("", false),
    ] {
        let body = format!(r#"{{"access_token":"t","context":"stores/a","scope":"{scope}"}}"#);
        let grant = read(200, body.as_bytes(), "").expect("a grant");
        assert_eq!(grant.has_any_scope(&ORDER_SCOPES), enough, "{scope}");
    }
    let grant = read(200, br#"{"access_token":"t","context":"stores/a"}"#, "store_v2_orders").expect("a grant");
    assert_eq!(grant.scopes, ["store_v2_orders"]);
}

#[test]
fn the_login_urls_slash_does_not_matter() {
    for (login, token) in [
        ("https://login.bigcommerce.com", "https://login.bigcommerce.com/oauth2/token"),
        ("https://login.bigcommerce.com/", "https://login.bigcommerce.com/oauth2/token"),
        ("https://proxy.example/login/", "https://proxy.example/login/oauth2/token"),
    ] {
        assert_eq!(token_url(&Url::parse(login).expect("a URL")).as_str(), token);
    }
}
