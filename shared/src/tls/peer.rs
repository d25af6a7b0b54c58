//! Who is at the other end of a connection to the servers' port, by its certificate.
//!
//! A gRPC handler finds it in its request: `request.extensions().get::<Peer>()`. None there, or [`Peer::Plain`], says
//! nothing about who asks. `names` reads it from a certificate; what each may call stands in the server crate
//! (`grpc/admission.rs`).

use std::sync::{Arc, OnceLock};

use smol_str::SmolStr;

/// The other end. What is verified was issued by a CA that this node trusts, and holds at the time of the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// No TLS: anyone.
    #[default]
    Plain,
    /// TLS without a certificate: anyone.
    Anonymous,
    /// Verified, with neither a server's nor a client's name.
    Unnamed,
    /// Verified as a sidecar, or another client, of that datacenter.
    Client {
        /// In lower case.
        datacenter: SmolStr,
    },
    /// Verified as a server of that datacenter.
    Server {
        /// In lower case.
        datacenter: SmolStr,
    },
}

impl Peer {
    /// Whether it is verified to be a server of that datacenter.
    #[must_use]
    pub fn is_server_of(&self, datacenter: &str) -> bool {
        matches!(self, Self::Server { datacenter: own } if own.eq_ignore_ascii_case(datacenter))
    }

    /// Whether it is verified to be a client of that datacenter.
    #[must_use]
    pub fn is_client_of(&self, datacenter: &str) -> bool {
        matches!(self, Self::Client { datacenter: own } if own.eq_ignore_ascii_case(datacenter))
    }
}

/// Where a connection says who its other end is, once its handshake is done.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<OnceLock<Peer>>);

impl Seen {
    /// Who it is; [`Peer::Plain`] as long as nobody knows.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.0.get().cloned().unwrap_or_default()
    }

    pub(super) fn set(&self, peer: Peer) {
        // A connection has one handshake.
        let _ = self.0.set(peer);
    }
}
