//! Access control in a real cluster with `deny` as the default policy: who belongs is served, who does not learns nothing,
//! and what is revoked counts no longer.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{fs, path::Path, thread, time::Duration};

use hickory_proto::{op::ResponseCode, rr::RecordType};
use lictor_proto::{
    client::{Client as RpcClient, PROTOCOL_VERSION},
    internal::WatchRequest,
    v1::{WatchServiceRequest, registry_client::RegistryClient},
};
use lictor_shared::{
    acl::Credential,
    backend::{Consistency, Fetch},
    command::{AccessCommand, Command, Deregistration},
    forward::AskError,
    model::{ANONYMOUS, AccessToken, Secret},
};
use lictor_tests::{agent::Agent, cluster::Cluster, dns::Transport, wait};
use serde_json::{Value, json};

const MANAGEMENT: &str = "7e1d1e4f-0000-4000-8000-000000000001";
const AGENTS: &str = "7e1d1e4f-0000-4000-8000-000000000002";
const WEB: &str = "7e1d1e4f-0000-4000-8000-000000000003";
const LOOKUPS: &str = "7e1d1e4f-0000-4000-8000-000000000004";
const SECRETS: [&str; 4] = [MANAGEMENT, AGENTS, WEB, LOOKUPS];
/// Longest time for what is waited for.
const LIMIT: Duration = Duration::from_secs(20);

/// Agents whose own token is [`AGENTS`] and that the test asks with the one that allows everything.
fn guarded(agent: Agent) -> Agent {
    let acl = format!(
        r#"acl {{ enabled = true default_policy = "deny" policy_ttl = "2s"
            tokens {{ initial_management = "{MANAGEMENT}" agent = "{AGENTS}" }} }}"#
    );
    agent
        .argument(format!("-hcl={acl}"))
        .argument("-encrypt=pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=")
        .shown(MANAGEMENT)
}

/// One server and its sidecars, with the tokens above.
fn cluster(sidecars: usize, configure: impl Fn(Agent) -> Agent) -> Cluster {
    let lictor = |agent: Agent| configure(guarded(agent));
    let mut cluster = Cluster::start_with(1, 0, lictor);
    let server = &cluster.servers[0];
    let agents = r#"node_prefix "" { policy = "write" } service_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }"#;
    token(server, AGENTS, agents);
    token(server, WEB, r#"service "web" { policy = "write" }"#);
    token(server, LOOKUPS, r#"service "web" { policy = "read" } node_prefix "" { policy = "read" }"#);
    let join = [server.address(server.ports.serf_lan)];
    for number in 1..=sidecars {
        let make = if number % 2 == 0 { Agent::slim_sidecar } else { Agent::sidecar };
        cluster.sidecars.push(lictor(make(&format!("sidecar-{number}")).joining_at(join)));
    }
    for sidecar in &mut cluster.sidecars {
        sidecar.start();
    }
    cluster.wait_until_complete();
    cluster
}

fn token(agent: &Agent, secret: &str, rules: &str) -> String {
    let name = secret.rsplit('-').next().unwrap();
    agent.http().put("/v1/acl/policy", &json!({"Name": name, "Rules": rules})).unwrap();
    let body = json!({"SecretID": secret, "Policies": [{"Name": name}]});
    let made: Value = serde_json::from_slice(&agent.http().put("/v1/acl/token", &body).unwrap().body).unwrap();
    made["AccessorID"].as_str().unwrap().to_owned()
}

fn status(agent: &Agent, path: &str, token: Option<&'static str>) -> Result<(u16, String), String> {
    let answer = agent.http().showing(token).get(path)?;
    Ok((answer.status, answer.text()))
}

fn register_web(agent: &Agent) {
    let web = json!({"Name": "web", "Port": 80, "Check": {"CheckID": "web", "TTL": "1h", "Status": "passing"}});
    agent.http().showing(Some(WEB)).put("/v1/agent/service/register", &web).unwrap();
}

#[test]
fn who_does_not_belong_learns_nothing() {
    let cluster = cluster(1, |agent| agent);
    register_web(&cluster.sidecars[0]);
    for agent in cluster.agents() {
        wait::until("web is there for those who may see it", LIMIT, || {
            let (code, text) = status(agent, "/v1/catalog/service/web?stale", Some(LOOKUPS))?;
            wait::ensure(code == 200 && text.contains("sidecar-1"), || format!("{code} {text}"))
        });
        learns_nothing_by_http(agent);
        learns_nothing_by_dns(agent);
    }
    let server = &cluster.servers[0];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(learns_nothing_by_rpc(&server.address(server.ports.server).to_string()));
    for agent in cluster.agents() {
        runtime.block_on(learns_nothing_by_grpc(agent));
        // Nothing that any of them wrote, and nothing that it shows of itself, has a secret in it.
        let shown = [agent.log(), metrics(agent), agent.http().json("/v1/agent/self").unwrap().to_string()];
        for secret in SECRETS {
            assert!(shown.iter().all(|text| !text.contains(secret)), "{}: {secret} is shown", agent.name);
        }
    }
    // Who joins the pool without its key is not heard.
    let mut stranger = Agent::sidecar("stranger").joining([&server.ports]);
    stranger.start();
    thread::sleep(Duration::from_secs(2));
    assert!(!stranger.http().json("/v1/agent/members").unwrap().to_string().contains("server-1"));
    assert!(!server.http().json("/v1/agent/members").unwrap().to_string().contains("stranger"));
}

fn metrics(agent: &Agent) -> String {
    agent.http().get("/v1/agent/metrics?format=prometheus").unwrap().text()
}

fn learns_nothing_by_http(agent: &Agent) {
    for (path, expected) in [
        ("/v1/catalog/nodes", Some("[]")),
        ("/v1/catalog/services", Some("{}")),
        ("/v1/catalog/service/web", Some("[]")),
        ("/v1/health/service/web?stale", Some("[]")),
        ("/v1/health/state/any", Some("[]")),
        ("/v1/agent/members", Some("[]")),
        ("/v1/agent/services", Some("{}")),
        ("/v1/session/list", Some("[]")),
        ("/v1/query", Some("[]")),
        ("/v1/event/list", Some("[]")),
        ("/v1/kv/?keys", Some("[]")),
        ("/v1/agent/self", None),
        ("/v1/agent/metrics", None),
        ("/v1/agent/version", None),
        ("/v1/kv/a", None),
        ("/v1/snapshot", None),
        ("/v1/acl/tokens", None),
        ("/v1/status/peers", None),
        ("/v1/catalog/datacenters", None),
        ("/v1/operator/raft/configuration", None),
    ] {
        let answer = agent.http().showing(None).get(path).unwrap();
        match expected {
            Some(body) => assert_eq!((answer.status, answer.text().as_str()), (200, body), "{} {path}", agent.name),
            None => assert_eq!(answer.status, 403, "{} {path}: {}", agent.name, answer.text()),
        }
        // Who has shown no token is not told either that something was left out.
        assert_eq!(answer.header("x-consul-results-filtered-by-acls"), None, "{} {path}", agent.name);
    }
    let answer = agent.http().showing(Some(WEB)).get("/v1/catalog/nodes").unwrap();
    assert_eq!(answer.header("x-consul-results-filtered-by-acls"), Some("true"), "{}", agent.name);
}

fn learns_nothing_by_dns(agent: &Agent) {
    for name in ["web.service.consul", "sidecar-1.node.consul", "consul.service.consul"] {
        let answer = agent.dns().ask(Transport::Udp, name, RecordType::A).unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
        assert!(answer.answers.is_empty() && answer.authorities.iter().all(|r| r.record_type() == RecordType::SOA));
    }
    let answer = agent.dns().ask(Transport::Udp, "consul", RecordType::NS).unwrap();
    assert!(answer.answers.is_empty(), "{answer}");
    let answer = agent.dns().ask(Transport::Udp, "consul", RecordType::SOA).unwrap();
    assert_eq!(answer.answers.len(), 1, "{answer}");
}

async fn learns_nothing_by_rpc(server: &str) {
    let stranger = RpcClient::new().of_node("stranger".into(), Credential::none);
    let request = WatchRequest {
        node: "stranger".into(),
        datacenter: "dc1".into(),
        protocol_version: PROTOCOL_VERSION,
        ..WatchRequest::default()
    };
    let nobody = Credential::none();
    // Not even what a server would do for the first who asks by HTTP.
    let token = AccessToken::new(ANONYMOUS, Secret::new(WEB));
    let bootstrap = Command::Access(AccessCommand::Bootstrap { token: Box::new(token), reset: None });
    let remove = Command::Deregister(Deregistration::Node("sidecar-1".into()));
    let denied = [
        stranger.watch(server, request).await.err(),
        stranger.barrier(server, Consistency::Leader).await.err(),
        stranger.servers(server, true, &nobody).await.err(),
        stranger.watching(server, vec!["sidecar-1".into()]).await.err(),
        stranger.write(server, &remove, &nobody).await.err(),
        stranger.write(server, &bootstrap, &nobody).await.err(),
        stranger.save_archive(server, true, &nobody).await.err(),
    ];
    for (number, error) in denied.into_iter().enumerate() {
        assert!(matches!(error, Some(AskError::Denied(_))), "{number}: {error:?}");
    }
    let fetch = Fetch { method: "GET".into(), path_and_query: "/v1/kv/a".into(), ..Fetch::default() };
    assert_eq!(stranger.fetch(server, &fetch).await.unwrap().status, 403);
}

async fn learns_nothing_by_grpc(agent: &Agent) {
    let mut client = RegistryClient::connect(format!("http://{}", agent.address(agent.ports.grpc))).await.unwrap();
    let request = || WatchServiceRequest { service: "web".into(), ..WatchServiceRequest::default() };
    let refused = client.watch_service(request()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused}");
    let mut wrong = tonic::Request::new(request());
    wrong.metadata_mut().insert("x-consul-token", "no-such-token".parse().unwrap());
    assert_eq!(client.watch_service(wrong).await.unwrap_err().code(), tonic::Code::Unauthenticated);
}

#[test]
fn what_is_revoked_counts_no_longer() {
    let cluster = cluster(2, |agent| agent.argument(format!("-hcl=acl {{ tokens {{ dns = \"{LOOKUPS}\" }} }}")));
    let (server, sidecar, other) = (&cluster.servers[0], &cluster.sidecars[0], &cluster.sidecars[1]);
    register_web(sidecar);
    let seen = |agent: &Agent| agent.dns().ports("web.service.consul");
    for agent in cluster.agents() {
        wait::until("DNS sees what its token sees", LIMIT, || {
            let ports = seen(agent)?;
            wait::ensure(ports == [80], || format!("{ports:?}"))
        });
    }
    let path = "/v1/health/service/web?stale&index=1000000&wait=1s";
    assert_eq!(status(other, path, Some(LOOKUPS)).unwrap().0, 200);
    let tokens = server.http().json("/v1/acl/tokens").unwrap();
    let named = |name: &str| {
        let rows = tokens.as_array().unwrap().iter();
        let row = rows.clone().find(|row| row["Policies"][0]["Name"] == name).unwrap();
        row["AccessorID"].as_str().unwrap().to_owned()
    };
    let index = other.http().get("/v1/health/service/web?stale").unwrap();
    let path = format!("/v1/health/service/web?stale&index={}&wait=10m", index.header("x-consul-index").unwrap());
    let client = other.http().showing(Some(LOOKUPS)).with_time_out(LIMIT);
    let blocked = thread::spawn(move || client.get(&path));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut stream = runtime.block_on(async {
        let address = format!("http://{}", other.address(other.ports.grpc));
        let mut client = RegistryClient::connect(address).await.unwrap();
        let mut request =
            tonic::Request::new(WatchServiceRequest { service: "web".into(), ..WatchServiceRequest::default() });
        request.metadata_mut().insert("x-consul-token", LOOKUPS.parse().unwrap());
        let mut stream = client.watch_service(request).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().is_some());
        stream
    });
    let accessor = named(LOOKUPS.rsplit('-').next().unwrap());
    let gone = server.http().send("DELETE", &format!("/v1/acl/token/{accessor}"), &[], b"").unwrap();
    assert_eq!(gone.status, 200, "{}", gone.text());
    let answer = blocked.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (403, "ACL not found"));
    let ended = runtime.block_on(async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                ended => return ended,
            }
        }
    });
    assert_eq!(ended.unwrap_err().code(), tonic::Code::PermissionDenied);
    for agent in cluster.agents() {
        wait::until("DNS sees nothing any more", LIMIT, || {
            let ports = seen(agent)?;
            wait::ensure(ports.is_empty(), || format!("{ports:?}"))
        });
        assert_eq!(status(agent, "/v1/catalog/nodes?stale", Some(LOOKUPS)).unwrap(), (403, "ACL not found".into()));
    }
}

#[test]
fn a_sidecar_decides_without_servers_and_goes_on_after_a_restart() {
    let down = |agent: Agent| {
        let policy = if agent.name == "sidecar-2" { "deny" } else { "extend-cache" };
        agent.argument(format!("-hcl=acl {{ down_policy = \"{policy}\" }}"))
    };
    let mut cluster = cluster(2, down);
    register_web(&cluster.sidecars[0]);
    // It finds its service again, whose token it does not know any more, and tells of its check by its own.
    cluster.sidecars[0].kill();
    cluster.sidecars[0].start();
    cluster.sidecars[0].wait_for_http();
    let sidecar = &cluster.sidecars[0];
    wait::until("the service is adopted", LIMIT, || {
        let services = sidecar.http().json("/v1/agent/services")?;
        wait::ensure(services["web"]["Port"] == 80, || services.to_string())
    });
    sidecar.http().showing(Some(WEB)).put("/v1/agent/check/fail/web", &Value::Null).unwrap();
    let server = &cluster.servers[0];
    wait::until("the registry is told of its check", LIMIT, || {
        let status = server.check_status("sidecar-1", "web")?;
        wait::ensure(status.as_deref() == Some("critical"), || format!("{status:?}"))
    });
    let archive = server.http().get("/v1/snapshot").unwrap();
    assert_eq!(archive.status, 200);
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&archive.body[..]), &mut text).unwrap();
    for secret in SECRETS {
        let found = text.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret} is in the archive");
        for sidecar in &cluster.sidecars {
            assert!(!is_in_files(&sidecar.data_directory(), secret), "{secret} is in a file of {}", sidecar.name);
        }
    }
    cluster.kill_servers();
    let (keeps, denies) = (&cluster.sidecars[0], &cluster.sidecars[1]);
    wait::until("the copy is too old for one of them", LIMIT, || {
        let (code, text) = status(denies, "/v1/catalog/service/web?stale", Some(LOOKUPS))?;
        wait::ensure((code, text.as_str()) == (200, "[]"), || format!("{code} {text}"))
    });
    let (code, text) = status(keeps, "/v1/catalog/service/web?stale", Some(LOOKUPS)).unwrap();
    assert!(code == 200 && text.contains("sidecar-1"), "{code} {text}");
    assert_eq!(status(keeps, "/v1/catalog/service/web?stale", None).unwrap(), (200, "[]".into()));
}

fn is_in_files(directory: &Path, text: &str) -> bool {
    fs::read_dir(directory).into_iter().flatten().flatten().any(|entry| match entry.path() {
        path if path.is_dir() => is_in_files(&path, text),
        path => fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()),
    })
}
