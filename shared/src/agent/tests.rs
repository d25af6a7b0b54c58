//! The agent against a registry in memory.

mod kinds;

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
    async fn write(&self, command: Command) -> Result<Written, BackendError> {
        tokio::task::yield_now().await;
        if self.leads.load(Ordering::SeqCst) { Ok(self.apply(&command)) } else { Err(BackendError::NoLeader) }
    }

    async fn barrier(&self, _: Consistency) -> Result<Index, BackendError> {
        if self.leads.load(Ordering::SeqCst) { Ok(self.index()) } else { Err(BackendError::NoLeader) }
    }

    async fn servers(&self) -> Result<ServersReport, BackendError> {
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
    Agent::new(settings(is_server), registry.reader.clone(), registry.clone())
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

#[tokio::test(start_paused = true)]
async fn damage_done_by_others_is_mended() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let body = json!({"Name": "web", "Port": 80, "Check": {"TTL": "1h", "Status": "passing"}});
    agent.register_service(service(&body), false).await.unwrap();
    let whole = |state: &State| {
        state.node_services("here").count() == 1
            && state.node_service("here", "web").is_some_and(|s| s.port == 80 && s.origin == Origin::Agent)
            && state.node_checks("here").filter(|c| &*c.id != "serfHealth").count() == 1
            && status(state, "service:web") == Some(Status::Passing)
            && state.node("here").is_some_and(|node| node.address == "127.0.0.1")
    };
    let leader = Check { id: "serfHealth".into(), ..Check::default() };
    registry.apply(&foreign(None, vec![leader]));
    let critical = Check { id: "service:web".into(), service_id: "web".into(), ..Check::default() };
    let other = Service { id: "other".into(), name: "other".into(), ..Service::default() };
    let moved = Node { name: "here".into(), address: "10.9.9.9".into(), ..Node::default() };
    let overwritten = Service { id: "web".into(), name: "web".into(), port: 1, ..Service::default() };
    for damage in [
        Command::Deregister(Deregistration::Service("here".into(), "web".into())),
        Command::Deregister(Deregistration::Check("here".into(), "service:web".into())),
        foreign(None, vec![critical]),
        foreign(Some(overwritten), vec![]),
        foreign(Some(other), vec![Check { id: "of".into(), service_id: "other".into(), ..Check::default() }]),
        foreign(None, vec![Check { id: "stray".into(), ..Check::default() }]),
        Command::Register(Box::new(Registration { node: moved, ..Registration::default() })),
    ] {
        let before = Instant::now();
        registry.apply(&damage);
        assert!(!whole(&registry.reader.load()), "{damage:?}");
        registry.shows(&format!("{damage:?}"), whole).await;
        assert!(before.elapsed() < Duration::from_secs(1), "{damage:?}: {:?}", before.elapsed());
    }
    assert!(registry.reader.load().node_check("here", "serfHealth").is_some());
    registry.apply(&Command::Deregister(Deregistration::Node("here".into())));
    registry.shows("the node is back", whole).await;
    let settled = registry.index();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(registry.index(), settled, "what is as it should be is not written again");
}

#[tokio::test(start_paused = true)]
async fn a_servers_own_rows_are_left_to_the_leader() {
    let registry = Registry::new();
    let (agent, tasks) = (idle(&registry, true), Tasks::new());
    agent.start(&tasks);
    registry.shows("the node", |state| state.node("here").is_some()).await;
    let server = Service { id: "consul".into(), name: "consul".into(), ..Service::default() };
    let stray = Service { id: "stray".into(), name: "stray".into(), ..Service::default() };
    registry.apply(&foreign(Some(server), vec![]));
    registry.apply(&foreign(Some(stray), vec![]));
    registry.shows("the stray one goes", |state| state.node_service("here", "stray").is_none()).await;
    assert!(registry.reader.load().node_service("here", "consul").is_some());
}

#[tokio::test(start_paused = true)]
async fn tags_that_others_may_change_stay() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let body = json!({"Name": "db", "Port": 5432, "Tags": ["replica"], "EnableTagOverride": true});
    agent.register_service(service(&body), false).await.unwrap();
    let found = Service::clone(registry.reader.load().node_service("here", "db").unwrap());
    let promoted = Service { tags: vec!["primary".into()], port: 1, ..found };
    registry.apply(&foreign(Some(promoted), vec![]));
    registry
        .shows("the port is mended, the tag stays", |state| {
            state.node_service("here", "db").is_some_and(|s| s.port == 5432 && s.tags == ["primary"])
        })
        .await;
    // Whoever registers it anew says what its tags are now, until others change them again.
    let demoted = json!({"Name": "db", "Port": 5432, "Tags": ["standby"], "EnableTagOverride": true});
    agent.register_service(service(&demoted), false).await.unwrap();
    let found = Service::clone(registry.reader.load().node_service("here", "db").unwrap());
    assert_eq!(found.tags, ["standby"]);
    registry.apply(&foreign(Some(Service { tags: vec!["primary".into()], ..found }), vec![]));
    let settled = registry.index();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(registry.index(), settled, "the tag stays");
}

#[tokio::test(start_paused = true)]
async fn files_that_are_read_again_say_new_tags_only() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let with_tag = |tag: &str| service(&json!({"Name": "db", "Tags": [tag], "EnableTagOverride": true}));
    let tag_is = |state: &State, tag: &str| state.node_service("here", "db").is_some_and(|s| s.tags == [tag]);
    agent.load_files(&[with_tag("a")], &[]).unwrap();
    registry.shows("the file's tag", |state| tag_is(state, "a")).await;
    let found = Service::clone(registry.reader.load().node_service("here", "db").unwrap());
    registry.apply(&foreign(Some(Service { tags: vec!["b".into()], ..found }), vec![]));
    agent.load_files(&[with_tag("a")], &[]).unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(tag_is(&registry.reader.load(), "b"), "nothing new was said");
    agent.load_files(&[with_tag("c")], &[]).unwrap();
    registry.shows("the new tag", |state| tag_is(state, "c")).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_takes_up_what_its_earlier_life_registered() {
    let registry = Registry::new();
    let (agent, tasks) = started(&registry).await;
    let body = json!({"Name": "web", "Port": 80, "Checks": [
        {"CheckID": "ttl", "TTL": "1h", "Status": "passing"},
        {"CheckID": "tcp", "TCP": "127.0.0.1:9", "Interval": "1h", "Status": "passing"}]});
    agent.register_service(service(&body), false).await.unwrap();
    agent.register_service(service(&json!({"Name": "old", "Port": 1})), false).await.unwrap();
    let file = service(&json!({"Name": "file", "Check": {"CheckID": "f", "TCP": "127.0.0.1:9", "Interval": "1h"}}));
    let gone = service(&json!({"Name": "gone-from-files"}));
    agent.load_files(&[file.clone(), gone], &[]).unwrap();
    registry.shows("the files", |state| state.node_services("here").count() == 4).await;
    assert!(tasks.shutdown(Duration::from_secs(5)).await);

    let passing =
        Check { status: Status::Passing, ..Check::clone(registry.reader.load().node_check("here", "f").unwrap()) };
    let runs = CheckRegistration {
        definition: crate::model::CheckDefinition { script_args: vec!["rm".into()], ..Default::default() },
        ..Default::default()
    };
    let script = Check {
        id: "script".into(),
        status: Status::Passing,
        kind: "script".into(),
        origin: Origin::Agent,
        runs: Some(Box::new(runs.definition)),
        ..Check::default()
    };
    registry.apply(&foreign(None, vec![passing, script]));
    let stray = Service { id: "stray".into(), name: "stray".into(), ..Service::default() };
    registry.apply(&foreign(Some(stray), vec![]));

    registry.leads.store(false, Ordering::SeqCst);
    let (agent, tasks) = (idle(&registry, false), Tasks::new());
    agent.load_files(&[file], &[]).unwrap();
    agent.start(&tasks);
    agent.register_service(service(&json!({"Name": "old", "Port": 2})), false).await.unwrap();
    assert_eq!(registry.reader.base().node_services("here").count(), 5, "nothing is touched before a leader answers");
    let shown = registry.reader.load_full();
    assert_eq!(shown.node_service("here", "old").map(|old| old.port), Some(2), "but shown as it is to be");
    let known: Vec<_> = agent.services().iter().map(|service| service.id.to_string()).collect();
    assert_eq!(known, ["file", "old", "web"], "what was known last is taken up");
    registry.leads.store(true, Ordering::SeqCst);
    agent.adopted().await;
    registry
        .shows("adopted", |state| {
            let ids: Vec<String> = state.node_services("here").map(|s| format!("{}:{}", s.id, s.port)).collect();
            ids == ["file:0", "old:2", "web:80"] && status(state, "script") == Some(Status::Critical)
        })
        .await;
    let state = registry.reader.load_full();
    for id in ["ttl", "tcp", "f"] {
        assert_eq!(status(&state, id), Some(Status::Passing), "{id} keeps its last status");
    }
    assert!(state.node_check("here", "script").unwrap().output.contains("not run from the registry"));
    registry
        .shows_within(Duration::from_secs(7200), "checks run again", |state| {
            status(state, "tcp") == Some(Status::Critical)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_deregistered_before_adoption_is_not_adopted() {
    let registry = Registry::new();
    let (agent, tasks) = started(&registry).await;
    agent.register_service(service(&json!({"Name": "web"})), false).await.unwrap();
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
    registry.leads.store(false, Ordering::SeqCst);
    let (agent, tasks) = (idle(&registry, false), Tasks::new());
    agent.start(&tasks);
    agent.deregister_service(&"web".into()).await.unwrap();
    registry.leads.store(true, Ordering::SeqCst);
    registry.shows("it goes", |state| state.node_services("here").count() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_write_of_the_same_group_does_not_wait() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let before = Instant::now();
    let bodies = (0..20).map(|n| check(&json!({"Name": format!("c{n}"), "TTL": "1h"})));
    let registrations = bodies.map(|body| agent.register_check(body));
    for outcome in futures_util::future::join_all(registrations).await {
        outcome.unwrap();
    }
    assert!(before.elapsed() < Duration::from_millis(100), "{:?}", before.elapsed());
    assert_eq!(registry.reader.load().node_checks("here").count(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_write_without_a_leader_is_made_when_there_is_one() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    registry.shows("the node", |state| state.node("here").is_some()).await;
    registry.leads.store(false, Ordering::SeqCst);
    let before = Instant::now();
    agent.register_service(service(&json!({"Name": "web"})), false).await.unwrap();
    assert!(before.elapsed() < Duration::from_millis(500), "the call does not wait: {:?}", before.elapsed());
    let (shown, base) = (registry.reader.load_full(), registry.reader.base());
    assert_eq!((shown.instances("web").count(), base.instances("web").count()), (1, 0), "it is shown here at once");
    tokio::time::sleep(Duration::from_secs(60)).await;
    registry.leads.store(true, Ordering::SeqCst);
    let before = Instant::now();
    registry.base_shows("it comes", |state| state.node_service("here", "web").is_some()).await;
    assert!(before.elapsed() <= Duration::from_secs(2), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn local_results_show_while_nothing_can_be_written_and_are_the_registrys_afterwards() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    for n in 0..100 {
        let body =
            json!({"Name": format!("s{n}"), "Check": {"CheckID": format!("c{n}"), "TTL": "10h", "Status": "passing"}});
        agent.register_service(service(&body), false).await.unwrap();
    }
    registry.leads.store(false, Ordering::SeqCst);
    let (before, topic) = (registry.index(), Topic::Service(Key::new("s7")));
    let mut index = registry.reader.load().index_of(&topic);
    for (n, wanted) in [Status::Critical, Status::Passing, Status::Warning].into_iter().enumerate() {
        let woken = registry.reader.wait_for(&topic);
        let wake_up = woken.next();
        agent.report(&"c7".into(), wanted, "").unwrap();
        wake_up.await;
        let shown = registry.reader.load_full();
        assert_eq!(status(&shown, "c7"), Some(wanted), "{n}");
        assert!(shown.index_of(&topic) > index, "{n}: {} is not above {index}", shown.index_of(&topic));
        index = shown.index_of(&topic);
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    agent.deregister_service(&"s8".into()).await.unwrap();
    agent.report(&"c9".into(), Status::Critical, "").unwrap();
    agent.report(&"c9".into(), Status::Passing, "").unwrap();
    assert_eq!(registry.reader.load().instances("s8").count(), 0);
    assert_eq!((registry.index(), status(&registry.reader.base(), "c7")), (before, Some(Status::Passing)));

    registry.leads.store(true, Ordering::SeqCst);
    registry
        .base_shows("it is written", |state| {
            status(state, "c7") == Some(Status::Warning) && state.node_service("here", "s8").is_none()
        })
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(registry.index().0 - before.0, 2, "what is as it was is not written");
    let (shown, base) = (registry.reader.load_full(), registry.reader.base());
    assert_eq!(shown.records().collect::<Vec<_>>(), base.records().collect::<Vec<_>>());
    assert!(shown.index_of(&topic) > index);
}

#[tokio::test(start_paused = true)]
async fn registrations_without_servers_are_bounded_or_refused() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    registry.shows("the node", |state| state.node("here").is_some()).await;
    registry.leads.store(false, Ordering::SeqCst);
    let services: Vec<_> = (0..UNSENT_GROUPS_MAX).map(|n| service(&json!({"Name": format!("s{n}")}))).collect();
    agent.load_files(&services, &[]).unwrap();
    let one_more = service(&json!({"Name": "one-more"}));
    let refused = agent.register_service(one_more.clone(), false).await;
    assert_eq!(refused, Err(AgentError::TooManyUnsent(UNSENT_GROUPS_MAX)));
    registry.shows("all", |state| state.node_services("here").count() == UNSENT_GROUPS_MAX).await;
    assert_eq!(agent.register_service(one_more.clone(), false).await, refused);

    let strict = AgentSettings { without_servers: WithoutServers::Refuse, ..settings(false) };
    let strict = Agent::new(strict, registry.reader.clone(), registry.clone());
    registry.leads.store(false, Ordering::SeqCst);
    assert_eq!(strict.register_service(one_more, false).await, Err(AgentError::NoServers));
    assert_eq!(strict.deregister_service(&"s1".into()).await, Err(AgentError::NoServers));
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_up_without_servers_becomes_what_the_registry_has() {
    let registry = Registry::new();
    let (agent, tasks) = started(&registry).await;
    for (name, ttl) in [("same", "1h"), ("gone", "1h"), ("moved", "1h")] {
        let body = json!({"Name": name, "Port": 1, "Check": {"CheckID": name, "TTL": ttl, "Status": "passing"}});
        agent.register_service(service(&body), false).await.unwrap();
    }
    assert!(tasks.shutdown(Duration::from_secs(5)).await);

    registry.leads.store(false, Ordering::SeqCst);
    let (agent, tasks) = (idle(&registry, false), Tasks::new());
    agent.start(&tasks);
    agent.register_service(service(&json!({"Name": "new"})), false).await.unwrap();
    let ids = |agent: &Agent| agent.services().iter().map(|s| format!("{}:{}", s.id, s.port)).collect::<Vec<_>>();
    assert_eq!(ids(&agent), ["gone:1", "moved:1", "new:0", "same:1"]);

    // What this node knew was out of date.
    registry.apply(&Command::Deregister(Deregistration::Service("here".into(), "gone".into())));
    let moved = Service::clone(registry.reader.base().node_service("here", "moved").unwrap());
    let critical = Check::clone(registry.reader.base().node_check("here", "same").unwrap());
    registry.apply(&foreign(Some(Service { port: 2, ..moved }), vec![Check { status: Status::Critical, ..critical }]));
    registry.leads.store(true, Ordering::SeqCst);
    agent.adopted().await;
    assert_eq!(ids(&agent), ["moved:2", "new:0", "same:1"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let base = registry.reader.base();
    assert_eq!(base.node_services("here").map(|s| s.port).collect::<Vec<_>>(), [2, 0, 1]);
    assert_eq!((status(&base, "same"), status(&base, "moved")), (Some(Status::Critical), Some(Status::Passing)));
}

#[tokio::test(start_paused = true)]
async fn a_ttl_check_turns_critical_unless_it_is_reported() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let start = Instant::now();
    agent.register_check(check(&json!({"Name": "t", "TTL": "10s", "Status": "passing"}))).await.unwrap();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(6)).await;
        agent.report(&"t".into(), Status::Passing, "alive").unwrap();
    }
    assert_eq!(status(&registry.reader.load(), "t"), Some(Status::Passing));
    registry
        .shows_within(Duration::from_secs(60), "it expires", |state| status(state, "t") == Some(Status::Critical))
        .await;
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_secs(40) && elapsed < Duration::from_millis(40_500), "{elapsed:?}");
    assert_eq!(registry.reader.load().node_check("here", "t").unwrap().output, "TTL expired (it last said: alive)");
    agent.report(&"t".into(), Status::Warning, "back").unwrap();
    registry.shows("it is back", |state| status(state, "t") == Some(Status::Warning)).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_output_alone_waits() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    agent.register_check(check(&json!({"Name": "t", "TTL": "10h", "Status": "passing"}))).await.unwrap();
    let start = Instant::now();
    agent.report(&"t".into(), Status::Passing, "new").unwrap();
    assert_eq!(agent.checks()[0].output, "new");
    let own = registry.reader.wait_for(&Topic::Node(Key::new("here")));
    own.next().await;
    assert_eq!(registry.reader.load().node_check("here", "t").unwrap().output, "new");
    assert!(
        start.elapsed() >= Duration::from_secs(300) && start.elapsed() < Duration::from_secs(365),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_critical_for_too_long_is_deregistered() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let body = json!({"Name": "web", "Check": {"TTL": "10s", "DeregisterCriticalServiceAfter": "1m"}});
    agent.register_service(service(&body), false).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    agent.report(&"service:web".into(), Status::Passing, "").unwrap();
    tokio::time::sleep(Duration::from_secs(69)).await;
    assert!(agent.service("web").is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(agent.service("web").is_none() && agent.checks().is_empty());
    assert_eq!(registry.reader.load().node_services("here").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn files_replace_what_earlier_files_registered_and_nothing_else() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let ids = |agent: &Agent| agent.services().iter().map(|s| s.id.to_string()).collect::<Vec<_>>().join(" ");
    agent.register_service(service(&json!({"Name": "by-http"})), false).await.unwrap();
    let a = service(&json!({"Name": "a", "Check": {"CheckID": "a", "TTL": "1h"}}));
    agent
        .load_files(&[a.clone(), service(&json!({"Name": "b"}))], &[check(&json!({"Name": "n", "TTL": "1h"}))])
        .unwrap();
    assert_eq!(ids(&agent), "a b by-http");
    agent.report(&"a".into(), Status::Passing, "").unwrap();
    registry.shows("both", |state| state.node_services("here").count() == 3).await;

    let orphan = check(&json!({"Name": "x", "ServiceID": "b", "TTL": "1h"}));
    assert_eq!(agent.load_files(std::slice::from_ref(&a), &[orphan]), Err(AgentError::UnknownService("b".into())));
    let written =
        CheckRegistration { file: "a.json".into(), ..check(&json!({"Name": "x", "ServiceID": "b", "TTL": "1h"})) };
    let refused = agent.load_files(std::slice::from_ref(&a), &[written]).unwrap_err().to_string();
    assert_eq!(refused, "a.json: check \"x\": ServiceID \"b\" does not exist");
    let script = check(&json!({"Name": "x", "Args": ["true"], "Interval": "1s"}));
    let refused = agent.load_files(&[], &[script]).unwrap_err().to_string();
    assert!(refused.contains("Scripts are disabled"), "{refused}");
    assert_eq!(ids(&agent), "a b by-http");

    let about_http = check(&json!({"Name": "x", "ServiceID": "by-http", "TTL": "1h"}));
    agent.load_files(&[a, service(&json!({"Name": "c"}))], &[about_http]).unwrap();
    assert_eq!(ids(&agent), "a by-http c");
    registry
        .shows("replaced", |state| {
            let checks: Vec<&str> = state.node_checks("here").map(|check| &*check.id).collect();
            state.node_services("here").count() == 3 && checks == ["a", "x"]
        })
        .await;
    assert_eq!(status(&registry.reader.load(), "a"), Some(Status::Passing));
}

#[tokio::test(start_paused = true)]
async fn many_services_are_written_once_each() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    registry.shows("the node", |state| state.node("here").is_some()).await;
    let before = registry.index();
    let services: Vec<_> =
        (0..2000).map(|n| service(&json!({"Name": format!("s{n}"), "Check": {"TTL": "1h"}}))).collect();
    agent.load_files(&services, &[]).unwrap();
    registry.shows("all", |state| state.index().0 >= before.0 + 2000).await;
    assert_eq!(registry.reader.load().node_services("here").count(), 2000);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(registry.index().0 - before.0, 2000);
}

#[tokio::test(start_paused = true)]
async fn maintenance_outlives_the_agent_until_it_is_ended() {
    let registry = Registry::new();
    let (agent, tasks) = started(&registry).await;
    let web = json!({"Name": "web", "ID": "Web-1", "Check": {"TTL": "1h", "Status": "passing"}});
    agent.register_service(service(&web), false).await.unwrap();
    agent.set_service_maintenance(&"web-1".into(), Some("upgrade")).await.unwrap();
    agent.set_service_maintenance(&"web-1".into(), Some("again")).await.unwrap();
    agent.set_node_maintenance(Some("")).await.unwrap();
    let state = registry.reader.load_full();
    let check = state.node_check("here", "_service_maintenance:Web-1").unwrap();
    assert_eq!((check.status, check.kind.as_str(), check.notes.as_str()), (Status::Critical, "maintenance", "upgrade"));
    assert_eq!((check.service_name.as_str(), check.interval.as_str()), ("web", ""));
    assert!(state.node_check("here", "_node_maintenance").unwrap().notes.contains("no reason"));
    let absent = agent.set_service_maintenance(&"absent".into(), Some("")).await;
    assert_eq!(absent.unwrap_err().to_string(), "No service registered with ID \"absent\"");
    assert!(tasks.shutdown(Duration::from_secs(5)).await);

    let (agent, _tasks) = started(&registry).await;
    let before = registry.index();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(registry.index(), before, "adopted as they are");
    agent.set_service_maintenance(&"web-1".into(), None).await.unwrap();
    agent.set_service_maintenance(&"web-1".into(), None).await.unwrap();
    agent.set_node_maintenance(None).await.unwrap();
    assert_eq!(registry.reader.load().instances("web").next().unwrap().status(), Status::Passing);
    assert_eq!(registry.reader.load().node_checks("here").count(), 1);
}

mod real_targets {
    //! Checks of listeners on this machine, in real time.

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers every request with the next of these texts, the last one for ever; returns its address.
    async fn http_server(answers: Vec<&'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        tokio::spawn(async move {
            let mut answers = answers.into_iter().peekable();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 8192];
                let length = stream.read(&mut request).await.unwrap_or(0);
                seen.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
                let answer = answers.next().unwrap();
                let _ = stream.write_all(answer.as_bytes()).await;
                if answers.peek().is_none() {
                    return;
                }
            }
        });
        (address, requests)
    }

    async fn output(registry: &Arc<Registry>, agent: &Agent, wanted: Status) -> String {
        registry.shows(wanted.as_str(), |state| status(state, "c") == Some(wanted)).await;
        agent.checks()[0].output.to_string()
    }

    #[tokio::test]
    async fn a_tcp_check_follows_its_listener() {
        let registry = Registry::new();
        let (agent, _tasks) = started(&registry).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let body = json!({"Name": "c", "TCP": address.to_string(), "Interval": "20ms", "SuccessBeforePassing": 3});
        agent.register_check(check(&body)).await.unwrap();
        assert_eq!(output(&registry, &agent, Status::Passing).await, format!("TCP connect {address}: Success"));
        drop(listener);
        let output = output(&registry, &agent, Status::Critical).await;
        assert!(output.starts_with(&format!("dial tcp {address}: ")), "{output}");
    }

    #[tokio::test]
    async fn an_http_check_sends_what_it_is_told_and_judges_by_the_status() {
        let registry = Registry::new();
        let (agent, _tasks) = started(&registry).await;
        let (address, requests) = http_server(vec![
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
            "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "not http",
        ])
        .await;
        let url = format!("http://{address}/health?x=1");
        let body = json!({"Name": "c", "HTTP": url, "Interval": "150ms", "Method": "POST", "Body": "ping",
                          "Header": {"X-Probe": ["yes"]}});
        agent.register_check(check(&body)).await.unwrap();
        assert_eq!(output(&registry, &agent, Status::Passing).await, format!("HTTP POST {url}: 200 OK Output: fine"));
        output(&registry, &agent, Status::Warning).await;
        let refused = output(&registry, &agent, Status::Critical).await;
        assert_eq!(refused, format!("HTTP POST {url}: 503 Service Unavailable Output: "));
        output(&registry, &agent, Status::Passing).await;
        output(&registry, &agent, Status::Critical).await;
        let requests = requests.lock().unwrap();
        let first = requests[0].to_ascii_lowercase();
        for part in ["post /health?x=1 http/1.1", "x-probe: yes", "user-agent: lictor health check", "\r\n\r\nping"] {
            assert!(first.contains(part), "{part} in {first}");
        }
        assert!(first.contains(&format!("host: {address}")), "{first}");
        assert!(requests[4].starts_with("GET /there HTTP/1.1"), "{}", requests[4]);
    }

    #[tokio::test]
    async fn a_target_that_does_not_answer_is_critical_after_the_time_out() {
        let registry = Registry::new();
        let (agent, _tasks) = started(&registry).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let body = json!({"Name": "c", "HTTP": url, "Interval": "20ms", "Timeout": "50ms", "Status": "passing"});
        agent.register_check(check(&body)).await.unwrap();
        assert_eq!(output(&registry, &agent, Status::Critical).await, format!("{url}: no answer within 50ms"));
    }

    #[tokio::test]
    async fn a_deregistered_check_runs_no_more() {
        let registry = Registry::new();
        let (agent, _tasks) = started(&registry).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let body = json!({"Name": "c", "TCP": listener.local_addr().unwrap().to_string(), "Interval": "10ms"});
        agent.register_check(check(&body)).await.unwrap();
        output(&registry, &agent, Status::Passing).await;
        agent.deregister_check(&"c".into()).await.unwrap();
        let next_connection = async {
            // Those that were under way may still be in the queue.
            for _ in 0..10_000 {
                let Ok(_) = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await else { return };
            }
            panic!("it still connects");
        };
        next_connection.await;
        assert!(agent.checks().is_empty());
    }
}
