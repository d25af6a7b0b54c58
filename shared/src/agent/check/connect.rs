//! Connections to what is checked. Names are looked up without blocking a thread.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::Resolver;
use tokio::net::TcpStream;

/// Connects to `host`, an IP address or a name, trying each of a name's addresses in turn. The caller bounds the time.
///
/// # Errors
/// A sentence that says what could not be done.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let addresses = match bare.parse::<IpAddr>() {
        Ok(ip) => vec![ip],
        Err(_) => lookup(bare).await?,
    };
    let mut failure = format!("{host} has no address");
    for ip in addresses {
        let address = SocketAddr::new(ip, port);
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = format!("dial tcp {address}: {error}"),
        }
    }
    Err(failure)
}

/// Reads the system's settings each time, so that a changed `/etc/resolv.conf` or `/etc/hosts` counts.
async fn lookup(name: &str) -> Result<Vec<IpAddr>, String> {
    let settings = Resolver::builder_tokio().and_then(|builder| builder.build());
    let resolver = settings.map_err(|error| format!("the system's DNS settings cannot be read: {error}"))?;
    let found = resolver.lookup_ip(name).await.map_err(|error| format!("lookup {name}: {error}"))?;
    Ok(found.iter().collect())
}
