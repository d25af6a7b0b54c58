//! TLS, by rustls over ring alone: between nodes, and at the interfaces for clients.
//!
//! `settings` is what the configuration says, `files` reads certificates and keys, `material` makes of them what
//! handshakes need, `arrival` is a connection that someone has made to us, [`Tls::connect`] one to a server, `names`
//! says who a certificate makes its owner ([`Peer`]) and `verify` whether a server is one, `refusal` counts and tells
//! what was refused, `watch` looks after files and expiry, `asking` is the client's side of HTTPS.
//!
//! A node has one [`Tls`]. What it holds is replaced as a whole when files have changed: connections that exist go on,
//! new ones get what is new. Whether an interface has TLS at all is decided at the start.
//!
//! Never decides what a peer may call: that is the server's `grpc/admission.rs`. Checks of services have their own client
//! side (`outbound`).

mod arrival;
pub mod asking;
mod files;
mod material;
mod names;
mod peer;
mod refusal;
pub mod settings;
#[cfg(test)]
mod tests;
mod validity;
mod verify;
mod watch;

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
pub use tokio_rustls::client::TlsStream;

pub use self::{
    arrival::Arrival,
    files::TlsError,
    peer::{Peer, Seen},
    refusal::{REASONS, Refusal},
    settings::Settings,
};
use self::{
    files::Stamp,
    material::{Dated, Material},
    names::Names,
};
use crate::tasks::Tasks;

/// An interface that may take TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The servers' own.
    Rpc,
    /// HTTPS.
    Https,
    /// gRPC for applications.
    Grpc,
}

impl Port {
    fn name(self) -> &'static str {
        match self {
            Self::Rpc => "rpc",
            Self::Https => "https",
            Self::Grpc => "grpc",
        }
    }
}

/// The TLS of a node.
pub struct Tls {
    material: ArcSwap<Material>,
    names: Names,
    read: Mutex<Read>,
}

/// What was read last.
#[derive(Default)]
struct Read {
    settings: Settings,
    /// The files that were looked at last, whether they could be used or not.
    stamps: Vec<Stamp>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Default for Tls {
    /// None at all.
    fn default() -> Self {
        Self { material: ArcSwap::default(), names: Names::default(), read: Mutex::default() }
    }
}

/// Files that were read and not taken over yet.
pub struct Fresh {
    material: Material,
    read: Read,
}

impl Tls {
    /// Reads what the settings name.
    ///
    /// # Errors
    /// [`TlsError`]: a file cannot be read, is not what it should be, or a key is not that of its certificate.
    pub fn open(settings: &Settings) -> Result<Arc<Self>, TlsError> {
        let Fresh { material, read } = Self::read(settings)?;
        let names = Names::new(&read.settings);
        Ok(Arc::new(Self { material: ArcSwap::from_pointee(material), names, read: Mutex::new(read) }))
    }

    /// Reads files again, without an effect yet.
    ///
    /// # Errors
    /// As [`Tls::open`].
    pub fn read(settings: &Settings) -> Result<Fresh, TlsError> {
        // Before the files are read: what changes meanwhile is seen as a change.
        let stamps = material::stamps(settings);
        Ok(Fresh { material: Material::read(settings)?, read: Read { settings: settings.clone(), stamps } })
    }

    /// New handshakes are made with these files from now on. What had TLS at the start keeps it, and nothing else gets it.
    pub fn take(&self, fresh: Fresh) {
        let mut read = self.last();
        *read = fresh.read;
        let material = fresh.material.in_the_place_of(&self.material.load());
        self.material.store(Arc::new(material));
    }

    /// Looks after the files until the tasks stop.
    pub fn start(self: &Arc<Self>, tasks: &Tasks) {
        watch::start(self.clone(), tasks);
    }

    /// Takes files over that have changed. Ones that cannot be used are told once and leave everything as it is.
    fn look(&self) {
        let settings = {
            let mut read = self.last();
            let stamps = material::stamps(&read.settings);
            if stamps == read.stamps {
                return;
            }
            read.stamps = stamps;
            read.settings.clone()
        };
        match Self::read(&settings) {
            Ok(fresh) => {
                self.take(fresh);
                tracing::info!("TLS: certificates have changed and were read again");
            }
            Err(error) => {
                tracing::error!(%error, "TLS: certificates have changed and cannot be used; the old ones stay");
            }
        }
    }

    fn last(&self) -> MutexGuard<'_, Read> {
        // No code that holds the lock can leave it half changed.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything here has TLS.
    #[must_use]
    pub fn is_on(&self) -> bool {
        let material = self.material.load();
        material.rpc.is_some() || material.asking.is_some() || material.https.is_some() || material.grpc.is_some()
    }

    /// Whether the servers' port takes TLS.
    #[must_use]
    pub fn secures_rpc(&self) -> bool {
        self.material.load().rpc.is_some()
    }

    /// Whether the servers' port takes only those with a certificate.
    #[must_use]
    pub fn rpc_verifies(&self) -> bool {
        self.material.load().rpc_verifies
    }

    /// Whether servers are asked by TLS.
    #[must_use]
    pub fn asks_by_tls(&self) -> bool {
        self.material.load().asking.is_some()
    }

    /// The name that servers of a datacenter have in their certificates.
    #[must_use]
    pub fn server_name(&self, datacenter: &str) -> String {
        self.names.server(datacenter)
    }

    /// Shakes hands with a server of that datacenter. Whoever connects bounds the time.
    ///
    /// # Errors
    /// It is none, or does not want to; counted and told. Without TLS for asking, always.
    pub async fn connect(&self, stream: TcpStream, datacenter: &str) -> io::Result<TlsStream<TcpStream>> {
        let config = self.material.load().asking.clone();
        let config = config.ok_or_else(|| io::Error::other("servers are not asked by TLS"))?;
        let name = self.names.to_ask_for(datacenter).map_err(io::Error::other)?;
        let server = stream.peer_addr().ok();
        let connected = TlsConnector::from(config).connect(name, stream).await;
        connected.inspect_err(|error| {
            if let Some(refusal) = Refusal::of(error) {
                refusal.count("outgoing", server, error);
            }
        })
    }

    fn serving(&self, port: Port) -> Option<Arc<ServerConfig>> {
        let material = self.material.load();
        match port {
            Port::Rpc => material.rpc.clone(),
            Port::Https => material.https.clone(),
            Port::Grpc => material.grpc.clone(),
        }
    }

    fn peer(&self, certificates: Option<&[CertificateDer<'_>]>) -> Peer {
        certificates.and_then(<[_]>::first).map_or(Peer::Anonymous, |certificate| self.names.peer(certificate))
    }

    fn certificates(&self) -> Vec<Dated> {
        self.material.load().certificates.clone()
    }
}
