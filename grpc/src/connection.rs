//! Who may connect: so many at once, and only those who begin to speak HTTP/2 in time, after a handshake where there is
//! TLS. Knows nothing of gRPC.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use lictor_shared::tls::{Arrival, Port, Tls};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_util::either::Either;
use tonic::transport::server::Connected;

/// How long a peer may take for the first words of HTTP/2; from then on pings tell whether it is there.
const PREFACE_LIMIT: Duration = Duration::from_secs(10);
/// The length of those (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;
/// How long no connection is accepted after the system had none left to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection and its place among all.
pub struct Connection {
    stream: Either<TcpStream, Box<Arrival>>,
    /// Of the preface, and until when it may come; none once it has.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
    _place: OwnedSemaphorePermit,
}

/// The connections to `listener`, by TLS where that is given, each as soon as there is a free place. Never ends.
pub fn accept(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    free: Arc<Semaphore>,
) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold((listener, tls, free), |(listener, tls, free)| async {
        // Fails only if the semaphore is closed, which nobody does.
        let place = free.clone().acquire_owned().await.ok()?;
        let stream = loop {
            match listener.accept().await {
                Ok((stream, _)) => break stream,
                Err(error) => {
                    tracing::warn!(%error, "gRPC: no connection could be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        let connection = stream.set_nodelay(true).map(|()| Connection {
            stream: match &tls {
                None => Either::Left(stream),
                Some(tls) => Either::Right(Box::new(Arrival::new(stream, tls.clone(), Port::Grpc))),
            },
            awaited: Some((PREFACE_BYTES, Box::pin(sleep(PREFACE_LIMIT)))),
            _place: place,
        });
        Some((connection, (listener, tls, free)))
    })
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some((missing, limit)) = &mut self.awaited else { return read };
        *missing = missing.saturating_sub(buffer.filled().len() - before);
        if *missing == 0 {
            self.awaited = None;
        } else if read.is_pending() && limit.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
