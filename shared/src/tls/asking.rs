//! The client's side of HTTPS, for the commands that ask an agent: a CA of one's own or the system's, a certificate
//! where the agent wants one.

use std::{path::PathBuf, sync::Arc};

use rustls::{ClientConfig, crypto::ring, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    files::{self, TlsError},
    settings::{Interface, Pair, Source},
};
use crate::outbound::{AcceptAny, system_roots};

/// How an agent is asked by HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// A file with certificates of CAs; with neither, those of the system count.
    pub ca_file: Option<Source>,
    /// A directory of such files.
    pub ca_path: Option<Source>,
    /// The own certificate.
    pub pair: Option<Pair>,
    /// The name that the agent's certificate must have; none: the host's.
    pub server_name: Option<String>,
    /// Takes any certificate.
    pub accept_any: bool,
}

/// Why there is no TLS with an agent.
#[derive(Debug, thiserror::Error)]
pub enum AskingError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] TlsError),
    /// The handshake failed.
    #[error("tls: {0}")]
    Handshake(String),
}

impl Source {
    /// A file that a flag or variable names.
    #[must_use]
    pub fn new(key: &str, path: impl Into<PathBuf>) -> Self {
        Self { key: key.into(), path: path.into() }
    }
}

impl Asking {
    /// Shakes hands with the agent at `host`.
    ///
    /// # Errors
    /// [`AskingError`].
    pub async fn connect(&self, stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, AskingError> {
        let failed = |error: &dyn std::fmt::Display| AskingError::Handshake(error.to_string());
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|error| failed(&error))?;
        let config = Arc::new(self.config().await?);
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| failed(&error))
    }

    async fn config(&self) -> Result<ClientConfig, AskingError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| AskingError::Handshake(error.to_string()))?;
        let builder = if self.accept_any {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny::new(provider)))
        } else if self.ca_file.is_some() || self.ca_path.is_some() {
            let (ca_file, ca_path) = (self.ca_file.clone(), self.ca_path.clone());
            builder
                .with_root_certificates(files::authorities(&Interface { ca_file, ca_path, ..Interface::default() })?.0)
        } else {
            builder.with_root_certificates(system_roots().await)
        };
        let mut config = match &self.pair {
            None => builder.with_no_client_auth(),
            Some(Pair { certificate, key }) => {
                let own = builder.with_client_auth_cert(files::certificates(certificate)?, files::key(key)?);
                own.map_err(|error| TlsError::new(key, format!("cannot be used with the certificate: {error}")))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}
