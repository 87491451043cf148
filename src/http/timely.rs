//! A request body that is not sent after a deadline, even if the process was suspended meanwhile.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::clock::Timestamp;

/// The body, handed over in one piece as soon as the connection can be written.
#[derive(Debug)]
pub struct TimelyBody {
    bytes: Option<Bytes>,
    until: Timestamp,
    is_begun: Arc<AtomicBool>,
}

/// Tells whether a body has been handed to its connection.
#[derive(Debug, Clone)]
pub struct Begun(Arc<AtomicBool>);

/// The deadline passed before the body could be sent: nothing has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLate;

impl TimelyBody {
    /// A body that may be sent until `until`, and the handle that tells whether it was.
    pub fn new(bytes: Bytes, until: Timestamp) -> (Self, Begun) {
        let is_begun = Arc::new(AtomicBool::new(false));
        (Self { bytes: Some(bytes), until, is_begun: is_begun.clone() }, Begun(is_begun))
    }
}

impl Begun {
    /// Whether the body has been handed over.
    pub fn is_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Body for TimelyBody {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TooLate>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        if Timestamp::now() >= self.until {
            return Poll::Ready(Some(Err(TooLate)));
        }
        self.is_begun.store(true, Ordering::Release);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64)
    }
}

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time to send it had passed")
    }
}

impl std::error::Error for TooLate {}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        time::Duration,
    };

    use reqwest::Method;

    use super::*;
    use crate::http::{AddressPolicy, Http};

    /// What a server reads of a request whose body may be sent until `until`, and the result of the call.
    async fn sent(until: Timestamp) -> (String, reqwest::Result<reqwest::Response>, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
        let server = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("it connects");
            client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            let (mut read, mut buffer) = (Vec::new(), [0; 1024]);
            while !read.ends_with(b"{}") {
                match client.read(&mut buffer) {
                    Ok(count) if count > 0 => read.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            // The client may have given up already.
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            String::from_utf8(read).expect("text")
        });
        let (body, begun) = TimelyBody::new(Bytes::from_static(b"{}"), until);
        let http = Http::new(AddressPolicy::default()).expect("the roots can be read");
        let request = http.operator(Method::POST, url.parse().expect("a URL"), Duration::from_secs(10));
        let outcome = request.body(reqwest::Body::wrap(body)).send().await;
        (server.join().expect("it does not panic"), outcome, begun.is_begun())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_body_in_time_is_sent_with_its_length_and_a_late_one_not_at_all() {
        let (read, outcome, is_begun) = sent(Timestamp::now().after(Duration::from_secs(60))).await;
        assert!(outcome.is_ok() && is_begun, "{outcome:?}");
        assert!(read.to_lowercase().contains("content-length: 2\r\n") && read.ends_with("\r\n\r\n{}"), "{read}");
        assert!(!read.to_lowercase().contains("transfer-encoding"), "{read}");
        let (read, outcome, is_begun) = sent(Timestamp::now()).await;
        assert!(outcome.is_err() && !is_begun && !read.ends_with("{}"), "{read}: {outcome:?}");
    }
}
