//! A small load balancer: passes each connection to the next backend that accepts it, and cuts all connections or holds
//! one on request.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinSet,
};

/// How the next connection is held: the sender reports its first bytes, the receiver waits for the release.
type Hold = (oneshot::Sender<()>, oneshot::Receiver<()>);

/// A proxy. Dropping it stops it and cuts its connections.
pub struct Proxy {
    port: u16,
    backends: Arc<Mutex<Vec<u16>>>,
    cuts: watch::Sender<u64>,
    hold: Arc<Mutex<Option<Hold>>>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// Starts on a free port, without a backend.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let backends: Arc<Mutex<Vec<u16>>> = Arc::default();
        let cuts = watch::Sender::new(0);
        let hold: Arc<Mutex<Option<Hold>>> = Arc::default();
        let mut task = JoinSet::new();
        task.spawn(serve(listener, backends.clone(), cuts.subscribe(), hold.clone()));
        Self { port, backends, cuts, hold, _task: task }
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

    /// Holds the next connection. The receiver reports when its first bytes have come; the sender releases them.
    pub fn hold_next(&self) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let ((arrived, told), (release, released)) = (oneshot::channel(), oneshot::channel());
        *self.hold.lock().expect("no holder panics") = Some((arrived, released));
        (told, release)
    }

    /// Cuts every connection that is open now.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn serve(
    listener: TcpListener,
    backends: Arc<Mutex<Vec<u16>>>,
    cuts: watch::Receiver<u64>,
    hold: Arc<Mutex<Option<Hold>>>,
) {
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
                let hold = hold.lock().expect("no holder panics").take();
                connections.spawn(async move {
                    tokio::select! {
                        // When either side ends the connection, the other side's is closed too.
                        () = pass_on(client, backends, hold) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(mut client: TcpStream, backends: Vec<u16>, hold: Option<Hold>) {
    if let Some((arrived, released)) = hold {
        let _ = client.peek(&mut [0]).await;
        let _ = arrived.send(());
        let _ = released.await;
    }
    for port in backends {
        if let Ok(mut backend) = TcpStream::connect(("127.0.0.1", port)).await {
            // Database protocols exchange small messages, which would otherwise wait for acknowledgements.
            let _ = client.set_nodelay(true).and(backend.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut backend).await;
            return;
        }
    }
}
