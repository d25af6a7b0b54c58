//! Every kind of check against real listeners and processes on this machine, in real time.

use std::{
    path::Path,
    sync::atomic::{AtomicU8, Ordering},
};

use bytes::{BufMut, BytesMut};
use rustls::{RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::model::CheckDefinition;

/// An agent that runs commands, and trusts these certificates.
struct Host {
    registry: Arc<Registry>,
    agent: Agent,
    tasks: Tasks,
}

impl Host {
    async fn start(scripts: ScriptChecks, roots: RootCertStore) -> Self {
        let registry = Registry::new();
        let settings = AgentSettings { script_checks: scripts, ..settings(false) };
        let outbound = Outbound::trusting(roots);
        let agent =
            Agent::with_outbound(settings, registry.reader.clone(), registry.clone(), open_to_all(&registry), outbound);
        let tasks = Tasks::new();
        agent.start(&tasks);
        agent.adopted().await;
        Self { registry, agent, tasks }
    }

    /// Registers the check `c` with these fields.
    async fn check(&self, fields: Value) {
        let mut body = json!({"Name": "c", "Interval": "20ms"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.agent.register_check(check(&body), &Credential::none()).await.unwrap();
    }

    /// Waits until the check has that status; gives its output.
    async fn turns(&self, wanted: Status) -> String {
        self.registry.shows(wanted.as_str(), |state| status(state, "c") == Some(wanted)).await;
        self.agent.checks()[0].output.to_string()
    }
}

/// Waits until something is so, for ten seconds at most.
async fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_script_is_judged_by_its_exit_code() {
    let host = Host::start(ScriptChecks::Everywhere, RootCertStore::empty()).await;
    let directory = tempfile::tempdir().unwrap();
    let code = directory.path().join("code");
    std::fs::write(&code, "0").unwrap();
    let script = format!("echo out; echo err >&2; exit $(cat {})", code.display());
    host.check(json!({"Args": ["sh", "-c", script], "Status": "critical"})).await;
    assert_eq!(host.turns(Status::Passing).await, "out\nerr\n");
    std::fs::write(&code, "1").unwrap();
    assert_eq!(host.turns(Status::Warning).await, "out\nerr\n");
    std::fs::write(&code, "2").unwrap();
    host.turns(Status::Critical).await;
    host.check(json!({"Args": ["sh", "-c", "kill -9 $$"], "Status": "passing"})).await;
    assert!(host.turns(Status::Critical).await.contains("signal: 9"));
    host.check(json!({"Args": ["/nonexistent/check"], "Status": "passing"})).await;
    assert!(host.turns(Status::Critical).await.starts_with("/nonexistent/check: "));
    let endless = "head -c 1000000 /dev/zero | tr '\\0' x; echo end";
    host.check(json!({"Args": ["sh", "-c", endless], "Status": "critical", "OutputMaxSize": 10})).await;
    assert_eq!(host.turns(Status::Passing).await, "xxxxxxend\n");
}

/// Whether a process is there and not only waiting to be collected.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn a_script_that_is_given_up_takes_its_family_with_it() {
    for (timeout, ends) in [("200ms", "by its time-out"), ("1h", "by deregistration"), ("1h", "by shutdown")] {
        let host = Host::start(ScriptChecks::Everywhere, RootCertStore::empty()).await;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", path.display());
        let body = json!({"Args": ["sh", "-c", script], "Timeout": timeout, "Status": "passing"});
        host.check(body).await;
        until("it runs", || read(&path).ends_with('\n')).await;
        let grandchild = read(&path);
        match ends {
            "by its time-out" => assert_eq!(host.turns(Status::Critical).await, "sh: no answer within 200ms"),
            "by deregistration" => host.agent.deregister_check(&"c".into()).await.unwrap(),
            _ => assert!(host.tasks.shutdown(Duration::from_secs(5)).await),
        }
        until(ends, || !lives(&grandchild)).await;
        host.tasks.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn commands_are_refused_unless_they_are_allowed() {
    let script = check(&json!({"Name": "c", "Args": ["true"], "Interval": "1h"}));
    let docker = check(&json!({"Name": "c", "Args": ["true"], "DockerContainerID": "x", "Interval": "1h"}));
    for (scripts, by_http, from_files) in [
        (ScriptChecks::Off, false, false),
        (ScriptChecks::FromFiles, false, true),
        (ScriptChecks::Everywhere, true, true),
    ] {
        let host = Host::start(scripts, RootCertStore::empty()).await;
        for command in [&script, &docker] {
            let registered = host.agent.register_check(command.clone(), &Credential::none()).await;
            assert_eq!(registered.is_ok(), by_http, "{scripts:?}");
            let loaded = host.agent.load_files(&[], std::slice::from_ref(command));
            assert_eq!(loaded.is_ok(), from_files, "{scripts:?}");
            if let Err(refusal) = loaded {
                assert!(refusal.to_string().contains("enable_script_checks"), "{refusal}");
            }
        }
    }
}

#[tokio::test]
async fn commands_in_the_registry_are_not_run_unless_any_are() {
    for (scripts, runs) in
        [(ScriptChecks::Off, false), (ScriptChecks::FromFiles, false), (ScriptChecks::Everywhere, true)]
    {
        let registry = Registry::new();
        let definition = CheckDefinition {
            script_args: vec!["true".into()],
            interval: Duration::from_millis(20),
            ..Default::default()
        };
        let planted = Check {
            id: "c".into(),
            kind: "script".into(),
            origin: Origin::Agent,
            runs: Some(Box::new(definition)),
            ..Check::default()
        };
        registry.apply(&foreign(None, vec![planted]));
        let settings = AgentSettings { script_checks: scripts, ..settings(false) };
        let agent = Agent::new(settings, registry.reader.clone(), registry.clone(), open_to_all(&registry));
        agent.start(&Tasks::new());
        agent.adopted().await;
        let has_runner = agent.inner.local().checks[&Key::new("c")].runner.is_some();
        assert_eq!(has_runner, runs, "{scripts:?}");
        let wanted = if runs { Status::Passing } else { Status::Critical };
        registry.shows("judged", |state| status(state, "c") == Some(wanted)).await;
    }
}

#[tokio::test]
async fn a_udp_check_fails_only_when_nobody_listens() {
    let host = Host::start(ScriptChecks::Off, RootCertStore::empty()).await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    host.check(json!({"UDP": address, "Timeout": "50ms"})).await;
    assert_eq!(host.turns(Status::Passing).await, format!("UDP connect {address}: Success"));
    drop(silent);
    assert!(host.turns(Status::Critical).await.starts_with(&format!("dial udp {address}: ")));
    let answering = UdpSocket::bind(&address).await.unwrap();
    let answer = tokio::spawn(async move {
        let mut datagram = [0; 64];
        while let Ok((_, from)) = answering.recv_from(&mut datagram).await {
            let _ = answering.send_to(b"yes", from).await;
        }
    });
    host.check(json!({"UDP": address, "Timeout": "10s"})).await;
    host.turns(Status::Passing).await;
    answer.abort();
}

/// A certificate for `check.test` and who trusts it.
fn certified(protocol: &[u8]) -> (TlsAcceptor, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(vec!["check.test".to_string()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    (TlsAcceptor::from(Arc::new(config)), roots)
}

#[tokio::test]
async fn an_https_check_verifies_unless_it_is_told_not_to() {
    let (acceptor, roots) = certified(b"http/1.1");
    let host = Host::start(ScriptChecks::Off, roots).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/health", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").await;
            let _ = stream.shutdown().await;
        }
    });
    host.check(json!({"HTTP": url, "TLSServerName": "check.test"})).await;
    assert_eq!(host.turns(Status::Passing).await, format!("HTTP GET {url}: 200 OK Output: fine"));
    host.check(json!({"HTTP": url, "TLSServerName": "other.test"})).await;
    let refused = host.turns(Status::Critical).await;
    assert!(refused.contains("TLS with other.test: invalid peer certificate"), "{refused}");
    host.check(json!({"HTTP": url, "TLSSkipVerify": true})).await;
    host.turns(Status::Passing).await;
}

/// What the gRPC server below says: a serving status, or this.
const FAILS: u8 = 255;

/// Serves HTTP/2 on one connection: pings, and a health service that says `says` of the service `web`.
async fn serve_h2(stream: impl AsyncRead + AsyncWrite + Unpin, says: Arc<AtomicU8>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let says = says.load(Ordering::SeqCst);
        tokio::spawn(async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let question = request.into_body().data().await.unwrap().unwrap();
            assert_eq!(&question[..], [&[0, 0, 0, 0, 5, 0x0a, 3][..], b"web"].concat());
            let response = ::http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let mut body = respond.send_response(response, false).unwrap();
            let mut trailers = ::http::HeaderMap::new();
            if says == FAILS {
                trailers.insert("grpc-status", "5".parse().unwrap());
                trailers.insert("grpc-message", "unknown service".parse().unwrap());
            } else {
                trailers.insert("grpc-status", "0".parse().unwrap());
                let mut answer = BytesMut::from(&[0, 0, 0, 0, 2, 8][..]);
                answer.put_u8(says);
                body.send_data(answer.freeze(), false).unwrap();
            }
            body.send_trailers(trailers).unwrap();
        });
    }
}

#[tokio::test]
async fn a_grpc_check_asks_the_health_service() {
    let (acceptor, roots) = certified(b"h2");
    let host = Host::start(ScriptChecks::Off, roots).await;
    for tls in [false, true] {
        let says = Arc::new(AtomicU8::new(1));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = format!("{}/web", listener.local_addr().unwrap());
        let (acceptor, server_says) = (acceptor.clone(), says.clone());
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if tls {
                    let Ok(stream) = acceptor.accept(stream).await else { continue };
                    tokio::spawn(serve_h2(stream, server_says.clone()));
                } else {
                    tokio::spawn(serve_h2(stream, server_says.clone()));
                }
            }
        });
        host.check(json!({"GRPC": target, "GRPCUseTLS": tls, "TLSServerName": "check.test"})).await;
        assert_eq!(host.turns(Status::Passing).await, format!("gRPC check {target}: success"));
        says.store(2, Ordering::SeqCst);
        assert_eq!(host.turns(Status::Critical).await, format!("gRPC check {target}: NOT_SERVING"));
        says.store(1, Ordering::SeqCst);
        host.turns(Status::Passing).await;
        says.store(FAILS, Ordering::SeqCst);
        let refused = host.turns(Status::Critical).await;
        assert_eq!(refused, format!("gRPC check {target}: rpc error: code 5: unknown service"));
        says.store(1, Ordering::SeqCst);
        host.turns(Status::Passing).await;
        server.abort();
        let _ = server.await;
        host.turns(Status::Critical).await;
    }
}

#[tokio::test]
async fn an_h2_ping_needs_a_peer_that_speaks_it() {
    let host = Host::start(ScriptChecks::Off, RootCertStore::empty()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let speaks = Arc::new(AtomicU8::new(1));
    let spoken = speaks.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if spoken.load(Ordering::SeqCst) == 1 {
                tokio::spawn(serve_h2(stream, spoken.clone()));
            } else {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        }
    });
    host.check(json!({"H2PING": target, "H2PingUseTLS": false})).await;
    assert_eq!(host.turns(Status::Passing).await, format!("HTTP2 ping {target}: Success"));
    speaks.store(0, Ordering::SeqCst);
    host.turns(Status::Critical).await;
}

#[tokio::test]
async fn an_alias_is_as_well_as_what_it_stands_for() {
    let host = Host::start(ScriptChecks::Off, RootCertStore::empty()).await;
    let put = |service: &str, id: &str, status| {
        let node = Node { name: "there".into(), address: "10.0.0.1".into(), ..Node::default() };
        let instance = Service { id: service.into(), name: service.into(), ..Service::default() };
        let service = (!service.is_empty()).then_some(instance);
        let service_id = service.as_ref().map(|service| service.id.clone()).unwrap_or_default();
        let check =
            Check { id: id.into(), name: id.into(), status, service_id, output: "out".into(), ..Check::default() };
        let registration = Registration { node, service, checks: vec![check], skip_node_update: false };
        host.registry.apply(&Command::Register(Box::new(registration)));
    };
    let alias = json!({"Name": "c", "AliasNode": "there", "AliasService": "db"});
    host.agent.register_check(check(&alias), &Credential::none()).await.unwrap();
    until("it has looked", || host.agent.checks()[0].output == "Node there could not be found").await;
    put("db", "db-alive", Status::Passing);
    assert_eq!(host.turns(Status::Passing).await, "All checks passing.");
    put("db", "db-alive", Status::Warning);
    assert_eq!(host.turns(Status::Warning).await, "Aliased check \"db-alive\" failing: out");
    put("other", "other-alive", Status::Critical);
    put("", "node-alive", Status::Critical);
    assert_eq!(host.turns(Status::Critical).await, "Aliased check \"node-alive\" failing: out");
    put("", "node-alive", Status::Passing);
    host.turns(Status::Warning).await;
    let gone = Deregistration::Service("there".into(), "db".into());
    host.registry.apply(&Command::Deregister(gone));
    assert_eq!(host.turns(Status::Critical).await, "Service db could not be found on node there");
    let node = json!({"Name": "c", "AliasNode": "there"});
    host.agent.register_check(check(&node), &Credential::none()).await.unwrap();
    assert_eq!(host.turns(Status::Passing).await, "All checks passing.");
}

#[tokio::test]
async fn an_alias_of_its_own_node_does_not_count_itself() {
    let host = Host::start(ScriptChecks::Off, RootCertStore::empty()).await;
    host.agent.register_service(service(&json!({"Name": "web"})), false, &Credential::none()).await.unwrap();
    let alias = json!({"Name": "c", "AliasService": "web", "ServiceID": "web"});
    host.agent.register_check(check(&alias), &Credential::none()).await.unwrap();
    assert_eq!(host.turns(Status::Passing).await, "No checks found.");
    let ttl = json!({"Name": "t", "ServiceID": "web", "TTL": "1h", "Status": "critical"});
    host.agent.register_check(check(&ttl), &Credential::none()).await.unwrap();
    host.turns(Status::Critical).await;
    host.agent.report(&"t".into(), Status::Passing, "").unwrap();
    host.turns(Status::Passing).await;
}
