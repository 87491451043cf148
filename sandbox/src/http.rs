//! What all simulators build on: an HTTP client for loopback, and a server on a port that the system chooses.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::{PayloadConfig, ServiceConfig};
use actix_web::{App, HttpServer};
use tokio::task::JoinHandle;

/// Larger than any body that the relay may send.
const MAX_REQUEST_BODY: usize = 16 << 20;

/// A client that follows no redirects and uses no proxy. Installs the process's TLS provider if there is none yet.
pub fn client() -> reqwest::Client {
    install_tls_provider();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client without special settings can be built once a TLS provider is installed")
}

/// Makes `ring` the process's TLS provider, unless another was installed before.
pub fn install_tls_provider() {
    // An error only means that another thread was faster; either way there is a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Reserves a loopback port.
pub(crate) fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// A running server. Dropping it tells it to stop; [`Server::stop`] also waits until it has.
#[derive(Debug)]
pub(crate) struct Server {
    handle: ServerHandle,
    task: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl Server {
    /// Serves the routes of `configure` on `listener`, driven by the current tokio runtime.
    pub(crate) fn start(
        listener: TcpListener,
        workers: usize,
        configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let server = HttpServer::new(move || {
            App::new().app_data(PayloadConfig::new(MAX_REQUEST_BODY)).configure(configure.clone())
        })
        .workers(workers)
        .disable_signals()
        .shutdown_timeout(1)
        .keep_alive(Duration::from_secs(75))
        .client_disconnect_timeout(Duration::ZERO)
        // A client that hangs up ends its request at once; otherwise the count of open requests would be wrong.
        .h1_allow_half_closed(false)
        .listen(listener)?
        .run();
        let handle = server.handle();
        let task = Mutex::new(Some(tokio::spawn(server)));
        Ok(Self { handle, task })
    }

    /// Cuts all connections and waits until the server is gone. A second call does nothing.
    pub(crate) async fn stop(&self) {
        let task = self.task.lock().expect("no holder of this lock panics").take();
        if let Some(task) = task {
            self.handle.stop(false).await;
            // How the task ended does not matter.
            let _ = task.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // `stop` sends its command when called; the future only waits for the end.
        drop(self.handle.stop(false));
    }
}
