//! What is registered here comes to be in the registry, and what others do to it is mended.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_registration_is_in_the_registry_when_the_call_returns() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let body = json!({"Name": "web", "Port": 80, "Check": {"TTL": "60s", "Status": "passing"}});
    agent.register_service(service(&body), false, &Credential::none()).await.unwrap();
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

    agent.register_check(check(&json!({"Name": "memory", "TTL": "30s"})), &Credential::none()).await.unwrap();
    let state = registry.reader.load_full();
    let shown = state.node_check("here", "memory").unwrap();
    assert_eq!((shown.status, shown.interval.as_str(), shown.timeout.as_str()), (Status::Critical, "0s", "0s"));

    agent.deregister_check(&"memory".into()).await.unwrap();
    agent.deregister_service(&"web".into()).await.unwrap();
    agent.deregister_service(&"web".into()).await.unwrap();
    let state = registry.reader.load_full();
    assert_eq!(state.node_services("here").count() + state.node_checks("here").count(), 0);
    let unknown = agent
        .register_check(check(&json!({"Name": "x", "ServiceID": "absent", "TTL": "30s"})), &Credential::none())
        .await;
    assert_eq!(unknown.unwrap_err().to_string(), "ServiceID \"absent\" does not exist");
    let unknown = agent.report(&"absent".into(), Status::Passing, "");
    assert_eq!(unknown.unwrap_err().to_string(), "CheckID \"absent\" does not have associated TTL");
}

#[tokio::test(start_paused = true)]
async fn checks_are_kept_or_replaced_when_a_service_is_registered_again() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let two = json!({"Name": "api", "Checks": [{"CheckID": "a", "TTL": "60s"}, {"CheckID": "b", "TTL": "60s"}]});
    agent.register_service(service(&two), false, &Credential::none()).await.unwrap();
    agent.report(&"a".into(), Status::Passing, "fine").unwrap();
    let one = json!({"Name": "api", "Port": 1, "Check": {"CheckID": "a", "TTL": "60s"}});
    agent.register_service(service(&one), false, &Credential::none()).await.unwrap();
    assert_eq!(agent.checks().len(), 2);
    agent.register_service(service(&one), true, &Credential::none()).await.unwrap();
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
    agent.register_service(service(&body), false, &Credential::none()).await.unwrap();
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
    agent.register_service(service(&body), false, &Credential::none()).await.unwrap();
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
    agent.register_service(service(&demoted), false, &Credential::none()).await.unwrap();
    let found = Service::clone(registry.reader.load().node_service("here", "db").unwrap());
    assert_eq!(found.tags, ["standby"]);
    registry.apply(&foreign(Some(Service { tags: vec!["primary".into()], ..found }), vec![]));
    let settled = registry.index();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(registry.index(), settled, "the tag stays");
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
async fn a_change_during_a_write_of_the_same_group_does_not_wait() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let before = Instant::now();
    let bodies = (0..20).map(|n| check(&json!({"Name": format!("c{n}"), "TTL": "1h"})));
    let by = Credential::none();
    let registrations = bodies.map(|body| agent.register_check(body, &by));
    for outcome in futures_util::future::join_all(registrations).await {
        outcome.unwrap();
    }
    assert!(before.elapsed() < Duration::from_millis(100), "{:?}", before.elapsed());
    assert_eq!(registry.reader.load().node_checks("here").count(), 20);
}
