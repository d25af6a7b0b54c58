//! The seam for the gRPC interface that applications watch through. Its protocol is not known here: whoever puts a
//! program together gives [`run`](super::run()) what serves it (the `lictor-grpc` crate).

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;

use crate::{acl::Authority, backend::Backend, config::Listen, tasks::Tasks, tls::Tls, view::Reader};

/// Serves applications on these listeners until the group of tasks stops.
pub type ServeApplications = fn(Applications);

/// What an interface for applications is made of.
pub struct Applications {
    /// Where it listens; none: it is off.
    pub listeners: Vec<TcpListener>,
    /// Where it listens for TLS.
    pub secured: Vec<TcpListener>,
    /// The node's certificates.
    pub tls: Arc<Tls>,
    /// The node's datacenter.
    pub datacenter: String,
    /// The node's view.
    pub reader: Reader,
    /// The node's way to the servers.
    pub backend: Arc<dyn Backend>,
    /// Who decides who may see what.
    pub authority: Arc<Authority>,
    /// The group of the node's tasks.
    pub tasks: Tasks,
}

/// Why the gRPC port cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Someone else uses it.
    #[error("gRPC: {0} is in use by another process (choose another port with {1}, or -1 for off)")]
    InUse(SocketAddr, &'static str),
    /// The system does not allow it.
    #[error("gRPC: cannot listen on {address}")]
    Failed {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Binds the gRPC interface: without TLS, and with it.
///
/// # Errors
/// [`BindError`]; but a default port that is in use is passed over with a warning.
pub(super) async fn bind(listen: &Listen) -> Result<[Vec<TcpListener>; 2], BindError> {
    Ok([
        bind_all(&listen.grpc, listen.grpc_is_wanted, "-grpc-port or ports.grpc").await?,
        bind_all(&listen.grpc_tls, listen.grpc_tls_is_wanted, "-grpc-tls-port or ports.grpc_tls").await?,
    ])
}

async fn bind_all(
    addresses: &[SocketAddr],
    is_wanted: bool,
    setting: &'static str,
) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::new();
    for &address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                return Err(BindError::Failed { address, source: error });
            }
            Err(_) if is_wanted => return Err(BindError::InUse(address, setting)),
            Err(_) => tracing::warn!(
                %address,
                "gRPC: in use by another process, so applications cannot watch through this agent (choose another port \
                 with {setting}, or -1 for off)"
            ),
        }
    }
    Ok(listeners)
}
