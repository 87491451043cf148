//! Listening: sockets, limits, and the HTTP server on them.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, Protocol as Http};
use actix_service::{ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App,
    dev::{AppConfig, Server},
    middleware::from_fn,
    rt::net::TcpStream,
    web,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use super::{error::AppError, stream::ClientStream};
use crate::web::{Relay, requests};

/// Requests under way get this long to end when the relay stops.
const DRAIN_SECONDS: u64 = 20;
/// Longer than the idle times of common proxies, so that none of them meets a connection that was just closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long closing a connection may take.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The length of the system's accept queue, if the system's own limit allows it. A client that is turned away retries
/// after a second.
const BACKLOG: i32 = 4096;
/// A client that does not acknowledge an answer for this long is disconnected. The system checks only when it probes
/// the client, at growing intervals, so it may take a little more than twice as long.
const UNREAD_TIME: Duration = Duration::from_secs(10);
/// File descriptors reserved for the relay's own database and calls.
const RESERVED_FILES: u64 = 400;
/// Upper limit on client connections, however many files may be opened.
const MOST_CONNECTIONS: u64 = 25_000;

/// Binds the ports and builds the server, which answers once it is polled. Returns the port that was chosen.
pub(super) fn listen(
    variable: &'static str,
    address: SocketAddr,
    relay: Arc<Relay>,
    workers: usize,
    routes: fn(&mut web::ServiceConfig),
) -> Result<(Server, u16), AppError> {
    let fail = |source: io::Error| {
        let variable = if source.kind() == io::ErrorKind::AddrNotAvailable { "HOST" } else { variable };
        AppError::Listen { variable, address, source }
    };
    let listener = bind(address).map_err(fail)?;
    let port = listener.local_addr().map_err(fail)?.port();
    let data = web::Data::new(relay);
    let builder = Server::build()
        .shutdown_timeout(DRAIN_SECONDS)
        .max_concurrent_connections(connections_each(workers))
        .disable_signals()
        .workers(workers);
    let stopping = builder.graceful_shutdown_signal();
    let service = move || {
        let stopping = stopping.clone();
        let app = App::new().wrap(from_fn(requests::logged)).app_data(data.clone()).configure(routes);
        let http = HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_TIME)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .on_connect_ext(|client: &ClientStream, known| requests::connected(known, client.is_closing()))
            .finish(map_config(app, |()| AppConfig::default()));
        let accept = |io: TcpStream| {
            let peer = io.peer_addr().ok();
            std::future::ready(Ok((ClientStream::new(io, UNREAD_TIME), Http::Http1, peer)))
        };
        fn_service(accept).and_then(http)
    };
    let server = builder.listen("http", listener, service).map_err(fail)?.run();
    Ok((server, port))
}

/// A listener whose queue holds a burst of new connections. Accepted connections inherit the limit on unacknowledged
/// data.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // A restarted relay can bind its port at once.
    socket.set_reuse_address(true)?;
    socket.set_tcp_user_timeout(Some(UNREAD_TIME))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Raises the soft limit on open files to the hard one: a few thousand connections are nothing unusual.
pub(super) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "the limit on open files could not be raised: {error}");
        }
    }
}

/// How many connections each worker accepts, so that together they leave enough files for the relay's own.
fn connections_each(workers: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = files.saturating_sub(RESERVED_FILES.min(files / 2)).clamp(16, MOST_CONNECTIONS);
    usize::try_from(most).unwrap_or(usize::MAX).div_ceil(workers.max(1))
}

/// Half of the processors, rounded up: so many threads answer requests, and as many others store events and deliver.
/// More threads would only contend with each other.
pub fn half_of_processors() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}
