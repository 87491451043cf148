//! A load balancer of a few lines: hands each connection to the next backend that takes it, and cuts all when told to.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Stops, and cuts its connections, when dropped.
pub struct Proxy {
    port: u16,
    backends: Arc<Mutex<Vec<u16>>>,
    cuts: watch::Sender<u64>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// On a port of its own, with nobody behind it yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let backends: Arc<Mutex<Vec<u16>>> = Arc::default();
        let cuts = watch::Sender::new(0);
        let mut task = JoinSet::new();
        task.spawn(serve(listener, backends.clone(), cuts.subscribe()));
        Self { port, backends, cuts, _task: task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn add(&self, port: u16) {
        self.backends.lock().expect("no holder panics").push(port);
    }

    pub fn remove(&self, port: u16) {
        self.backends.lock().expect("no holder panics").retain(|backend| *backend != port);
    }

    /// Cuts every connection that is open now.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn serve(listener: TcpListener, backends: Arc<Mutex<Vec<u16>>>, cuts: watch::Receiver<u64>) {
    let turn = AtomicUsize::new(0);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let mut backends = backends.lock().expect("no holder panics").clone();
                if backends.is_empty() {
                    continue;
                }
                let count = backends.len();
                backends.rotate_left(turn.fetch_add(1, Ordering::Relaxed) % count);
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                connections.spawn(async move {
                    tokio::select! {
                        // Either side may end the connection; the other learns of it by that.
                        () = pass_on(client, backends) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(mut client: TcpStream, backends: Vec<u16>) {
    for port in backends {
        if let Ok(mut backend) = TcpStream::connect(("127.0.0.1", port)).await {
            // Small messages back and forth: a database's protocol would otherwise wait for acknowledgements.
            let _ = client.set_nodelay(true).and(backend.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut backend).await;
            return;
        }
    }
}
