//! Version, host, metrics, the log, and what the configuration lets callers do.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use tracing_subscriber::layer::SubscriberExt;

use super::*;

#[tokio::test]
async fn version_and_host() {
    let server = TestServer::start().await;
    let version = server.get("/v1/agent/version").await.json();
    assert_eq!((&version["HumanVersion"], &version["LictorVersion"]), (&json!("1.10.12"), &json!("0.1.0")));
    let host = server.get("/v1/agent/host").await.json();
    assert!(host["Memory"]["total"].as_u64() > Some(0) && host["Disk"]["total"].as_u64() > Some(0), "{host}");
    assert!(!host["CPU"].as_array().unwrap().is_empty());
    assert_eq!(
        (&host["Host"]["os"], &host["Errors"], &host["Disk"]["path"]),
        (&json!("linux"), &json!(null), &json!("/"))
    );
}

#[tokio::test]
async fn a_disk_that_is_not_there_is_an_error_among_the_rest() {
    let server = TestServer::with(|settings| settings.data_dir = Some("/nothing/here".into())).await;
    let host = server.get("/v1/agent/host").await.json();
    assert!(host["Errors"][0].as_str().unwrap().contains("/nothing/here"), "{host}");
    assert!(host["Memory"]["total"].as_u64() > Some(0));
}

#[tokio::test]
async fn tokens_are_for_nothing_without_access_control() {
    let server = TestServer::start().await;
    let reply = server.send(Method::PUT, "/v1/agent/token/default", r#"{"Token": "x"}"#).await;
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (401, &b"ACL support disabled"[..]));
}

#[tokio::test]
async fn metrics_in_both_forms() {
    let server = TestServer::start().await;
    server.register("web", 80);
    server.get("/v1/catalog/service/web").await;
    server.get("/v1/nothing").await;
    let reply = server.get("/v1/agent/metrics?format=prometheus").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    for line in [
        "# TYPE lictor_http_requests_total counter",
        "lictor_gossip_members{status=\"alive\"} 1",
        "lictor_view_rows{kind=\"instances\"} 1",
        "lictor_build_info{version=\"0.1.0\",role=\"server\"} 1",
        "# TYPE lictor_dns_answer_seconds histogram",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
    let counted = |start: &str| text.lines().any(|line| line.starts_with(start));
    assert!(counted("lictor_http_requests_total{method=\"GET\",path=\"/v1/catalog/service/*\",status=\"2xx\"} "));
    assert!(counted("lictor_http_requests_total{method=\"\",path=\"\",status=\"4xx\"} "), "{text}");
    let json = server.get("/v1/agent/metrics").await.json();
    assert!(json["Timestamp"].as_str().unwrap().ends_with(" +0000 UTC"), "{json}");
    let named = |kind: &str, name: &str| json[kind].as_array().unwrap().iter().any(|row| row["Name"] == name);
    assert!(named("Gauges", "lictor_view_index") && named("Counters", "lictor_http_requests_total"), "{json}");
    assert_eq!(json["Points"], json!([]));
}

#[tokio::test]
async fn metrics_as_a_stream_end_with_the_node() {
    let server = TestServer::start().await;
    let mut stream = Stream::open(&server, "/v1/agent/metrics/stream").await;
    let mut first = Vec::new();
    while first.last() != Some(&b'\n') {
        first.extend_from_slice(&stream.piece().await.expect("the first object is cut off"));
    }
    let first: Value = serde_json::from_slice(&first).unwrap();
    assert!(first["Gauges"].is_array());
    server.tasks.stopping().cancel();
    assert_eq!(stream.piece().await, None);
}

#[tokio::test]
async fn the_log_can_be_watched() {
    let server = TestServer::start().await;
    let _logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(server.monitor.layer()));
    let mut text = Stream::open(&server, "/v1/agent/monitor?loglevel=WARN").await;
    let mut json = Stream::open(&server, "/v1/agent/monitor?loglevel=debug&logjson").await;
    tracing::debug!("fine");
    tracing::warn!(reason = "why", "coarse");
    let line = String::from_utf8(text.piece().await.unwrap().to_vec()).unwrap();
    assert!(line.ends_with("coarse: reason=why\n"), "{line}");
    loop {
        // Requests are logged at debug, too.
        let line: Value = serde_json::from_slice(&json.piece().await.unwrap()).unwrap();
        if line["@message"] == "coarse" {
            assert_eq!((&line["@level"], &line["reason"]), (&json!("warn"), &json!("why")));
            break;
        }
    }
    let reply = server.get("/v1/agent/monitor?loglevel=loud").await;
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (400, &b"Unknown log level: loud"[..]));
    server.tasks.stopping().cancel();
    assert_eq!(text.piece().await, None);
}

#[tokio::test]
async fn the_configuration_says_who_may_do_what() {
    let server = TestServer::with(|settings| {
        settings.access = Access {
            blocked: vec!["/v1/agent/m".into()],
            write_from: vec!["10.0.0.0/8".parse().unwrap()],
            response_headers: vec![
                ("access-control-allow-origin".parse().unwrap(), "*".parse().unwrap()),
                ("content-type".parse().unwrap(), "text/odd".parse().unwrap()),
            ],
            ..Access::default()
        };
    })
    .await;
    for (method, path, status) in [
        (Method::GET, "/v1/status/leader", 200),
        (Method::GET, "/v1/agent/metrics", 403),
        (Method::OPTIONS, "/v1/agent/members", 403),
        (Method::PUT, "/v1/agent/service/register", 403),
        (Method::GET, "/v1/nothing", 404),
    ] {
        let reply = server.send(method, path, "{}").await;
        assert_eq!(reply.status.as_u16(), status, "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{path}");
    }
    assert_eq!(server.get("/v1/status/leader").await.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_socket_in_the_file_system() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("http.sock");
    let ownership = Ownership { mode: Some(0o640), ..Ownership::default() };
    let server = TestServer::start().await;
    let socket = bind_path(&path, ownership).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(matches!(bind_path(&path, ownership), Err(BindError::PathInUse(_))));
    server.tasks.spawn("unix", serve(server.context.clone(), socket, server.tasks.clone()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\"127.0.0.1:8300\""), "{answer}");
    assert!(server.tasks.shutdown(PATIENCE).await);
    assert!(!path.exists(), "the socket is left behind");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(bind_path(&path, Ownership::default()).expect("what nobody listens on is replaced"));
    std::fs::write(&path, "data").unwrap();
    assert!(matches!(bind_path(&path, Ownership::default()), Err(BindError::NoSocket(_))));
}
