//! What an agent finds of its earlier life, in the registry and in files.

use super::*;

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
    agent.register_service(service(&body), false, &Credential::none()).await.unwrap();
    agent.register_service(service(&json!({"Name": "old", "Port": 1})), false, &Credential::none()).await.unwrap();
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
    agent.register_service(service(&json!({"Name": "old", "Port": 2})), false, &Credential::none()).await.unwrap();
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
    agent.register_service(service(&json!({"Name": "web"})), false, &Credential::none()).await.unwrap();
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
    registry.leads.store(false, Ordering::SeqCst);
    let (agent, tasks) = (idle(&registry, false), Tasks::new());
    agent.start(&tasks);
    agent.deregister_service(&"web".into()).await.unwrap();
    registry.leads.store(true, Ordering::SeqCst);
    registry.shows("it goes", |state| state.node_services("here").count() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn files_replace_what_earlier_files_registered_and_nothing_else() {
    let registry = Registry::new();
    let (agent, _tasks) = started(&registry).await;
    let ids = |agent: &Agent| agent.services().iter().map(|s| s.id.to_string()).collect::<Vec<_>>().join(" ");
    agent.register_service(service(&json!({"Name": "by-http"})), false, &Credential::none()).await.unwrap();
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
async fn maintenance_outlives_the_agent_until_it_is_ended() {
    let registry = Registry::new();
    let (agent, tasks) = started(&registry).await;
    let web = json!({"Name": "web", "ID": "Web-1", "Check": {"TTL": "1h", "Status": "passing"}});
    agent.register_service(service(&web), false, &Credential::none()).await.unwrap();
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
