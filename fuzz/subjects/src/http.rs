//! Requests as they come on a connection, to the whole interface: hyper, limits, router, handlers, with servers behind it
//! that agree to everything and keep nothing.

use lictor_shared::acl::{Authority, Credential};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use lictor_shared::{
    agent::{Agent, AgentSettings, ScriptChecks, WithoutServers},
    backend::{Backend, BackendError, Consistency, Contact, ServersReport},
    catalog::State,
    command::{Command, KeyCommand, KeyEntry, Outcome, Registration, Written},
    control,
    events::Events,
    gossip::{Pool, PoolConfig},
    http::{Access, Context, Copies, Guests, Identity, Limits, Page, Profiler, Settings, Versions, bind, serve},
    model::{Check, Index, Node, Service, Status, Time},
    monitor::Monitor,
    tasks::Tasks,
    view::{self, Reader, Writer},
};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// What follows every input: a request that ends the connection, where the input leaves room for one.
const LAST: &[u8] = b"\r\n\r\nGET /v1/status/leader HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
/// How long an answer is waited for; many an input is half a request, to which there is none.
const PATIENCE: Duration = Duration::from_millis(30);
/// Longer than any answer.
const ANSWER_BYTES: usize = 4 << 20;

struct Servers;

#[async_trait]
impl Backend for Servers {
    async fn write(&self, _: Command, _: &Credential) -> Result<Written, BackendError> {
        Ok(Written { index: Index(100), outcome: Outcome::Done })
    }

    async fn barrier(&self, _: Consistency) -> Result<Index, BackendError> {
        Ok(Index(1))
    }

    async fn servers(&self, _: bool, _: &Credential) -> Result<ServersReport, BackendError> {
        Ok(ServersReport::default())
    }

    fn contact(&self) -> Contact {
        Contact { known_leader: true, last: Duration::ZERO }
    }

    fn leader(&self) -> Option<String> {
        Some("127.0.0.1:8300".into())
    }

    fn peers(&self) -> Vec<String> {
        Vec::new()
    }
}

struct Interface {
    address: SocketAddr,
    _writer: Writer,
    _tasks: Tasks,
    _runtime: Runtime,
}

static INTERFACE: LazyLock<Interface> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let tasks = Tasks::new();
    let (mut writer, reader) = view::new();
    writer.replace(state());
    let address = runtime.block_on(start(reader, &tasks));
    Interface { address, _writer: writer, _tasks: tasks, _runtime: runtime }
});

fn state() -> State {
    let mut state = State::default();
    let service =
        Service { id: "web".into(), name: "web".into(), tags: vec!["a".into()], port: 80, ..Service::default() };
    let check = Check { id: "c".into(), service_id: "web".into(), status: Status::Passing, ..Check::default() };
    let node = Node { name: "n".into(), address: "127.0.0.1".into(), ..Node::default() };
    let registration = Registration { node, service: Some(service), checks: vec![check], ..Registration::default() };
    state.apply(Index(1), Time(0), &Command::Register(Box::new(registration)));
    let entry = KeyEntry { key: "a/b".into(), value: "value".into(), flags: 7 };
    state.apply(Index(2), Time(0), &Command::Key(KeyCommand::Set(entry)));
    state
}

async fn start(reader: Reader, tasks: &Tasks) -> SocketAddr {
    let backend: Arc<dyn Backend> = Arc::new(Servers);
    let node = Node { name: "n".into(), id: Some(Uuid::from_u128(1)), address: "127.0.0.1".into(), ..Node::default() };
    let settings = AgentSettings {
        node,
        datacenter: "dc1".into(),
        is_server: true,
        check_update_interval: Duration::ZERO,
        script_checks: ScriptChecks::Off,
        sync_interval: Duration::from_secs(60),
        without_servers: WithoutServers::Queue,
    };
    let authority = Arc::new(Authority::open(reader.clone()));
    // It is not started: what is registered is kept, and nothing is run or sent anywhere.
    let agent = Agent::new(settings, reader.clone(), backend.clone(), authority.clone());
    let members = Pool::start(PoolConfig::new("n", (Ipv4Addr::LOCALHOST, 0).into()), tasks).await.unwrap();
    // Names that are to be joined would be looked up in the world.
    let blocked = ["/v1/agent/join", "/v1/agent/service/register", "/v1/agent/check/register"].map(String::from).into();
    let limits = Limits { connections_per_client: usize::MAX, ..Limits::default() };
    let settings = Settings {
        identity: Identity {
            datacenter: "dc1".into(),
            node_name: "n".into(),
            node_id: Uuid::from_u128(1),
            server_address: Some("127.0.0.1:8300".into()),
        },
        versions: Versions { api_level: "1.10.12".into(), own: "0".into() },
        discovery_max_stale: Duration::from_secs(3600),
        protection: None,
        serf_lan_port: 8301,
        serf_wan_port: 8302,
        limits,
        access: Access { blocked, ..Access::default() },
        page: Page { is_on: true, ..Page::default() },
        dns: ("consul".into(), 8600),
        debug: false,
        data_dir: None,
        token_dir: None,
    };
    let (control, requests) = control::channel();
    // Nobody reloads or leaves: whoever asks is told so.
    drop(requests);
    let context = Context {
        settings,
        reader,
        copies: Copies::start(&[], false, &backend, &authority, tasks),
        backend,
        events: Events::start(&members, &agent, tasks),
        agent,
        members,
        wan: None,
        control,
        monitor: Monitor::default(),
        guests: Arc::new(Guests::new(&limits)),
        answers: Arc::default(),
        authority,
        profiler: Profiler::new(None),
        audit: None,
    };
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn("http", serve(Arc::new(context), listener, tasks.clone()));
    address
}

/// Sends it, and reads what comes.
pub fn run(data: &[u8]) {
    let mut stream = TcpStream::connect(INTERFACE.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may hang up before it has everything.
    let _ = stream.write_all(data).and_then(|()| stream.write_all(LAST));
    let (mut answer, mut buffer) = (Vec::new(), [0; 16 << 10]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..length]);
        assert!(answer.len() < ANSWER_BYTES, "an answer without an end");
    }
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "no HTTP");
}
