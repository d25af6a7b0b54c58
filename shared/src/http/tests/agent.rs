//! What the agent's endpoints do beyond the recorded conversations.

use serde_json::json;

use super::*;

async fn registered(server: &TestServer, body: &Value) {
    let reply = server.send(Method::PUT, "/v1/agent/service/register", &body.to_string()).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0), "{reply:?}");
}

#[tokio::test]
async fn itself() {
    let server = TestServer::start_with_agent().await;
    let this = server.get("/v1/agent/self").await.json();
    assert_eq!(this["Config"]["Datacenter"], "dc1");
    assert_eq!(this["Config"]["NodeName"], "node-a");
    assert_eq!(this["Config"]["Server"], true);
    assert_eq!((&this["Config"]["Version"], &this["Config"]["LictorVersion"]), (&json!("1.10.12"), &json!("0.1.0")));
    assert_eq!(this["Member"]["Name"], "node-a");
    assert_eq!(this["Stats"]["consul"]["leader"], "true");
    assert_eq!(this["DebugConfig"]["DiscoveryMaxStale"], "72h0m0s");
    assert_eq!(this["Meta"], json!({"consul-network-segment": ""}));
}

#[tokio::test]
async fn a_service_id_may_have_slashes_in_it() {
    let server = TestServer::start_with_agent().await;
    registered(&server, &json!({"Name": "web", "ID": "a/b", "Port": 80})).await;
    for path in ["/v1/agent/service/a%2Fb", "/v1/agent/service/a/b"] {
        assert_eq!(server.get(path).await.json()["ID"], "a/b", "{path}");
    }
    assert_eq!(server.get("/v1/catalog/service/web").await.json()[0]["ServiceID"], "a/b");
    let reply = server.send(Method::PUT, "/v1/agent/service/deregister/a%2Fb", "").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(server.get("/v1/agent/services").await.json(), json!({}));
    assert_eq!(server.get("/v1/catalog/service/web").await.json(), json!([]));
}

#[tokio::test]
async fn a_service_can_be_watched_by_its_hash() {
    let server = TestServer::start_with_agent().await;
    registered(&server, &json!({"Name": "web", "Port": 80})).await;
    let reply = server.get("/v1/agent/service/web").await;
    let hash = reply.json()["ContentHash"].as_str().unwrap().to_string();
    assert_eq!(reply.header("x-consul-contenthash"), Some(hash.as_str()));
    assert_eq!(server.get("/v1/agent/service/web?hash=other").await.json()["ContentHash"], hash);
    let same = server.get(&format!("/v1/agent/service/web?hash={hash}&wait=50ms")).await;
    assert_eq!(same.json()["ContentHash"], hash);
    let path = format!("/v1/agent/service/web?hash={hash}&wait=10m");
    let waiting = server.get(&path);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
    let moved = json!({"Name": "web", "Port": 81});
    let (reply, ()) = tokio::join!(waiting, registered(&server, &moved));
    assert_eq!(reply.json()["Port"], 81);
    assert_ne!(reply.json()["ContentHash"], hash);
}

#[tokio::test]
async fn bodies_that_make_no_sense_are_refused_with_a_sentence() {
    let server = TestServer::start_with_agent().await;
    for (path, body) in [
        ("agent/service/register", "null"),
        ("agent/service/register", ""),
        ("agent/service/register", "[]"),
        ("agent/service/register", r#"{"Name": "x", "Port": 70000}"#),
        ("agent/service/register", r#"{"Name": "x", "Port": "80"}"#),
        ("agent/service/register", r#"{"Name": "x", "Check": {"Args": ["true"], "Interval": "1s"}}"#),
        ("agent/check/register", "null"),
        ("agent/check/update/x", "null"),
        ("catalog/register", "null"),
        ("catalog/register", "[1]"),
        ("catalog/deregister", "null"),
    ] {
        let reply = server.send(Method::PUT, &format!("/v1/{path}"), body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path} {body}: {reply:?}");
        assert!(!reply.body.is_empty());
    }
    assert_eq!(server.get("/v1/agent/services").await.json(), json!({}));
}

#[tokio::test]
async fn members_join_by_address_or_name() {
    let server = TestServer::start_with_agent().await;
    let tasks = Tasks::new();
    let config = PoolConfig::new("node-b", "127.0.0.1:0".parse().unwrap());
    let other = Pool::start(config, &tasks).await.unwrap();
    let path = format!("/v1/agent/join/localhost:{}", other.local_address().port());
    assert_eq!(server.send(Method::PUT, &path, "").await.status, StatusCode::OK);
    let members = server.get("/v1/agent/members").await.json();
    let names: Vec<_> = members.as_array().unwrap().iter().map(|m| (m["Name"].clone(), m["Status"].clone())).collect();
    assert_eq!(names, [(json!("node-a"), json!(1)), (json!("node-b"), json!(1))]);
    for (path, sentence) in [
        ("/v1/agent/join/127.0.0.1:x", "is not a port"),
        ("/v1/agent/join/nobody.invalid", "Failed to resolve nobody.invalid"),
    ] {
        let reply = server.send(Method::PUT, path, "").await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(String::from_utf8_lossy(&reply.body).contains(sentence), "{reply:?}");
    }
    tasks.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn reload_and_leave_are_the_main_loops_matter() {
    let server = TestServer::start_with_agent().await;
    let answer_next = async |outcome: Result<(), String>| {
        let next = std::future::poll_fn(|task| server.requests.lock().unwrap().poll_recv(task)).await;
        let answer = match next.unwrap() {
            control::Request::Reload(answer) | control::Request::Leave(answer) => answer,
        };
        answer.send(outcome).unwrap();
    };
    let (reply, ()) = tokio::join!(server.send(Method::PUT, "/v1/agent/leave", ""), answer_next(Ok(())));
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    let wrong = Err("web.json: unknown key".to_string());
    let (reply, ()) = tokio::join!(server.send(Method::PUT, "/v1/agent/reload", ""), answer_next(wrong));
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (500, &b"web.json: unknown key"[..]));
}
