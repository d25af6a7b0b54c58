//! Calls methods of a gRPC port, with a certificate or without: HTTP/2 over TLS, one message, and the status.

use std::{fmt::Display, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::client::SendRequest;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::authority::Pair;

const LIMIT: Duration = Duration::from_secs(10);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A message of no bytes, as gRPC frames it.
const EMPTY: &[u8] = &[0; 5];

/// An open connection.
pub struct Connection {
    sender: SendRequest<Bytes>,
    /// What the other end has shown.
    pub certificate: Vec<u8>,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Calls from outside of any runtime.
pub struct Caller(tokio::runtime::Runtime);

impl Caller {
    pub fn new() -> Self {
        Self(runtime())
    }

    /// Connects to the port as `name` trusting `ca`.
    pub fn connect(&self, port: u16, ca: &Path, own: Option<&Pair>, name: &str) -> Result<Connection, String> {
        let connecting = async {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
            let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
            let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
            let mut config = match own {
                None => builder.with_no_client_auth(),
                Some(Pair { certificate, key }) => {
                    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
                    builder
                        .with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_file(key).unwrap())
                        .unwrap()
                }
            };
            config.alpn_protocols = vec![b"h2".to_vec()];
            let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(said)?;
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(said)?;
            let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
            let (sender, connection) = h2::client::handshake(stream).await.map_err(said)?;
            tokio::spawn(connection);
            Ok(Connection { sender, certificate })
        };
        self.0.block_on(async { timeout(LIMIT, connecting).await.map_err(said)? })
    }

    /// The gRPC status of a call, and what is said beside it.
    pub fn call(&self, connection: &Connection, method: &str) -> Result<(String, String), String> {
        let calling = async {
            let mut sender = connection.sender.clone().ready().await.map_err(said)?;
            let request = http::Request::post(format!("https://server{method}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(())
                .unwrap();
            let (answer, mut body) = sender.send_request(request, false).map_err(said)?;
            body.send_data(Bytes::from_static(EMPTY), true).map_err(said)?;
            let (head, mut body) = answer.await.map_err(said)?.into_parts();
            let mut headers = head.headers;
            if !headers.contains_key("grpc-status") {
                while let Some(piece) = body.data().await {
                    let length = piece.map_err(said)?.len();
                    body.flow_control().release_capacity(length).map_err(said)?;
                }
                headers = body.trailers().await.map_err(said)?.ok_or("no trailers")?;
            }
            let text =
                |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
            Ok((text("grpc-status"), text("grpc-message")))
        };
        self.0.block_on(async { timeout(LIMIT, calling).await.map_err(said)? })
    }

    /// Whether the port takes HTTP/2 without TLS: whether it says anything to its beginning.
    pub fn takes_plain(&self, port: u16) -> bool {
        let asking = async {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.write_all(PREFACE).await.unwrap();
            matches!(stream.read(&mut [0; 64]).await, Ok(1..))
        };
        self.0.block_on(async { timeout(LIMIT, asking).await.unwrap() })
    }
}

fn said(error: impl Display) -> String {
    error.to_string()
}
