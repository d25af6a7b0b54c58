//! The whole interface over real connections, with [`Fake`] behind it.

mod agent;
mod blocking;
mod connections;
mod copies;
mod datacenters;
mod events;
mod health;
mod insight;
mod kept;
mod kv;
mod login;
mod page;
mod prepared;
mod profile;
mod recordings;
mod rights;
mod robustness;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, sync::mpsc};
use uuid::Uuid;

use super::*;
use crate::{
    agent::{Agent, AgentSettings, ScriptChecks, WithoutServers},
    backend::fake::Fake,
    command::{Command, Registration},
    control,
    events::Events,
    gossip::{Pool, PoolConfig},
    model::{Check, Node, SERF_HEALTH, SERVER_SERVICE, Service, Status},
    monitor::Monitor,
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
    agent: Agent,
    gossip: SocketAddr,
    wan_gossip: SocketAddr,
    requests: Mutex<mpsc::Receiver<control::Request>>,
    monitor: Monitor,
    context: Arc<Context>,
    tasks: Tasks,
}

/// The agent of a server that is called `node-a`.
fn agent_of(backend: &Arc<Fake>) -> Agent {
    let node =
        Node { name: "node-a".into(), id: Some(Uuid::from_u128(1)), address: "127.0.0.1".into(), ..Node::default() };
    let settings = AgentSettings {
        node,
        datacenter: "dc1".into(),
        is_server: true,
        check_update_interval: Duration::ZERO,
        script_checks: ScriptChecks::Off,
        sync_interval: Duration::from_secs(60),
        without_servers: WithoutServers::Queue,
    };
    Agent::new(settings, backend.reader(), backend.clone(), backend.authority())
}

/// A pool of `node-a` alone, with the tags of a server.
fn pool() -> PoolConfig {
    let tags = [
        ("acls", "0"),
        ("build", "1.10.12"),
        ("dc", "dc1"),
        ("ft_fs", "1"),
        ("ft_si", "1"),
        ("id", "00000000-0000-0000-0000-000000000001"),
        ("port", "8300"),
        ("raft_vsn", "3"),
        ("role", "consul"),
        ("segment", ""),
        ("vsn", "2"),
        ("vsn_max", "3"),
        ("vsn_min", "2"),
        ("wan_join_port", "8302"),
    ];
    let tags = tags.map(|(key, value)| (key.to_string(), value.to_string())).into();
    PoolConfig { tags, ..PoolConfig::new("node-a", "127.0.0.1:0".parse().unwrap()) }
}

/// The same in the WAN pool.
fn wan_pool() -> PoolConfig {
    let lan = pool();
    let tags = lan.tags.into_iter().filter(|(key, _)| key != "wan_join_port").collect();
    PoolConfig { name: "node-a.dc1".into(), tags, ..pool() }
}

impl TestServer {
    async fn start() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with_copies(&[], change).await
    }

    /// The same, which keeps copies of those services of other datacenters.
    async fn with_copies(copied: &[RemoteService], change: impl FnOnce(&mut Settings)) -> Self {
        Self::over(Fake::new(), copied, change).await
    }

    /// The same, with that backend behind it.
    async fn over(backend: Arc<Fake>, copied: &[RemoteService], change: impl FnOnce(&mut Settings)) -> Self {
        Self::of(backend, copied, Some(profile::fake), change).await
    }

    /// The same, of a program that has that profiler.
    async fn of(
        backend: Arc<Fake>,
        copied: &[RemoteService],
        profiler: Option<TakeProfile>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = Settings {
            identity: Identity {
                datacenter: "dc1".into(),
                node_name: "node-a".into(),
                node_id: Uuid::from_u128(1),
                server_address: Some("127.0.0.1:8300".into()),
            },
            protection: None,
            discovery_max_stale: Duration::from_secs(72 * 3600),
            serf_lan_port: 8301,
            serf_wan_port: 8302,
            versions: Versions { api_level: "1.10.12".into(), own: "0.1.0".into() },
            limits: Limits::default(),
            access: Access::default(),
            page: Page::default(),
            dns: ("consul".into(), 8600),
            debug: false,
            data_dir: None,
            token_dir: None,
        };
        change(&mut settings);
        let tasks = Tasks::new();
        let (control, requests) = control::channel();
        let (agent, members) = (agent_of(&backend), Pool::start(pool(), &tasks).await.unwrap());
        let wan = Pool::start(wan_pool(), &tasks).await.unwrap();
        let wan_gossip = wan.local_address();
        let monitor = Monitor::default();
        let shared: Arc<dyn crate::backend::Backend> = backend.clone();
        let copies = Copies::start(copied, settings.access.translates_wan, &shared, &backend.authority(), &tasks);
        let guests = Arc::new(Guests::new(&settings.limits));
        let context = Context {
            settings,
            guests,
            reader: backend.reader(),
            backend: backend.clone(),
            agent: agent.clone(),
            events: Events::start(&members, &agent, &tasks),
            members,
            wan: Some(wan),
            control,
            monitor: monitor.clone(),
            copies,
            answers: Arc::default(),
            authority: backend.authority(),
            profiler: Profiler::new(profiler),
            audit: None,
        };
        let gossip = context.members.local_address();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let context = Arc::new(context);
        tasks.spawn("http", serve(context.clone(), listener, tasks.clone()));
        Self { backend, address, agent, gossip, wan_gossip, requests: Mutex::new(requests), monitor, context, tasks }
    }

    /// The same, with an agent that registers its node and what it is told.
    async fn start_with_agent() -> Self {
        let server = Self::start().await;
        server.agent.start(&server.tasks);
        server.agent.adopted().await;
        server
    }

    /// Registers what a leader does for its own node.
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
        let meta = [
            ("non_voter", "false"),
            ("raft_version", "3"),
            ("read_replica", "false"),
            ("serf_protocol_current", "2"),
            ("serf_protocol_max", "5"),
            ("serf_protocol_min", "1"),
            ("version", "1.10.12"),
        ];
        let service = Service {
            id: SERVER_SERVICE.into(),
            name: SERVER_SERVICE.into(),
            port: 8300,
            meta: meta.map(|(key, value)| (key.into(), value.into())).into(),
            ..Service::default()
        };
        let check = Check {
            id: SERF_HEALTH.into(),
            name: "Serf Health Status".into(),
            status: Status::Passing,
            output: "Agent alive and reachable".into(),
            ..Check::default()
        };
        let registration = Registration { node, service: Some(service), checks: vec![check], skip_node_update: false };
        self.backend.apply(&Command::Register(Box::new(registration)));
        self.backend.apply(&Command::SetAutopilot { autopilot: Box::default(), expected: None });
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
        let mut request = http::Request::builder().method(&method).uri(path).header("host", "test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let reply = tokio::time::timeout(PATIENCE, exchange(self.address, request)).await.expect("no answer came");
        if !reply.headers.contains_key("content-encoding") {
            let kind = reply.header("content-type").unwrap_or_default();
            let problem = openapi::tests::problem(method.as_str(), path, reply.status.as_u16(), kind, &reply.body);
            assert_eq!(problem, None, "{method} {path} against its description: {reply:?}");
        }
        reply
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

/// An answer that goes on.
struct Stream {
    body: Incoming,
    /// A sender that is gone would end the connection.
    _sender: SendRequest<Full<Bytes>>,
}

impl Stream {
    async fn open(server: &TestServer, path: &str) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        server.tasks.spawn_short(async move {
            let _ = connection.await;
        });
        let request = http::Request::builder().uri(path).header("host", "test").body(Full::<Bytes>::default()).unwrap();
        let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.expect("no head").unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Self { body: response.into_body(), _sender: sender }
    }

    async fn piece(&mut self) -> Option<Bytes> {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("nothing more came");
        frame.map(|frame| frame.unwrap().into_data().unwrap())
    }
}
