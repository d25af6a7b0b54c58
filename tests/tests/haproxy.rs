//! HAProxy finds its servers by the SRV records of a sidecar, as in `third-party/haproxy.cfg`, and balances over
//! them: it follows services that come, go and fail, and starts while no server runs.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use lictor_tests::{agent::Agent, cluster::Cluster, http::Client, installed, ports, process::Process, wait, web::Web};
use serde_json::{Value, json};
use tempfile::TempDir;

const CONFIGURATION: &str = include_str!("../third-party/haproxy.cfg");
/// Longest time until a change at the sidecar is seen: a check's interval, its own, and time for a busy machine.
const FOLLOW_LIMIT: Duration = Duration::from_secs(30);
/// More than the records of an answer by UDP to a question that offers no size.
const INSTANCES: usize = 5;

/// A running HAProxy.
struct HaProxy {
    _process: Process,
    entry: Client,
}

impl HaProxy {
    fn start(program: &Path, directory: &Path, sidecar: &Agent) -> Self {
        let asked = format!("127.0.0.1:{}", sidecar.ports.dns);
        let port = ports::free();
        let entry = format!("127.0.0.1:{port}");
        let configuration =
            CONFIGURATION.replace("127.0.0.1:8600", &asked).replace("127.0.0.1:80\n", &format!("{entry}\n"));
        assert!(configuration.contains(&asked) && configuration.contains(&entry), "{configuration}");
        let file = directory.join("haproxy.cfg");
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(&file);
        let process = Process::start("haproxy", directory, &mut command);
        Self { _process: process, entry: Client::new(port) }
    }

    /// Who answers, of two rounds of requests; nobody where it has no server.
    fn answering(&self) -> Result<BTreeSet<String>, String> {
        let answers = (0..2 * INSTANCES).map(|_| self.entry.get("/"));
        let names = answers.map(|answer| {
            let answer = answer?;
            match answer.status {
                200 => Ok(Some(answer.text())),
                503 => Ok(None),
                status => Err(format!("{status} {}", answer.text())),
            }
        });
        Ok(names.collect::<Result<Vec<_>, String>>()?.into_iter().flatten().collect())
    }

    fn wait_for(&self, wanted: &[&str]) {
        wait::until(&format!("answers of {wanted:?}"), FOLLOW_LIMIT, || {
            let answering = self.answering()?;
            wait::ensure(answering.iter().eq(wanted), || format!("{answering:?}"))
        });
    }
}

/// On the node's own address, or on one of the service: their names in an answer differ.
fn register(sidecar: &Agent, id: &str, address: &str, web: &Web) {
    let check = json!({"HTTP": format!("http://127.0.0.1:{}/health", web.port), "Interval": "200ms"});
    let service = json!({"ID": id, "Name": "web", "Address": address, "Port": web.port, "Check": check});
    sidecar.http().put("/v1/agent/service/register", &service).unwrap();
}

#[test]
fn haproxy_follows_the_services_of_a_sidecar() {
    let Some(program) = installed::find("haproxy", "haproxy") else { return };
    let mut cluster = Cluster::start(1, 2);
    let directory = TempDir::new().unwrap();
    let proxy = HaProxy::start(&program, directory.path(), &cluster.sidecars[0]);
    proxy.wait_for(&[]);

    let names: Vec<String> = (1..=INSTANCES).map(|number| format!("web-{number}")).collect();
    let webs: Vec<Web> = names.iter().map(|name| Web::start(name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    register(&cluster.sidecars[0], names[0], "", &webs[0]);
    proxy.wait_for(&names[..1]);
    for (number, name) in names.iter().enumerate().skip(1) {
        let address = if number % 2 == 0 { "" } else { "127.0.0.1" };
        register(&cluster.sidecars[number % 2], name, address, &webs[number]);
    }
    proxy.wait_for(&names);

    // They go on answering the proxy: it is the registry alone that takes them out.
    webs[0].set_health(500);
    webs[3].set_health(500);
    proxy.wait_for(&["web-2", "web-3", "web-5"]);
    webs[0].set_health(200);
    webs[3].set_health(200);
    proxy.wait_for(&names);
    cluster.sidecars[1].http().put("/v1/agent/service/deregister/web-2", &Value::Null).unwrap();
    let left = ["web-1", "web-3", "web-4", "web-5"];
    proxy.wait_for(&left);

    // Nothing is lost with the last server, not even for one that is started then.
    cluster.kill_servers();
    drop(proxy);
    let proxy = HaProxy::start(&program, directory.path(), &cluster.sidecars[0]);
    proxy.wait_for(&left);
}
