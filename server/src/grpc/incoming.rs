//! Connections to the servers' port where the node has TLS. Each makes its handshake in its own task, when it is first read.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};
use lictor_shared::tls::{Arrival, Port, Seen, Tls};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tonic::transport::server::Connected;

/// A connection; its requests carry who is at its other end ([`Seen`]).
pub struct Incoming(Box<Arrival>);

/// Those that come by `accepted`.
pub fn secured(
    accepted: impl Stream<Item = io::Result<TcpStream>>,
    tls: Arc<Tls>,
) -> impl Stream<Item = io::Result<Incoming>> {
    accepted.map(move |stream| Ok(Incoming(Box::new(Arrival::new(stream?, tls.clone(), Port::Rpc)))))
}

impl Connected for Incoming {
    type ConnectInfo = Seen;

    fn connect_info(&self) -> Seen {
        self.0.seen()
    }
}

impl AsyncRead for Incoming {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
