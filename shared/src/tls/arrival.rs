//! A connection that someone has made to an interface with TLS: the handshake is part of its first read or write, so that
//! it takes no place of its own, and whoever bounds connections bounds handshakes. It has a time limit.
//!
//! On the servers' port, one that begins without TLS is taken as it is, unless certificates are demanded.

use std::{
    future::Future,
    io, mem,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};

use super::{Peer, Port, Refusal, Seen, Tls};

/// How long a handshake may take, from the accepted connection on.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// The first byte of a handshake (RFC 8446, 5.1); no HTTP begins with it.
const HANDSHAKE: u8 = 22;

/// A connection.
pub struct Arrival {
    state: State,
    seen: Seen,
    tls: Arc<Tls>,
    port: Port,
    from: Option<SocketAddr>,
}

enum State {
    /// Nothing has come yet.
    New(TcpStream, Pin<Box<Sleep>>),
    Shaking(Box<Accept<TcpStream>>, Pin<Box<Sleep>>),
    Secured(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
    Ended,
}

impl Arrival {
    /// One that was just accepted.
    #[must_use]
    pub fn new(stream: TcpStream, tls: Arc<Tls>, port: Port) -> Self {
        let from = stream.peer_addr().ok();
        let state = State::New(stream, Box::pin(sleep(HANDSHAKE_LIMIT)));
        Self { state, seen: Seen::default(), tls, port, from }
    }

    /// Where it is said who is at the other end.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.state {
                State::Secured(_) | State::Plain(_) => return Poll::Ready(Ok(())),
                State::Ended => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                State::New(stream, limit) => {
                    let mut first = [0];
                    let begun = match stream.poll_peek(cx, &mut ReadBuf::new(&mut first)) {
                        Poll::Pending => {
                            ready!(limit.as_mut().poll(cx));
                            Err(io::ErrorKind::TimedOut.into())
                        }
                        Poll::Ready(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
                        Poll::Ready(peeked) => peeked.map(|_| first[0] == HANDSHAKE),
                    };
                    match begun {
                        Ok(is_tls) => self.begin(is_tls)?,
                        Err(error) => return Poll::Ready(Err(self.refuse(error))),
                    }
                }
                State::Shaking(accept, limit) => match Pin::new(accept).poll(cx) {
                    Poll::Ready(Ok(stream)) => {
                        self.seen.set(self.tls.peer(stream.get_ref().1.peer_certificates()));
                        self.state = State::Secured(Box::new(stream));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(self.refuse(error))),
                    Poll::Pending => {
                        ready!(limit.as_mut().poll(cx));
                        return Poll::Ready(Err(self.refuse(io::ErrorKind::TimedOut.into())));
                    }
                },
            }
        }
    }

    fn begin(&mut self, is_tls: bool) -> io::Result<()> {
        let State::New(stream, limit) = mem::replace(&mut self.state, State::Ended) else { return Ok(()) };
        match (is_tls, self.tls.serving(self.port)) {
            (true, Some(config)) => {
                self.state = State::Shaking(Box::new(TlsAcceptor::from(config).accept(stream)), limit);
            }
            (false, _) if self.port == Port::Rpc && !self.tls.rpc_verifies() => {
                self.seen.set(Peer::Plain);
                self.state = State::Plain(stream);
            }
            _ => {
                Refusal::Plain.count(self.port.name(), self.from, "it does not begin with a TLS handshake");
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
        }
        Ok(())
    }

    fn refuse(&mut self, error: io::Error) -> io::Error {
        self.state = State::Ended;
        if let Some(refusal) = Refusal::of(&error) {
            refusal.count(self.port.name(), self.from, &error);
        }
        error
    }

    /// What is read from and written to, once it is ready.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Duplex>>> {
        ready!(self.poll_ready(cx))?;
        Poll::Ready(match &mut self.state {
            State::Secured(stream) => Ok(Pin::new(&mut **stream)),
            State::Plain(stream) => Ok(Pin::new(stream)),
            _ => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl AsyncRead for Arrival {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(cx))?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Arrival {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_stream(cx))?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_stream(cx))?.poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Secured(stream) => Pin::new(stream).poll_shutdown(cx),
            State::Plain(stream) | State::New(stream, _) => Pin::new(stream).poll_shutdown(cx),
            // Dropping it closes it.
            State::Shaking(..) | State::Ended => Poll::Ready(Ok(())),
        }
    }
}
