//! What the `.proto` file promises, case by case.

use std::time::Duration;

use futures_util::StreamExt;
use lictor_proto::v1::{
    Position, ResolveRequest, ServiceState, Wanted, WatchNodeRequest, WatchServiceRequest, WatchServicesRequest,
    registry_server::Registry, watch_node_response, watch_services_response,
};
use lictor_shared::model::Status;
use tokio::time::timeout;
use tonic::{Code, Request};

use super::{
    watcher::Watcher,
    world::{World, deregister, deregister_node, register, register_node},
};
use crate::{HEARTBEAT, MAX_NAME_BYTES, MAX_TAGS};

#[tokio::test(start_paused = true)]
async fn a_watch_tells_the_whole_then_what_changes() {
    let mut world = World::new();
    world.apply(&register("n1", "web-1", "web", &[], 80, Status::Passing));
    let mut watcher = Watcher::all_of("WEB");
    watcher.connect(&world).await;
    watcher.catch_up().await;
    assert_eq!((watcher.told(), watcher.ids()), (vec!["heartbeat", "whole"], vec!["web-1"]));
    world.apply(&register("n1", "web-2", "web", &[], 80, Status::Passing));
    watcher.catch_up().await;
    assert_eq!((watcher.told(), watcher.ids()), (vec!["delta"], vec!["web-1", "web-2"]));
    world.apply(&deregister("n1", "web-1"));
    world.apply(&register("n2", "web-1", "web", &[], 80, Status::Passing));
    watcher.catch_up().await;
    assert_eq!((watcher.told(), watcher.ids()), (vec!["delta"], vec!["web-2", "web-1"]));
    // What is not about the service is not told, but for the index in the next heartbeat.
    let index = world.apply(&register("n1", "db", "db", &[], 81, Status::Passing));
    watcher.catch_up().await;
    assert!(watcher.told().is_empty());
    tokio::time::advance(HEARTBEAT).await;
    watcher.catch_up().await;
    assert_eq!((watcher.told(), watcher.highest), (vec!["heartbeat"], index));
}

#[tokio::test(start_paused = true)]
async fn a_view_that_was_never_filled_is_not_told_as_an_empty_registry() {
    let mut world = World::new();
    let mut watcher = Watcher::all_of("web");
    watcher.connect(&world).await;
    tokio::time::advance(HEARTBEAT).await;
    watcher.catch_up().await;
    assert_eq!(watcher.told().into_iter().find(|event| *event != "heartbeat"), None);
    let resolved = world.service.resolve(Request::new(ResolveRequest { service: "web".into(), ..Default::default() }));
    assert_eq!(resolved.await.unwrap_err().code(), Code::Unavailable);
    // What fills it need not be about the service.
    world.apply(&register_node("n1", Status::Passing));
    watcher.catch_up().await;
    assert_eq!((watcher.told(), watcher.state), (vec!["whole"], ServiceState::Unknown));
}

#[tokio::test(start_paused = true)]
async fn every_state_of_a_service_is_told_apart() {
    let mut world = World::new();
    world.apply(&register_node("n1", Status::Passing));
    let request = WatchServiceRequest { service: "web".into(), tags: vec!["v2".into()], ..Default::default() };
    let mut watcher = Watcher::of(request);
    watcher.connect(&world).await;
    watcher.catch_up().await;
    assert_eq!(watcher.state, ServiceState::Unknown);
    for (tags, status, expected) in [
        (&["v1"][..], Status::Passing, ServiceState::NoneMatches),
        (&["v1", "V2"], Status::Critical, ServiceState::NoneHealthy),
        (&["v1", "V2"], Status::Warning, ServiceState::Available),
        (&["v2"], Status::Critical, ServiceState::NoneHealthy),
    ] {
        world.apply(&register("n1", "web", "web", tags, 80, status));
        watcher.catch_up().await;
        assert_eq!(watcher.state, expected, "{tags:?} {status}");
        assert_eq!(watcher.ids().len(), usize::from(expected == ServiceState::Available));
    }
    world.apply(&deregister("n1", "web"));
    watcher.catch_up().await;
    assert_eq!(watcher.state, ServiceState::Unknown);
}

#[tokio::test(start_paused = true)]
async fn conditions_choose_instances() {
    let mut world = World::new();
    world.apply(&register("n1", "a", "web", &["v1"], 80, Status::Passing));
    world.apply(&register("n1", "b", "web", &["v1", "eu"], 81, Status::Warning));
    world.apply(&register("n1", "c", "web", &["v2", "eu"], 82, Status::Critical));
    let healthy = WatchServiceRequest { service: "web".into(), ..Default::default() };
    let filtered = |filter: &str| WatchServiceRequest { filter: filter.into(), ..healthy.clone() };
    let tagged =
        |tags: &[&str]| WatchServiceRequest { tags: tags.iter().map(|t| (*t).into()).collect(), ..healthy.clone() };
    let wanted = |wanted: Wanted| WatchServiceRequest { wanted: wanted.into(), ..healthy.clone() };
    for (request, expected) in [
        (healthy.clone(), &["a", "b"][..]),
        (wanted(Wanted::Healthy), &["a", "b"]),
        (wanted(Wanted::Passing), &["a"]),
        (wanted(Wanted::All), &["a", "b", "c"]),
        (tagged(&["EU"]), &["b"]),
        (tagged(&["v1", "eu"]), &["b"]),
        (filtered("Service.Port == 80"), &["a"]),
        (filtered("v2 in Service.Tags"), &[]),
    ] {
        let mut watcher = Watcher::of(request.clone());
        watcher.connect(&world).await;
        watcher.catch_up().await;
        assert_eq!(watcher.ids(), expected, "{request:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_resumes_where_nothing_has_changed_and_nowhere_else() {
    let mut world = World::new();
    world.apply(&register("n1", "web-1", "web", &[], 80, Status::Passing));
    let mut watcher = Watcher::all_of("web");
    watcher.connect(&world).await;
    watcher.catch_up().await;
    let position = watcher.position.unwrap();
    // Another service changes: resumed.
    world.apply(&register("n1", "db", "db", &[], 80, Status::Passing));
    for (what, resume, expected) in [
        ("its position", position, "resumed"),
        ("an index from the future", Position { index: 1_000_000, ..position }, "whole"),
        ("another digest", Position { digest: position.digest ^ 1, ..position }, "whole"),
        ("no digest", Position { digest: 0, ..position }, "whole"),
    ] {
        watcher.position = Some(resume);
        watcher.connect(&world).await;
        watcher.told();
        watcher.catch_up().await;
        assert_eq!(watcher.told(), ["heartbeat", expected], "{what}");
    }
    // It changes while the watcher is away: the whole.
    watcher.disconnect();
    world.apply(&register("n1", "web-2", "web", &[], 80, Status::Passing));
    watcher.connect(&world).await;
    watcher.catch_up().await;
    assert_eq!((watcher.told(), watcher.ids()), (vec!["heartbeat", "whole"], vec!["web-1", "web-2"]));
    // Another registry takes its place while the watcher is away, with older rows under a newer index.
    watcher.disconnect();
    world.replace(&[register("n1", "web-9", "web", &[], 80, Status::Passing)]);
    watcher.connect(&world).await;
    watcher.catch_up().await;
    assert_eq!((watcher.told(), watcher.ids()), (vec!["heartbeat", "whole"], vec!["web-9"]));
}

#[tokio::test(start_paused = true)]
async fn large_sets_and_deltas_come_in_parts() {
    let mut world = World::new();
    let tag = "t".repeat(100_000);
    for number in 0..10 {
        let (id, status) = (format!("web-{number}"), Status::Passing);
        world.apply(&register("n1", &id, "web", &[&tag], 80, status));
    }
    let mut watcher = Watcher::all_of("web");
    watcher.connect(&world).await;
    watcher.catch_up().await;
    let told = watcher.told();
    assert_eq!((told[0], told[1], *told.last().unwrap()), ("heartbeat", "part", "whole"));
    assert_eq!((told.len(), watcher.ids().len()), (5, 10));
    // All at once: the node falls out.
    world.apply(&register_node("n1", Status::Critical));
    watcher.catch_up().await;
    assert_eq!(watcher.told(), ["part", "part", "part", "delta"]);
    world.apply(&deregister_node("n1"));
    watcher.catch_up().await;
    assert_eq!((watcher.told(), watcher.ids().len()), (vec!["delta"], 0));
}

#[tokio::test(start_paused = true)]
async fn the_services_are_told_with_their_tags_and_counts() {
    use watch_services_response::Event;
    let mut world = World::new();
    world.apply(&register("n1", "a", "web", &["v1", "eu"], 80, Status::Passing));
    world.apply(&register("n2", "a", "Web", &["v2", "eu"], 80, Status::Critical));
    let stream = world.service.watch_services(Request::new(WatchServicesRequest::default())).await.unwrap();
    let mut stream = stream.into_inner();
    let mut next = async || loop {
        let event = stream.next().await.unwrap().unwrap().event.unwrap();
        if !matches!(event, Event::Heartbeat(_)) {
            return event;
        }
    };
    let Event::Whole(whole) = next().await else { panic!("the whole comes first") };
    assert_eq!(whole.services.len(), 1);
    assert_eq!((whole.services[0].tags.join(" "), whole.services[0].instances), ("eu v1 v2".into(), 2));
    world.apply(&deregister("n1", "a"));
    world.apply(&register("n1", "db", "db", &[], 80, Status::Passing));
    world.apply(&deregister("n2", "a"));
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    while gone.is_empty() || come.is_empty() {
        let Event::Delta(delta) = next().await else { panic!("a delta") };
        gone.extend(delta.removed);
        come.extend(delta.upserted.into_iter().map(|service| service.name).filter(|name| name == "db"));
    }
    assert_eq!((gone, come), (vec!["web".to_owned()], vec!["db".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_node_is_told_with_all_that_is_on_it() {
    use watch_node_response::Event;
    let mut world = World::new();
    world.apply(&register("n2", "x", "x", &[], 80, Status::Passing));
    let request = WatchNodeRequest { node: "N1".into(), ..Default::default() };
    let mut stream = world.service.watch_node(Request::new(request)).await.unwrap().into_inner();
    let mut next = async || loop {
        let event = timeout(Duration::from_secs(60), stream.next()).await.unwrap().unwrap().unwrap().event.unwrap();
        if !matches!(event, Event::Heartbeat(_)) {
            return event;
        }
    };
    let Event::Whole(whole) = next().await else { panic!("the whole comes first") };
    assert_eq!((whole.node, whole.instances.len()), (None, 0));
    world.apply(&register("n1", "web-1", "web", &[], 80, Status::Passing));
    let Event::Delta(delta) = next().await else { panic!("a delta") };
    assert_eq!((delta.node.unwrap().name, delta.upserted.len()), ("n1".into(), 1));
    world.apply(&register_node("n1", Status::Critical));
    let Event::Delta(delta) = next().await else { panic!("a delta") };
    assert_eq!(delta.node.unwrap().status(), lictor_proto::v1::Status::Critical);
    assert_eq!(delta.upserted[0].checks.len(), 2, "the node's checks are the instance's too");
    world.apply(&deregister_node("n1"));
    let Event::Delta(delta) = next().await else { panic!("a delta") };
    assert_eq!((delta.node, delta.removed.len(), delta.complete), (None, 1, true));
}

#[tokio::test(start_paused = true)]
async fn resolve_answers_once() {
    let mut world = World::new();
    for number in 0..20 {
        world.apply(&register("n1", &format!("web-{number}"), "web", &[], 80, Status::Passing));
    }
    for (limit, told) in [(0, 20), (3, 3), (50, 20), (u32::MAX, 20)] {
        let request = ResolveRequest { service: "web".into(), limit, ..Default::default() };
        let answer = world.service.resolve(Request::new(request)).await.unwrap().into_inner();
        assert_eq!((answer.instances.len(), answer.total, answer.index), (told, 20, 30), "limit {limit}");
        assert_eq!((answer.state(), answer.freshness.unwrap().last_contact_ms), (ServiceState::Available, 7));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_wrong_are_refused() {
    let world = World::new();
    let good = WatchServiceRequest { service: "web".into(), ..Default::default() };
    for (request, code, words) in [
        (WatchServiceRequest { service: String::new(), ..good.clone() }, Code::InvalidArgument, "service: empty"),
        (
            WatchServiceRequest { service: "x".repeat(MAX_NAME_BYTES + 1), ..good.clone() },
            Code::InvalidArgument,
            "513 bytes, the most are 512",
        ),
        (
            WatchServiceRequest { tags: vec!["t".into(); MAX_TAGS + 1], ..good.clone() },
            Code::InvalidArgument,
            "tags: 65, the most are 64",
        ),
        (WatchServiceRequest { wanted: 9, ..good.clone() }, Code::InvalidArgument, "wanted: 9"),
        (
            WatchServiceRequest { filter: "Service.Colour == red".into(), ..good.clone() },
            Code::InvalidArgument,
            "filter: ",
        ),
        (WatchServiceRequest { filter: "x".repeat(9000), ..good.clone() }, Code::InvalidArgument, "the most are 8192"),
        (
            WatchServiceRequest { datacenter: "dc2".into(), ..good.clone() },
            Code::FailedPrecondition,
            "\"dc1\", not \"dc2\"",
        ),
    ] {
        let status = world.service.watch_service(Request::new(request)).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(words), "{status}");
    }
    let request = WatchServiceRequest { datacenter: "DC1".into(), ..good };
    assert!(world.service.watch_service(Request::new(request)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn streams_end_with_the_agent_and_with_their_watcher() {
    let world = World::new();
    let mut watcher = Watcher::all_of("web");
    watcher.connect(&world).await;
    watcher.catch_up().await;
    assert_eq!(world.service.streams(), 1);
    let mut gone = Watcher::all_of("web");
    gone.connect(&world).await;
    gone.catch_up().await;
    gone.disconnect();
    tokio::time::advance(Duration::from_millis(1)).await;
    watcher.catch_up().await;
    assert_eq!(world.service.streams(), 1, "the place of a watcher that went is free");
    assert!(world.tasks.shutdown(Duration::from_secs(1)).await);
    let last = watcher.stream.as_mut().unwrap().next().await.unwrap();
    assert_eq!(last.unwrap_err().code(), Code::Unavailable);
    assert!(watcher.stream.as_mut().unwrap().next().await.is_none());
    assert_eq!(world.service.streams(), 0);
}
