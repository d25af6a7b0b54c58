//! A Prometheus that scrapes agents every second, with the rules of `examples/monitoring`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lictor_tests::{agent::Agent, http::Client, ports, process::Process, wait};
use serde_json::{Value, json};

const CONFIGURATION: &str = include_str!("../../../examples/monitoring/prometheus.yml");
const RULES: &str = include_str!("../../../examples/monitoring/alerts.yml");
/// Longest time until what happened is scraped and evaluated, on a busy machine.
pub const FOLLOW_LIMIT: Duration = Duration::from_secs(60);

/// A running one.
pub struct Prometheus {
    _process: Process,
    http: Client,
    /// The file that says which agents there are.
    targets: PathBuf,
}

impl Prometheus {
    /// Starts it, to scrape these.
    pub fn start<'a>(program: &Path, directory: &Path, agents: impl Iterator<Item = &'a Agent>) -> Self {
        let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
        write("prometheus.yml", &every_second(CONFIGURATION));
        write("alerts.yml", &at_once(RULES));
        let port = ports::free();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=warn");
        let process = Process::start("prometheus", directory, &mut command);
        let prometheus = Self { _process: process, http: Client::new(port), targets: directory.join("agents.yml") };
        prometheus.scrape(agents);
        prometheus
    }

    /// Has it scrape these from now on.
    pub fn scrape<'a>(&self, agents: impl Iterator<Item = &'a Agent>) {
        let targets: Vec<Value> = agents.map(target).collect();
        // JSON is YAML. It is put there as a whole, so that no half of it is read.
        let new = self.targets.with_extension("new");
        fs::write(&new, json!(targets).to_string()).unwrap();
        fs::rename(&new, &self.targets).unwrap();
    }

    pub fn wait_until_up(&self, agents: usize) {
        wait::until("every agent is up", FOLLOW_LIMIT, || {
            let up = self.ask("up == 1")?;
            wait::ensure(up.len() == agents, || format!("{up:?}"))
        });
    }

    /// The series that answer a query, now.
    pub fn ask(&self, query: &str) -> Result<Vec<Value>, String> {
        let answer = self.http.json(&format!("/api/v1/query?query={}", escaped(query)))?;
        answer["data"]["result"].as_array().cloned().ok_or_else(|| answer.to_string())
    }

    /// What fires: the alert and the instance that it is about, which is empty where it is about all.
    pub fn firing(&self) -> Result<BTreeSet<(String, String)>, String> {
        let answer = self.http.json("/api/v1/alerts")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alerts = answer["data"]["alerts"].as_array().ok_or_else(|| answer.to_string())?;
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing").map(|alert| {
            for annotation in ["summary", "description"].map(|name| text(&alert["annotations"][name])) {
                let is_filled_in = !annotation.is_empty()
                    && !["{{", "<no value>", "<error"].iter().any(|sign| annotation.contains(sign));
                assert!(is_filled_in, "{alert}");
            }
            (text(&alert["labels"]["alertname"]), text(&alert["labels"]["instance"]))
        });
        Ok(firing.collect())
    }

    pub fn wait_until_firing(&self, wanted: &[(&str, &str)]) {
        self.wait_until_firing_while(|| {}, wanted);
    }

    /// The same, while something is done again and again: a series that is new has not grown.
    pub fn wait_until_firing_while(&self, act: impl Fn(), wanted: &[(&str, &str)]) {
        wait::until(&format!("{wanted:?} fire"), FOLLOW_LIMIT, || {
            act();
            let firing = self.firing()?;
            let fires = |(alert, instance): &(&str, &str)| firing.contains(&((*alert).into(), (*instance).into()));
            wait::ensure(wanted.iter().all(fires), || format!("{firing:?}"))
        });
    }

    /// Waits until nothing fires but these.
    pub fn wait_until_quiet(&self, ignored: impl Fn(&str) -> bool) {
        wait::until("no alert fires", FOLLOW_LIMIT, || {
            let firing = self.firing()?;
            wait::ensure(firing.iter().all(|(alert, _)| ignored(alert)), || format!("{firing:?}"))
        });
    }
}

/// An agent as `agents.yml` has it.
fn target(agent: &Agent) -> Value {
    let labels = json!({"instance": agent.name, "role": role(agent), "datacenter": "dc1"});
    json!({"targets": [agent.address(agent.ports.http).to_string()], "labels": labels})
}

pub fn role(agent: &Agent) -> &'static str {
    if agent.name.starts_with("server") { "server" } else { "sidecar" }
}

pub fn every_second(configuration: &str) -> String {
    let changed = configuration.replace(": 15s", ": 1s");
    assert!(changed.contains("scrape_interval: 1s") && changed.contains("evaluation_interval: 1s"), "{changed}");
    changed
}

/// The rules, and nothing waits before it fires.
fn at_once(rules: &str) -> String {
    let line = |line: &str| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 0s\n"),
        _ => format!("{line}\n"),
    };
    rules.lines().map(line).collect()
}

/// As a part of a URL's query.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
