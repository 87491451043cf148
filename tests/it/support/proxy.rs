//! A load balancer of a few lines: hands each connection to the next relay that takes it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Stops, and cuts its connections, when dropped.
pub struct Proxy {
    port: u16,
    backends: Arc<Mutex<Vec<u16>>>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// On a port of its own, with nobody behind it yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let backends: Arc<Mutex<Vec<u16>>> = Arc::default();
        let mut task = JoinSet::new();
        task.spawn(serve(listener, backends.clone()));
        Self { port, backends, _task: task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn add(&self, port: u16) {
        self.backends.lock().expect("no holder panics").push(port);
    }

    pub fn remove(&self, port: u16) {
        self.backends.lock().expect("no holder panics").retain(|backend| *backend != port);
    }
}

async fn serve(listener: TcpListener, backends: Arc<Mutex<Vec<u16>>>) {
    let turn = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((mut client, _)) = accepted else { continue };
                let (turn, mut backends) = (turn.clone(), backends.lock().expect("no holder panics").clone());
                connections.spawn(async move {
                    let first = turn.fetch_add(1, Ordering::Relaxed);
                    if backends.is_empty() {
                        return;
                    }
                    let count = backends.len();
                    backends.rotate_left(first % count);
                    for port in backends {
                        if let Ok(mut relay) = TcpStream::connect(("127.0.0.1", port)).await {
                            // Either side may cut the connection; the other learns of it by that.
                            let _ = copy_bidirectional(&mut client, &mut relay).await;
                            return;
                        }
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
