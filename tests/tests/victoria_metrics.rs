//! VictoriaMetrics finds what it scrapes by `consul_sd_configs` that name a sidecar, as in
//! `third-party/victoria-metrics.yaml`: it follows services that come, go and fail, and starts while no server runs.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use lictor_tests::{agent::Agent, cluster::Cluster, http::Client, installed, ports, process::Process, wait, web::Web};
use serde_json::{Value, json};
use tempfile::TempDir;

const CONFIGURATION: &str = include_str!("../third-party/victoria-metrics.yaml");
/// Longest time until a change at the sidecar is seen: a check's interval, its own, and time for a busy machine.
const FOLLOW_LIMIT: Duration = Duration::from_secs(30);

/// A running VictoriaMetrics with data of its own.
struct VictoriaMetrics {
    _process: Process,
    http: Client,
}

impl VictoriaMetrics {
    fn start(program: &Path, directory: &Path, sidecar: &Agent) -> Self {
        let asked = format!("127.0.0.1:{}", sidecar.ports.http);
        let configuration = CONFIGURATION.replace("127.0.0.1:8500", &asked).replace("15s", "1s");
        assert!(configuration.contains(&asked) && configuration.contains("interval: 1s"), "{configuration}");
        let file = directory.join("scrape.yaml");
        fs::write(&file, configuration).unwrap();
        let port = ports::free();
        let mut command = Command::new(program);
        command
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg(format!("-storageDataPath={}", directory.join("data").display()))
            .arg(format!("-promscrape.config={}", file.display()))
            .args(["-retentionPeriod=1d", "-memory.allowedBytes=64MB"])
            .args(["-promscrape.consulSDCheckInterval=1s", "-search.latencyOffset=0s"]);
        let process = Process::start("victoria-metrics", directory, &mut command);
        Self { _process: process, http: Client::new(port) }
    }

    /// What it scrapes: instance, health as the registry has it, and what became of scraping it.
    fn targets(&self) -> Result<BTreeMap<String, String>, String> {
        let answer = self.http.json("/api/v1/targets?state=active")?;
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        let rows = answer["data"]["activeTargets"].as_array().into_iter().flatten().map(|row| {
            let labels = &row["labels"];
            (text(&labels["instance"]), format!("{} {}", text(&labels["health"]), text(&row["health"])))
        });
        Ok(rows.collect())
    }

    fn wait_for_targets(&self, wanted: &[(&str, &str)]) {
        wait::until(&format!("targets {wanted:?}"), FOLLOW_LIMIT, || {
            let targets = self.targets()?;
            let found: Vec<(&str, &str)> = targets.iter().map(|(id, state)| (&**id, &**state)).collect();
            wait::ensure(found == wanted, || format!("{found:?}"))
        });
    }
}

fn register(sidecar: &Agent, id: &str, web: &Web) {
    let check = json!({"HTTP": format!("http://127.0.0.1:{}/health", web.port), "Interval": "200ms"});
    let meta = json!({"version": "2.1"});
    let service = json!({"ID": id, "Name": "web", "Port": web.port, "Tags": ["a"], "Meta": meta, "Check": check});
    sidecar.http().put("/v1/agent/service/register", &service).unwrap();
}

#[test]
fn victoria_metrics_follows_the_services_of_a_sidecar() {
    let Some(program) = installed::find("victoria-metrics", "victoria-metrics") else { return };
    let mut cluster = Cluster::start(1, 2);
    let directory = TempDir::new().unwrap();
    let metrics = VictoriaMetrics::start(&program, directory.path(), &cluster.sidecars[0]);
    let webs = ["answers_total 1\n", "answers_total 2\n", "answers_total 3\n"].map(Web::start);
    // A service that is not asked for.
    let other = json!({"Name": "other", "Port": 1});
    cluster.sidecars[0].http().put("/v1/agent/service/register", &other).unwrap();

    register(&cluster.sidecars[0], "web-1", &webs[0]);
    metrics.wait_for_targets(&[("web-1", "passing up")]);
    register(&cluster.sidecars[1], "web-2", &webs[1]);
    register(&cluster.sidecars[1], "web-3", &webs[2]);
    metrics.wait_for_targets(&[("web-1", "passing up"), ("web-2", "passing up"), ("web-3", "passing up")]);
    wait::until("what a target said is stored with what the registry says of it", FOLLOW_LIMIT, || {
        let found = metrics.http.json("/api/v1/query?query=answers_total%7Binstance=%22web-2%22%7D")?;
        let row = &found["data"]["result"][0];
        let (node, version) = (&row["metric"]["node"], &row["metric"]["version"]);
        let is_whole = row["value"][1] == "2" && node == "sidecar-2" && version == "2.1";
        wait::ensure(is_whole, || found.to_string())
    });

    webs[0].set_health(500);
    webs[1].set_health(429);
    metrics.wait_for_targets(&[("web-2", "warning up"), ("web-3", "passing up")]);
    webs[0].set_health(200);
    webs[1].set_health(200);
    metrics.wait_for_targets(&[("web-1", "passing up"), ("web-2", "passing up"), ("web-3", "passing up")]);
    cluster.sidecars[1].http().put("/v1/agent/service/deregister/web-2", &Value::Null).unwrap();
    metrics.wait_for_targets(&[("web-1", "passing up"), ("web-3", "passing up")]);

    // Nothing is lost with the last server, not even for one that is started then.
    cluster.kill_servers();
    drop(metrics);
    let directory = TempDir::new().unwrap();
    let metrics = VictoriaMetrics::start(&program, directory.path(), &cluster.sidecars[0]);
    metrics.wait_for_targets(&[("web-1", "passing up"), ("web-3", "passing up")]);
}
