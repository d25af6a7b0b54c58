//! Where the interface listens: TCP, or a socket in the file system (`addresses.http = "unix:///path"`).

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt, chown},
        net::UnixStream as BlockingStream,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use crate::tls::{Arrival, Port, Tls};

/// Why the address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Someone else does.
    #[error("HTTP: {0} is in use by another process (choose another port with -http-port or ports.http)")]
    InUse(SocketAddr),
    /// The system does not allow it.
    #[error("HTTP: cannot listen on {address}")]
    Failed {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Someone else listens on the socket.
    #[error("HTTP: {0:?} is in use by another process (choose another path in addresses.http)")]
    PathInUse(PathBuf),
    /// Something is there already that is no socket.
    #[error("HTTP: {0:?} exists and is no socket (remove it, or choose another path in addresses.http)")]
    NoSocket(PathBuf),
    /// The system does not allow it.
    #[error("HTTP: cannot listen on {path:?}, or not with the owner and mode of unix_sockets")]
    PathFailed {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Starts to listen.
///
/// # Errors
/// [`BindError`], with the address in it.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        _ => BindError::Failed { address, source },
    })
}

/// Whose a socket in the file system is (`unix_sockets`); what is `None` stays as the system makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The ID of its user.
    pub user: Option<u32>,
    /// The ID of its group.
    pub group: Option<u32>,
    /// Its permission bits.
    pub mode: Option<u32>,
}

/// A socket in the file system. It is removed when this is dropped.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Someone may have removed it before.
        let _ = fs::remove_file(&self.path);
    }
}

/// Starts to listen on a path. A socket that nobody listens on, left by a process that crashed, is replaced.
///
/// # Errors
/// [`BindError`], with the path in it.
pub fn bind_path(path: &Path, ownership: Ownership) -> Result<UnixSocket, BindError> {
    let failed = |source| BindError::PathFailed { path: path.into(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NoSocket(path.into())),
        Ok(_) if BlockingStream::connect(path).is_ok() => return Err(BindError::PathInUse(path.into())),
        Ok(_) => fs::remove_file(path).map_err(failed)?,
        Err(_) => {}
    }
    let socket = UnixSocket { listener: UnixListener::bind(path).map_err(failed)?, path: path.into() };
    if ownership.user.is_some() || ownership.group.is_some() {
        chown(path, ownership.user, ownership.group).map_err(failed)?;
    }
    if let Some(mode) = ownership.mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    Ok(socket)
}

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// On an address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixSocket),
    /// On an address, for TLS.
    Tls(TcpListener, Arc<Tls>),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixSocket> for Listener {
    fn from(socket: UnixSocket) -> Self {
        Self::Unix(socket)
    }
}

/// A connection of any kind.
pub(super) type Stream = Either<Either<TcpStream, UnixStream>, Box<Arrival>>;

impl Listener {
    /// The next connection, and the address of its caller, who has none on a unix socket.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = accept_tcp(listener).await?;
                Ok((Either::Left(Either::Left(stream)), Some(peer)))
            }
            Self::Tls(listener, tls) => {
                let (stream, peer) = accept_tcp(listener).await?;
                Ok((Either::Right(Box::new(Arrival::new(stream, tls.clone(), Port::Https))), Some(peer)))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.listener.accept().await?;
                Ok((Either::Left(Either::Right(stream)), None))
            }
        }
    }
}

async fn accept_tcp(listener: &TcpListener) -> io::Result<(TcpStream, IpAddr)> {
    let (stream, peer) = listener.accept().await?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    Ok((stream, peer.ip()))
}
