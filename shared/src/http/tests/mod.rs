//! The whole interface over real connections, with [`Fake`] behind it.

mod blocking;
mod connections;
mod recordings;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::*;
use crate::{
    backend::fake::Fake,
    command::{Command, Registration},
    control,
    model::{Check, Node, SERF_HEALTH, SERVER_SERVICE, Service, Status},
    tasks::Tasks,
};

/// Longer than anything in a test takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer as its caller sees it.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn index(&self) -> u64 {
        self.header("x-consul-index").unwrap().parse().unwrap()
    }
}

/// The interface of one node, served on a free port.
struct TestServer {
    backend: Arc<Fake>,
    address: SocketAddr,
    tasks: Tasks,
}

impl TestServer {
    async fn start() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let backend = Fake::new();
        let mut settings = Settings {
            identity: Identity {
                datacenter: "dc1".into(),
                node_name: "node-a".into(),
                node_id: Uuid::from_u128(1),
                server_address: Some("127.0.0.1:8300".into()),
            },
            discovery_max_stale: Duration::from_secs(72 * 3600),
            serf_lan_port: 8301,
            limits: Limits::default(),
        };
        change(&mut settings);
        let context =
            Context { settings, reader: backend.reader(), backend: backend.clone(), control: control::channel().0 };
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        tasks.spawn("http", serve(Arc::new(context), listener, tasks.clone()));
        Self { backend, address, tasks }
    }

    /// Registers what a server's own agent would have.
    fn register_itself(&self) {
        let address = |network: &str| (network.into(), "127.0.0.1".into());
        let node = Node {
            name: "node-a".into(),
            id: Some(Uuid::from_u128(1)),
            address: "127.0.0.1".into(),
            tagged_addresses: ["lan", "lan_ipv4", "wan", "wan_ipv4"].map(address).into(),
            meta: [("consul-network-segment".into(), "".into())].into(),
            ..Node::default()
        };
        let service =
            Service { id: SERVER_SERVICE.into(), name: SERVER_SERVICE.into(), port: 8300, ..Service::default() };
        let check = Check { id: SERF_HEALTH.into(), status: Status::Passing, ..Check::default() };
        let registration = Registration { node, service: Some(service), checks: vec![check], skip_node_update: false };
        self.backend.apply(&Command::Register(Box::new(registration)));
    }

    /// Registers an instance of `service`, on a node of its own, at this port.
    fn register(&self, service: &str, port: u16) {
        let node = Node { name: format!("on-{service}").into(), address: "10.0.0.1".into(), ..Node::default() };
        let service = Service { id: service.into(), name: service.into(), port, ..Service::default() };
        let registration = Registration { node, service: Some(service), ..Registration::default() };
        self.backend.apply(&Command::Register(Box::new(registration)));
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, "").await
    }

    async fn send(&self, method: Method, path: &str, body: &str) -> Reply {
        self.send_with(method, path, body, &[]).await
    }

    async fn send_with(&self, method: Method, path: &str, body: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = http::Request::builder().method(method).uri(path).header("host", "test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        tokio::time::timeout(PATIENCE, exchange(self.address, request)).await.expect("no answer came")
    }
}

async fn exchange(address: SocketAddr, request: http::Request<Full<Bytes>>) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let answer = async {
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        Reply { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        reply = &mut answer => reply,
        _ = &mut connection => answer.await,
    }
}
