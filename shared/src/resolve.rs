//! Where a member to be joined is: `10.0.0.1`, `[fd00::1]:8301`, `server-1.example:8301`, `server-1`.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::Resolver;

/// How long a name may take to be looked up.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 16;

/// The addresses that `text` (an IP address or a host name, with or without a port) stands for. Names are looked up
/// with the system's settings as they are now, in DNS and the hosts file.
///
/// # Errors
/// A sentence that names what could not be read or looked up.
pub async fn addresses(text: &str, default_port: u16) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = split(text, default_port)?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let failed = |reason: &dyn std::fmt::Display| format!("Failed to resolve {text}: {reason}");
    let resolver = Resolver::builder_tokio().and_then(|builder| builder.build()).map_err(|error| failed(&error))?;
    let lookup = tokio::time::timeout(LOOKUP_LIMIT, resolver.lookup_ip(host));
    let found = lookup.await.map_err(|_| failed(&"no answer in time"))?.map_err(|error| failed(&error))?;
    let found: Vec<_> = found.iter().take(ADDRESSES).map(|ip| SocketAddr::new(ip, port)).collect();
    if found.is_empty() { Err(failed(&"it has no address")) } else { Ok(found) }
}

fn split(text: &str, default_port: u16) -> Result<(&str, u16), String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text, default_port));
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => default_port,
        Some(port) => port.parse().map_err(|_| format!("{text}: {port:?} is not a port (1 to 65535)"))?,
    };
    if host.is_empty() { Err(format!("{text:?} has no host in it")) } else { Ok((host, port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (text, expected) in [
            ("10.0.0.1", Ok(("10.0.0.1", 8301))),
            ("10.0.0.1:9", Ok(("10.0.0.1", 9))),
            ("fd00::1", Ok(("fd00::1", 8301))),
            ("[fd00::1]", Ok(("fd00::1", 8301))),
            ("[fd00::1]:9", Ok(("fd00::1", 9))),
            ("server-1.example", Ok(("server-1.example", 8301))),
            ("server-1:9", Ok(("server-1", 9))),
            ("server-1:http", Err("server-1:http: \"http\" is not a port (1 to 65535)")),
            (":9", Err("\":9\" has no host in it")),
            ("", Err("\"\" has no host in it")),
        ] {
            assert_eq!(split(text, 8301), expected.map_err(String::from), "{text}");
        }
    }

    #[tokio::test]
    async fn names_of_the_hosts_file_are_known() {
        let found = addresses("localhost:7", 8301).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7), "{found:?}");
    }
}
