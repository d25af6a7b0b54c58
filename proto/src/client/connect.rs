//! How a connection to a server is made: plain, or with a TLS handshake at its beginning, in which the server must show
//! that it is one (`lictor_shared::tls`). Whoever connects bounds the time of both together.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use lictor_shared::tls::{Tls, TlsStream};
use tokio::net::TcpStream;
use tonic::codegen::{Service, http::Uri};

/// Makes plain connections, which are given up when the other end's system has not acknowledged what was sent for so long;
/// none: as the system has it.
pub(super) fn plain(unacknowledged_limit: Option<Duration>) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_tcp_user_timeout(unacknowledged_limit);
    connector
}

/// Makes connections by TLS to the servers of one datacenter. The address has the scheme `http`, which is what is spoken
/// inside.
#[derive(Clone, Debug)]
pub struct Secured {
    connector: HttpConnector,
    tls: Arc<Tls>,
    datacenter: Arc<str>,
}

impl Secured {
    /// For servers of that datacenter.
    #[must_use]
    pub fn of(tls: Arc<Tls>, datacenter: &str) -> Self {
        Self::new(plain(None), tls, datacenter)
    }

    pub(super) fn new(connector: HttpConnector, tls: Arc<Tls>, datacenter: &str) -> Self {
        Self { connector, tls, datacenter: datacenter.into() }
    }
}

type Connection = TokioIo<TlsStream<TcpStream>>;
type Connecting = Pin<Box<dyn Future<Output = io::Result<Connection>> + Send>>;

impl Service<Uri> for Secured {
    type Response = Connection;
    type Error = io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connector.poll_ready(cx).map_err(io::Error::other)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let connecting = self.connector.call(server);
        let (tls, datacenter) = (self.tls.clone(), self.datacenter.clone());
        Box::pin(async move {
            let stream: TcpStream = connecting.await.map_err(io::Error::other)?.into_inner();
            Ok(TokioIo::new(tls.connect(stream, &datacenter).await?))
        })
    }
}
