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

/// The sentence of an answer that must have that status.
fn sentence<'a>(answer: &'a str, status: &str) -> &'a str {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn heads_that_are_a_little_too_long_are_refused_with_a_sentence() {
    let server = TestServer::start().await;
    let with_headers = |bytes: usize| {
        let long = "x".repeat(bytes);
        format!("GET /v1/status/leader HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: {long}\r\n\r\n")
    };
    assert_eq!(sentence(&raw(server.address, with_headers(32_000).as_bytes()).await, "200"), "\"127.0.0.1:8300\"");
    let answer = raw(server.address, with_headers(33_000).as_bytes()).await;
    assert!(sentence(&answer, "431").contains("at most 32768 bytes, http_config.max_header_bytes"));
    let with_target =
        |bytes: usize| format!("GET /v1/kv/{}?raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "k".repeat(bytes));
    assert_eq!(sentence(&raw(server.address, with_target(16_000).as_bytes()).await, "404"), "");
    let answer = raw(server.address, with_target(17_000).as_bytes()).await;
    assert_eq!(sentence(&answer, "414"), "The request's path and query are too long (at most 16384 bytes)");
    let many = (0..200).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    let answer = raw(server.address, format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes()).await;
    sentence(&answer, "431");
}

#[tokio::test]
async fn a_body_that_is_announced_too_long_is_refused_before_it_comes_and_the_answer_arrives() {
    let server = TestServer::start().await;
    let head = "PUT /v1/catalog/register HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n";
    assert!(sentence(&raw(server.address, head.as_bytes()).await, "413").contains("max size is 1048576 bytes"));
    let mut flood = head.as_bytes().to_vec();
    flood.resize(4_000_000, b' ');
    let answer = raw(server.address, &flood).await;
    assert!(sentence(&answer, "413").contains("max size is 1048576 bytes"), "{answer}");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let rate = crate::limits::Rate::per_second(0.01, 3);
    let limits = Limits { rate_per_token: rate, ..Limits::default() };
    let server = TestServer::with(|settings| settings.limits = limits).await;
    let ask =
        async |token: &str| server.send_with(Method::GET, "/v1/status/leader", "", &[("x-consul-token", token)]).await;
    for _ in 0..3 {
        assert_eq!(ask("a").await.status, StatusCode::OK);
    }
    let refused = ask("a").await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("100")));
    assert_eq!(&refused.body[..], b"Too many requests (limits.http_rate_per_token); come again in 100 s");
    assert_eq!(server.get("/v1/status/leader?token=a").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ask("b").await.status, StatusCode::OK, "another token");
    for _ in 0..5 {
        assert_eq!(ask("").await.status, StatusCode::OK, "nobody in particular");
    }

    let limits = Limits { rate_per_client: rate, ..Limits::default() };
    let server = TestServer::with(|settings| settings.limits = limits).await;
    for _ in 0..3 {
        // An answer that is kept is counted too.
        assert_eq!(server.get("/v1/catalog/nodes?stale").await.status, StatusCode::OK);
    }
    let refused = server.get("/v1/catalog/nodes?stale").await;
    assert_eq!(&refused.body[..], b"Too many requests (limits.http_rate_per_client); come again in 100 s");
}

#[tokio::test]
async fn one_address_has_its_share_of_reads_that_wait() {
    let limits = Limits { watches_per_client: Some(1), ..Limits::default() };
    let server = TestServer::with(|settings| settings.limits = limits).await;
    server.register("a", 1);
    let first = server.get("/v1/health/service/a?index=1000&wait=10m");
    assert_eq!(first.await.status, StatusCode::OK, "an index of another life is answered at once");
    let index = server.get("/v1/health/service/a").await.index();
    let target = format!("/v1/health/service/a?index={index}&wait=10m");
    let waiting = server.get(&target);
    tokio::pin!(waiting);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let refused = loop {
        tokio::select! {
            reply = &mut waiting => panic!("it does not wait: {reply:?}"),
            reply = server.get("/v1/health/service/a?index=1&wait=1ms") => {
                if reply.status == StatusCode::TOO_MANY_REQUESTS {
                    break reply;
                }
            }
        }
        assert!(tokio::time::Instant::now() < deadline, "nothing is refused");
    };
    assert!(String::from_utf8_lossy(&refused.body).contains("limits.http_max_watches_per_client"));
    assert_eq!(server.get("/v1/health/service/a").await.status, StatusCode::OK, "other reads go on");
    server.register("a", 2);
    assert_eq!(waiting.await.status, StatusCode::OK);
}

#[tokio::test]
async fn all_connections_together_are_bounded() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = TestServer::with(|settings| settings.limits = limits).await;
    let request = b"GET /v1/status/peers HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut held = TcpStream::connect(server.address).await.unwrap();
    held.write_all(request).await.unwrap();
    assert!(held.read(&mut [0; 1024]).await.unwrap() > 0);
    let answer = raw(server.address, request).await;
    assert!(sentence(&answer, "503").contains("as many connections as it can take"));
    drop(held);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !server_answers(&server).await {
        assert!(tokio::time::Instant::now() < deadline, "the place was not given back");
    }
}

async fn server_answers(server: &TestServer) -> bool {
    let closing = b"GET /v1/status/peers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    raw(server.address, closing).await.starts_with("HTTP/1.1 200")
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
    for path in ["/nothing", "/ui/nothing", "/v1/nothing", "/v1/catalog"] {
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
