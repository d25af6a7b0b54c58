//! What handshakes are made with: rustls' configurations, from the files that the settings name. Made anew, as a whole,
//! whenever a file has changed; a connection keeps what it began with.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::{
    files::{self, Stamp, TlsError},
    names::Names,
    settings::{Interface, MinVersion, Pair, Settings, Source},
    validity::Validity,
    verify::ServerVerifier,
};

/// The protocols that are named in handshakes (ALPN).
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// One reading of all files.
#[derive(Default)]
pub struct Material {
    /// The servers' port takes TLS with this.
    pub rpc: Option<Arc<ServerConfig>>,
    /// Whether it takes nothing else, and nobody without a certificate.
    pub rpc_verifies: bool,
    /// Servers are asked by TLS with this.
    pub asking: Option<Arc<ClientConfig>>,
    /// HTTPS.
    pub https: Option<Arc<ServerConfig>>,
    /// gRPC over TLS.
    pub grpc: Option<Arc<ServerConfig>>,
    /// Whose time runs out, each once.
    pub certificates: Vec<Dated>,
}

/// A certificate that this node uses, and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dated {
    /// The interface it is used at.
    pub interface: &'static str,
    /// Whether it is a CA's, not this node's own.
    pub is_ca: bool,
    /// Where it is.
    pub path: PathBuf,
    /// When it holds.
    pub validity: Validity,
}

impl Material {
    /// Reads everything.
    pub fn read(settings: &Settings) -> Result<Self, TlsError> {
        let mut material = Self::default();
        if settings.secures_rpc() {
            material.read_rpc(settings)?;
        }
        if let Some(https) = &settings.https {
            material.https = material.serving("https", https, HTTP1)?;
        }
        if let Some(grpc) = &settings.grpc {
            material.grpc = material.serving("grpc", grpc, HTTP2)?;
        }
        Ok(material)
    }

    /// This, with TLS where the other one has it and nowhere else: whether there is any takes a restart.
    pub fn in_the_place_of(self, old: &Self) -> Self {
        fn kept<T: Clone>(new: Option<T>, old: &Option<T>) -> Option<T> {
            old.as_ref().map(|old| new.unwrap_or_else(|| old.clone()))
        }
        Self {
            rpc_verifies: if self.rpc.is_some() { self.rpc_verifies } else { old.rpc_verifies },
            rpc: kept(self.rpc, &old.rpc),
            asking: kept(self.asking, &old.asking),
            https: kept(self.https, &old.https),
            grpc: kept(self.grpc, &old.grpc),
            ..self
        }
    }

    fn read_rpc(&mut self, settings: &Settings) -> Result<(), TlsError> {
        let interface = &settings.internal_rpc;
        let roots = self.authorities("internal_rpc", interface)?;
        let own = self.own("internal_rpc", interface)?;
        self.rpc_verifies = interface.verify_incoming;
        if let Some((chain, key, source)) = &own {
            // Whoever has a certificate shows it, so that it is known who it is, also while nobody must.
            let verifier = roots.clone().map(|roots| client_verifier(source, roots, interface.verify_incoming));
            self.rpc = Some(server(interface, verifier.transpose()?, chain.clone(), key.clone_key(), source, HTTP2)?);
        }
        if !settings.asks_by_tls() {
            return Ok(());
        }
        let provider = provider();
        let verifier = ServerVerifier {
            roots: roots.unwrap_or_else(|| Arc::new(RootCertStore::empty())),
            names: Names::new(settings),
            demands_name: settings.verify_server_hostname,
            algorithms: provider.signature_verification_algorithms,
        };
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(versions(interface.min_version)).expect("ring has both versions");
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((chain, key, source)) => {
                builder.with_client_auth_cert(chain, key).map_err(|error| unusable(&source, &error))?
            }
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        // Both ends are looked at anew each time.
        config.resumption = Resumption::disabled();
        self.asking = Some(Arc::new(config));
        Ok(())
    }

    /// The configuration of an interface that clients use.
    fn serving(
        &mut self,
        name: &'static str,
        interface: &Interface,
        protocol: &[u8],
    ) -> Result<Option<Arc<ServerConfig>>, TlsError> {
        let Some((chain, key, source)) = self.own(name, interface)? else { return Ok(None) };
        let verifier = match interface.verify_incoming {
            true => match self.authorities(name, interface)? {
                Some(roots) => Some(client_verifier(&source, roots, true)?),
                None => return Err(TlsError::new(&source, "nobody's certificate can be verified without a CA")),
            },
            false => None,
        };
        server(interface, verifier, chain, key, &source, protocol).map(Some)
    }

    fn authorities(
        &mut self,
        name: &'static str,
        interface: &Interface,
    ) -> Result<Option<Arc<RootCertStore>>, TlsError> {
        if !interface.has_ca() {
            return Ok(None);
        }
        let (roots, found) = files::authorities(interface)?;
        for (certificate, path) in found {
            self.note(name, true, path, &certificate);
        }
        Ok(Some(Arc::new(roots)))
    }

    fn own(&mut self, name: &'static str, interface: &Interface) -> Result<Option<Own>, TlsError> {
        let Some(Pair { certificate, key }) = &interface.pair else { return Ok(None) };
        let chain = files::certificates(certificate)?;
        if let Some(first) = chain.first() {
            self.note(name, false, certificate.path.clone(), first);
        }
        Ok(Some((chain, files::key(key)?, key.clone())))
    }

    fn note(&mut self, interface: &'static str, is_ca: bool, path: PathBuf, certificate: &CertificateDer<'_>) {
        if let Some(validity) = Validity::of(certificate) {
            self.certificates.push(Dated { interface, is_ca, path, validity });
        }
    }
}

/// This node's certificate with those that issued it, its key, and where that is.
type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, Source);

/// The stamps of all files that the settings name.
pub fn stamps(settings: &Settings) -> Vec<Stamp> {
    let interfaces = [Some(&settings.internal_rpc), settings.https.as_ref(), settings.grpc.as_ref()];
    interfaces.into_iter().flatten().flat_map(files::stamps).collect()
}

fn versions(least: MinVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match least {
        MinVersion::Tls12 => &ALL,
        MinVersion::Tls13 => &ALL[..1],
    }
}

fn client_verifier(
    source: &Source,
    roots: Arc<RootCertStore>,
    demanded: bool,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let builder = if demanded { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| TlsError::new(source, format!("nobody can be verified: {error}")))
}

fn server(
    interface: &Interface,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    source: &Source,
    protocol: &[u8],
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(versions(interface.min_version)).expect("ring has both versions");
    let verifies = verifier.is_some();
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| unusable(source, &error))?;
    config.alpn_protocols = vec![protocol.to_vec()];
    if verifies {
        // A session that is resumed would not be looked at again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

fn unusable(source: &Source, error: &rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsError::new(source, "is not the key of the certificate beside it"),
        other => TlsError::new(source, format!("the certificate and its key cannot be used: {other}")),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
