//! Events and coordinates over the interface.

use serde_json::json;

use super::*;
use crate::model::{Coordinate, NodeCoordinate};

#[tokio::test]
async fn an_event_is_listed_where_its_filters_match_and_wakes_who_waits() {
    let server = TestServer::start_with_agent().await;
    let service = r#"{"Name": "web", "Tags": ["v1", "blue"]}"#;
    assert_eq!(server.send(Method::PUT, "/v1/agent/service/register", service).await.status, 200);
    let empty = server.get("/v1/event/list?name=deploy").await;
    assert_eq!((empty.index(), empty.json()), (1, Value::Array(vec![])));
    let (waiting, ()) = tokio::join!(server.get("/v1/event/list?name=deploy&index=1"), async {
        for (query, payload) in
            [("node=^other$", "1"), ("service=api", "2"), ("service=^web$&tag=v2", "3"), ("service=we&tag=v[12]", "4")]
        {
            let reply = server.send(Method::PUT, &format!("/v1/event/fire/deploy?{query}"), payload).await;
            assert_eq!((reply.status.as_u16(), &reply.json()["LTime"]), (200, &0.into()), "{query}");
        }
    });
    let listed = waiting.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!((&listed[0]["Payload"], &listed[0]["LTime"]), (&"NA==".into(), &4.into()));
    let held = server.get(&format!("/v1/event/list?name=deploy&wait=10ms&index={}", waiting.index())).await;
    assert_eq!(held.json(), listed);
    assert_eq!(server.get("/v1/event/list?name=other").await.json(), Value::Array(vec![]));
}

#[tokio::test]
async fn an_event_that_cannot_be_sent_is_refused() {
    let server = TestServer::start().await;
    for (path, body, reason) in [
        ("/v1/event/fire/", String::new(), "Missing name"),
        ("/v1/event/fire/a?tag=x", String::new(), "Cannot provide tag filter without service filter"),
        ("/v1/event/fire/a?node=(", String::new(), "Invalid node filter"),
        ("/v1/event/fire/a", "x".repeat(512), "exceeds the limit of 512"),
        ("/v1/event/fire/a?dc=dc2", String::new(), "No path to datacenter"),
    ] {
        let reply = server.send(Method::PUT, path, &body).await;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(reply.status.as_u16() >= 400 && text.contains(reason), "{path}: {text}");
    }
}

#[tokio::test]
async fn lists_are_sorted_by_the_round_trip() {
    let server = TestServer::start().await;
    for (service, port) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        server.register(service, port);
    }
    let place = |node: &str, milliseconds: f64| {
        let mut coordinate = Coordinate::default();
        coordinate.position[0] = milliseconds / 1000.0;
        NodeCoordinate { node: node.into(), coordinate }
    };
    let places = vec![place("on-a", 30.0), place("on-b", 10.0), place("on-d", 20.0)];
    server.backend.apply(&Command::UpdateCoordinates(places));
    let names = |reply: Reply| {
        let rows = reply.json();
        rows.as_array().unwrap().iter().map(|row| row["Node"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    for (near, sorted) in [
        ("on-b", ["on-b", "on-d", "on-a", "on-c"]),
        ("ON-A", ["on-a", "on-d", "on-b", "on-c"]),
        ("on-c", ["on-a", "on-b", "on-c", "on-d"]),
        ("_agent", ["on-a", "on-b", "on-c", "on-d"]),
    ] {
        assert_eq!(names(server.get(&format!("/v1/catalog/nodes?near={near}")).await), sorted, "{near}");
    }
    let body = r#"{"Node": "on-c", "Coord": {"Vec": [0.009, 0, 0, 0, 0, 0, 0, 0], "Height": 0.00001, "Error": 1}}"#;
    let before = server.get("/v1/coordinate/nodes").await;
    assert_eq!(server.send(Method::PUT, "/v1/coordinate/update", body).await.status, 200);
    let after = server.get(&format!("/v1/coordinate/nodes?index={}", before.index())).await;
    assert_eq!(names(after), ["on-a", "on-b", "on-c", "on-d"]);
    assert_eq!(names(server.get("/v1/catalog/nodes?near=on-b").await), ["on-b", "on-c", "on-d", "on-a"]);
    let one = server.get("/v1/coordinate/node/on-c").await.json();
    assert_eq!((&one[0]["Coord"]["Vec"][0], &one[0]["Coord"]["Vec"][1]), (&0.009.into(), &0.into()));
}

#[tokio::test]
async fn usage_counts_what_is_registered() {
    let server = TestServer::start().await;
    server.register("web", 80);
    let reply = server.get("/v1/operator/usage").await;
    let body = reply.json();
    let usage = &body["Usage"]["dc1"];
    let nodes = server.get("/v1/catalog/nodes").await.json().as_array().unwrap().len();
    let services = server.get("/v1/catalog/services").await.json().as_object().unwrap().len();
    assert_eq!((&usage["Nodes"], &usage["Services"]), (&json!(nodes), &json!(services)), "{body}");
    assert_eq!(usage["BillableServiceInstances"], json!(1), "{body}");
    assert_eq!(usage["ConnectServiceInstances"]["mesh-gateway"], json!(0));
    assert_eq!((&body["Index"], &body["ConsistencyLevel"]), (&json!(reply.index()), &json!("leader")));
    let next = format!("/v1/operator/usage?index={}", reply.index());
    let (later, ()) = tokio::join!(server.get(&next), async { server.register("db", 81) });
    assert_eq!(later.json()["Usage"]["dc1"]["BillableServiceInstances"], json!(2));
}

#[tokio::test]
async fn autopilot_is_changed_only_over_the_index_that_was_seen() {
    let server = TestServer::start().await;
    server.register_itself();
    let path = "/v1/operator/autopilot/configuration";
    let seen = server.get(path).await.json()["ModifyIndex"].as_u64().unwrap();
    let body = r#"{"LastContactThreshold": "1s", "MaxTrailingLogs": 9}"#;
    for (query, status, done) in [
        ("?cas=7".to_string(), 200, false),
        (format!("?cas={seen}"), 200, true),
        (format!("?cas={seen}"), 200, false),
        (String::new(), 200, true),
    ] {
        let reply = server.send(Method::PUT, &format!("{path}{query}"), body).await;
        assert_eq!((reply.status.as_u16(), reply.json()), (status, done.into()), "{query}");
    }
    assert_eq!(server.send(Method::PUT, &format!("{path}?cas=x"), body).await.status, 400);
    assert_eq!(server.get(path).await.json()["LastContactThreshold"], "1s");
}
