//! Limits, broken callers, compression, and stopping.

use std::io::Read;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may hang up before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection stays open");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn garbage_does_not_disturb_others() {
    let server = TestServer::start().await;
    let kept = TcpStream::connect(server.address).await.unwrap();
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01"[..], b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
    {
        let answer = raw(server.address, garbage).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert_eq!(server.get("/v1/status/leader").await.json(), "127.0.0.1:8300");
    }
    drop(kept);
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    let server = TestServer::start().await;
    let head = format!("GET /v1/status/leader HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000));
    assert!(raw(server.address, head.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let body = " ".repeat(2 * 1024 * 1024);
    let reply = server.send(Method::PUT, "/v1/catalog/register", &body).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(&reply.body[..], b"Request body too large, max size is 1048576 bytes");
}

#[tokio::test]
async fn one_address_has_its_share_of_connections() {
    let limits = Limits { connections_per_client: 2, ..Limits::default() };
    let server = TestServer::with(|settings| settings.limits = limits).await;
    let request = b"GET /v1/status/peers HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        // Its answer shows that it is counted.
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        held.push(stream);
    }
    let refusal = raw(server.address, request).await;
    let (head, body) = refusal.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 429") && head.contains(&format!("Content-Length: {}", body.len())), "{refusal}");
    held.pop();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let closing = b"GET /v1/status/peers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    while !raw(server.address, closing).await.starts_with("HTTP/1.1 200") {
        assert!(tokio::time::Instant::now() < deadline, "the place was not given back");
    }
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let server = TestServer::start().await;
    for n in 0..20 {
        server.register(&format!("s{n}"), 80);
    }
    let plain = server.get("/v1/catalog/nodes").await;
    let small = server.send_with(Method::GET, "/v1/status/peers", "", &[("accept-encoding", "gzip")]).await;
    assert!(plain.header("content-encoding").is_none() && small.header("content-encoding").is_none());
    let packed = server.send_with(Method::GET, "/v1/catalog/nodes", "", &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
    let pretty = server.get("/v1/catalog/nodes?pretty").await;
    assert!(pretty.body.starts_with(b"[\n    {\n        \"ID\"") && pretty.json() == plain.json());
}

#[tokio::test]
async fn wrong_methods_and_paths() {
    let server = TestServer::start().await;
    let reply = server.send(Method::PUT, "/v1/status/leader", "").await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, Some("GET")));
    assert_eq!(&reply.body[..], b"method PUT not allowed");
    let reply = server.send(Method::OPTIONS, "/v1/catalog/register", "").await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (200, Some("OPTIONS,PUT")));
    for path in ["/", "/nothing", "/v1/nothing", "/v1/catalog"] {
        let reply = server.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (404, 0), "{path}");
    }
}

#[tokio::test]
async fn odd_requests_are_normal() {
    let server = TestServer::start().await;
    server.register("a/b", 80);
    for path in ["/v1/health/service/a%2Fb?", "/v1/health/service/a/b?index=0&wait=525s&token=&near=_agent"] {
        let reply = server.send_with(Method::GET, path, "", &[("x-consul-token", "")]).await;
        assert_eq!(reply.json().as_array().unwrap().len(), 1, "{path}");
    }
}

#[tokio::test]
async fn a_node_that_stops_answers_who_waits_and_frees_its_port() {
    let server = TestServer::start().await;
    server.register("a", 1);
    let waiting = server.get("/v1/health/service/a?index=10&wait=10m");
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut waiting).await.is_err());
    let idle = TcpStream::connect(server.address).await.unwrap();
    let (stopped, reply) = tokio::join!(server.tasks.shutdown(PATIENCE), waiting);
    assert!(stopped);
    assert_eq!(reply.status, StatusCode::OK);
    bind(server.address).await.unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = TestServer::start().await;
    let error = bind(server.address).await.unwrap_err().to_string();
    assert!(error.contains(&server.address.to_string()) && error.contains("in use"), "{error}");
}
