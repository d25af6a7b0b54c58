//! A sidecar against servers over real connections: the state, the changes, cut connections, lost servers.
//!
//! The Registry service, the fan-out and the sidecar are the real ones; only the consensus is a stand-in (see
//! `registry`), so that a test can stop, delay and wipe servers as it likes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test, also where it is not in a test function")]

mod interleavings;
mod registry;

use lictor_shared::acl::{Authority, Credential};
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use lictor_shared::{
    backend::{Backend, BackendError, Consistency},
    catalog::{Record, Topic},
    command::{Command, Deregistration, Registration},
    model::{Check, Index, Key, Node, Service, Status},
    tasks::Tasks,
    view::{self, Reader},
};
use lictor_sidecar::{Sidecar, SidecarSettings};
use proptest::prelude::*;
use tokio::{sync::watch, time::Instant};

use self::registry::{Log, Server};

const RING: usize = 1000;

/// A running sidecar.
struct Host {
    backend: Arc<dyn Backend>,
    reader: Reader,
    servers: watch::Sender<Vec<SocketAddr>>,
    tasks: Tasks,
}

impl Host {
    fn start(servers: &[&Server]) -> Self {
        let settings = SidecarSettings {
            silence_limit: Duration::from_secs(3),
            behind_limit: Duration::from_millis(900),
            max_backoff: Duration::from_millis(300),
            ..SidecarSettings::new("web-1", "dc1")
        };
        let (writer, reader) = view::new();
        let tasks = Tasks::new();
        let (sender, receiver) = watch::channel(servers.iter().map(|server| server.address).collect());
        let backend = Sidecar::start(settings, receiver, writer, &lictor_proto::client::Client::new, &tasks);
        Self { backend, reader, servers: sender, tasks }
    }

    async fn reach(&self, index: Index) {
        let reached = tokio::time::timeout(Duration::from_secs(20), self.reader.reach(index)).await;
        assert!(reached.is_ok(), "the view is at {}, not at {index}", self.reader.load().index());
    }

    fn records(&self) -> Vec<Record> {
        self.reader.load().records().collect()
    }

    async fn stop(self) {
        assert!(self.tasks.shutdown(Duration::from_secs(5)).await);
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn register(node: &str, service: &str, status: Status) -> Command {
    let node = Node { name: node.into(), address: "10.0.0.1".into(), ..Node::default() };
    let check = Check { id: "c".into(), service_id: service.into(), status, ..Check::default() };
    let service = Some(Service { id: service.into(), name: service.into(), port: 80, ..Service::default() });
    Command::Register(Box::new(Registration { node, service, checks: vec![check], ..Registration::default() }))
}

#[tokio::test]
async fn the_whole_state_comes_first_then_every_change() {
    let log = Log::new(&[1]);
    let server = Server::start(&log, RING).await;
    for n in 0..3000 {
        log.append(register(&format!("n{n}"), "web", Status::Passing));
    }
    server.store.apply_to(Index(2999));
    server.write(register("n1", "web", Status::Warning));
    let host = Host::start(&[&server]);
    host.reach(Index(3000)).await;
    assert_eq!(host.records(), server.store.records());
    let last = server.write(Command::Deregister(Deregistration::Node("n7".into())));
    host.reach(last).await;
    assert_eq!(host.records(), server.store.records());
    assert!(server.watchers.watching(&"WEB-1".into()));
    let watchers = server.watchers.clone();
    host.stop().await;
    until("the stream is let go", || watchers.is_empty()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_cut_stream_is_resumed_and_one_that_fell_off_the_ring_begins_anew() {
    for (ring, resumed) in [(RING, true), (2, false)] {
        let log = Log::new(&[1]);
        let server = Server::start(&log, ring).await;
        let first = server.write(register("n1", "web", Status::Passing));
        let host = Host::start(&[&server]);
        host.reach(first).await;
        let before = host.reader.load().node("n1").unwrap().clone();
        let store = server.stop().await;
        until("the loss is noticed", || !host.backend.contact().known_leader).await;
        for n in 2..9 {
            log.append(register(&format!("n{n}"), "web", Status::Passing));
        }
        for index in 2..9 {
            store.apply_to(Index(index));
        }
        let server = Server::restart(store).await;
        host.reach(Index(8)).await;
        assert_eq!(host.records(), server.store.records());
        let after = host.reader.load().node("n1").unwrap().clone();
        assert_eq!(
            Arc::ptr_eq(&before, &after),
            resumed,
            "a resumed stream leaves rows alone, a new one replaces them"
        );
        host.stop().await;
    }
}

#[tokio::test]
async fn another_server_is_followed_when_one_goes_and_nothing_is_lost() {
    let log = Log::new(&[1, 2]);
    let mut servers = vec![Server::start(&log, RING).await, Server::start(&log, RING).await];
    let host = Host::start(&servers.iter().collect::<Vec<_>>());
    let command = register("n1", "web", Status::Passing);
    let index = log.append(command);
    servers.iter().for_each(|server| _ = server.store.apply_to(index));
    host.reach(index).await;
    let name = "web-1".into();
    let followed = servers.iter().position(|server| server.watchers.watching(&name)).unwrap();
    servers.swap_remove(followed).stop().await;
    let index = servers[0].write(register("n2", "web", Status::Critical));
    host.reach(index).await;
    assert_eq!(host.records(), servers[0].store.records());
    host.stop().await;
}

#[tokio::test]
async fn a_server_that_lags_is_waited_for_or_left_but_never_taken_for_the_truth() {
    let log = Log::new(&[1, 2]);
    let (ahead, behind) = (Server::start(&log, RING).await, Server::start(&log, RING).await);
    for n in 0..20 {
        ahead.write(register(&format!("n{n}"), "web", Status::Passing));
    }
    behind.store.apply_to(Index(5));
    let host = Host::start(&[&ahead]);
    host.reach(Index(20)).await;
    host.servers.send_replace(vec![behind.address]);
    let store = ahead.stop().await;
    let watchers = behind.watchers.clone();
    until("the other server is followed", || watchers.watching(&"web-1".into())).await;
    until("a server that stays behind is left", || watchers.is_empty()).await;
    assert_eq!(host.reader.load().index(), Index(20));
    behind.store.apply_to(Index(20));
    let index = behind.write(register("n1", "web", Status::Critical));
    host.reach(index).await;
    assert_eq!(host.records(), behind.store.records());
    assert_eq!(store.reader.load().index(), Index(20));
    host.stop().await;
}

#[tokio::test]
async fn writes_go_to_the_leader_and_are_seen_at_once() {
    let log = Log::new(&[1, 2]);
    let (leader, other) = (Server::start(&log, RING).await, Server::start(&log, RING).await);
    log.lead(Some(&leader));
    let host = Host::start(&[&other, &leader]);
    for n in 0..20 {
        let name = format!("n{n}");
        let nobody = Credential::none();
        let writing = host.backend.write(register(&name, "web", Status::Passing), &nobody);
        let (store, log_end) = (other.store.clone(), Index(n + 1));
        // The follower has it a little later than the leader, as followers do.
        let replicate = async { until("replicated", || store.apply_to(log_end).is_some()).await };
        let (written, ()) = tokio::join!(writing, replicate);
        assert_eq!(written.unwrap().index, log_end);
        assert!(host.reader.load().node(&name).is_some(), "read your writes");
    }
    log.lead(Some(&other));
    let index = host.backend.write(register("last", "web", Status::Passing), &Credential::none()).await.unwrap().index;
    assert_eq!(index, Index(21));
    until("heartbeats tell the leader", || host.backend.leader() == Some(other.address.to_string())).await;
    let mut peers = [leader.address.to_string(), other.address.to_string()];
    peers.sort();
    assert_eq!(host.backend.peers(), peers);
    host.stop().await;
}

#[tokio::test]
async fn a_write_waits_for_an_election() {
    let log = Log::new(&[1]);
    let server = Server::start(&log, RING).await;
    let host = Host::start(&[&server]);
    let writing = tokio::spawn({
        let backend = host.backend.clone();
        async move { backend.write(register("n1", "web", Status::Passing), &Credential::none()).await }
    });
    let barrier = host.backend.barrier(Consistency::Quorum).await;
    assert_eq!(barrier, Err(BackendError::NoLeader), "a barrier is not held as long");
    assert!(!writing.is_finished());
    log.lead(Some(&server));
    assert_eq!(writing.await.unwrap().unwrap().index, Index(1));
    host.stop().await;
}

#[tokio::test]
async fn barriers_that_come_together_cost_one() {
    let log = Log::new(&[1]);
    let server = Server::start(&log, RING).await;
    log.lead(Some(&server));
    let host = Host::start(&[&server]);
    let index = server.write(register("n1", "web", Status::Passing));
    let all = log.barrier_permits.available_permits();
    log.barrier_permits.forget_permits(all);
    let ask = || {
        let backend = host.backend.clone();
        tokio::spawn(async move { backend.barrier(Consistency::Leader).await })
    };
    let first = ask();
    until("the first is on its way", || log.barriers.load(Ordering::SeqCst) == 1).await;
    let rest: Vec<_> = (0..500).map(|_| ask()).collect();
    // Every task has begun to ask once it has run as far as it can without an answer.
    for _ in 0..600 {
        tokio::task::yield_now().await;
    }
    log.barrier_permits.add_permits(all);
    assert_eq!(first.await.unwrap(), Ok(index));
    for barrier in rest {
        assert_eq!(barrier.await.unwrap(), Ok(index));
    }
    assert_eq!(log.barriers.load(Ordering::SeqCst), 2);
    host.stop().await;
}

#[tokio::test]
async fn the_view_outlives_every_server_and_says_how_old_it_is() {
    let log = Log::new(&[1]);
    let server = Server::start(&log, RING).await;
    log.lead(Some(&server));
    let host = Host::start(&[&server]);
    let index = server.write(register("n1", "web", Status::Passing));
    host.reach(index).await;
    until("the leader is known", || host.backend.contact().known_leader).await;
    let records = server.store.records();
    let store = server.stop().await;
    until("no leader is known", || !host.backend.contact().known_leader).await;
    let asked = Instant::now();
    assert_eq!(host.backend.barrier(Consistency::Leader).await, Err(BackendError::NoServers));
    assert!(asked.elapsed() < Duration::from_secs(1), "nobody is there: that is said at once");
    let age = host.backend.contact().last;
    until("the contact grows older", || host.backend.contact().last > age + Duration::from_millis(500)).await;
    assert_eq!(host.records(), records);
    let server = Server::restart(store).await;
    until("the leader is known again", || host.backend.contact().known_leader).await;
    let index = server.write(register("n2", "web", Status::Passing));
    host.reach(index).await;
    host.stop().await;
}

#[tokio::test]
async fn a_cluster_formed_anew_takes_the_place_of_what_was_and_is_never_mixed_with_it() {
    let log = Log::new(&[1]);
    let server = Server::start(&log, RING).await;
    for n in 0..10 {
        server.write(register(&format!("old{n}"), "web", Status::Passing));
    }
    let host = Host::start(&[&server]);
    host.reach(Index(10)).await;
    until("the cluster is known", || !host.backend.peers().is_empty()).await;
    server.stop().await;
    let topic = Topic::Service(Key::new("web"));
    let shown = host.reader.load().index_of(&topic);
    let wiped = Log::new(&[2]);
    let server = Server::start(&wiped, RING).await;
    server.write(register("new0", "web", Status::Passing));
    host.servers.send_replace(vec![server.address]);
    until("its registry is shown", || host.reader.load().index() < Index(10)).await;
    let state = host.reader.load_full();
    assert!(state.node("old9").is_none() && state.node("new0").is_some());
    assert!(state.index_of(&topic) > shown, "what readers see goes on to grow");
    for n in 1..12 {
        server.write(register(&format!("new{n}"), "web", Status::Passing));
    }
    host.reach(Index(12)).await;
    assert_eq!(host.records(), server.store.records());
    host.stop().await;
}

#[tokio::test]
async fn a_watcher_that_does_not_read_delays_nobody_and_holds_nothing_open() {
    use lictor_proto::{client::Client, internal::WatchRequest};

    let log = Log::new(&[1]);
    let server = Server::start(&log, 100).await;
    let request =
        WatchRequest { node: "stuck".into(), datacenter: "dc1".into(), protocol_version: 1, ..WatchRequest::default() };
    let stuck = Client::new().watch(&server.address.to_string(), request).await.unwrap();
    let host = Host::start(&[&server]);
    let notes = "x".repeat(10_000);
    let started = Instant::now();
    for n in 0..2000 {
        let node = Node { name: "n1".into(), ..Node::default() };
        let check = Check { id: "c".into(), output: format!("{n} {notes}").into(), ..Check::default() };
        let registration = Registration { node, checks: vec![check], ..Registration::default() };
        let index = server.write(Command::Register(Box::new(registration)));
        host.reach(index).await;
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(server.watchers.watching(&"stuck".into()));
    let stopping = Instant::now();
    server.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(5));
    drop(stuck);
    host.stop().await;
}

#[tokio::test]
async fn many_that_begin_together_are_sent_one_state_and_then_every_change() {
    let log = Log::new(&[1]);
    let server = Server::start(&log, 10).await;
    for n in 0..200 {
        server.write(register(&format!("n{n}"), "web", Status::Passing));
    }
    let hosts: Vec<_> = (0..40).map(|_| Host::start(&[&server])).collect();
    for n in 0..50 {
        server.write(register(&format!("n{n}"), "web", Status::Critical));
        tokio::task::yield_now().await;
    }
    for host in hosts {
        host.reach(Index(250)).await;
        assert_eq!(host.records(), server.store.records());
        host.stop().await;
    }
}

#[tokio::test]
async fn a_server_of_another_datacenter_or_version_refuses() {
    use lictor_proto::{client::Client, internal::WatchRequest};
    use lictor_shared::forward::AskError;

    let server = Server::start(&Log::new(&[1]), RING).await;
    let good =
        WatchRequest { node: "n".into(), datacenter: "dc1".into(), protocol_version: 1, ..WatchRequest::default() };
    let cases = [
        (WatchRequest { datacenter: "dc2".into(), ..good.clone() }, "datacenter"),
        (WatchRequest { protocol_version: 9, ..good.clone() }, "protocol version"),
        (WatchRequest { node: String::new(), ..good.clone() }, "WatchRequest.node"),
    ];
    let (client, address) = (Client::new(), server.address.to_string());
    for (request, word) in cases {
        let Err(AskError::Rejected(reason)) = client.watch(&address, request).await else { panic!("{word}: taken") };
        assert!(reason.contains(word), "{reason}");
    }
    assert!(client.watch(&address, good).await.is_ok());
}

#[tokio::test]
async fn a_stream_at_another_server_is_a_witness_as_long_as_it_lasts() {
    use lictor_server::leader::witness::Witness;

    let log = Log::new(&[1, 2]);
    let (leader, other) = (Server::start(&log, RING).await, Server::start(&log, RING).await);
    let host = Host::start(&[&other]);
    until("it follows", || !other.watchers.is_empty()).await;
    let witness = Witness::new(leader.watchers.clone(), lictor_proto::client::Client::new());
    let doubted = ["Web-1".into(), "web-2".into()];
    let seen = vec![Key::new("web-1")];
    let at = |server: &Server| vec![server.address.to_string()];
    let alive = async |servers| witness.alive(&doubted, servers).await.into_iter().collect::<Vec<Key>>();
    assert_eq!(alive(at(&other)).await, seen);
    assert!(alive(at(&leader)).await.is_empty(), "it holds no stream there");
    assert!(alive(vec!["127.0.0.1:1".into()]).await.is_empty(), "nobody is there to ask");
    host.stop().await;
    until("the stream is let go", || other.watchers.is_empty()).await;
    assert!(alive(at(&other)).await.is_empty());
}

/// What can happen between a host and its servers.
#[derive(Clone, Debug)]
enum Event {
    Write { node: u8, status: Status, servers: [bool; 2] },
    Remove { node: u8, servers: [bool; 2] },
    Restart(bool),
    Snapshot(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let servers = || any::<[bool; 2]>();
    let write = (0..6_u8, prop::sample::select(&Status::ALL[..]), servers());
    prop_oneof![
        6 => write.prop_map(|(node, status, servers)| Event::Write { node, status, servers }),
        2 => (0..6_u8, servers()).prop_map(|(node, servers)| Event::Remove { node, servers }),
        2 => any::<bool>().prop_map(Event::Restart),
        1 => any::<bool>().prop_map(Event::Snapshot),
    ]
}

async fn happen(log: &Arc<Log>, servers: &mut Vec<Server>, event: Event) {
    let (command, reached) = match event {
        Event::Write { node, status, servers } => (register(&format!("n{node}"), "web", status), servers),
        Event::Remove { node, servers } => {
            (Command::Deregister(Deregistration::Node(format!("n{node}").into())), servers)
        }
        Event::Restart(which) => {
            let store = servers.remove(usize::from(which)).stop().await;
            servers.insert(usize::from(which), Server::restart(store).await);
            return;
        }
        Event::Snapshot(which) => {
            servers[usize::from(which)].store.install_snapshot();
            return;
        }
    };
    let index = log.append(command);
    for (server, reached) in servers.iter().zip(reached) {
        if reached {
            server.store.apply_to(index);
        }
    }
}

async fn any_interleaving(events: Vec<Event>, ring: usize) {
    let log = Log::new(&[1, 2]);
    let mut servers = vec![Server::start(&log, ring).await, Server::start(&log, ring).await];
    let host = Host::start(&servers.iter().collect::<Vec<_>>());
    let reader = host.reader.clone();
    let observer = tokio::spawn(async move {
        let mut last = Index(0);
        loop {
            let index = reader.load().index();
            assert!(index >= last, "the view went back from {last} to {index}");
            last = index;
            reader.reach(Index(index.0 + 1)).await;
        }
    });
    for event in events {
        happen(&log, &mut servers, event).await;
    }
    let last = log.append(register("last", "web", Status::Passing));
    servers.iter().for_each(|server| _ = server.store.apply_to(last));
    host.reach(last).await;
    assert_eq!(host.records(), servers[0].store.records());
    assert_eq!(host.records(), servers[1].store.records());
    assert!(!observer.is_finished());
    observer.abort();
    host.stop().await;
    for server in servers {
        server.stop().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 50, ..ProptestConfig::default() })]

    /// Whatever happens, the copy ends as the servers' state, and its index never goes back.
    #[test]
    fn any_interleaving_of_changes_and_reconnects_ends_in_the_servers_state(
        events in prop::collection::vec(event(), 1..40),
        ring in prop_oneof![Just(2_usize), Just(RING)],
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(any_interleaving(events, ring));
    }
}
