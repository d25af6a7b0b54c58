//! Requests that are for another datacenter: `dc1` is asked, `dc2` answers.

use serde_json::json;

use super::*;
use crate::command::{KeyCommand, KeyEntry};

/// A server of `dc1` that knows the way to one of `dc2`, a sidecar of that server, and the one of `dc2`.
async fn world() -> (TestServer, TestServer, TestServer) {
    let far = TestServer::with(|settings| settings.identity.datacenter = "dc2".into()).await;
    let server = TestServer::start().await;
    server.backend.far().open(far.context.clone(), far.tasks.stopping());
    let sidecar = TestServer::with(|settings| settings.identity.server_address = None).await;
    sidecar.backend.server().open(server.context.clone(), server.tasks.stopping());
    (server, sidecar, far)
}

#[tokio::test]
async fn what_names_another_datacenter_is_read_and_written_there() {
    let (server, sidecar, far) = world().await;
    far.register("far", 1);
    server.register("near", 1);
    for (number, asked) in [&server, &sidecar].into_iter().enumerate() {
        for path in [
            "/v1/catalog/nodes?dc=dc2",
            "/v1/catalog/services?dc=DC2",
            "/v1/catalog/service/far?dc=dc2",
            "/v1/catalog/node/on-far?dc=dc2",
            "/v1/health/service/far?dc=dc2&stale",
            "/v1/health/state/any?dc=dc2",
            "/v1/internal/ui/services?dc=dc2",
            "/v1/status/leader?dc=dc2",
            "/v1/operator/usage?dc=dc2",
            "/v1/coordinate/nodes?dc=dc2",
            "/v1/session/list?dc=dc2",
            "/v1/query?dc=dc2",
        ] {
            let (here, there) = (asked.get(path).await, far.get(path).await);
            assert_eq!((here.status, &here.body), (there.status, &there.body), "{path}");
            assert_eq!(here.header("x-consul-index"), there.header("x-consul-index"), "{path}");
        }
        let key = format!("/v1/kv/k{number}");
        assert_eq!(asked.send(Method::PUT, &format!("{key}?dc=dc2"), "v").await.body, "true");
        assert_eq!(far.get(&format!("{key}?raw")).await.body, "v");
        assert_eq!(server.get(&key).await.status, StatusCode::NOT_FOUND);
        assert_eq!(asked.get(&format!("{key}?raw&dc=dc2")).await.body, "v");
        let long = "0123456789".repeat(60_000);
        far.backend.apply(&Command::Key(KeyCommand::Set(KeyEntry {
            key: "long".into(),
            value: long.clone().into(),
            flags: 0,
        })));
        assert_eq!(asked.get("/v1/kv/long?raw&dc=dc2").await.body, long);
        let node = format!(r#"{{"Node": "n{number}", "Address": "10.0.0.9", "Datacenter": "dc2"}}"#);
        assert_eq!(asked.send(Method::PUT, "/v1/catalog/register", &node).await.body, "true");
        assert!(far.context.reader.load().node(&format!("n{number}")).is_some());
        assert!(server.context.reader.load().node(&format!("n{number}")).is_none());
        let transaction = format!(r#"[{{"KV": {{"Verb": "set", "Key": "t{number}", "Value": "MQ=="}}}}]"#);
        assert_eq!(asked.send(Method::PUT, "/v1/txn?dc=dc2", &transaction).await.status, 200);
        assert_eq!(far.get(&format!("/v1/kv/t{number}?raw")).await.body, "1");
        let once: Vec<bool> =
            asked.backend.fetches().iter().map(|fetch| fetch.once == (fetch.method != "GET")).collect();
        assert!(once.iter().all(|is_right| *is_right), "only writes are to be done at most once");
    }
}

#[tokio::test]
async fn a_session_over_there_is_of_a_node_over_there() {
    let (server, _, far) = world().await;
    far.register("far", 1);
    let reply = server.send(Method::PUT, "/v1/session/create?dc=dc2", "{}").await;
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (500, &b"apply failed: Missing node registration"[..]));
    let body = r#"{"Node": "on-far", "Checks": []}"#;
    let created = server.send(Method::PUT, "/v1/session/create?dc=dc2", body).await.json();
    let info = format!("/v1/session/info/{}?dc=dc2", created["ID"].as_str().unwrap());
    assert_eq!(server.get(&info).await.json()[0]["Node"], "on-far");
}

#[tokio::test]
async fn a_blocking_read_waits_over_there() {
    let (_, sidecar, far) = world().await;
    let index = sidecar.get("/v1/health/service/late?dc=dc2").await.index();
    let path = format!("/v1/health/service/late?dc=dc2&index={index}&wait=10m");
    let waiting = sidecar.get(&path);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    far.register("late", 1);
    assert_eq!(waiting.await.json()[0]["Service"]["Service"], "late");
}

#[tokio::test]
async fn nothing_crosses_twice_and_an_unknown_datacenter_has_no_path() {
    let (server, sidecar, far) = world().await;
    // It would know the way, and is not to take it.
    far.backend.far().open(server.context.clone(), server.tasks.stopping());
    let fetch = |datacenter: &str, path: &str| crate::backend::Fetch {
        method: "GET".into(),
        path_and_query: path.into(),
        datacenter: datacenter.into(),
        crossed: true,
        ..Default::default()
    };
    for crossing in [fetch("dc1", "/v1/catalog/nodes"), fetch("dc2", "/v1/catalog/nodes?dc=dc1")] {
        let asked = far.backend.fetches().len();
        let fetched = server.backend.far().answer(crossing).await.unwrap();
        assert_eq!((fetched.status, &fetched.body[..]), (500, &b"No path to datacenter"[..]));
        assert_eq!(far.backend.fetches().len(), asked);
    }
    for asked in [&server, &sidecar] {
        for path in ["/v1/catalog/nodes?dc=dc3", "/v1/kv/a?dc=dc3", "/v1/health/service/a?dc=dc3"] {
            let reply = asked.get(path).await;
            assert_eq!((reply.status.as_u16(), &reply.body[..]), (500, &b"No path to datacenter"[..]), "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_about_one_node_or_has_any_length_does_not_cross() {
    let (server, _, far) = world().await;
    for path in ["/v1/agent/self", "/v1/agent/leave", "/v1/snapshot", "/v1/event/list"] {
        let fetch = crate::backend::Fetch {
            method: "GET".into(),
            path_and_query: path.into(),
            datacenter: "dc2".into(),
            crossed: true,
            ..Default::default()
        };
        assert_eq!(server.backend.far().answer(fetch).await.unwrap().status, 404, "{path}");
    }
    assert_eq!(server.get("/v1/snapshot?dc=dc2").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(server.get("/v1/agent/services?dc=dc2").await.status, 200, "an agent answers for itself");
    assert!(far.backend.fetches().is_empty());
}

#[tokio::test]
async fn a_query_without_instances_here_is_answered_over_there() {
    let (server, sidecar, far) = world().await;
    let query = json!({"Name": "geo", "DNS": {"TTL": "7s"}, "Service": {
        "Service": "far", "Failover": {"NearestN": 2, "Datacenters": ["dc1", "dc9", "dc2", "DC2"]},
    }});
    for asked in [&server, &sidecar] {
        assert_eq!(asked.send(Method::POST, "/v1/query", &query.to_string()).await.status, 200);
        let nobody = asked.get("/v1/query/geo/execute").await.json();
        assert_eq!(
            (&nobody["Nodes"], &nobody["Failovers"], &nobody["Datacenter"]),
            (&json!([]), &json!(2), &json!("dc2"))
        );
    }
    far.register("far", 7);
    for asked in [&server, &sidecar] {
        for path in ["/v1/query/geo/execute", "/v1/query/geo/execute?stale&limit=1&passing"] {
            let answer = asked.get(path).await.json();
            assert_eq!(answer["Nodes"][0]["Service"]["Port"], 7, "{answer}");
            assert_eq!((&answer["Datacenter"], &answer["DNS"]["TTL"]), (&json!("dc2"), &json!("7s")));
            assert_eq!(answer["Failovers"], 2, "dc9 was asked first");
        }
    }
    let asked = server.backend.fetches().len();
    server.register("far", 8);
    let here = server.get("/v1/query/geo/execute").await.json();
    assert_eq!((&here["Nodes"][0]["Service"]["Port"], &here["Failovers"]), (&json!(8), &json!(0)));
    assert_eq!(server.backend.fetches().len(), asked, "nobody is asked who is not needed");
}

#[tokio::test]
async fn whoever_is_asked_by_failover_asks_nobody_else() {
    let (server, _, far) = world().await;
    let query = json!({"Name": "geo", "Service": {"Service": "none", "Failover": {"Datacenters": ["dc1"]}}});
    far.send(Method::POST, "/v1/query", &query.to_string()).await;
    let answer = server.get("/v1/query/geo/execute?dc=dc2").await.json();
    assert_eq!((&answer["Nodes"], &answer["Failovers"]), (&json!([]), &json!(0)));
    assert!(far.backend.fetches().is_empty());
}

#[tokio::test]
async fn addresses_of_others_are_translated_where_that_is_wanted() {
    let (_, _, far) = world().await;
    let body = json!({"Node": "n", "Address": "10.0.0.1", "TaggedAddresses": {"wan": "198.51.100.1"},
        "Service": {"Service": "web", "Port": 80}});
    for translates_wan in [false, true] {
        let server = TestServer::with(|settings| settings.access.translates_wan = translates_wan).await;
        server.backend.far().open(far.context.clone(), far.tasks.stopping());
        for asked in [&server, &far] {
            asked.send(Method::PUT, "/v1/catalog/register", &body.to_string()).await;
        }
        let expected = if translates_wan { "198.51.100.1" } else { "10.0.0.1" };
        let address = |reply: Reply| reply.json()[0]["Node"]["Address"].clone();
        assert_eq!(address(server.get("/v1/health/service/web?dc=dc2").await), expected);
        assert_eq!(address(server.get("/v1/health/service/web").await), "10.0.0.1");
        assert_eq!(server.get("/v1/catalog/node/n?dc=dc2").await.json()["Node"]["Address"], expected);
    }
}

#[tokio::test]
async fn datacenters_are_told_by_a_server() {
    let (server, sidecar, _) = world().await;
    for asked in [&server, &sidecar] {
        assert_eq!(asked.get("/v1/catalog/datacenters").await.json(), json!(["dc1"]));
    }
    let alone = TestServer::with(|settings| settings.identity.server_address = None).await;
    assert_eq!(alone.get("/v1/catalog/datacenters").await.json(), json!(["dc1"]));
}
