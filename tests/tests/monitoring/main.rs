//! Prometheus follows a cluster with what is in `examples/monitoring`: each query of the dashboard has an answer, alerts fire
//! while servers are gone (`conditions`: when other things go wrong), and the rules pass their own tests. VictoriaMetrics finds
//! the agents by the registry, for which Debian's Prometheus is not built.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

mod conditions;
mod prometheus;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use lictor_tests::{cluster::Cluster, http::Client, installed, ports, process::Process, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::prometheus::{FOLLOW_LIMIT, Prometheus, every_second, role};

const BY_REGISTRY: &str = include_str!("../../../examples/monitoring/prometheus-consul.yml");
const SERVICE: &str = include_str!("../../../examples/monitoring/agent.hcl");
const RULES: &str = include_str!("../../../examples/monitoring/alerts.yml");
const RULE_TESTS: &str = include_str!("../../../examples/monitoring/alerts_test.yml");
const DASHBOARD: &str = include_str!("../../../examples/monitoring/dashboard.json");
const RUNBOOK: &str = include_str!("../../../docs/src/monitoring.md");

/// Queries about these have no answer in a cluster that is well: without TLS there are no certificates.
const RIGHTLY_EMPTY: [&str; 1] = ["lictor_tls_certificate_expires_seconds"];

/// Every query of the dashboard, about all datacenters and agents.
fn queries() -> Vec<String> {
    fn gather(value: &Value, queries: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                queries.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| gather(value, queries));
            }
            Value::Array(values) => values.iter().for_each(|value| gather(value, queries)),
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut queries = Vec::new();
    gather(&dashboard, &mut queries);
    let variables = [("$datacenter", ".*"), ("$instance", ".*"), ("$__rate_interval", "10s")];
    for query in &mut queries {
        *query = variables.iter().fold(query.clone(), |query, (variable, value)| query.replace(variable, value));
        assert!(!query.contains('$'), "{query}: a variable that the dashboard does not have");
    }
    queries
}

/// The names of the alerts, in the order of the rules.
fn alerts() -> Vec<&'static str> {
    RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

/// Asks and writes something at every agent.
fn use_it(cluster: &Cluster) -> Result<(), String> {
    for agent in cluster.agents() {
        agent.dns().addresses("consul.service.consul")?;
        agent.http().json("/v1/health/service/consul?passing")?;
        agent.http().put("/v1/kv/monitoring", &json!(agent.name))?;
    }
    Ok(())
}

#[test]
fn prometheus_follows_a_cluster() {
    let Some(program) = installed::find("prometheus", "prometheus") else { return };
    let mut cluster = Cluster::start(3, 1);
    let directory = TempDir::new().unwrap();
    let prometheus = Prometheus::start(&program, directory.path(), cluster.agents());
    prometheus.wait_until_up(4);

    wait::until("every query of the dashboard has an answer", FOLLOW_LIMIT, || {
        use_it(&cluster)?;
        let mut silent = Vec::new();
        for query in queries() {
            let may_be_empty = RIGHTLY_EMPTY.iter().any(|metric| query.contains(metric));
            if prometheus.ask(&query)?.is_empty() && !may_be_empty {
                silent.push(query);
            }
        }
        wait::ensure(silent.is_empty(), || silent.join("\n"))
    });
    // How long writes and reads take is not the test's business.
    prometheus.wait_until_quiet(|alert| alert.ends_with("Slow"));

    for server in &mut cluster.servers[..2] {
        server.kill();
    }
    prometheus.wait_until_firing(&[
        ("LictorNoLeader", ""),
        ("LictorQuorumAtRisk", ""),
        ("LictorServerDown", "server-1"),
        ("LictorServerDown", "server-2"),
    ]);
    cluster.servers[2].kill();
    cluster.sidecars[0].http().put("/v1/agent/service/register", &json!({"Name": "late"})).unwrap();
    // Keys are not read now, and the agent's own writes fail.
    let in_vain = || {
        let sidecar = &cluster.sidecars[0];
        for _ in 0..10 {
            assert_eq!(sidecar.http().get("/v1/kv/monitoring").unwrap().status, 500);
        }
    };
    prometheus.wait_until_firing_while(
        in_vain,
        &[
            ("LictorNoLeader", ""),
            ("LictorServerDown", "server-3"),
            ("LictorSidecarWithoutServers", "sidecar-1"),
            ("LictorUnsentServices", "sidecar-1"),
            ("LictorHttpFailing", "sidecar-1"),
            ("LictorWritesFailing", "sidecar-1"),
        ],
    );

    for server in &mut cluster.servers {
        server.start();
    }
    cluster.wait_until_complete();
    // What is about the last minutes goes on for some.
    prometheus.wait_until_quiet(|alert| {
        ["LictorWrites", "LictorReads", "LictorHttp"].iter().any(|begin| alert.starts_with(begin))
    });
}

#[test]
fn the_registry_says_which_agents_there_are() {
    let Some(program) = installed::find("victoria-metrics", "victoria-metrics") else { return };
    let cluster = Cluster::start_with(1, 1, |agent| {
        let agent = agent.with_config_directory();
        let service = SERVICE.replace("port = 8500", &format!("port = {}", agent.ports.http));
        let service = service.replace("role = \"sidecar\"", &format!("role = \"{}\"", role(&agent)));
        agent.write_file("agent.hcl", &service);
        agent
    });
    let directory = TempDir::new().unwrap();
    let asked = cluster.sidecars[0].address(cluster.sidecars[0].ports.http).to_string();
    let configuration = every_second(BY_REGISTRY).replace("127.0.0.1:8500", &asked);
    assert!(configuration.contains(&asked), "{configuration}");
    let file = directory.path().join("prometheus-consul.yml");
    fs::write(&file, configuration).unwrap();
    let port = ports::free();
    let mut command = Command::new(program);
    command
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .arg(format!("-storageDataPath={}", directory.path().join("data").display()))
        .arg(format!("-promscrape.config={}", file.display()))
        // It evaluates no rules, and so does not know where they are named.
        .arg("-promscrape.config.strictParse=false")
        .args(["-retentionPeriod=1d", "-memory.allowedBytes=64MB", "-promscrape.consulSDCheckInterval=1s"]);
    let _process = Process::start("victoria-metrics", directory.path(), &mut command);
    wait::until("both agents are found and scraped", FOLLOW_LIMIT, || {
        let answer = Client::new(port).json("/api/v1/targets?state=active")?;
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        let rows = answer["data"]["activeTargets"].as_array().into_iter().flatten().map(|row| {
            let labels = ["role", "datacenter", "job"].map(|label| text(&row["labels"][label]));
            (text(&row["labels"]["instance"]), format!("{} {}", labels.join(" "), text(&row["health"])))
        });
        let found: BTreeMap<String, String> = rows.collect();
        let wanted = [("server-1", "server dc1 lictor up"), ("sidecar-1", "sidecar dc1 lictor up")];
        let is_whole = found.len() == wanted.len()
            && wanted.iter().all(|(name, row)| found.get(*name).is_some_and(|found| found == row));
        wait::ensure(is_whole, || format!("{found:?}"))
    });
}

#[test]
fn the_rules_pass_their_tests() {
    let Some(promtool) = installed::find("promtool", "prometheus") else { return };
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/monitoring");
    for arguments in
        [["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]]
    {
        let output = Command::new(&promtool).current_dir(&examples).args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "promtool {}: {}", arguments.join(" "), String::from_utf8_lossy(&said));
    }
}

#[test]
fn every_alert_has_a_test_and_a_section() {
    let alerts = alerts();
    assert!(alerts.len() > 20, "{alerts:?}");
    for alert in &alerts {
        assert!(RULE_TESTS.contains(&format!("alertname=\"{alert}\"")), "alerts_test.yml never sees {alert} fire");
        let runbook = format!("runbook: docs/src/monitoring.md#{}\n", alert.to_lowercase());
        assert!(RULES.contains(&runbook), "{alert} does not name its section");
    }
    let sections = RUNBOOK.lines().filter_map(|line| line.strip_prefix("### "));
    let sections: Vec<&str> = sections.filter(|section| section.starts_with("Lictor")).collect();
    assert_eq!(sections, alerts, "the sections of docs/src/monitoring.md, and the alerts, in order");
}

#[test]
fn the_panels_of_the_dashboard_have_places_of_their_own() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: another panel has its id");
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(side("x") + side("w") <= 24, "{title}: too wide");
        for y in side("y")..side("y") + side("h") {
            for x in side("x")..side("x") + side("w") {
                assert!(places.insert((x, y)), "{title}: another panel is there");
            }
        }
        assert!(panel["type"] == "row" || panel["description"].is_string(), "{title}: says nothing of itself");
    }
}
