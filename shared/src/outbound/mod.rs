//! Connections from this host to others, plain or over TLS: to what is checked, and to where changes are posted.
//!
//! One [`Outbound`] per agent, so that all of them share one resolver (names are looked up without blocking a thread)
//! and one set of trusted roots. It bounds no time: whoever connects does.

mod request;
mod tls;

use std::net::{IpAddr, SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

pub use self::tls::Protocol;
use self::tls::Tls;
pub(crate) use self::tls::{AcceptAny, system_roots};
use crate::resolve::Names;

/// A connection, whatever it goes through.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Whose certificate is taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust<'a> {
    /// The name that it must have; the host's where this is empty.
    pub name: &'a str,
    /// Anyone's.
    pub accept_any: bool,
}

/// What all connections of one agent share.
#[derive(Default)]
pub struct Outbound {
    names: Names,
    tls: Tls,
}

impl Outbound {
    /// One that trusts these roots alone.
    #[cfg(test)]
    pub(crate) fn trusting(roots: rustls::RootCertStore) -> Self {
        Self { tls: Tls::trusting(roots), names: Names::default() }
    }

    /// The addresses of a host, an IP address (in brackets or not) or a name.
    ///
    /// # Errors
    /// A sentence that names the host.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        match bare(host).parse::<IpAddr>() {
            Ok(ip) => Ok(vec![ip]),
            Err(_) => self.names.lookup(host).await.map_err(|error| format!("lookup {host}: {error}")),
        }
    }

    /// Connects to `host`, an IP address or a name, trying each of a name's addresses in turn.
    ///
    /// # Errors
    /// A sentence that says what could not be done.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let mut failure = format!("{host} has no address");
        for ip in self.addresses(host).await? {
            let address = SocketAddr::new(ip, port);
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = format!("dial tcp {address}: {error}"),
            }
        }
        Err(failure)
    }

    /// The same, then a TLS handshake where a protocol is to be spoken through one.
    ///
    /// # Errors
    /// A sentence that says what could not be done.
    pub async fn open(
        &self,
        host: &str,
        port: u16,
        tls: Option<Protocol>,
        trust: Trust<'_>,
    ) -> Result<Box<dyn Stream>, String> {
        let stream = self.connect(host, port).await?;
        let Some(protocol) = tls else { return Ok(Box::new(stream)) };
        let name = if trust.name.is_empty() { bare(host) } else { trust.name };
        let stream = self.tls.handshake(stream, name, protocol, trust.accept_any).await;
        stream.map(|stream| Box::new(stream) as Box<dyn Stream>)
    }
}

/// Takes `host:port` apart; no host is this one.
///
/// # Errors
/// A sentence that says so.
pub fn host_and_port(address: &str) -> Result<(&str, u16), String> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.ok_or_else(|| format!("{address:?} is no host:port"))?;
    Ok((if host.is_empty() { "localhost" } else { host }, port))
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
