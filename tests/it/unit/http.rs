//! How an answer is read: the forms of `Retry-After`, the limit for a body, and how a call failed. With raw answers on
//! loopback.

use std::{
    io::{Read, Write},
    net::TcpListener,
    time::Duration,
};

use bytes::Bytes;
use onetribe_relay::http::{AddressPolicy, CallError, Failure, Http, read_body};
use reqwest::{Method, Response};

fn request(url: reqwest::Url) -> reqwest::RequestBuilder {
    let http = Http::new(AddressPolicy::new(Vec::new())).unwrap();
    http.operator(Method::GET, url, Duration::from_secs(30))
}

/// Gets a raw answer from a socket that is closed afterwards.
async fn get(raw: &str) -> reqwest::Result<Response> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let raw = raw.to_owned();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        // The client may close the connection before everything is written.
        let _ = stream.write_all(raw.as_bytes());
        String::from_utf8(request).unwrap()
    });
    let answer = request(url.parse().unwrap()).send().await;
    drop(server);
    answer
}

async fn retry_after(headers: &str) -> Option<Duration> {
    let answer = get(&format!("HTTP/1.1 503 Busy\r\n{headers}content-length: 0\r\n\r\n")).await.unwrap();
    let error = CallError::of_status(&answer);
    assert_eq!(error.failure, Failure::Status(503));
    error.retry_after
}

#[tokio::test]
async fn retry_after_is_read_in_seconds() {
    let seconds = |n| Some(Duration::from_secs(n));
    for (headers, expected) in [
        ("", None),
        ("Retry-After: 120\r\n", seconds(120)),
        ("retry-after:   7  \r\n", seconds(7)),
        ("Retry-After: 0\r\n", seconds(0)),
        ("X-Retry-After: 9\r\n", seconds(9)),
        ("Retry-After: 5\r\nX-Retry-After: 9\r\n", seconds(5)),
        ("Retry-After: soon\r\nX-Retry-After: 9\r\n", seconds(9)),
        ("Retry-After: 3600\r\n", seconds(3600)),
        ("Retry-After: 3601\r\n", seconds(3600)),
        ("Retry-After: 18446744073709551615\r\n", seconds(3600)),
        ("Retry-After: 18446744073709551616\r\n", None),
        ("Retry-After: -1\r\n", None),
        ("Retry-After: 1.5\r\n", None),
        ("Retry-After: \r\n", None),
        ("Retry-After: 5 minutes\r\n", None),
        ("Retry-After: \u{e9}\r\n", None),
    ] {
        assert_eq!(retry_after(headers).await, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn retry_after_is_read_as_a_date() {
    let at = |seconds_from_now: i64| {
        let at = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(seconds_from_now)).unwrap();
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    let soon = retry_after(&format!("Retry-After: {}\r\n", at(1800))).await.unwrap();
    assert!(soon <= Duration::from_secs(1800) && soon > Duration::from_secs(1700), "{soon:?}");
    let late = retry_after(&format!("Retry-After: {}\r\n", at(900_000))).await;
    assert_eq!(late, Some(Duration::from_secs(3600)), "an hour at most");
    let both = retry_after(&format!("X-Retry-After: 1\r\nRetry-After: {}\r\n", at(900_000))).await;
    assert_eq!(both, Some(Duration::from_secs(3600)), "the standard's own header goes first");
    for past in
        ["Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct 2099 07:28:00 GMT", "2099-01-01T00:00:00Z", "Thu, 01 Jan"]
    {
        assert_eq!(retry_after(&format!("Retry-After: {past}\r\n")).await, None, "{past}");
    }
}

async fn body(raw: &str, limit: usize) -> Result<Bytes, CallError> {
    read_body(get(raw).await.unwrap(), limit).await
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_no_further() {
    let too_large = Err(CallError::from(Failure::TooLarge));
    let announced = |size: usize, text: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n{text}");
    assert_eq!(body(&announced(5, "12345"), 5).await, Ok(Bytes::from("12345")));
    assert_eq!(body(&announced(5, "12345"), 4).await, too_large);
    // Refused by the announced length, before any of the body has come.
    assert_eq!(body(&announced(usize::MAX >> 1, ""), 8 << 20).await, too_large);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n123\r\n2\r\n45\r\n0\r\n\r\n";
    assert_eq!(body(chunked, 5).await, Ok(Bytes::from("12345")));
    assert_eq!(body(chunked, 4).await, too_large);
    let until_closed = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n12345";
    assert_eq!(body(until_closed, 5).await, Ok(Bytes::from("12345")));
    assert_eq!(body(until_closed, 4).await, too_large);
    assert_eq!(body("HTTP/1.1 204 No Content\r\n\r\n", 0).await, Ok(Bytes::new()));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_body() {
    let broken = Err(CallError::from(Failure::Broken));
    assert_eq!(body("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n12345", 100).await, broken);
    assert_eq!(body("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n123", 100).await, broken);
    assert_eq!(body("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", 100).await, broken);
}

#[tokio::test]
async fn a_call_without_an_answer_is_told_by_its_kind() {
    let kind = |answer: reqwest::Result<Response>| CallError::from(answer.unwrap_err()).failure;
    assert_eq!(kind(get("").await), Failure::Broken);
    assert_eq!(kind(get("no HTTP at all\r\n\r\n").await), Failure::Broken);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url: reqwest::Url = format!("http://{nobody}/s3cret").parse().unwrap();
    let error = CallError::from(request(url).send().await.unwrap_err());
    assert_eq!(error.failure, Failure::Connect);
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let answer = get("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert_eq!(CallError::of_status(&answer), Failure::Status(302).into());
}
