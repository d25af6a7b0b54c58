//! Prepared queries over real connections: their life, who is asked from where, and what holds without a leader.

use serde_json::json;

use super::*;
use crate::model::{Coordinate, NodeCoordinate};

/// Instances of `db` on nodes at 10.0.0.1 to 10.0.0.4, in a row, the third warning and the fourth critical.
async fn server() -> TestServer {
    let server = TestServer::start().await;
    let statuses = [Status::Passing, Status::Passing, Status::Warning, Status::Critical];
    for (number, status) in (1..).zip(statuses) {
        let name = format!("n{number}");
        let node = Node { name: name.as_str().into(), address: format!("10.0.0.{number}").into(), ..Node::default() };
        let service = Service { id: "db".into(), name: "db".into(), ..Service::default() };
        let check = Check { id: "c".into(), service_id: "db".into(), status, ..Check::default() };
        let registration = Registration { node, service: Some(service), checks: vec![check], skip_node_update: false };
        server.backend.apply(&Command::Register(Box::new(registration)));
        let mut coordinate = Coordinate::default();
        coordinate.position[0] = f64::from(number);
        let update = NodeCoordinate { node: name.as_str().into(), coordinate };
        server.backend.apply(&Command::UpdateCoordinates(vec![update]));
    }
    server
}

async fn create(server: &TestServer, body: &Value) -> String {
    let reply = server.send(Method::POST, "/v1/query", &body.to_string()).await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
    reply.json()["ID"].as_str().unwrap().to_string()
}

fn nodes(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
    let nodes = reply.json()["Nodes"].as_array().unwrap().clone();
    nodes.iter().map(|row| row["Node"]["Node"].as_str().unwrap().to_string()).collect()
}

#[tokio::test]
async fn the_life_of_a_query() {
    let server = server().await;
    let id = create(&server, &json!({"Name": "q", "Token": "s3cret", "Service": {"Service": "db"}})).await;
    let path = format!("/v1/query/{id}");
    let row = server.get(&path).await.json();
    assert_eq!((&row[0]["Name"], &row[0]["Token"]), (&json!("q"), &json!("<hidden>")));
    assert_eq!(server.get("/v1/query").await.json(), row);
    let update = |body: Value| {
        let (server, path) = (&server, &path);
        async move { server.send(Method::PUT, path, &body.to_string()).await }
    };
    let updated =
        update(json!({"ID": "ignored", "Name": "r", "Service": {"Service": "db", "OnlyPassing": true}})).await;
    assert_eq!((updated.status, updated.body.len()), (StatusCode::OK, 0));
    assert_eq!(server.get("/v1/query/q/execute").await.status, StatusCode::NOT_FOUND);
    for name in ["r", "R", &id] {
        assert_eq!(nodes(&server.get(&format!("/v1/query/{name}/execute?near=n1")).await), ["n1", "n2"], "{name}");
        let explained = server.get(&format!("/v1/query/{name}/explain")).await.json();
        assert_eq!(explained["Query"], server.get(&path).await.json()[0]);
    }
    assert_eq!(server.send(Method::DELETE, &path, "").await.status, StatusCode::OK);
    for (method, path, body, status, sentence) in [
        (Method::GET, path.as_str(), "", 404, "Query not found"),
        (Method::GET, "/v1/query/r/execute", "", 404, "Query not found"),
        (Method::GET, "/v1/query/r/explain", "", 404, "Query not found"),
        (Method::DELETE, &path, "", 500, "Cannot modify non-existent prepared query"),
        (Method::PUT, &path, r#"{"Name": "x", "Service": {"Service": "x"}}"#, 500, "Cannot modify non-existent"),
        (Method::PUT, "/v1/query/x", r#"{"Name": "x", "Service": {"Service": "x"}}"#, 500, "UUID must be 36"),
        (Method::GET, "/v1/query/", "", 500, "UUID must be 36"),
        (
            Method::POST,
            "/v1/query",
            r#"{"ID": "x", "Name": "x", "Service": {"Service": "x"}}"#,
            500,
            "ID must be empty",
        ),
        (Method::POST, "/v1/query", r#"{"Service": 1}"#, 400, "Request decode failed"),
        (
            Method::POST,
            "/v1/query?dc=dc2",
            r#"{"Name": "x", "Service": {"Service": "x"}}"#,
            500,
            "No path to datacenter",
        ),
        (Method::GET, "/v1/query/x/execute?dc=dc2", "", 500, "No path to datacenter"),
        (Method::POST, "/v1/query/x", "", 405, "method POST not allowed"),
    ] {
        let reply = server.send(method.clone(), path, body).await;
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(reply.status.as_u16() == status && said.contains(sentence), "{method} {path}: {} {said}", reply.status);
    }
    assert_eq!(server.get("/v1/query").await.json(), json!([]));
}

#[tokio::test]
async fn who_asks_from_where_shapes_the_answer() {
    let server = server().await;
    create(&server, &json!({"Name": "q", "Service": {"Service": "db"}})).await;
    create(&server, &json!({"Name": "near", "Service": {"Service": "db", "Near": "_ip"}})).await;
    create(
        &server,
        &json!({"Name": "t-", "Template": {"Type": "name_prefix_match"}, "Service": {"Service": "${name.suffix}"}}),
    )
    .await;
    let from = |ip: &'static str| [("X-Forwarded-For", ip)];
    for (path, headers, expected) in [
        ("q/execute?near=n3", &[][..], &["n3", "n2", "n1"][..]),
        ("q/execute?near=n3&passing", &[], &["n2", "n1"]),
        ("q/execute?near=n3&passing=false&limit=2", &[], &["n3", "n2"]),
        ("q/execute?near=_ip", &from("10.0.0.3, 10.0.0.1"), &["n3", "n2", "n1"]),
        ("near/execute?limit=-1", &from("10.0.0.1"), &["n1", "n2", "n3"]),
        ("near/execute?near=n3", &from("10.0.0.1"), &["n3", "n2", "n1"]),
        ("t-db/execute?near=n1&limit=1", &[], &["n1"]),
        ("t-nothing/execute", &[], &[]),
        ("q/execute?connect", &[], &[]),
    ] {
        let reply = server.send_with(Method::GET, &format!("/v1/query/{path}"), "", headers).await;
        assert_eq!(nodes(&reply), expected, "{path}");
    }
    for bad in ["limit=x", "passing=x", "near=n1&index=x", "stale&consistent"] {
        let reply = server.get(&format!("/v1/query/q/execute?{bad}")).await;
        assert!(!reply.status.is_success(), "{bad}");
    }
    let template = server.get("/v1/query").await.json();
    let template = template.as_array().unwrap().iter().find(|row| row["Name"] == "t-").unwrap()["ID"].clone();
    let reply = server.get(&format!("/v1/query/{}/execute", template.as_str().unwrap())).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_blocked_read_wakes_for_its_query_alone() {
    let server = server().await;
    let body = |service: &str| json!({"Name": service, "Service": {"Service": service}});
    let (own, other) = (create(&server, &body("own")).await, create(&server, &body("other")).await);
    let put = |id: String, ttl: &'static str| {
        let body = json!({"Name": format!("of {id}"), "Service": {"Service": "x"}, "DNS": {"TTL": ttl}}).to_string();
        let server = &server;
        async move { server.send(Method::PUT, &format!("/v1/query/{id}"), &body).await }
    };
    let path = format!("/v1/query/{own}");
    let index = server.get(&path).await.index();
    let waiting_path = format!("{path}?index={index}&wait=10m");
    let waiting = server.get(&waiting_path);
    let list_path = format!("/v1/query?index={}&wait=10m", server.get("/v1/query").await.index());
    let list = server.get(&list_path);
    tokio::pin!(waiting, list);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut list).await.is_err());
    assert_eq!(put(other, "1s").await.status, StatusCode::OK);
    assert_eq!(list.await.json().as_array().unwrap().len(), 2);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    put(own.clone(), "2s").await;
    let reply = waiting.await;
    assert_eq!(reply.json()[0]["DNS"]["TTL"], "2s");
    let waiting_path = format!("{path}?index={}&wait=10m", reply.index());
    let waiting = server.get(&waiting_path);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    server.send(Method::DELETE, &path, "").await;
    assert_eq!(waiting.await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_a_leader_queries_are_answered_and_not_written() {
    let server = server().await;
    create(&server, &json!({"Name": "q", "Service": {"Service": "db"}, "DNS": {"TTL": "3s"}})).await;
    let barriers = server.backend.barriers();
    let stale = server.get("/v1/query/q/execute?stale").await.json();
    assert_eq!((&stale["ConsistencyLevel"], server.backend.barriers()), (&json!("stale"), barriers));
    let consistent = server.get("/v1/query/q/explain?consistent").await.json();
    assert_eq!(consistent["ConsistencyLevel"], "consistent");
    server.backend.lose_leader(Duration::from_secs(7));
    for path in
        ["/v1/query/q/execute", "/v1/query/q/execute?stale", "/v1/query/q/execute?cached", "/v1/query/q/explain"]
    {
        let reply = server.get(path).await;
        let body = reply.json();
        assert_eq!(reply.header("x-consul-knownleader"), Some("false"), "{path}");
        assert_eq!((&body["KnownLeader"], &body["LastContact"]), (&json!(false), &json!(7_000_000_000_u64)), "{path}");
    }
    assert_eq!(server.get("/v1/query/q/execute?cached").await.header("x-cache"), Some("HIT"));
    assert_eq!(server.get("/v1/query").await.json().as_array().unwrap().len(), 1);
    assert_eq!(server.get("/v1/query/q/execute?consistent").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"Name": "r", "Service": {"Service": "db"}}).to_string();
    assert_eq!(server.send(Method::POST, "/v1/query", &body).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}
