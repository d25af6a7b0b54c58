//! Connections to what is checked, plain or over TLS. Names are looked up without blocking a thread.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::Resolver;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::tls::{Protocol, Tls};
use crate::model::CheckDefinition;

/// A connection, whatever it goes through.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Takes `host:port` apart; no host is this one.
///
/// # Errors
/// A sentence that says so.
pub(super) fn host_and_port(address: &str) -> Result<(&str, u16), String> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.ok_or_else(|| format!("{address:?} is no host:port"))?;
    Ok((if host.is_empty() { "localhost" } else { host }, port))
}

/// Connects to `host`, an IP address or a name, trying each of a name's addresses in turn. The caller bounds the time.
///
/// # Errors
/// A sentence that says what could not be done.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let mut failure = format!("{host} has no address");
    for ip in addresses(host).await? {
        let address = SocketAddr::new(ip, port);
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = format!("dial tcp {address}: {error}"),
        }
    }
    Err(failure)
}

/// The same, then a TLS handshake where there is a `tls`, with the name and the trust that `definition` asks for.
///
/// # Errors
/// A sentence that says what could not be done.
pub(super) async fn open(
    host: &str,
    port: u16,
    tls: Option<(&Tls, Protocol)>,
    definition: &CheckDefinition,
) -> Result<Box<dyn Stream>, String> {
    let stream = connect(host, port).await?;
    let Some((tls, protocol)) = tls else { return Ok(Box::new(stream)) };
    let name = match definition.tls_server_name.as_str() {
        "" => bare(host),
        name => name,
    };
    let stream = tls.handshake(stream, name, protocol, definition.tls_skip_verify).await;
    stream.map(|stream| Box::new(stream) as Box<dyn Stream>)
}

/// The addresses of a host, an IP address (in brackets or not) or a name.
///
/// # Errors
/// A sentence that names the host.
pub(super) async fn addresses(host: &str) -> Result<Vec<IpAddr>, String> {
    match bare(host).parse::<IpAddr>() {
        Ok(ip) => Ok(vec![ip]),
        Err(_) => lookup(host).await,
    }
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Reads the system's settings each time, so that a changed `/etc/resolv.conf` or `/etc/hosts` counts.
async fn lookup(name: &str) -> Result<Vec<IpAddr>, String> {
    let settings = Resolver::builder_tokio().and_then(|builder| builder.build());
    let resolver = settings.map_err(|error| format!("the system's DNS settings cannot be read: {error}"))?;
    let found = resolver.lookup_ip(name).await.map_err(|error| format!("lookup {name}: {error}"))?;
    Ok(found.iter().collect())
}
