//! Connections to a port that speaks gRPC: those that its door lets in, as long as they begin to speak HTTP/2 in time.
//!
//! What a peer may do from then on is bounded by the HTTP/2 of the port: the streams of a connection, the size of
//! headers (16 KiB) and messages, and how many streams it may open and reset at once before it is cut off (20, which
//! ends a "rapid reset"; h2's defaults, which the ports state).

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, stream};
use lictor_shared::{
    limits::{Door, Seat},
    tls::{Arrival, Port, Seen, Tls},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep},
};
use tokio_util::either::Either;
use tonic::transport::{Server, server::Connected};

/// Streams that a peer may open and reset before they were looked at; with more its connection ends.
const MAX_RESET_STREAMS: usize = 20;
/// Streams that may be reset because of what the peer does wrong; with more its connection ends.
const MAX_WRONG_STREAMS: usize = 256;
/// The headers of a request together, in bytes.
const MAX_HEADERS_BYTES: u32 = 16 << 10;

/// A server whose connections are bounded in what they may do; how many streams one may have is for the port to say.
#[must_use]
pub fn bounded_server() -> Server {
    Server::builder()
        .http2_max_pending_accept_reset_streams(Some(MAX_RESET_STREAMS))
        .http2_max_local_error_reset_streams(Some(MAX_WRONG_STREAMS))
        .http2_max_header_list_size(MAX_HEADERS_BYTES)
}

/// The length of the first words of HTTP/2 (RFC 9113, section 3.4); from then on pings tell whether the peer is there.
const PREFACE_BYTES: usize = 24;

/// A connection and its place among all.
pub struct Connection {
    stream: Either<TcpStream, Box<Arrival>>,
    remote: Option<SocketAddr>,
    /// Of the preface, and until when it may come; none once it has.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
    _seat: Seat,
}

/// Who is at the other end of a connection, for its requests.
#[derive(Clone, Debug, Default)]
pub struct ConnectInfo {
    /// Its address.
    pub remote: Option<SocketAddr>,
    /// Who it is, by its certificate.
    pub seen: Seen,
}

/// The connections to `listener`, each that the door lets in; by TLS of that port where that is given. Never ends.
pub fn accept(
    listener: TcpListener,
    tls: Option<(Arc<Tls>, Port)>,
    door: Arc<Door>,
) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold((listener, tls, door), |(listener, tls, door)| async {
        let (stream, seat) = door.next(&listener).await;
        // Fails where the peer has gone already, which its connection finds out.
        let _ = stream.set_nodelay(true);
        let remote = stream.peer_addr().ok();
        let stream = match &tls {
            None => Either::Left(stream),
            Some((tls, port)) => Either::Right(Box::new(Arrival::new(stream, tls.clone(), *port))),
        };
        let awaited = Some((PREFACE_BYTES, Box::pin(sleep(door.first_words()))));
        Some((Ok(Connection { stream, remote, awaited, _seat: seat }), (listener, tls, door)))
    })
}

impl Connected for Connection {
    type ConnectInfo = ConnectInfo;

    fn connect_info(&self) -> ConnectInfo {
        let seen = match &self.stream {
            Either::Left(_) => Seen::default(),
            Either::Right(arrival) => arrival.seen(),
        };
        ConnectInfo { remote: self.remote, seen }
    }
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
