//! The agent against a registry in memory.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::{
    backend::{BackendError, Consistency, Contact},
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
        self.reader.load().index()
    }

    /// Waits until the registry looks so, for ten seconds at most.
    async fn shows(&self, what: &str, is: impl Fn(&State) -> bool) {
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
        let seen = tokio::time::timeout(Duration::from_secs(10), seen).await;
        assert!(seen.is_ok(), "{what}: {:?}", self.reader.load().node_checks("here").collect::<Vec<_>>());
    }
}

#[async_trait]
impl Backend for Registry {
    async fn write(&self, command: Command) -> Result<Written, BackendError> {
        tokio::task::yield_now().await;
        if self.leads.load(Ordering::SeqCst) { Ok(self.apply(&command)) } else { Err(BackendError::NoLeader) }
    }

    async fn barrier(&self, _: Consistency) -> Result<Index, BackendError> {
        if self.leads.load(Ordering::SeqCst) { Ok(self.index()) } else { Err(BackendError::NoLeader) }
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

fn idle(registry: &Arc<Registry>, is_server: bool) -> Agent {
    let node = Node { name: "here".into(), address: "127.0.0.1".into(), ..Node::default() };
    let settings = AgentSettings {
        node,
        datacenter: "dc1".into(),
        is_server,
        check_update_interval: Duration::from_secs(300),
        sync_interval: Duration::from_secs(60),
    };
    Agent::new(settings, registry.reader.clone(), registry.clone())
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

#[tokio::test(start_paused = true)]
async fn a_registration_is_in_the_registry_when_the_call_returns() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let body = json!({"Name": "web", "Port": 80, "Check": {"TTL": "60s", "Status": "passing"}});
    agent.register_service(service(&body), false).await.unwrap();
    let state = registry.reader.load_full();
    let instance = state.instances("web").next().unwrap();
    assert_eq!(
        (instance.status(), instance.service.port, instance.service.origin),
        (Status::Passing, 80, Origin::Agent)
    );
    let shown = &instance.checks[0];
    assert_eq!((shown.kind.as_str(), shown.interval.as_str(), shown.timeout.as_str()), ("ttl", "", ""));
    assert_eq!(instance.node.meta["consul-network-segment"], "");
    assert_eq!(instance.node.tagged_addresses["wan_ipv4"], "127.0.0.1");

    agent.register_check(check(&json!({"Name": "memory", "TTL": "30s"}))).await.unwrap();
    let state = registry.reader.load_full();
    let shown = state.node_check("here", "memory").unwrap();
    assert_eq!((shown.status, shown.interval.as_str(), shown.timeout.as_str()), (Status::Critical, "0s", "0s"));

    agent.deregister_check(&"memory".into()).await.unwrap();
    agent.deregister_service(&"web".into()).await.unwrap();
    agent.deregister_service(&"web".into()).await.unwrap();
    let state = registry.reader.load_full();
    assert_eq!(state.node_services("here").count() + state.node_checks("here").count(), 0);
    let unknown = agent.register_check(check(&json!({"Name": "x", "ServiceID": "absent", "TTL": "30s"}))).await;
    assert_eq!(unknown.unwrap_err().to_string(), "ServiceID \"absent\" does not exist");
    let unknown = agent.report(&"absent".into(), Status::Passing, "");
    assert_eq!(unknown.unwrap_err().to_string(), "CheckID \"absent\" does not have associated TTL");
}

#[tokio::test(start_paused = true)]
async fn checks_are_kept_or_replaced_when_a_service_is_registered_again() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let two = json!({"Name": "api", "Checks": [{"CheckID": "a", "TTL": "60s"}, {"CheckID": "b", "TTL": "60s"}]});
    agent.register_service(service(&two), false).await.unwrap();
    agent.report(&"a".into(), Status::Passing, "fine").unwrap();
    let one = json!({"Name": "api", "Port": 1, "Check": {"CheckID": "a", "TTL": "60s"}});
    agent.register_service(service(&one), false).await.unwrap();
    assert_eq!(agent.checks().len(), 2);
    agent.register_service(service(&one), true).await.unwrap();
    let checks = agent.checks();
    assert_eq!(
        checks.iter().map(|c| (&*c.id, c.status, &*c.output)).collect::<Vec<_>>(),
        [("a", Status::Passing, "fine")]
    );
    assert_eq!(registry.reader.load().node_checks("here").count(), 1);
}
