//! Where an agent listens, `HOST:PORT` with or without TLS or a unix socket, and a connection to it.
//!
//! It knows no HTTP. What goes wrong is said in the words of Go's `net` package, which scripts match on:
//! `dial tcp 127.0.0.1:8500: connect: connection refused`.

use std::{io, path::PathBuf, time::Duration};

use hyper::http::uri::Authority;
use lictor_shared::tls::asking::Asking;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// After this an attempt to connect to one address is given up.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// A scheme other than http and https.
    #[error("{0} is not spoken by lictor's commands; give an http or https address such as 127.0.0.1:8500")]
    Scheme(String),
    /// Not a host and a port.
    #[error("not HOST:PORT (try 127.0.0.1:8500)")]
    Form,
    /// Not the absolute path of a socket.
    #[error("not the path of a socket (try unix:///run/lictor.sock)")]
    Socket,
}

/// Where an agent listens.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// A host and a port.
    Tcp(Authority),
    /// A host and a port, by TLS.
    Tls(Authority, Box<Asking>),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A connection, whatever carries it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Endpoint {
    /// Reads `HOST:PORT`, `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH`.
    ///
    /// # Errors
    /// Another scheme, or neither a host and a port nor a path.
    pub fn parse(address: &str) -> Result<Self, AddressError> {
        let (is_tls, authority) = match address.split_once("://") {
            None => (false, address),
            Some(("http", authority)) => (false, authority),
            Some(("https", authority)) => (true, authority),
            Some(("unix", path)) if path.starts_with('/') => return Ok(Self::Unix(path.into())),
            Some(("unix", _)) => return Err(AddressError::Socket),
            Some((scheme, _)) => return Err(AddressError::Scheme(scheme.into())),
        };
        let authority: Authority = authority.trim_end_matches('/').parse().map_err(|_| AddressError::Form)?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(AddressError::Form);
        }
        Ok(if is_tls { Self::Tls(authority, Box::default()) } else { Self::Tcp(authority) })
    }

    /// The same, asked by TLS in this way; nothing changes for a unix socket.
    pub fn by_tls(self, asking: Asking) -> Self {
        match self {
            Self::Tcp(authority) | Self::Tls(authority, _) => Self::Tls(authority, Box::new(asking)),
            Self::Unix(path) => Self::Unix(path),
        }
    }

    /// The scheme of its URLs.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Tls(..) => "https",
            Self::Tcp(_) | Self::Unix(_) => "http",
        }
    }

    /// What a request's `Host` says. Nobody looks at that of a unix socket.
    pub fn host(&self) -> &str {
        match self {
            Self::Tcp(authority) | Self::Tls(authority, _) => authority.as_str(),
            Self::Unix(_) => "localhost",
        }
    }

    /// A connection to the first address of the host that takes one; else the first failure.
    pub async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        match self {
            Self::Tcp(authority) => {
                let (stream, _) = connect_tcp(authority, 80).await?;
                Ok(Box::new(stream))
            }
            Self::Tls(authority, asking) => {
                let (stream, host) = connect_tcp(authority, 443).await?;
                let secured = timeout(CONNECT_LIMIT, asking.connect(stream, host)).await;
                let secured = secured.map_err(|_| "tls: handshake timeout".to_owned())?;
                Ok(Box::new(secured.map_err(|error| error.to_string())?))
            }
            Self::Unix(path) => {
                let stream = dial(format!("unix {}", path.display()), UnixStream::connect(path)).await?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// A connection, and the host without its brackets.
async fn connect_tcp(authority: &Authority, default_port: u16) -> Result<(TcpStream, &str), String> {
    let (host, port) = (authority.host(), authority.port_u16().unwrap_or(default_port));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let unknown = || format!("dial tcp: lookup {host}: no such host");
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|_| unknown())?;
    let mut first_failure = None;
    for address in addresses {
        match dial(format!("tcp {address}"), TcpStream::connect(address)).await {
            Ok(stream) => return Ok((stream, host)),
            Err(failure) => _ = first_failure.get_or_insert(failure),
        }
    }
    Err(first_failure.unwrap_or_else(unknown))
}

async fn dial<T>(target: String, connecting: impl Future<Output = io::Result<T>>) -> Result<T, String> {
    match timeout(CONNECT_LIMIT, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial {target}: connect: {}", system_reason(&error))),
        Err(_) => Err(format!("dial {target}: i/o timeout")),
    }
}

/// The system's words for an error as Go writes them: no number, no capital.
pub fn system_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (address, host) in [
            ("127.0.0.1:8500", "127.0.0.1:8500"),
            ("http://[::1]:1/", "[::1]:1"),
            ("https://a:8501", "a:8501"),
            ("unix:///run/lictor.sock", "localhost"),
        ] {
            assert_eq!(Endpoint::parse(address).unwrap().host(), host, "{address}");
        }
        for (address, part) in [
            ("ftp://a:1", "ftp is not spoken"),
            ("unix://relative", "not the path of a socket"),
            ("user@host:1", "not HOST:PORT"),
            ("a b", "not HOST:PORT"),
            ("", "not HOST:PORT"),
        ] {
            let error = Endpoint::parse(address).unwrap_err().to_string();
            assert!(error.contains(part), "{address}: {error}");
        }
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_named() {
        let failure = Endpoint::parse("unix:///nonexistent/lictor.sock").unwrap().connect().await.err().unwrap();
        assert_eq!(failure, "dial unix /nonexistent/lictor.sock: connect: no such file or directory");
    }
}
