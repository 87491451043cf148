//! How a simulator answers, and how a fault alters the answer on its way: sent in drips, cut in half, lost, replaced.

use std::io::{self, Write};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::{BodyStream, SizedStream};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;

use crate::fault::{Action, Coding, Fault};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How long the first half of an answer has to reach the other side before the connection is cut.
const HALF_TIME: Duration = Duration::from_millis(10);

/// Into how many pieces a dripped body is cut at most.
const DRIPS: usize = 20;

/// A status, headers and a JSON body (or none).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::json(status, Bytes::new())
    }

    /// An error in the form of BigCommerce's v2 API.
    pub(crate) fn refusal(status: u16, message: &str) -> Self {
        let message = serde_json::json!([{ "status": status, "message": message }]);
        Self::json(status, message.to_string())
    }

    /// The refusal to send instead of doing any work, if `fault` is such an action. [`Action::Drop`] is not: it sends
    /// nothing.
    pub(crate) fn of_fault(fault: &Fault) -> Option<Self> {
        let mut answer = match &fault.action {
            Action::Status(status) => Self::refusal(*status, "refused by a switched fault"),
            Action::Say { status, kind, body } => {
                let mut answer = Self::json(*status, *body);
                answer.push(CONTENT_TYPE, kind);
                answer
            }
            Action::Redirect(to) => {
                let mut answer = Self::empty(302);
                answer.push(LOCATION, to);
                answer
            }
            _ => return None,
        };
        for (name, value) in &fault.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a test names a valid header");
            answer.push(name, value);
        }
        Some(answer)
    }

    /// The answer without any fault or bookkeeping.
    pub(crate) fn into_response(self) -> HttpResponse {
        head(&self).body(self.body)
    }

    pub(crate) fn push(&mut self, name: HeaderName, value: &str) {
        let value = HeaderValue::from_str(value).expect("a test gives a valid header value");
        self.headers.push((name, value));
    }
}

/// Records one request. If it is dropped before `answered` is called, the answer was never sent or was lost.
pub(crate) trait Ticket: 'static {
    /// The whole answer has been handed to the server.
    fn answered(self, status: u16);
}

enum Part {
    Data(Bytes),
    Pause(Duration),
    Cut,
}

/// Sends `answer`, altered as `fault` says.
pub(crate) fn respond<T: Ticket>(answer: Answer, fault: Option<&Fault>, ticket: T) -> HttpResponse {
    let Some(script) = fault.and_then(|fault| script(&answer, &fault.action)) else {
        ticket.answered(answer.status);
        return head(&answer).body(answer.body);
    };
    let mut answer = answer;
    if let Some(Action::Coded(coding)) = fault.map(|fault| &fault.action) {
        let name = match coding {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        };
        answer.push(CONTENT_ENCODING, name);
    }
    let body = play(script.parts, answer.status, ticket);
    match script.announced {
        Some(size) => head(&answer).body(SizedStream::new(size, body)),
        None => head(&answer).body(BodyStream::new(body)),
    }
}

fn head(answer: &Answer) -> actix_web::HttpResponseBuilder {
    let status = StatusCode::from_u16(answer.status).expect("a simulator answers with valid statuses only");
    let mut response = HttpResponse::build(status);
    if !answer.body.is_empty() {
        response.insert_header((CONTENT_TYPE, JSON));
    }
    for (name, value) in &answer.headers {
        response.insert_header((name.clone(), value.clone()));
    }
    response
}

/// Compresses a body.
pub(crate) fn coded(coding: Coding, body: &[u8]) -> Bytes {
    let coded = match coding {
        Coding::Gzip => {
            let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            coder.write_all(body).and_then(|()| coder.finish())
        }
        Coding::Deflate => {
            let mut coder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            coder.write_all(body).and_then(|()| coder.finish())
        }
    };
    coded.expect("a Vec takes all that is written").into()
}

struct Script {
    announced: Option<u64>,
    parts: Vec<Part>,
}

/// `None` if the action leaves the answer as it is.
fn script(answer: &Answer, action: &Action) -> Option<Script> {
    let whole = &answer.body;
    Some(match action {
        // A connection that fails on the first piece of the body sends nothing, for the head has not been flushed yet.
        Action::Drop | Action::LoseAnswer => Script { announced: Some(1), parts: vec![Part::Cut] },
        Action::HalfAnswer => {
            let half = whole.slice(..whole.len() / 2);
            let announced = Some(whole.len().max(1) as u64);
            Script { announced, parts: vec![Part::Data(half), Part::Pause(HALF_TIME), Part::Cut] }
        }
        Action::Drip(time) if !whole.is_empty() => {
            let size = whole.len().div_ceil(DRIPS);
            let count = whole.len().div_ceil(size);
            let pause = *time / u32::try_from(count).expect("at most DRIPS");
            let cut = |i: usize| whole.slice(i * size..((i + 1) * size).min(whole.len()));
            let parts = (0..count).flat_map(|i| [Part::Pause(pause), Part::Data(cut(i))]).collect();
            Script { announced: Some(whole.len() as u64), parts }
        }
        Action::NotJson => {
            let page = Bytes::from_static(b"<!DOCTYPE html><title>Maintenance</title><p>We are back soon.</p>");
            Script { announced: Some(page.len() as u64), parts: vec![Part::Data(page)] }
        }
        Action::Prefix(text) => {
            let parts = vec![Part::Data(Bytes::from_static(text.as_bytes())), Part::Data(whole.clone())];
            Script { announced: Some((text.len() + whole.len()) as u64), parts }
        }
        Action::Coded(coding) => {
            let body = coded(*coding, whole);
            Script { announced: Some(body.len() as u64), parts: vec![Part::Data(body)] }
        }
        Action::Oversized { announced } => {
            let mebibyte = Bytes::from(vec![b' '; 1 << 20]);
            let size = announced.then_some(9 << 20);
            Script { announced: size, parts: (0..9).map(|_| Part::Data(mebibyte.clone())).collect() }
        }
        _ => return None,
    })
}

fn play<T: Ticket>(parts: Vec<Part>, status: u16, ticket: T) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold((parts.into_iter(), Some(ticket)), move |(mut parts, mut ticket)| async move {
        loop {
            match parts.next() {
                Some(Part::Data(data)) => return Some((Ok(data), (parts, ticket))),
                Some(Part::Pause(time)) => tokio::time::sleep(time).await,
                Some(Part::Cut) => {
                    drop(ticket.take());
                    return Some((Err(io::ErrorKind::ConnectionAborted.into()), (parts, ticket)));
                }
                None => {
                    if let Some(ticket) = ticket.take() {
                        ticket.answered(status);
                    }
                    return None;
                }
            }
        }
    })
}
