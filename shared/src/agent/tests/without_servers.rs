//! What an agent does while there is no leader.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_write_without_a_leader_is_made_when_there_is_one() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    registry.shows("the node", |state| state.node("here").is_some()).await;
    registry.leads.store(false, Ordering::SeqCst);
    let before = Instant::now();
    agent.register_service(service(&json!({"Name": "web"})), false, &Credential::none()).await.unwrap();
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
        agent.register_service(service(&body), false, &Credential::none()).await.unwrap();
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
    let refused = agent.register_service(one_more.clone(), false, &Credential::none()).await;
    assert_eq!(refused, Err(AgentError::TooManyUnsent(UNSENT_GROUPS_MAX)));
    registry.shows("all", |state| state.node_services("here").count() == UNSENT_GROUPS_MAX).await;
    assert_eq!(agent.register_service(one_more.clone(), false, &Credential::none()).await, refused);

    let strict = AgentSettings { without_servers: WithoutServers::Refuse, ..settings(false) };
    let strict = Agent::new(strict, registry.reader.clone(), registry.clone(), open_to_all(&registry));
    registry.leads.store(false, Ordering::SeqCst);
    assert_eq!(strict.register_service(one_more, false, &Credential::none()).await, Err(AgentError::NoServers));
    assert_eq!(strict.deregister_service(&"s1".into()).await, Err(AgentError::NoServers));
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_up_without_servers_becomes_what_the_registry_has() {
    let registry = Registry::new();
    let (agent, tasks) = started(&registry).await;
    for (name, ttl) in [("same", "1h"), ("gone", "1h"), ("moved", "1h")] {
        let body = json!({"Name": name, "Port": 1, "Check": {"CheckID": name, "TTL": ttl, "Status": "passing"}});
        agent.register_service(service(&body), false, &Credential::none()).await.unwrap();
    }
    assert!(tasks.shutdown(Duration::from_secs(5)).await);

    registry.leads.store(false, Ordering::SeqCst);
    let (agent, tasks) = (idle(&registry, false), Tasks::new());
    agent.start(&tasks);
    agent.register_service(service(&json!({"Name": "new"})), false, &Credential::none()).await.unwrap();
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
