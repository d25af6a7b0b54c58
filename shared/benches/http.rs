//! What an HTTP read costs: encoding instances, and one round trip to an interface that has the answer.
//!
//! `cargo bench -p lictor-shared --bench http`. The round trip is that of one caller on one connection over loopback, so
//! it is mostly the system's; how many answers a processor gives with many callers is measured with a load generator
//! against `lictor agent -dev`.

use lictor_shared::acl::{Authority, Credential};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lictor_shared::{
    agent::{Agent, AgentSettings, ScriptChecks, WithoutServers},
    backend::{Backend, BackendError, Consistency, Contact, ServersReport},
    catalog::State,
    command::{Command, Registration, Written},
    control,
    events::Events,
    gossip::{Pool, PoolConfig},
    http::{
        Access, Context, Copies, Guests, Identity, Limits, Page, Profiler, Settings, Versions, bind,
        json::rows::InstanceRow, serve,
    },
    model::{Check, Index, Node, Service, Status, Time},
    monitor::Monitor,
    tasks::Tasks,
    view::{self, Reader},
};
use tokio::runtime::Runtime;
use uuid::Uuid;

const SIZES: [usize; 3] = [1, 10, 100];

/// Servers that nobody can write to, and that a stale read does not ask.
struct Silent;

#[async_trait]
impl Backend for Silent {
    async fn write(&self, _: Command, _: &Credential) -> Result<Written, BackendError> {
        Err(BackendError::NoLeader)
    }

    async fn barrier(&self, _: Consistency) -> Result<Index, BackendError> {
        Err(BackendError::NoLeader)
    }

    async fn servers(&self, _: bool, _: &Credential) -> Result<ServersReport, BackendError> {
        Err(BackendError::NoLeader)
    }

    fn contact(&self) -> Contact {
        Contact { known_leader: true, last: Duration::ZERO }
    }

    fn leader(&self) -> Option<String> {
        None
    }

    fn peers(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A catalog with a service of each size, called by its number of instances.
fn catalog() -> State {
    let mut state = State::default();
    let mut index = 10;
    for size in SIZES {
        for number in 0..size {
            let node = Node {
                name: format!("node-{size}-{number}").into(),
                id: Some(Uuid::from_u128(index.into())),
                address: "10.0.0.1".into(),
                ..Node::default()
            };
            let id = format!("{size}-{number}");
            let service = Service {
                id: id.clone().into(),
                name: size.to_string().into(),
                tags: vec!["primary".into(), "v1".into()],
                port: 8080,
                ..Service::default()
            };
            let check = |id: &str, service: &str| Check {
                id: id.into(),
                service_id: service.into(),
                status: Status::Passing,
                output: "HTTP GET http://10.0.0.1:8080/health: 200 OK".into(),
                ..Check::default()
            };
            let checks = vec![check("serfHealth", ""), check(&format!("service:{id}"), &id)];
            let registration = Registration { node, service: Some(service), checks, skip_node_update: false };
            state.apply(Index(index), Time(index), &Command::Register(Box::new(registration)));
            index += 1;
        }
    }
    state
}

async fn interface(reader: Reader, tasks: &Tasks) -> SocketAddr {
    let node = Node { name: "bench".into(), address: "127.0.0.1".into(), ..Node::default() };
    let settings = AgentSettings {
        node,
        datacenter: "dc1".into(),
        is_server: false,
        check_update_interval: Duration::ZERO,
        script_checks: ScriptChecks::Off,
        sync_interval: Duration::from_secs(60),
        without_servers: WithoutServers::Refuse,
    };
    let backend = Arc::new(Silent);
    let authority = Arc::new(Authority::open(reader.clone()));
    let agent = Agent::new(settings, reader.clone(), backend.clone(), authority.clone());
    let loopback = "127.0.0.1:0".parse().expect("an address");
    let members = Pool::start(PoolConfig::new("bench", loopback), tasks).await.expect("a pool of one");
    let identity = Identity {
        datacenter: "dc1".into(),
        node_name: "bench".into(),
        node_id: Uuid::from_u128(1),
        server_address: None,
    };
    let settings = Settings {
        identity,
        versions: Versions { api_level: "1.10.12".into(), own: "0".into() },
        discovery_max_stale: Duration::from_secs(3600),
        protection: None,
        serf_lan_port: 8301,
        serf_wan_port: 8302,
        limits: Limits::default(),
        access: Access::default(),
        page: Page::default(),
        dns: ("consul".into(), 8600),
        debug: false,
        data_dir: None,
        token_dir: None,
    };
    let events = Events::start(&members, &agent, tasks);
    let (control, _) = control::channel();
    let monitor = Monitor::default();
    let answers = Arc::default();
    let copies = Copies::default();
    let guests = Arc::new(Guests::new(&settings.limits));
    let context = Context {
        settings,
        guests,
        reader,
        backend,
        agent,
        members,
        wan: None,
        events,
        control,
        monitor,
        copies,
        answers,
        authority,
        profiler: Profiler::new(None),
        audit: None,
    };
    let listener = bind(loopback).await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tasks.spawn("http", serve(Arc::new(context), listener, tasks.clone()));
    address
}

/// Sends the request, and reads as many bytes as the first answer to it had.
fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut [u8]) {
    stream.write_all(request).expect("the interface reads");
    stream.read_exact(answer).expect("the interface answers");
}

/// How long the answer is: asked once, with the connection closed after it.
fn length(address: SocketAddr, path: &str) -> usize {
    let mut stream = TcpStream::connect(address).expect("the interface listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").expect("the interface reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the interface answers");
    answer.len() - "connection: close\r\n".len()
}

fn encode(criterion: &mut Criterion) {
    let state = catalog();
    let mut group = criterion.benchmark_group("encode");
    for size in SIZES {
        let name = size.to_string();
        let rows = || state.instances(&name).map(|instance| InstanceRow::new(instance, "dc1")).collect::<Vec<_>>();
        let bytes = serde_json::to_vec(&rows()).expect("rows are JSON").len();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| bencher.iter(|| serde_json::to_vec(&rows())));
    }
}

fn kept(criterion: &mut Criterion) {
    let (runtime, tasks) = (Runtime::new().expect("a runtime"), Tasks::new());
    let (mut writer, reader) = view::new();
    writer.replace(catalog());
    let address = runtime.block_on(interface(reader, &tasks));
    let mut group = criterion.benchmark_group("kept");
    for size in SIZES {
        let path = format!("/v1/health/service/{size}?passing&stale");
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
        let mut answer = vec![0; length(address, &path)];
        let mut stream = TcpStream::connect(address).expect("the interface listens");
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| exchange(&mut stream, request.as_bytes(), &mut answer));
        });
    }
    group.finish();
    runtime.block_on(tasks.shutdown(Duration::from_secs(2)));
}

criterion_group!(benches, encode, kept);
criterion_main!(benches);
