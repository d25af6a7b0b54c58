//! Whole clusters in one process, over real gRPC on loopback.

use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use lictor_shared::{
    backend::Consistency,
    command::Outcome,
    model::Index,
    tasks::Tasks,
    view::{self, Reader},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use uuid::Uuid;

use super::{Ignored, registration};
use crate::raft::{BootstrapError, ProposeError, RaftNode, RaftSettings, ServerAddress, data_dir::new_raft_id};

/// How long anything may take before a test fails.
const LIMIT: Duration = Duration::from_secs(20);

/// A server: its node, its view, and how to stop it.
struct Running {
    node: RaftNode,
    view: Reader,
    tasks: Tasks,
}

/// What of a server outlives it.
struct Place {
    raft_id: u64,
    address: SocketAddr,
    dir: Option<TempDir>,
    snapshot_entries: u64,
}

impl Place {
    async fn new(on_disk: bool) -> Self {
        // The port is free again at once, and asked for again in a moment.
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let dir = on_disk.then(|| tempfile::tempdir().unwrap());
        Self { raft_id: new_raft_id(), address, dir, snapshot_entries: 100_000 }
    }

    fn server(&self) -> ServerAddress {
        let name = format!("server-{}", self.address.port()).into();
        ServerAddress { rpc: self.address.to_string(), node_id: Uuid::from_u128(self.raft_id.into()), name }
    }

    async fn start(&self) -> Running {
        let tasks = Tasks::new();
        let (writer, view) = view::new();
        let settings = RaftSettings {
            data_dir: self.dir.as_ref().map(|dir| PathBuf::from(dir.path())),
            snapshot_entries: self.snapshot_entries,
            kept_entries: self.snapshot_entries / 10,
            ..RaftSettings::new(self.raft_id, self.server())
        };
        let node = RaftNode::start(settings, writer, Arc::new(Ignored), &tasks).await.unwrap();
        let listener = TcpListener::bind(self.address).await.unwrap();
        let (service, stopping) = (node.service(), tasks.stopping());
        tasks.spawn("rpc", async move {
            let stop = stopping.cancelled_owned();
            let serving = Server::builder().add_service(service);
            let served = serving.serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop).await;
            served.map_err(|error| error.to_string())
        });
        Running { node, view, tasks }
    }
}

impl Running {
    async fn stop(self) {
        assert!(self.tasks.shutdown(LIMIT).await);
    }

    async fn write(&self, name: &str) -> Index {
        let written = self.node.propose(registration(name)).await.unwrap();
        assert_eq!(written.outcome, Outcome::Done);
        assert!(self.view.load().index() >= written.index, "an answered write is visible");
        written.index
    }

    fn has(&self, name: &str) -> bool {
        self.view.load().node_service(name, "web").is_some()
    }
}

/// Waits for a condition, looking at it again and again.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(LIMIT, what).await.unwrap()
}

/// Three servers, formed into one cluster; the leader is the first.
async fn three(on_disk: bool) -> (Vec<Place>, Vec<Running>) {
    let places = [Place::new(on_disk).await, Place::new(on_disk).await, Place::new(on_disk).await];
    let mut running = Vec::new();
    for place in &places {
        running.push(place.start().await);
    }
    let members: BTreeMap<_, _> = places.iter().map(|place| (place.raft_id, place.server())).collect();
    assert!(!running[0].node.is_initialized().await.unwrap());
    running[0].node.bootstrap(members.clone()).await.unwrap();
    until("all know the leader", || running.iter().all(|server| server.node.leader().is_some())).await;
    assert_eq!(running[1].node.bootstrap(members).await, Err(BootstrapError::AlreadyInitialized));
    let leader = running.iter().position(|server| server.node.is_leader()).unwrap();
    let mut places: Vec<_> = places.into();
    places.swap(0, leader);
    running.swap(0, leader);
    (places, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_alone_keeps_nothing_on_disk() {
    let place = Place::new(false).await;
    let server = place.start().await;
    assert!(matches!(server.node.propose(registration("a")).await, Err(ProposeError::NotLeader { leader: None })));
    server.node.bootstrap([(place.raft_id, place.server())].into()).await.unwrap();
    until("it leads", || server.node.is_leader()).await;
    let index = server.write("a").await;
    for consistency in [Consistency::Leader, Consistency::Quorum] {
        assert!(server.node.read_index(consistency).await.unwrap() >= index);
    }
    assert!(server.has("a"));
    assert_eq!(server.node.last_contact(), Duration::ZERO);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_agree_and_outlive_their_leader() {
    let (places, mut running) = three(true).await;
    for number in 0..20 {
        running[0].write(&format!("n{number}")).await;
    }
    let refused = running[1].node.propose(registration("x")).await;
    assert_eq!(refused, Err(ProposeError::NotLeader { leader: Some(places[0].server()) }));
    let index = running[0].node.read_index(Consistency::Quorum).await.unwrap();
    within(running[1].view.reach(index)).await;
    assert!(running[1].has("n19"));
    assert!(running[1].node.last_contact() < Duration::from_secs(1));

    let stopped = Instant::now();
    running.remove(0).stop().await;
    until("a new leader", || running.iter().any(|server| server.node.is_leader())).await;
    let leader = running.iter().find(|server| server.node.is_leader()).unwrap();
    leader.write("after").await;
    assert!(stopped.elapsed() < Duration::from_secs(3), "writes worked again after {:?}", stopped.elapsed());

    // The old leader comes back, and catches up.
    let old = places[0].start().await;
    assert!(old.has("n19"), "replayed before it answers");
    until("the old leader has what it missed", || old.has("after")).await;
    for server in running {
        server.stop().await;
    }
    until("no majority, no leader", || old.node.leader().is_none()).await;
    assert!(!old.node.is_leader());
    assert_eq!(old.node.propose(registration("x")).await.unwrap_err(), ProposeError::NotLeader { leader: None });
    assert!(old.node.read_index(Consistency::Leader).await.is_err());
    assert!(old.has("after"), "the view outlives the cluster");
    old.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_all_loses_nothing() {
    let (places, running) = three(true).await;
    let mut last = Index(0);
    for number in 0..50 {
        last = running[0].write(&format!("n{number}")).await;
    }
    for server in running {
        server.stop().await;
    }
    let mut again = Vec::new();
    for place in &places {
        again.push(place.start().await);
    }
    until("a leader", || again.iter().any(|server| server.node.is_leader())).await;
    for server in &again {
        within(server.view.reach(last)).await;
        assert!((0..50).all(|number| server.has(&format!("n{number}"))));
        assert!(server.node.is_initialized().await.unwrap());
        assert!(server.node.wait_recovered(LIMIT).await);
    }
    for server in again {
        server.stop().await;
    }
}

/// A leader that took its place back at once answered reads from before what it had acknowledged: its commit mark was
/// behind, and it had no entry of a new term to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_restarts_is_elected_anew() {
    let place = Place::new(true).await;
    let before = place.start().await;
    before.node.bootstrap([(place.raft_id, place.server())].into()).await.unwrap();
    until("it leads", || before.node.is_leader()).await;
    let last = before.write("n1").await;
    let term = last_term(&before);
    before.stop().await;

    let again = place.start().await;
    until("it leads again", || again.node.is_leader()).await;
    let index = again.node.read_index(Consistency::Leader).await.unwrap();
    assert!(index > last, "{index} is not of an entry after {last}");
    assert!(last_term(&again) > term);
    again.stop().await;
}

fn last_term(server: &Running) -> u64 {
    server.node.report().expect("it leads").servers[0].last_term
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_far_behind_gets_a_snapshot() {
    for on_disk in [true, false] {
        let mut places = [Place::new(on_disk).await, Place::new(on_disk).await];
        places.iter_mut().for_each(|place| place.snapshot_entries = 50);
        let first = places[0].start().await;
        first.node.bootstrap([(places[0].raft_id, places[0].server())].into()).await.unwrap();
        until("it leads", || first.node.is_leader()).await;
        for number in 0..300 {
            first.write(&format!("n{number}")).await;
        }
        until("the log was purged", || first.node.first_index() > Index(100)).await;
        let second = places[1].start().await;
        within(first.node.add_server(places[1].raft_id, places[1].server(), true)).await.unwrap();
        let last = first.write("last").await;
        within(second.view.reach(last)).await;
        assert!((0..300).all(|number| second.has(&format!("n{number}"))));
        assert_eq!(second.node.servers().iter().filter(|server| server.voter).count(), 2);

        // What it got is on its own disk.
        if on_disk {
            second.stop().await;
            let second = places[1].start().await;
            assert!((0..300).all(|number| second.has(&format!("n{number}"))));
            second.stop().await;
        }
        first.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_share_commits() {
    let (_places, running) = three(true).await;
    let before: u64 = running.iter().map(|server| server.node.log_commits()).sum();
    let writers = (0..64).map(|writer| {
        let node = running[0].node.clone();
        async move {
            for number in 0..10 {
                node.propose(registration(&format!("w{writer}-{number}"))).await.unwrap();
            }
        }
    });
    within(futures_util::future::join_all(writers)).await;
    assert_eq!(running[0].view.load().nodes().count(), 640);
    let commits = running.iter().map(|server| server.node.log_commits()).sum::<u64>() - before;
    assert!(commits < 3 * 640 / 4, "{commits} commits at three servers for 640 writes");
    for server in running {
        server.stop().await;
    }
}

fn files(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path())
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_stop_the_start_by_name() {
    for (file, expected) in
        [("raft/snapshots", ".snapshot is damaged (it is truncated)"), ("raft/log", "is damaged, though others follow")]
    {
        let mut place = Place::new(true).await;
        place.snapshot_entries = 20;
        let server = place.start().await;
        server.node.bootstrap([(place.raft_id, place.server())].into()).await.unwrap();
        until("it leads", || server.node.is_leader()).await;
        let mut last = Index(0);
        for number in 0..60 {
            last = server.write(&format!("n{number}")).await;
        }
        until("the log was purged", || server.node.first_index() > Index(20)).await;
        // One that is being made would be made to its end beside the next start: a process would have ended.
        let snapshots = place.dir.as_ref().unwrap().path().join("raft/snapshots");
        let made = |file: PathBuf| file.file_name()?.to_str()?.strip_suffix(".snapshot")?.parse::<u64>().ok();
        until("no snapshot is due", || {
            files(&snapshots).filter_map(made).max().unwrap_or(0) + place.snapshot_entries > last.0
        })
        .await;
        server.stop().await;
        let mut path = place.dir.as_ref().unwrap().path().join(file);
        if path.is_dir() {
            path = files(&path).max().unwrap();
        }
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole[..whole.len() - whole.len() / 3].to_vec();
        if file == "raft/log" {
            let written = whole.len() - whole.iter().rev().take_while(|byte| **byte == 0).count();
            damaged = whole;
            // More than can lie between two frames.
            damaged[written / 2..written / 2 + 8].iter_mut().for_each(|byte| *byte ^= 1);
        }
        fs::write(&path, damaged).unwrap();
        let settings = RaftSettings {
            data_dir: place.dir.as_ref().map(|dir| dir.path().to_owned()),
            ..RaftSettings::new(place.raft_id, place.server())
        };
        let refused = RaftNode::start(settings, view::new().0, Arc::new(Ignored), &Tasks::new()).await;
        let error = refused.err().unwrap_or_else(|| panic!("{} is damaged, and it starts", path.display())).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_and_servers_leave() {
    let (places, running) = three(false).await;
    within(running[0].node.transfer_leadership(Some(places[1].raft_id))).await.unwrap();
    until("the heir leads", || running[1].node.is_leader()).await;
    within(running[1].node.remove_server(places[0].raft_id)).await.unwrap();
    assert_eq!(running[1].node.servers().len(), 2);
    let moved = ServerAddress { name: "renamed".into(), ..places[2].server() };
    within(running[1].node.update_server(places[2].raft_id, moved.clone())).await.unwrap();
    let servers = running[1].node.servers();
    let renamed = servers.iter().find(|server| server.raft_id == places[2].raft_id).unwrap();
    assert!(renamed.address == moved && renamed.voter && !renamed.leader);
    running[1].write("after").await;
    for server in running {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_server_does_not_answer_for_its_old_self() {
    let (mut places, mut running) = three(true).await;
    running[0].write("before").await;
    running.remove(1).stop().await;
    let old = places[1].raft_id;
    places[1].raft_id = new_raft_id();
    places[1].dir = Some(tempfile::tempdir().unwrap());
    let wiped = places[1].start().await;
    // Two of three still agree; the wiped one hears nothing that is meant for its old ID.
    running[0].write("meanwhile").await;
    assert!(!wiped.node.is_initialized().await.unwrap());
    within(running[0].node.remove_server(old)).await.unwrap();
    within(running[0].node.add_server(places[1].raft_id, places[1].server(), true)).await.unwrap();
    until("it has everything", || wiped.has("before") && wiped.has("meanwhile")).await;
    running.push(wiped);
    for server in running {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_came_back_elsewhere_is_reached_where_it_was_found() {
    let (mut places, mut running) = three(true).await;
    running.remove(2).stop().await;
    running[0].write("meanwhile").await;
    let elsewhere = Place::new(false).await;
    places[2].address = elsewhere.address;
    let moved = places[2].start().await;
    // The address in the log is not enough: openraft keeps its replication streams when it changes.
    within(running[0].node.update_server(places[2].raft_id, places[2].server())).await.unwrap();
    running[0].node.found(BTreeMap::from([(places[2].raft_id, places[2].server().rpc)]));
    until("it has what was written without it", || moved.has("meanwhile")).await;
    running.push(moved);
    for server in running {
        server.stop().await;
    }
}

/// A thread that held openraft's metrics while it looked at them again would stop the core, and with it the server.
#[test]
fn looking_at_the_servers_never_stops_them() {
    const WRITES: usize = 100;
    const LOOKERS: usize = 2;
    let (sender, ended) = mpsc::channel();
    let run = move || {
        Runtime::new().unwrap().block_on(async {
            let (_, servers) = three(false).await;
            let server = &servers[0];
            until("it leads", || server.node.is_leader()).await;
            let written = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 0..LOOKERS {
                    scope.spawn(|| {
                        while !written.load(Ordering::Relaxed) {
                            assert!(server.node.report().is_none_or(|report| report.servers.len() == 3));
                        }
                    });
                }
                scope.spawn(|| {
                    let write = async {
                        for number in 0..WRITES {
                            server.write(&format!("node-{number}")).await;
                        }
                    };
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(write);
                    written.store(true, Ordering::Relaxed);
                });
            });
            for server in servers {
                server.stop().await;
            }
        });
        sender.send(()).unwrap();
    };
    std::thread::spawn(run);
    ended.recv_timeout(LIMIT).unwrap();
}
