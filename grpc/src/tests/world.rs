//! A registry of one view, without servers.

use lictor_shared::acl::{Authority, Credential};
use std::{sync::Arc, time::Duration};

use lictor_shared::{
    backend::{Backend, BackendError, Consistency, Contact, ServersReport},
    catalog::State,
    command::{Command, Deregistration, Registration, Written},
    model::{Check, Index, Node, Service, Status, Time},
    tasks::Tasks,
    view::{self, Reader, Writer},
};

use crate::RegistryService;

/// A backend that knows a leader and asks it nothing.
struct Silent;

#[tonic::async_trait]
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
        Contact { known_leader: true, last: Duration::from_millis(7) }
    }

    fn leader(&self) -> Option<String> {
        None
    }

    fn peers(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A view with its writer and the service that answers from it.
pub struct World {
    pub writer: Writer,
    pub reader: Reader,
    pub backend: Arc<dyn Backend>,
    pub service: RegistryService,
    pub tasks: Tasks,
    next: u64,
}

impl World {
    /// Of a view that was never filled.
    pub fn new() -> Self {
        let (writer, reader) = view::new();
        let (backend, tasks): (Arc<dyn Backend>, _) = (Arc::new(Silent), Tasks::new());
        let service = RegistryService::new(
            reader.clone(),
            backend.clone(),
            Arc::new(Authority::open(reader.clone())),
            "dc1",
            usize::MAX,
            &tasks,
        );
        Self { writer, reader, backend, service, tasks, next: 10 }
    }

    /// Applies a command as servers and sidecars do; gives its index.
    pub fn apply(&mut self, command: &Command) -> u64 {
        let mut state = State::clone(&self.writer.state());
        self.next += 1;
        let applied = state.apply(Index(self.next), Time(self.next * 1000), command);
        self.writer.publish(state, &applied.touched);
        self.next
    }

    /// Replaces the view by what `commands` make of nothing: another registry, whose indexes have passed this one's.
    pub fn replace(&mut self, commands: &[Command]) {
        let mut state = State::default();
        for (command, index) in commands.iter().zip(1..) {
            state.apply(Index(index), Time(index), command);
        }
        self.next += 1;
        state.apply(Index(self.next), Time(self.next), &register_node("other", Status::Passing));
        self.writer.replace(state);
    }
}

pub fn register(node: &str, id: &str, name: &str, tags: &[&str], port: u16, status: Status) -> Command {
    let service = Service {
        id: id.into(),
        name: name.into(),
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
        port,
        ..Service::default()
    };
    let check = Check { id: format!("{id}-check").as_str().into(), service_id: id.into(), status, ..Check::default() };
    Command::Register(Box::new(Registration {
        node: node_of(node),
        service: Some(service),
        checks: vec![check],
        ..Registration::default()
    }))
}

pub fn register_node(node: &str, status: Status) -> Command {
    let check = Check { id: "serfHealth".into(), status, ..Check::default() };
    Command::Register(Box::new(Registration { node: node_of(node), checks: vec![check], ..Registration::default() }))
}

fn node_of(name: &str) -> Node {
    Node { name: name.into(), address: "10.0.0.1".into(), ..Node::default() }
}

pub fn deregister(node: &str, id: &str) -> Command {
    Command::Deregister(Deregistration::Service(node.into(), id.into()))
}

pub fn deregister_node(node: &str) -> Command {
    Command::Deregister(Deregistration::Node(node.into()))
}
