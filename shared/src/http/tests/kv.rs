//! Keys, sessions and transactions over real connections; and a node that holds none of them.

use serde_json::json;

use super::*;

async fn put(server: &TestServer, path: &str, body: &str) -> Value {
    let reply = server.send(Method::PUT, path, body).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {:?}", reply.body);
    reply.json()
}

/// A server with a healthy node, so that sessions can be.
async fn server() -> TestServer {
    let server = TestServer::start().await;
    server.register_itself();
    server
}

/// A node that holds no keys, whose writes go to the servers' log and whose reads `server` answers.
async fn sidecar(server: &TestServer) -> TestServer {
    let sidecar = TestServer::with(|settings| settings.identity.server_address = None).await;
    sidecar.backend.server().open(server.context.clone(), server.tasks.stopping());
    sidecar
}

#[tokio::test]
async fn a_key_is_its_text_with_all_slashes() {
    let server = server().await;
    for path in ["/v1/kv/a//b/", "/v1/kv//x", "/v1/kv/a%2Fb%20c+d", "/v1/kv/%C3%A9"] {
        assert_eq!(put(&server, path, path).await, true);
        assert_eq!(server.get(&format!("{path}?raw")).await.body, path);
    }
    assert_eq!(server.get("/v1/kv/?keys").await.json(), json!(["/x", "a//b/", "a/b c+d", "é"]));
    assert_eq!(server.get("/v1/kv/a?keys&separator=/").await.json(), json!(["a/"]));
}

#[tokio::test]
async fn a_blocked_read_of_a_key_or_a_prefix_wakes_for_it_alone() {
    let server = server().await;
    put(&server, "/v1/kv/app/a", "1").await;
    for (path, own) in [
        ("/v1/kv/app/a?x", "/v1/kv/app/a"),
        ("/v1/kv/app/?recurse", "/v1/kv/app/new"),
        ("/v1/kv/app/?keys", "/v1/kv/app/newer"),
        ("/v1/kv/absent?x", "/v1/kv/absent"),
        ("/v1/kv/none/?recurse", "/v1/kv/none/x"),
    ] {
        let index = server.get(path).await.index();
        let waiting_path = format!("{path}&index={index}&wait=10m");
        let waiting = server.get(&waiting_path);
        tokio::pin!(waiting);
        put(&server, "/v1/kv/other", path).await;
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err(), "{path}: {early:?}");
        put(&server, own, path).await;
        let reply = waiting.await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        assert!(reply.index() > index, "{path}");
        let waiting_path = format!("{path}&index={}&wait=10m", reply.index());
        let waiting = server.get(&waiting_path);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
        server.send(Method::DELETE, own, "").await;
        assert!(waiting.await.index() > reply.index(), "{path}: a deletion is a change");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_a_sentence() {
    let server = server().await;
    let largest = "x".repeat(512 * 1024);
    assert_eq!(put(&server, "/v1/kv/large", &largest).await, true);
    let gets = vec![json!({"KV": {"Verb": "get-tree", "Key": "x"}}); 65];
    for (path, body) in [("/v1/kv/large", format!("{largest}x")), ("/v1/txn", Value::from(gets).to_string())] {
        let reply = server.send(Method::PUT, path, &body).await;
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(reply.body.len() > 20);
    }
}

#[tokio::test]
async fn keys_are_not_answered_from_a_state_that_nobody_vouches_for() {
    let server = server().await;
    put(&server, "/v1/kv/a", "1").await;
    server.backend.lose_leader(Duration::from_secs(1));
    for path in ["/v1/kv/a", "/v1/kv/a?consistent", "/v1/session/list"] {
        assert_eq!(server.get(path).await.body, "No cluster leader", "{path}");
    }
    assert_eq!(server.get("/v1/kv/a?stale").await.status, StatusCode::OK);
    assert_eq!(server.get("/v1/health/service/consul").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_node_without_keys_has_a_server_answer() {
    let server = server().await;
    let sidecar = sidecar(&server).await;
    put(&server, "/v1/kv/a", "1").await;
    let session = put(&server, "/v1/session/create", r#"{"TTL": "10s"}"#).await["ID"].as_str().unwrap().to_string();
    let transaction = r#"[{"KV": {"Verb": "get", "Key": "a"}}]"#;
    for (method, path, body) in [
        (Method::GET, "/v1/kv/a".to_string(), ""),
        (Method::GET, "/v1/kv/a?raw".into(), ""),
        (Method::GET, "/v1/kv/absent".into(), ""),
        (Method::GET, "/v1/kv/?keys&stale".into(), ""),
        (Method::GET, "/v1/session/list?pretty".into(), ""),
        (Method::GET, format!("/v1/session/info/{session}"), ""),
        (Method::PUT, format!("/v1/session/renew/{session}"), ""),
        (Method::PUT, "/v1/txn".into(), transaction),
    ] {
        let (here, there) =
            (sidecar.send(method.clone(), &path, body).await, server.send(method.clone(), &path, body).await);
        assert_eq!((here.status, &here.body), (there.status, &there.body), "{method} {path}");
        for name in ["content-type", "x-consul-index", "x-consul-knownleader", "x-consul-effective-consistency"] {
            assert_eq!(here.header(name), there.header(name), "{method} {path}: {name}");
        }
    }
    let index = sidecar.get("/v1/kv/a").await.index();
    let waiting_path = format!("/v1/kv/a?index={index}&wait=10m");
    let waiting = sidecar.get(&waiting_path);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    put(&server, "/v1/kv/a", "2").await;
    assert_eq!(waiting.await.json()[0]["Value"], "Mg==");
}

#[tokio::test]
async fn an_answer_that_comes_in_pieces_is_passed_on_whole() {
    let server = server().await;
    let sidecar = sidecar(&server).await;
    let value = "0123456789".repeat(20_000);
    put(&server, "/v1/kv/long", &value).await;
    assert_eq!(sidecar.get("/v1/kv/long?raw").await.body, value);
}

#[tokio::test]
async fn the_token_goes_along_to_the_server() {
    let server = server().await;
    let sidecar = sidecar(&server).await;
    for (headers, token) in [
        (&[][..], ""),
        (&[("x-consul-token", "t1")], "t1"),
        (&[("authorization", "Bearer t2")], "t2"),
        (&[("authorization", "bearer t3"), ("x-consul-token", "t4")], "t4"),
        (&[("authorization", "Basic eA==")], ""),
    ] {
        sidecar.send_with(Method::GET, "/v1/kv/a", "", headers).await;
        assert_eq!(sidecar.backend.fetches().pop().unwrap().token.expose(), token, "{headers:?}");
    }
}

#[tokio::test]
async fn without_a_server_a_node_that_holds_no_keys_says_so() {
    let sidecar = TestServer::with(|settings| settings.identity.server_address = None).await;
    let reply = sidecar.get("/v1/kv/a").await;
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (500, &b"No known Consul servers"[..]));
}

#[tokio::test]
async fn a_transaction_with_a_senseless_operation_writes_nothing() {
    let server = server().await;
    let body = json!([{"KV": {"Verb": "set", "Key": "a", "Value": "MQ=="}}, {"KV": {"Verb": "fly", "Key": "b"}}]);
    let reply = server.send(Method::PUT, "/v1/txn", &body.to_string()).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert_eq!(reply.json()["Errors"], json!([{"OpIndex": 1, "What": "unknown KV verb \"fly\""}]));
    assert_eq!(server.get("/v1/kv/a").await.status, StatusCode::NOT_FOUND);
    let body = json!([{"KV": {"Verb": "fly", "Key": "b"}}, {"KV": {"Verb": "get", "Key": "a"}}]);
    let errors = server.send(Method::PUT, "/v1/txn", &body.to_string()).await.json()["Errors"].clone();
    assert_eq!((errors[0]["OpIndex"].clone(), errors[1]["OpIndex"].clone()), (0.into(), 1.into()));
}
