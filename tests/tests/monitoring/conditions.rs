//! Things that go wrong at agents that have servers, and the alerts about them.

use std::{net::UdpSocket, path::Path, process::Command, time::Duration};

use lictor_tests::{agent::Agent, binary, containers::succeeded, installed, ports, turn, wait};
use serde_json::json;
use tempfile::TempDir;

use crate::prometheus::{FOLLOW_LIMIT, Prometheus};

/// What all of them know in gossip.
const GOSSIP_KEY: &str = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=";
/// Longest time until agents have found each other, on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);

/// Sends what no member says.
fn send_nonsense(port: u16, packets: usize) {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    for _ in 0..packets {
        socket.send_to(b"nonsense", ("127.0.0.1", port)).unwrap();
    }
}

/// A certificate for HTTPS that ends tomorrow; gives its file and its key's.
fn certificate(directory: &Path) -> [String; 2] {
    for arguments in [&["tls", "ca", "create"][..], &["tls", "cert", "create", "-server", "-days=1"]] {
        succeeded(Command::new(binary::path("lictor")).current_dir(directory).args(arguments));
    }
    ["", "-key"].map(|kind| directory.join(format!("dc1-server-consul-0{kind}.pem")).display().to_string())
}

/// A server; a sidecar at which much is wrong; one that is to be lost; another datacenter; and a stranger.
struct World {
    server: Agent,
    troubled: Agent,
    lost: Agent,
    far: Agent,
    /// It does not know the key, and tries to join the troubled one.
    stranger: Agent,
    /// Where the troubled one has HTTPS.
    https: u16,
    _turn: turn::Turn,
}

impl World {
    fn start(directory: &Path) -> Self {
        let turn = turn::take();
        let [certificate, key] = certificate(directory);
        let (https, nobody) = (ports::free(), ports::free());
        let known = |agent: Agent| agent.argument(format!("-encrypt={GOSSIP_KEY}"));
        let server = known(Agent::server("server-1", 1)).argument("-hcl=discovery_protection { threshold = 0.5 }");
        let join = server.ports;
        let troubled = known(Agent::sidecar("troubled")).joining([&join]).argument(format!(
            r#"-hcl=ports {{ https = {https} }} tls {{ https {{ cert_file = "{certificate}" key_file = "{key}" }} }}
            recursors = ["127.0.0.1:{nobody}"] dns_config {{ recursor_timeout = "100ms" }}
            cache {{ remote = ["dc2:ledger"] }}"#
        ));
        let lost = known(Agent::sidecar("lost")).joining([&join]);
        let far = known(Agent::server("far", 1)).argument("-datacenter=dc2");
        let far = far.argument(format!("-retry-join-wan=127.0.0.1:{}", join.serf_wan));
        let stranger = Agent::sidecar("stranger").joining([&troubled.ports]);
        let mut world = Self { server, troubled, lost, far, stranger, https, _turn: turn };
        world.stranger.start();
        for agent in [&mut world.server, &mut world.troubled, &mut world.lost, &mut world.far] {
            agent.start();
            agent.wait_for_http();
        }
        wait::until("the other datacenter answers", LIMIT, || {
            let body = json!({"Node": "ledger", "Address": "10.0.0.1", "Service": {"Service": "ledger"}});
            world.far.http().put("/v1/catalog/register", &body)?;
            let found = world.troubled.http().json("/v1/health/service/ledger?dc=dc2")?;
            wait::ensure(found.as_array().is_some_and(|found| found.len() == 1), || found.to_string())
        });
        for (agent, service) in [(&world.lost, json!({"Name": "pair"})), (&world.troubled, broken())] {
            wait::until("it is registered", LIMIT, || {
                let answer = agent.http().put("/v1/agent/service/register", &service)?;
                wait::ensure(answer.status == 200, || answer.text())
            });
        }
        world
    }

    fn near(&self) -> impl Iterator<Item = &Agent> {
        [&self.server, &self.troubled, &self.lost].into_iter()
    }

    /// What callers of the troubled one do wrong, and what it cannot do for them.
    fn disturb(&self) {
        let (http, dns) = (self.troubled.http(), self.troubled.dns());
        let long = format!("/v1/catalog/nodes?x={}", "x".repeat(20_000));
        for _ in 0..10 {
            assert_eq!(http.send("PUT", "/v1/txn", &[], b"nonsense").unwrap().status, 400);
            assert_eq!(http.get(&long).unwrap().status, 414);
        }
        // Who is to resolve it is not there.
        assert!(dns.addresses("nowhere.example").is_err());
        send_nonsense(self.troubled.ports.serf_lan, 100);
        // It knows nobody who would vouch for that certificate.
        let refused =
            Command::new("curl").arg("-sS").arg(format!("https://127.0.0.1:{}/", self.https)).output().unwrap();
        assert!(!refused.status.success(), "{refused:?}");
    }
}

/// A service whose check fails each second.
fn broken() -> serde_json::Value {
    json!({"Name": "broken", "Check": {"TCP": format!("127.0.0.1:{}", ports::free()), "Interval": "1s", "Timeout": "1s"}})
}

#[test]
fn what_goes_wrong_is_told() {
    let Some(program) = installed::find("prometheus", "prometheus") else { return };
    if installed::find("curl", "curl").is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let mut world = World::start(directory.path());
    let prometheus = Prometheus::start(&program, directory.path(), world.near());
    prometheus.wait_until_up(3);
    prometheus.wait_until_firing_while(
        || world.disturb(),
        &[
            ("LictorChecksFailing", "troubled"),
            ("LictorDnsFailing", "troubled"),
            ("LictorRequestsDenied", "troubled"),
            ("LictorLimitReached", "troubled"),
            ("LictorGossipKeys", "troubled"),
            ("LictorGossipDropped", "troubled"),
            ("LictorTlsRefused", "troubled"),
            ("LictorCertificateExpiresSoon", "troubled"),
            ("LictorCertificateExpiresNow", "troubled"),
        ],
    );

    for restarts in 1..=3 {
        world.lost.kill();
        world.lost.start();
        world.lost.wait_for_http();
        wait::until("the restart is seen", FOLLOW_LIMIT, || {
            let seen = prometheus
                .ask(&format!("changes(process_start_time_seconds{{instance=\"lost\"}}[1h]) >= {restarts}"))?;
            wait::ensure(!seen.is_empty(), || "not yet".to_owned())
        });
    }
    prometheus.wait_until_firing(&[("LictorRestarts", "lost")]);

    world.lost.kill();
    world.far.kill();
    let ask_far = || {
        // It is not there, which is no failure of this.
        let _ = world.troubled.http().get("/v1/catalog/nodes?dc=dc2");
        let _ = world.troubled.http().get("/v1/health/service/pair?passing");
    };
    prometheus.wait_until_firing_while(
        ask_far,
        &[
            ("LictorSidecarDown", "lost"),
            ("LictorNodesFailed", ""),
            ("LictorInstancesProtected", ""),
            ("LictorDatacenterUnreachable", ""),
            ("LictorRemoteCopiesStale", "troubled"),
        ],
    );

    prometheus.scrape(std::iter::empty());
    prometheus.wait_until_firing(&[("LictorNotScraped", "")]);
}
