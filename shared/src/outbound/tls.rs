//! The client side of TLS: certificates are held against the system's roots, or accepted whatever they are.
//!
//! The roots are read when the first connection needs them, and again only after a restart. All of it
//! by ring: a second provider in the process would make handshakes panic.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, sync::OnceCell};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What is to be spoken, as named in the handshake (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// The client side of TLS.
#[derive(Default)]
pub(super) struct Tls {
    roots: OnceCell<Arc<RootCertStore>>,
    /// By protocol, each for verified and for accepted certificates.
    configs: [OnceLock<Arc<ClientConfig>>; 4],
}

impl Tls {
    /// One that trusts these roots alone.
    #[cfg(test)]
    pub(super) fn trusting(roots: RootCertStore) -> Self {
        Self { roots: OnceCell::new_with(Some(Arc::new(roots))), ..Self::default() }
    }

    /// Shakes hands with a server that should have a certificate for `name`, unless `accept_any`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the certificate or the peer.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        name: &str,
        protocol: Protocol,
        accept_any: bool,
    ) -> Result<TlsStream<TcpStream>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("TLS with {name}: {error}");
        let server = ServerName::try_from(name.to_string()).map_err(|error| failed(&error))?;
        let config = &self.configs[usize::from(protocol == Protocol::Http2) * 2 + usize::from(accept_any)];
        let config = match config.get() {
            Some(ready) => ready.clone(),
            None => {
                let made = self.configure(protocol, accept_any).await.map_err(|error| failed(&error))?;
                config.get_or_init(|| Arc::new(made)).clone()
            }
        };
        TlsConnector::from(config).connect(server, stream).await.map_err(|error| failed(&error))
    }

    async fn configure(&self, protocol: Protocol, accept_any: bool) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let mut config = if accept_any {
            let verifier = Arc::new(AcceptAny(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        } else {
            let roots = self.roots.get_or_init(system_roots).await;
            builder.with_root_certificates(roots.clone()).with_no_client_auth()
        };
        config.alpn_protocols = match protocol {
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec()],
        };
        Ok(config)
    }
}

/// The roots that the system trusts.
pub(crate) async fn system_roots() -> Arc<RootCertStore> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let mut roots = RootCertStore::empty();
    match found {
        Ok(found) => {
            for error in &found.errors {
                tracing::warn!(%error, "some of the system's certificates cannot be read");
            }
            let (_, unusable) = roots.add_parsable_certificates(found.certs);
            tracing::debug!(roots = roots.len(), unusable, "read the system's certificates");
        }
        Err(error) => tracing::warn!(%error, "the system's certificates cannot be read"),
    }
    Arc::new(roots)
}

/// Accepts every certificate, but only from someone who has its key.
#[derive(Debug)]
pub(crate) struct AcceptAny(Arc<CryptoProvider>);

impl AcceptAny {
    /// With the algorithms of this provider.
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
