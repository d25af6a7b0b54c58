//! TLS between real processes: a cluster in which everything is verified, whom it refuses and that it counts them, and
//! certificates renewed under load.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

mod authority;
mod call;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    process::{Command, Output},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use lictor_tests::{agent::Agent, binary, cluster::Cluster, installed, ports, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

use self::{
    authority::{Authority, Pair},
    call::{Caller, Connection},
};

/// Longest time until something is seen, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
const SERVER: &str = "server.dc1.consul";
const VOTE: &str = "/lictor.raft.v1.Raft/Vote";
const WATCHING: &str = "/lictor.internal.v1.Registry/Watching";
const BARRIER: &str = "/lictor.internal.v1.Registry/Barrier";

/// gRPC's PERMISSION_DENIED.
const DENIED: &str = "7";

/// What a node with full TLS has in its files, with its certificate beside them.
fn settings(authority: &Authority, agent: &Agent, https: u16, grpc_tls: i32) -> Value {
    let own = |name: &str| agent.directory().join(name);
    json!({
        "ports": {"https": https, "grpc_tls": grpc_tls},
        "tls": {
            "defaults": {
                "ca_file": authority.ca(), "cert_file": own("own.pem"), "key_file": own("own-key.pem"),
                "verify_incoming": true, "verify_outgoing": true,
            },
            "internal_rpc": {"verify_server_hostname": true},
            "grpc": {"verify_incoming": false},
        },
    })
}

/// A cluster in which everything is verified, and its ports of HTTPS and gRPC over TLS.
struct Secured {
    cluster: Cluster,
    https: BTreeMap<String, u16>,
    grpc: u16,
}

fn secured(authority: &Authority, servers: &Pair, sidecars: &Pair) -> Secured {
    let https = RefCell::new(BTreeMap::new());
    let grpc = ports::free();
    let cluster = Cluster::start_with(3, 2, |agent| {
        let agent = agent.with_config_directory();
        let is_server = agent.name.starts_with("server");
        (if is_server { servers } else { sidecars }).put_into(agent.directory());
        let port = ports::free();
        let grpc_tls = if agent.name == "sidecar-1" { grpc.into() } else { -1 };
        agent.write_file("tls.json", &settings(authority, &agent, port, grpc_tls).to_string());
        https.borrow_mut().insert(agent.name.clone(), port);
        agent
    });
    Secured { cluster, https: https.into_inner(), grpc }
}

/// How many of a reason an agent has refused.
fn refused(agent: &Agent, reason: &str) -> u64 {
    let metrics = agent.http().get("/v1/agent/metrics?format=prometheus").unwrap().text();
    let line = format!("lictor_tls_refused_total{{reason=\"{reason}\"}} ");
    let count = metrics.lines().find_map(|found| found.strip_prefix(&line));
    count.unwrap_or_else(|| panic!("no {line} in {metrics}")).parse().unwrap()
}

/// Does what is to be refused, and sees it counted.
fn counted<T>(agent: &Agent, reason: &str, act: impl FnOnce() -> T) -> T {
    let before = refused(agent, reason);
    let done = act();
    wait::until(&format!("{} counts one more as {reason}", agent.name), LIMIT, || {
        wait::ensure(refused(agent, reason) > before, || format!("{before} as before"))
    });
    done
}

fn put(agent: &Agent, key: &str) -> Result<(), String> {
    let answer = agent.http().send("PUT", &format!("/v1/kv/{key}"), &[], b"value")?;
    wait::ensure(answer.text() == "true", || answer.text())
}

#[test]
fn a_cluster_that_verifies_everything_refuses_who_is_not_of_it() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (servers, sidecars) = (authority.issue(&["-server"]), authority.issue(&["-client"]));
    let secured = secured(&authority, &servers, &sidecars);
    let cluster = &secured.cluster;
    for sidecar in &cluster.sidecars {
        put(sidecar, &sidecar.name).unwrap();
        let read = cluster.servers[0].http().get(&format!("/v1/kv/{}?raw", sidecar.name)).unwrap();
        assert_eq!(read.text(), "value");
    }
    let caller = Caller::new();
    let server = &cluster.servers[0];
    let port = server.ports.server;
    let connect = |own: Option<&Pair>| caller.connect(port, &authority.ca(), own, SERVER);
    // Of TLS 1.3 the one who connects learns of a refusal when it reads.
    let is_refused = |own: Option<&Pair>| match connect(own) {
        Ok(connection) => caller.call(&connection, BARRIER).is_err(),
        Err(_) => true,
    };

    assert!(counted(server, "plain", || !caller.takes_plain(port)));
    assert!(counted(server, "no_certificate", || is_refused(None)));
    let strange = stranger.issue(&["-server"]);
    assert!(counted(server, "untrusted", || is_refused(Some(&strange))));
    let expired = authority.issue_until(SERVER, 2020);
    assert!(counted(server, "expired", || is_refused(Some(&expired))));

    // What a sidecar's certificate is good for, and what not.
    let called = |connection: &Connection, method| caller.call(connection, method).unwrap();
    let sidecar = connect(Some(&sidecars)).unwrap();
    assert_ne!(called(&sidecar, BARRIER).0, DENIED);
    for method in [VOTE, WATCHING, "/lictor.raft.v1.Raft/Append", "/lictor.raft.v1.Raft/Snapshot"] {
        let (status, said) = counted(server, "role", || called(&sidecar, method));
        assert_eq!(status, DENIED, "{method}: {said}");
        assert!(said.contains("client%20of%20dc1") || said.contains("client of dc1"), "{said}");
    }
    let fellow = connect(Some(&servers)).unwrap();
    assert_ne!(called(&fellow, VOTE).0, DENIED);
    for (flags, method, is_denied) in [
        (&["-server", "-dc=dc2"][..], VOTE, true),
        (&["-server", "-dc=dc2"], "/lictor.internal.v1.Registry/Write", true),
        (&["-server", "-dc=dc2"], "/lictor.internal.v1.Registry/Servers", false),
        (&["-client", "-dc=dc2"], "/lictor.internal.v1.Registry/Servers", true),
        (&["-cli"], BARRIER, true),
    ] {
        let connection = connect(Some(&authority.issue(flags))).unwrap();
        assert_eq!(called(&connection, method).0 == DENIED, is_denied, "{flags:?} {method}");
    }
    let log = server.log();
    assert!(log.contains("TLS: refused") && log.contains("reason=\"role\""), "{log}");

    clients_by_tls(&secured, &authority, &sidecars, &caller);
    a_false_server(&secured, &authority, &sidecars);
}

/// HTTPS by curl and by the command, and gRPC over TLS.
fn clients_by_tls(secured: &Secured, authority: &Authority, own: &Pair, caller: &Caller) {
    let url = format!("https://127.0.0.1:{}", secured.https["sidecar-1"]);
    if let Some(curl) = installed::find("curl", "curl") {
        let curl = |own: Option<&Pair>| {
            let mut command = Command::new(&curl);
            command.args(["--silent", "--show-error", "--max-time", "10", "--cacert"]).arg(authority.ca());
            if let Some(Pair { certificate, key }) = own {
                command.arg("--cert").arg(certificate).arg("--key").arg(key);
            }
            command.arg(format!("{url}/v1/kv/sidecar-1?raw")).output().unwrap()
        };
        assert_eq!(text(&curl(Some(own)).stdout), "value");
        let without = counted(&secured.cluster.sidecars[0], "no_certificate", || curl(None));
        assert!(!without.status.success(), "{without:?}");
    }
    let members = |variables: &[(&str, &str)], flags: &[String]| {
        let mut command = Command::new(binary::path("lictor"));
        command.arg("members").args(flags).envs(variables.iter().copied()).output().unwrap()
    };
    let path = |path: &std::path::Path| path.display().to_string();
    let flags = [
        format!("-http-addr={url}"),
        format!("-ca-file={}", path(&authority.ca())),
        format!("-client-cert={}", path(&own.certificate)),
        format!("-client-key={}", path(&own.key)),
    ];
    let listed = members(&[], &flags);
    assert!(listed.status.success() && text(&listed.stdout).contains("server-3"), "{listed:?}");
    let variables = [
        ("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", secured.https["sidecar-1"])),
        ("CONSUL_HTTP_SSL", "true".into()),
        ("CONSUL_CACERT", path(&authority.ca())),
        ("CONSUL_CLIENT_CERT", path(&own.certificate)),
        ("CONSUL_CLIENT_KEY", path(&own.key)),
        ("CONSUL_TLS_SERVER_NAME", "client.dc1.consul".into()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let listed = members(&variables, &[]);
    assert!(listed.status.success(), "{listed:?}");
    // The system's CAs have not issued its certificate; its own CA has, but not for that name.
    let refused = members(&[], &flags[..1]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("UnknownIssuer"), "{refused:?}");
    let refused = members(&[], &[flags.to_vec(), vec!["-tls-server-name=other.example".into()]].concat());
    assert!(!refused.status.success() && text(&refused.stderr).contains("other.example"), "{refused:?}");

    let grpc = caller.connect(secured.grpc, &authority.ca(), None, "localhost").unwrap();
    assert_eq!(caller.call(&grpc, "/grpc.health.v1.Health/Check").unwrap().0, "0");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server with a sidecar's certificate, which the others meet in the pool: they dial it, and take it for none.
fn a_false_server(secured: &Secured, authority: &Authority, sidecars: &Pair) {
    let cluster = &secured.cluster;
    let all: Vec<_> = cluster.servers.iter().map(|server| server.ports).collect();
    let mut false_server = Agent::server("server-4", 3).joining(&all).with_config_directory();
    sidecars.put_into(false_server.directory());
    let settings = settings(authority, &false_server, ports::free(), -1);
    false_server.write_file("tls.json", &settings.to_string());
    let leader = &cluster.servers[cluster.leader()];
    counted(leader, "role", || false_server.start());
    let servers = leader.http().json("/v1/operator/raft/configuration").unwrap();
    let voters = servers["Servers"].as_array().unwrap().iter().filter(|server| server["Voter"] == true).count();
    assert_eq!(voters, 3, "{servers}");
    put(&cluster.sidecars[0], "still").unwrap();
    let log = leader.log();
    assert!(log.contains("the certificate is for client.dc1.consul, localhost, not for server.dc1.consul"), "{log}");
}

#[test]
fn certificates_are_renewed_under_load() {
    let authority = Authority::new();
    let (servers, sidecars) = (authority.issue(&["-server"]), authority.issue(&["-client"]));
    let mut secured = secured(&authority, &servers, &sidecars);
    let caller = Caller::new();
    let ports: Vec<u16> = secured.cluster.servers.iter().map(|server| server.ports.server).collect();
    let connect = |port, own: &Pair| caller.connect(port, &authority.ca(), Some(own), SERVER).unwrap();
    let before = connect(ports[0], &servers);
    let (done, writes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let clients = [secured.cluster.sidecars[0].http(), secured.cluster.servers[1].http()];
    thread::scope(|scope| {
        for client in clients {
            let (done, writes) = (&done, &writes);
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    let answer = client.send("PUT", "/v1/kv/traffic", &[], b"x").unwrap();
                    assert_eq!(answer.text(), "true", "a write while certificates are renewed");
                    writes.fetch_add(1, Relaxed);
                }
            });
        }
        let renewed = authority.issue(&["-server"]);
        let log_lines = |agent: &Agent| agent.log().matches("configuration reloaded").count();
        for server in &mut secured.cluster.servers {
            renewed.put_into(server.directory());
            let lines = log_lines(server);
            server.signal(Signal::HUP);
            wait::until("the reload", LIMIT, || wait::ensure(log_lines(server) > lines, || "not yet".into()));
        }
        let new_sidecars = authority.issue(&["-client"]);
        for sidecar in &secured.cluster.sidecars {
            new_sidecars.put_into(sidecar.directory());
            assert_eq!(sidecar.http().send("PUT", "/v1/agent/reload", &[], b"").unwrap().status, 200);
        }
        for port in &ports {
            let after = connect(*port, &renewed);
            assert_ne!(after.certificate, before.certificate, "the old certificate is shown");
            assert_ne!(caller.call(&after, BARRIER).unwrap().0, DENIED);
        }
        assert_ne!(caller.call(&before, BARRIER).unwrap().0, DENIED, "a connection from before goes on");

        // A broken file is refused as a whole, and what was there goes on.
        let server = &secured.cluster.servers[0];
        let shown = connect(ports[0], &renewed).certificate;
        fs::write(server.directory().join("own.pem"), "no certificate").unwrap();
        let answer = server.http().send("PUT", "/v1/agent/reload", &[], b"").unwrap();
        let said = answer.text();
        assert!(answer.status == 500 && said.contains("tls.defaults.cert_file") && said.contains("own.pem"), "{said}");
        assert_eq!(connect(ports[0], &renewed).certificate, shown);
        let writes_then = writes.load(Relaxed);
        wait::until("writes go on", LIMIT, || wait::ensure(writes.load(Relaxed) > writes_then + 20, || "no".into()));
        done.store(true, Relaxed);
    });
    // Raft's own connections are new ones after a restart of their other end.
    let leader = secured.cluster.leader();
    let follower = (leader + 1) % 3;
    renew(&authority, &secured.cluster.servers[0]);
    secured.cluster.servers[follower].kill();
    secured.cluster.servers[follower].start();
    secured.cluster.wait_until_complete();
}

fn renew(authority: &Authority, agent: &Agent) {
    authority.issue(&["-server"]).put_into(agent.directory());
}

#[test]
fn datacenters_ask_each_other_and_each_its_own_servers_alone() {
    let authority = Authority::new();
    let start = |name: &str, datacenter: &str, own: &Pair, join: Option<u16>| {
        let agent = Agent::dev(name).argument(format!("-datacenter={datacenter}")).with_config_directory();
        own.put_into(agent.directory());
        agent.write_file("tls.json", &settings(&authority, &agent, ports::free(), -1).to_string());
        match join {
            Some(port) => agent.argument(format!("-retry-join-wan=127.0.0.1:{port}")).started(),
            None => agent.started(),
        }
    };
    let issue = |datacenter: &str| authority.issue(&["-server", &format!("-dc={datacenter}")]);
    let (first, second) = (issue("dc1"), issue("dc2"));
    let near = start("a", "dc1", &first, None);
    let join = Some(near.ports.serf_wan);
    let far = start("b", "dc2", &second, join);
    // Says that it is of dc3, and has a certificate of dc2.
    let liar = start("c", "dc3", &second, join);
    let read = |agent: &Agent, key: &str| {
        let answer = agent.http().get(&format!("/v1/kv/{key}"))?;
        wait::ensure(answer.status == 200, || format!("{} {}", answer.status, answer.text()))
    };
    put(&far, "there").unwrap();
    wait::until("an answer from dc2", LIMIT, || read(&near, "there?dc=dc2"));
    put(&near, "there-too?dc=dc2").unwrap();
    read(&far, "there-too").unwrap();
    wait::until("dc3 is known", LIMIT, || {
        let known = near.http().json("/v1/catalog/datacenters")?;
        wait::ensure(known.as_array().is_some_and(|known| known.len() == 3), || known.to_string())
    });
    let refused = counted(&near, "role", || read(&near, "there?dc=dc3"));
    assert!(refused.is_err(), "a server of dc2 has answered for dc3");
    drop(liar);
}

#[test]
fn settings_that_cannot_be_used_end_an_agent_with_one_line() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(&["-server"]), authority.issue(&["-server"]));
    let (certificate, key) = (&first.certificate, &first.key);
    for (tls, expected) in [
        (json!({"verify_incoming": true}), vec!["verify_incoming: ", "ca_file"]),
        (json!({"key_file": key}), vec!["key_file: ", "-key.pem", "without its certificate"]),
        (
            json!({"cert_file": certificate, "key_file": second.key}),
            vec!["key_file: ", "not the key of the certificate"],
        ),
        (json!({"cert_file": "/nowhere.pem", "key_file": key}), vec!["cert_file: /nowhere.pem: cannot be read"]),
        (json!({"ports": {"https": 1}}), vec!["ports.https: ", "needs a certificate"]),
        (json!({"auto_encrypt": {"allow_tls": true}}), vec!["auto_encrypt: "]),
    ] {
        let is_read_late = tls.get("cert_file").is_some();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tls.json");
        let mut settings = tls.clone();
        if is_read_late {
            settings["verify_outgoing"] = true.into();
            settings["ca_file"] = json!(authority.ca());
        }
        fs::write(&file, settings.to_string()).unwrap();
        let agent = Agent::dev("node-a").argument(format!("-config-file={}", file.display()));
        let output: Output = run(agent);
        let said = text(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(1), "{tls}: {said}");
        assert!(expected.iter().all(|part| last.contains(part)), "{tls}: {said}");
    }
}

fn run(mut agent: Agent) -> Output {
    agent.start();
    wait::until("its end", LIMIT, || wait::ensure(agent.ends_within(Duration::from_millis(10)), || "it runs".into()));
    let log = agent.log();
    Output { status: agent.wait_for_end(), stdout: Vec::new(), stderr: log.into_bytes() }
}

#[test]
fn a_certificate_that_expires_soon_is_told_and_shown() {
    let authority = Authority::new();
    let agent = Agent::dev("node-a").with_config_directory();
    authority.issue(&["-server", "-days=10"]).put_into(agent.directory());
    agent.write_file("tls.json", &settings(&authority, &agent, ports::free(), -1).to_string());
    let agent = agent.started();
    let warned = |days: &str| {
        let log = agent.log();
        wait::ensure(log.contains("this node's certificate expires soon") && log.contains(days), || log.clone())
    };
    wait::until("the warning", LIMIT, || warned("days=9").or_else(|_| warned("days=10")));
    let metrics = agent.http().get("/v1/agent/metrics?format=prometheus").unwrap().text();
    let shown: Vec<f64> = metrics
        .lines()
        .filter(|line| line.starts_with("lictor_tls_certificate_expires_seconds{"))
        .filter(|line| line.contains("kind=\"own\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert_eq!(shown.len(), 2, "between nodes, and HTTPS: {metrics}");
    assert!(shown.iter().all(|expires| (9.9..10.1).contains(&((expires - now) / 86_400.0))), "{shown:?}");
}
