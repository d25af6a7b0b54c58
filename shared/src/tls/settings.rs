//! What the configuration says about TLS, checked for sense; no file has been read yet.
//!
//! `config/tls.rs` fills it in from Consul's keys of both generations; `material` reads the files it names.

use std::path::PathBuf;

/// Everything that is set about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The node's datacenter, a part of the names in certificates.
    pub datacenter: String,
    /// The domain those names end with, in lower case and without a dot at its end.
    pub domain: String,
    /// Between servers, and from sidecars to servers.
    pub internal_rpc: Interface,
    /// The HTTPS interface; none: it is off.
    pub https: Option<Interface>,
    /// The gRPC interface for applications over TLS; none: it is off.
    pub grpc: Option<Interface>,
    /// Whether a server that is asked must have the name of a server in its certificate.
    pub verify_server_hostname: bool,
}

/// What is set about one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// A file with the certificates of those who are trusted to issue others.
    pub ca_file: Option<Source>,
    /// A directory of such files.
    pub ca_path: Option<Source>,
    /// This node's own certificate.
    pub pair: Option<Pair>,
    /// Whether whoever connects must have a certificate.
    pub verify_incoming: bool,
    /// Whether this node connects to others by TLS alone, and only to those with a certificate.
    pub verify_outgoing: bool,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
}

/// A file or directory, and the key that names it, for errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As in the configuration: `tls.https.cert_file`, or `cert_file` where that counts.
    pub key: String,
    /// Where it is.
    pub path: PathBuf,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, and those between it and its CA.
    pub certificate: Source,
    /// Its private key.
    pub key: Source,
}

/// The oldest version of TLS that is spoken. Older ones than 1.2 are never, whatever is set (RFC 8996).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// 1.3 (RFC 8446).
    Tls13,
}

impl Interface {
    /// Whether anyone's certificate can be checked.
    #[must_use]
    pub fn has_ca(&self) -> bool {
        self.ca_file.is_some() || self.ca_path.is_some()
    }
}

impl Settings {
    /// Whether servers' RPC port takes TLS, or this node asks servers by TLS.
    #[must_use]
    pub fn secures_rpc(&self) -> bool {
        self.internal_rpc.pair.is_some() || self.asks_by_tls()
    }

    /// Whether a node that was started with these takes a restart to have the others.
    #[must_use]
    pub fn needs_restart(&self, other: &Self) -> bool {
        let ways = |settings: &Self| (settings.internal_rpc.pair.is_some(), settings.asks_by_tls());
        ways(self) != ways(other)
    }

    /// Whether this node asks servers by TLS. Who verifies those who connect expects the same of the others.
    #[must_use]
    pub fn asks_by_tls(&self) -> bool {
        self.internal_rpc.verify_outgoing || self.internal_rpc.verify_incoming || self.verify_server_hostname
    }
}
