//! Requests that are no valid HTTP, and genuine ones with useless bodies.

use std::time::Duration;

use onetribe_relay::signature;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Row, load::Genuine, target::Target};

/// Bytes to write to a connection, valid HTTP or not.
fn raw() -> Vec<Vec<u8>> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n").into_bytes();
    let post = |headers: &str, body: &str| {
        format!("POST /webhooks/bigcommerce HTTP/1.1\r\nHost: relay\r\n{headers}\r\n\r\n{body}").into_bytes()
    };
    let mut all = vec![
        b"\r\n\r\n\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n\xff\xfe: x\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\nHost: relay\n\n".to_vec(),
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec(),
        vec![0; 70_000],
        b"A".repeat(200_000),
        format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(500)).into_bytes(),
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(300_000)).into_bytes(),
        post("Content-Length: -1", "{}"),
        post("Content-Length: 99999999999999999999999", "{}"),
        post("Content-Length: 2\r\nContent-Length: 3", "{}x"),
        post("Content-Length: 2\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked", "ffffffffffffffffff\r\nx\r\n"),
        post("Transfer-Encoding: chunked", "-1\r\nx\r\n"),
        post("Transfer-Encoding: chunked", &"1\r\nx\r\n".repeat(70_000)),
        post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
        post("Expect: 100-continue\r\nContent-Length: 2", "{}"),
        post("Content-Encoding: gzip\r\nContent-Length: 2", "{}"),
    ];
    for path in [
        "/",
        "//",
        "/..",
        "/%00",
        "/%ff",
        "/../../etc/passwd",
        "/webhooks/%2e%2e",
        "/orders?limit=-1",
        "/orders?limit=99999999999999999999",
        "/orders?state=%27;--",
        "/orders?before=%00",
        "/connections/-1",
        "/connections/99999999999999999999",
        "/connections/1/orders?state=x",
        "/integration?order=%0d%0ax:y",
        "/bigcommerce/auth?code=%00&scope=&context=stores/..",
        "/woocommerce/connected?user_id=%00&success=2",
        "http://elsewhere.example/health/live",
        "*",
    ] {
        all.push(get(path));
    }
    all.push(get(&format!("/{}", "x".repeat(60_000))));
    all.push(get(&format!("/?{}", "x=y&".repeat(15_000))));
    all
}

/// Bodies that a faulty store might send with a valid signature.
fn bodies() -> Vec<Vec<u8>> {
    let event = |id: &str| {
        format!(
            r#"{{"scope":"store/order/created","producer":"stores/abcde","hash":"h","created_at":1,"data":{{"type":"order","id":{id}}}}}"#
        )
    };
    let mut all: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{\"scope\":\"\xff\"}".to_vec(),
        "[".repeat(60_000).into_bytes(),
        "{\"a\":".repeat(12_000).into_bytes(),
        format!("{{\"scope\":\"{}\"}}", "s".repeat(60_000)).into_bytes(),
    ];
    for id in [
        "0",
        "-1",
        "1.5",
        "1e3",
        "9223372036854775808",
        "99999999999999999999999",
        "\"\"",
        "\" 1\"",
        "\"1e3\"",
        "null",
        "true",
        "[]",
        "{}",
        "[1]",
        "\"218; drop table objects\"",
        "\"\u{202e}1\"",
    ] {
        all.push(event(id).into_bytes());
    }
    for (from, to) in [
        ("store/order/created", ""),
        ("store/order/created", "store/order/\u{1b}[2J"),
        ("stores/abcde", "stores/"),
        ("stores/abcde", "stores/other"),
        ("\"data\":", "\"data\":null,\"x\":"),
        ("\"created_at\":1", "\"created_at\":-9223372036854775808"),
        ("\"created_at\":1", "\"created_at\":9223372036854775807"),
        ("\"created_at\":1", "\"created_at\":{}"),
        ("\"hash\":\"h\"", "\"hash\":null"),
        ("\"hash\":\"h\"", "\"hash\":[1]"),
    ] {
        all.push(event("999999999").replace(from, to).into_bytes());
    }
    all
}

/// Whatever is sent, the relay goes on, accepts nothing malformed, and never answers with a 5xx.
pub async fn all() -> Vec<Row> {
    let mut target = Target::start(&[]).await;
    let (requests, mut bad) = (raw(), 0);
    for request in &requests {
        let mut stream = target.connect().await.unwrap();
        let _ = tokio::time::timeout(Duration::from_secs(2), stream.write_all(request)).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_millis(300), stream.read_to_end(&mut answer)).await;
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
        if shown.starts_with("HTTP/1.1 5") || (shown.starts_with("HTTP/1.1 200") && !is_public(request)) {
            bad += 1;
            eprintln!("{shown:?}: {}", String::from_utf8_lossy(&request[..request.len().min(80)]));
        }
    }
    let (signed, mut faults) = (bodies(), 0);
    for body in &signed {
        let now = sandbox::clock::system_clock();
        let id = format!("{:x}", rand::random::<u64>());
        let request = target.client.post(target.url("/webhooks/bigcommerce")).header("webhook-id", &id);
        let signature = signature::sign(&target.secret(), &id, now, body);
        let request = request.header("webhook-timestamp", now.to_string()).header("webhook-signature", signature);
        let status = request.body(body.clone()).send().await.unwrap().status().as_u16();
        if !matches!(status, 200 | 400) {
            faults += 1;
            eprintln!("{status}: {}", String::from_utf8_lossy(&body[..body.len().min(80)]));
        }
    }
    let genuine = Genuine::send(&target, 50, Duration::from_secs(2)).await;
    let lost = genuine.refused + usize::from(!target.is_alive());
    vec![
        Row::of("malformed requests: 5xx, or taken", requests.len(), bad),
        Row::of("genuine webhooks with bodies of no use: neither 200 nor 400", signed.len(), faults),
        Row::of("genuine webhooks after all of that", genuine.count(), lost),
    ]
}

/// Whether the request is for a public route.
fn is_public(request: &[u8]) -> bool {
    request.windows(12).any(|part| part == b"/health/live")
        || request.windows(22).any(|part| part == b"/woocommerce/connected")
}
