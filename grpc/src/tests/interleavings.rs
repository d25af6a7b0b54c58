//! Whatever changes while watchers come, go, read and resume: once caught up, each has exactly the registry's state,
//! and no index ever went back (the watcher asserts that with each message).

use std::collections::BTreeMap;

use lictor_proto::v1::{Instance, ServiceState, Wanted, WatchServiceRequest};
use lictor_shared::{command::Command, model::Status};
use proptest::prelude::*;

use super::{
    watcher::Watcher,
    world::{World, deregister, deregister_node, register, register_node},
};

#[derive(Clone, Debug)]
enum Step {
    Write(Command),
    Replace(Vec<Command>),
    Connect(usize),
    Disconnect(usize),
    /// So many messages.
    Read(usize, usize),
}

fn status() -> impl Strategy<Value = Status> {
    prop::sample::select(&Status::ALL[..])
}

const TAGS: &[&[&str]] = &[&[], &["v1"], &["v1", "V2"]];

fn command() -> impl Strategy<Value = Command> {
    let node = || prop::sample::select(&["n1", "n2", "N3"][..]);
    let id = || prop::sample::select(&["a", "B", "c", "d"][..]);
    let name = prop::sample::select(&["web", "Web", "db"][..]);
    let tags = prop::sample::select(TAGS);
    prop_oneof![
        6 => (node(), id(), name, tags, 80..82_u16, status())
            .prop_map(|(node, id, name, tags, port, status)| register(node, id, name, tags, port, status)),
        1 => (node(), status()).prop_map(|(node, status)| register_node(node, status)),
        2 => (node(), id()).prop_map(|(node, id)| deregister(node, id)),
        1 => node().prop_map(deregister_node),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let watcher = || 0..requests().len();
    prop_oneof![
        8 => command().prop_map(Step::Write),
        1 => prop::collection::vec(command(), 0..5).prop_map(Step::Replace),
        2 => watcher().prop_map(Step::Connect),
        1 => watcher().prop_map(Step::Disconnect),
        4 => (watcher(), 1..5_usize).prop_map(|(watcher, messages)| Step::Read(watcher, messages)),
    ]
}

fn requests() -> [WatchServiceRequest; 4] {
    let of = |wanted: Wanted, tags: &[&str], filter: &str| WatchServiceRequest {
        service: "web".into(),
        wanted: wanted.into(),
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
        filter: filter.into(),
        ..Default::default()
    };
    [
        of(Wanted::All, &[], ""),
        of(Wanted::Healthy, &[], ""),
        of(Wanted::Passing, &["v2"], ""),
        of(Wanted::Healthy, &[], "Service.Port == 81"),
    ]
}

/// What a watcher should know, said the short way.
fn expected(world: &World, request: &WatchServiceRequest) -> (BTreeMap<(String, String), Instance>, ServiceState) {
    let state = world.reader.load_full();
    let matching = state.instances("web").filter(|instance| {
        request.tags.iter().all(|tag| instance.has_tag(tag))
            && (request.filter.is_empty() || instance.service.port == 81)
    });
    let matching: Vec<_> = matching.collect();
    let worst = match request.wanted() {
        Wanted::All => Status::Critical,
        Wanted::Passing => Status::Passing,
        _ => Status::Warning,
    };
    let selected: BTreeMap<_, _> = matching
        .iter()
        .filter(|instance| instance.status() <= worst)
        .map(|one| ((one.node.name.to_lowercase(), one.service.id.to_lowercase()), Instance::from(&***one)))
        .collect();
    let told = match (state.service("web"), matching.len(), selected.len()) {
        (None, ..) => ServiceState::Unknown,
        (_, 0, _) => ServiceState::NoneMatches,
        (_, _, 0) => ServiceState::NoneHealthy,
        _ => ServiceState::Available,
    };
    (selected, told)
}

async fn run(steps: Vec<Step>) {
    let mut world = World::new();
    let mut watchers: Vec<Watcher> = requests().into_iter().map(Watcher::of).collect();
    for step in steps {
        match step {
            Step::Write(command) => drop(world.apply(&command)),
            Step::Replace(commands) => world.replace(&commands),
            Step::Connect(watcher) => watchers[watcher].connect(&world).await,
            Step::Disconnect(watcher) => watchers[watcher].disconnect(),
            Step::Read(watcher, messages) => {
                for _ in 0..messages {
                    watchers[watcher].read().await;
                }
            }
        }
    }
    world.apply(&register_node("n1", Status::Passing));
    for watcher in &mut watchers {
        if watcher.stream.is_none() {
            watcher.connect(&world).await;
        }
        watcher.catch_up().await;
        let expected = expected(&world, &watcher.request);
        assert_eq!((&watcher.instances, watcher.state), (&expected.0, expected.1), "{:?}", watcher.request);
        // And it could go on from there.
        watcher.connect(&world).await;
        watcher.told();
        watcher.catch_up().await;
        assert_eq!(watcher.told(), ["heartbeat", "resumed"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn whoever_has_caught_up_knows_exactly_what_there_is(steps in prop::collection::vec(step(), 0..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(steps));
    }
}
