//! An application against an agent's gRPC interface and two instances: they come, go and change while it calls them,
//! and the agent goes and comes back.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use lictor_shared::acl::{Authority, Credential};
use std::{net::SocketAddr, sync::Arc, time::Duration};

use lictor_client::{Agent, Endpoints, Service, State, balanced};
use lictor_shared::{
    backend::{Backend, BackendError, Consistency, Contact, ServersReport},
    catalog,
    command::{Command, Deregistration, Registration, Written},
    limits::Connections,
    model::{Check, Index, Node, Service as Instance, Status, Time},
    node::Applications,
    tasks::Tasks,
    view::{self, Reader, Writer},
};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tonic::{
    Code,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};

/// Longest time that anything here may take.
const LIMIT: Duration = Duration::from_secs(30);

/// No servers: the agent answers from its view.
struct Nobody;

#[tonic::async_trait]
impl Backend for Nobody {
    async fn write(&self, _: Command, _: &Credential) -> Result<Written, BackendError> {
        Err(BackendError::NoServers)
    }

    async fn barrier(&self, _: Consistency) -> Result<Index, BackendError> {
        Err(BackendError::NoServers)
    }

    async fn servers(&self, _: bool, _: &Credential) -> Result<ServersReport, BackendError> {
        Err(BackendError::NoServers)
    }

    fn contact(&self) -> Contact {
        Contact { known_leader: false, last: Duration::ZERO }
    }

    fn leader(&self) -> Option<String> {
        None
    }

    fn peers(&self) -> Vec<String> {
        Vec::new()
    }
}

struct Registry {
    writer: Writer,
    reader: Reader,
    next: u64,
}

impl Registry {
    fn new() -> Self {
        let (writer, reader) = view::new();
        Self { writer, reader, next: 10 }
    }

    fn apply(&mut self, command: &Command) {
        let mut state = catalog::State::clone(&self.writer.state());
        self.next += 1;
        let applied = state.apply(Index(self.next), Time(self.next), command);
        self.writer.publish(state, &applied.touched);
    }

    fn register(&mut self, id: &str, address: SocketAddr, status: Status) {
        let (ip, port) = (address.ip().to_string(), address.port());
        let service = Instance { id: id.into(), name: "web".into(), address: ip.into(), port, ..Instance::default() };
        let check = Check { id: id.into(), service_id: id.into(), status, ..Check::default() };
        let node = Node { name: "n".into(), address: "127.0.0.1".into(), ..Node::default() };
        let registration =
            Registration { node, service: Some(service), checks: vec![check], ..Registration::default() };
        self.apply(&Command::Register(Box::new(registration)));
    }

    /// Serves applications at `listener` until the tasks stop.
    fn serve(&self, listener: TcpListener) -> Tasks {
        let tasks = Tasks::new();
        lictor_grpc::serve(Applications {
            listeners: vec![listener],
            secured: Vec::new(),
            tls: Arc::default(),
            datacenter: "dc1".into(),
            reader: self.reader.clone(),
            backend: Arc::new(Nobody),
            authority: Arc::new(Authority::open(self.reader.clone())),
            tasks: tasks.clone(),
            connections: Connections::default(),
            streams_per_client: usize::MAX,
        });
        tasks
    }
}

/// An instance: it knows the health of a service that has its own name, and of no other.
async fn instance(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status(name, ServingStatus::Serving).await;
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
    address
}

async fn until(endpoints: &mut watch::Receiver<Endpoints>, condition: impl FnMut(&Endpoints) -> bool) -> Endpoints {
    timeout(LIMIT, endpoints.wait_for(condition)).await.expect("in time").unwrap().clone()
}

/// Calls until `calls` in a row were answered by instances of `names`, and by each of them.
async fn calls_reach(channel: &Channel, names: &[&str], calls: usize) {
    let mut client = HealthClient::new(channel.clone());
    let reach = async {
        let (mut in_a_row, mut reached) = (0, std::collections::BTreeSet::new());
        while in_a_row < calls || reached.len() < names.len() {
            let asked = names[in_a_row % names.len()];
            match client.check(HealthCheckRequest { service: asked.into() }).await {
                Ok(_) => drop(reached.insert(asked)),
                // One of the others, which is right only if it is one of those.
                Err(status) if status.code() == Code::NotFound && names.len() > 1 => {}
                Err(_) => in_a_row = 0,
            }
            in_a_row += 1;
        }
    };
    timeout(LIMIT, reach).await.unwrap_or_else(|_| panic!("calls do not reach {names:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_follow_the_instances_and_go_on_without_the_agent() {
    let (a, b) = (instance("a").await, instance("b").await);
    let mut registry = Registry::new();
    registry.register("a", a, Status::Passing);
    registry.register("b", b, Status::Passing);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = registry.serve(listener);

    let agent = Agent::at(&format!("http://{address}")).unwrap();
    let mut endpoints = agent.watch(Service::named("web"));
    let first = until(&mut endpoints, |told| told.instances.len() == 2).await;
    assert_eq!((first.state, first.trouble, first.index), (State::Available, None, 12));
    let channel = balanced(endpoints.clone());
    calls_reach(&channel, &["a", "b"], 20).await;

    registry.register("a", a, Status::Critical);
    until(&mut endpoints, |told| told.instances.len() == 1).await;
    calls_reach(&channel, &["b"], 20).await;

    // The agent goes: the last set stands, and calls go on.
    assert!(tasks.shutdown(LIMIT).await);
    let kept = until(&mut endpoints, |told| told.trouble.is_some()).await;
    assert_eq!((kept.instances.len(), kept.state), (1, State::Available));
    calls_reach(&channel, &["b"], 20).await;

    // What has changed meanwhile is told when it is back.
    registry.register("a", a, Status::Passing);
    registry.apply(&Command::Deregister(Deregistration::Service("n".into(), "b".into())));
    let tasks = registry.serve(TcpListener::bind(address).await.unwrap());
    let back = until(&mut endpoints, |told| told.trouble.is_none()).await;
    assert_eq!(back.instances[0].id.as_ref().unwrap().instance, "a");
    calls_reach(&channel, &["a"], 20).await;

    // Nothing has changed meanwhile: resumed.
    assert!(tasks.shutdown(LIMIT).await);
    until(&mut endpoints, |told| told.trouble.is_some()).await;
    let _tasks = registry.serve(TcpListener::bind(address).await.unwrap());
    let resumed = until(&mut endpoints, |told| told.trouble.is_none()).await;
    assert_eq!(resumed.instances, back.instances);

    registry.apply(&Command::Deregister(Deregistration::Node("n".into())));
    until(&mut endpoints, |told| told.state == State::NoSuchService && told.instances.is_empty()).await;
}

#[tokio::test]
async fn a_request_that_is_refused_says_why() {
    let registry = Registry::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = Agent::at(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let _tasks = registry.serve(listener);
    let mut endpoints = agent.watch(Service::named("web").filtered("no such language"));
    let told = until(&mut endpoints, |told| told.trouble.is_some()).await;
    assert!(told.trouble.unwrap().contains("filter: "));
    assert!(Agent::at("not an address").is_err());
}
