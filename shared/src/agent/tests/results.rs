//! What comes of the results of checks.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_ttl_check_turns_critical_unless_it_is_reported() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let start = Instant::now();
    agent
        .register_check(check(&json!({"Name": "t", "TTL": "10s", "Status": "passing"})), &Credential::none())
        .await
        .unwrap();
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
    agent
        .register_check(check(&json!({"Name": "t", "TTL": "10h", "Status": "passing"})), &Credential::none())
        .await
        .unwrap();
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
    agent.register_service(service(&body), false, &Credential::none()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    agent.report(&"service:web".into(), Status::Passing, "").unwrap();
    tokio::time::sleep(Duration::from_secs(69)).await;
    assert!(agent.service("web").is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(agent.service("web").is_none() && agent.checks().is_empty());
    assert_eq!(registry.reader.load().node_services("here").count(), 0);
}
