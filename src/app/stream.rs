//! A client's connection with the limits that the HTTP server lacks: on how much is read of it, at once and after its
//! last answer, and on how long it may leave its answers unread.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::rt::net::TcpStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// Bytes read before the server handles them: it parses, and keeps, all requests that a client has pipelined.
const READ_AT_ONCE: usize = 8 * 1024;

/// A client's connection with limits on reading and writing.
#[derive(Debug)]
pub(super) struct ClientStream {
    io: TcpStream,
    unread_time: Duration,
    read: usize,
    is_closing: Rc<Cell<bool>>,
    /// Runs while the client reads nothing of what is written.
    blocked: Option<Pin<Box<Sleep>>>,
}

impl ClientStream {
    /// Wraps a connection that is closed when the client has read nothing for `unread_time`.
    pub fn new(io: TcpStream, unread_time: Duration) -> Self {
        Self { io, unread_time, read: 0, is_closing: Rc::default(), blocked: None }
    }

    /// Set once the last answer is being sent: whatever the client sends after that is read and dropped. Left unread,
    /// it would make the system reset the connection, and lose the answer.
    pub fn is_closing(&self) -> Rc<Cell<bool>> {
        self.is_closing.clone()
    }

    /// Passes on the result of a write; an error if nothing could be written for too long.
    fn written<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.blocked = None;
            return outcome;
        }
        let time = self.unread_time;
        ready!(self.blocked.get_or_insert_with(|| Box::pin(tokio::time::sleep(time))).as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.read >= READ_AT_ONCE {
                self.read = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let before = buffer.filled().len();
            let outcome = Pin::new(&mut self.io).poll_read(context, buffer);
            let count = buffer.filled().len() - before;
            self.read = if outcome.is_ready() { self.read + count } else { 0 };
            if count == 0 || !self.is_closing.get() {
                return outcome;
            }
            buffer.set_filled(before);
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(context, bytes);
        self.written(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.written(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A client, and the connection that it has made.
    async fn connected(unread_time: Duration) -> (TcpStream, ClientStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("it listens");
        let (io, _) = listener.accept().await.expect("it connects");
        (client, ClientStream::new(io, unread_time))
    }

    #[tokio::test]
    async fn all_that_is_sent_is_read_in_portions_and_dropped_after_the_last_answer() {
        let (mut client, mut stream) = connected(Duration::from_secs(5)).await;
        let sent = vec![7; 10 * READ_AT_ONCE];
        client.write_all(&sent).await.expect("it is taken");
        let mut read = vec![0; sent.len()];
        stream.read_exact(&mut read).await.expect("it comes");
        assert_eq!(read, sent);
        stream.is_closing().set(true);
        client.write_all(&sent).await.expect("it is taken");
        client.shutdown().await.expect("it ends");
        let mut rest = Vec::new();
        assert_eq!(stream.read_to_end(&mut rest).await.expect("it ends in order"), 0);
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_given_up() {
        let (_client, mut stream) = connected(Duration::from_millis(50)).await;
        let error = loop {
            if let Err(error) = stream.write_all(&[0; 1 << 20]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
