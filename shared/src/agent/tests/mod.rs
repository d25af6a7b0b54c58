//! The agent against a registry in memory.

mod earlier_life;
mod kinds;
mod real_targets;
mod registration;
mod results;
mod without_servers;

use crate::acl::{Authority, Credential};
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::{
    backend::{BackendError, Consistency, Contact, ServersReport},
    catalog::State,
    command::{Command, Deregistration, Registration, Written},
    model::{Index, Time},
    view::{self, Writer},
};

/// Servers that apply every command at once, or have no leader.
struct Registry {
    writer: Mutex<Writer>,
    reader: Reader,
    leads: AtomicBool,
}

impl Registry {
    fn new() -> Arc<Self> {
        let (writer, reader) = view::new();
        Arc::new(Self { writer: Mutex::new(writer), reader, leads: AtomicBool::new(true) })
    }

    fn apply(&self, command: &Command) -> Written {
        let mut writer = self.writer.lock().unwrap();
        let mut state = State::clone(&writer.state());
        let index = Index(state.index().0 + 1);
        let applied = state.apply(index, Time(index.0), command);
        writer.publish(state, &applied.touched);
        Written { index, outcome: applied.outcome }
    }

    fn index(&self) -> Index {
        self.reader.base().index()
    }

    /// Waits until the registry looks so, for ten seconds at most.
    async fn shows(&self, what: &str, is: impl Fn(&State) -> bool) {
        self.shows_within(Duration::from_secs(10), what, is).await;
    }

    /// The same of what the servers have.
    async fn base_shows(&self, what: &str, is: impl Fn(&State) -> bool) {
        self.shows(what, |_| is(&self.reader.base())).await;
    }

    async fn shows_within(&self, limit: Duration, what: &str, is: impl Fn(&State) -> bool) {
        let own = self.reader.wait_for(&Topic::Node(Key::new("here")));
        let seen = async {
            loop {
                let next = own.next();
                if is(&self.reader.load()) {
                    return;
                }
                next.await;
            }
        };
        let seen = tokio::time::timeout(limit, seen).await;
        let state = self.reader.load_full();
        let rows: Vec<_> = state.node_services("here").map(|s| format!("{}:{}", s.id, s.port)).collect();
        let checks: Vec<_> = state.node_checks("here").map(|c| format!("{} {} {}", c.id, c.status, c.output)).collect();
        assert!(seen.is_ok(), "{what}: {rows:?} {checks:?}");
    }
}

#[async_trait]
impl Backend for Registry {
    async fn write(&self, command: Command, _: &Credential) -> Result<Written, BackendError> {
        tokio::task::yield_now().await;
        if self.leads.load(Ordering::SeqCst) { Ok(self.apply(&command)) } else { Err(BackendError::NoLeader) }
    }

    async fn barrier(&self, _: Consistency) -> Result<Index, BackendError> {
        if self.leads.load(Ordering::SeqCst) { Ok(self.index()) } else { Err(BackendError::NoLeader) }
    }

    async fn servers(&self, _: bool, _: &Credential) -> Result<ServersReport, BackendError> {
        Err(BackendError::NoLeader)
    }

    fn contact(&self) -> Contact {
        Contact { known_leader: self.leads.load(Ordering::SeqCst), last: Duration::ZERO }
    }

    fn leader(&self) -> Option<String> {
        None
    }

    fn peers(&self) -> Vec<String> {
        Vec::new()
    }
}

fn settings(is_server: bool) -> AgentSettings {
    AgentSettings {
        node: Node { name: "here".into(), address: "127.0.0.1".into(), ..Node::default() },
        datacenter: "dc1".into(),
        is_server,
        check_update_interval: Duration::from_secs(300),
        script_checks: ScriptChecks::Off,
        sync_interval: Duration::from_secs(60),
        without_servers: WithoutServers::Queue,
    }
}

fn idle(registry: &Arc<Registry>, is_server: bool) -> Agent {
    Agent::new(settings(is_server), registry.reader.clone(), registry.clone(), open_to_all(registry))
}

async fn started(registry: &Arc<Registry>) -> (Agent, Tasks) {
    let (agent, tasks) = (idle(registry, false), Tasks::new());
    agent.start(&tasks);
    agent.adopted().await;
    (agent, tasks)
}

fn service(body: &serde_json::Value) -> ServiceDefinition {
    ServiceDefinition::from_json(body).unwrap()
}

/// Who lets everybody do everything.
fn open_to_all(registry: &Registry) -> Arc<Authority> {
    Arc::new(Authority::open(registry.reader.clone()))
}

fn check(body: &serde_json::Value) -> CheckRegistration {
    CheckRegistration::from_json(body).unwrap()
}

fn status(state: &State, id: &str) -> Option<Status> {
    state.node_check("here", id).map(|check| check.status)
}

fn foreign(service: Option<Service>, checks: Vec<Check>) -> Command {
    let node = Node { name: "here".into(), ..Node::default() };
    Command::Register(Box::new(Registration { node, skip_node_update: true, service, checks }))
}
