//! `lictor debug` against a real agent: what is in the archive, what is not, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use lictor_tests::{agent::Agent, binary, containers::succeeded, process::Process, wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest time until something is seen, on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
/// What the agent must not give away.
const SECRET: &str = "5ec2e700-0000-4000-8000-000000000001";

/// `lictor debug` of this agent, into `capture` in that directory.
fn debug(agent: &Agent, directory: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(binary::path("lictor"));
    command.current_dir(directory).env_remove("CONSUL_HTTP_TOKEN").args(["debug", "-output=capture"]).args(flags);
    command.arg(format!("-http-addr={}", agent.address(agent.ports.http)));
    command
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// The archive's directory, unpacked; and the index.
fn unpacked(directory: &Path) -> (PathBuf, Value) {
    let archive = directory.join("capture.tar.gz");
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!directory.join("capture").exists(), "the directory is the archive now");
    succeeded(Command::new("tar").current_dir(directory).args(["-xzf", "capture.tar.gz"]));
    let bundle = directory.join("capture");
    let index = serde_json::from_slice(&fs::read(bundle.join("index.json")).unwrap()).unwrap();
    (bundle, index)
}

fn files(index: &Value) -> Vec<&str> {
    index["captured"].as_array().unwrap().iter().filter_map(|entry| entry["file"].as_str()).collect()
}

#[test]
fn an_archive_has_everything_but_secrets() {
    let place = TempDir::new().unwrap();
    let agent = Agent::dev("host-1").with_config_directory();
    agent.write_file("a.hcl", &format!("node_meta {{ team = \"a\"  db_password = \"{SECRET}\" }}\n"));
    let agent = agent.started();
    let flags = ["-duration=3s", "-interval=500ms"];
    let mut capturing = Process::start("debug", place.path(), &mut debug(&agent, place.path(), &flags));
    wait::until("the log is followed", LIMIT, || {
        wait::ensure(capturing.output().contains("metrics.json: 1"), || capturing.output())
    });
    agent.http().put("/v1/agent/reload", &Value::Null).unwrap();
    assert!(capturing.wait(LIMIT).success(), "{}", capturing.log());
    assert!(capturing.output().ends_with("Saved capture.tar.gz\n"), "{}", capturing.output());

    let (bundle, index) = unpacked(place.path());
    assert_eq!((&index["refused"], &index["interrupted"]), (&json!([]), &json!(false)), "{index}");
    for file in ["agent", "host", "members", "members-wan", "raft", "autopilot", "coordinates"] {
        let file = format!("{file}.json");
        assert!(files(&index).contains(&file.as_str()), "{file}: {index}");
        serde_json::from_slice::<Value>(&fs::read(bundle.join(&file)).unwrap()).unwrap();
    }
    let itself: Value = serde_json::from_slice(&fs::read(bundle.join("agent.json")).unwrap()).unwrap();
    assert_eq!(itself["Meta"], json!({"team": "a", "db_password": "hidden", "consul-network-segment": ""}));
    let metrics = fs::read_to_string(bundle.join("metrics.json")).unwrap();
    assert!(metrics.lines().count() >= 3, "{metrics}");
    for line in metrics.lines() {
        let named = |of: &Value, name| of.as_array().unwrap().iter().any(|series| series["Name"] == name);
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(named(&line["Counters"], "process_cpu_seconds_total"), "{line}");
        assert!(named(&line["Gauges"], "process_resident_memory_bytes"), "{line}");
    }
    assert!(fs::read_to_string(bundle.join("logs.txt")).unwrap().contains("configuration reloaded"));
    for file in fs::read_dir(&bundle).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn what_a_token_may_not_see_is_told_and_left_out() {
    let place = TempDir::new().unwrap();
    let agent = Agent::dev("host-1").with_config_directory();
    let rule =
        format!("acl {{ enabled = true default_policy = \"deny\" tokens {{ initial_management = \"{SECRET}\" }} }}");
    agent.write_file("acl.hcl", &rule);
    let agent = agent.started().shown(SECRET);
    let rules = json!({"Name": "sees-agents", "Rules": "agent_prefix \"\" { policy = \"read\" }"});
    wait::until("the first token counts", LIMIT, || agent.http().put("/v1/acl/policy", &rules));
    let token = json!({"Policies": [{"Name": "sees-agents"}]});
    let token: Value = serde_json::from_slice(&agent.http().put("/v1/acl/token", &token).unwrap().body).unwrap();
    let token = format!("-token={}", token["SecretID"].as_str().unwrap());

    let flags = ["-duration=1s", "-interval=1s", "-capture=agent,host,raft,metrics,logs,pprof"];
    let (code, said, errors) = output(debug(&agent, place.path(), &flags).arg(token));
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    let (_, index) = unpacked(place.path());
    assert_eq!(files(&index), ["agent.json", "metrics.json"], "{index}");
    let refused = index["refused"].as_array().unwrap();
    for (capture, reason) in [
        ("host", "403 (Permission denied"),
        ("raft", "403 (Permission denied"),
        ("logs", "403 (Permission denied"),
        ("pprof", "no profiler"),
    ] {
        let found = refused.iter().find(|refused| refused["capture"] == capture).unwrap();
        assert!(found["reason"].as_str().unwrap().contains(reason), "{found}");
    }

    // Who may see nothing of it has nothing to keep.
    let place = TempDir::new().unwrap();
    let (code, _, errors) = output(&mut debug(&agent, place.path(), &["-duration=1s", "-capture=host,logs"]));
    assert_eq!(code, Some(1));
    assert!(errors.contains("403 (Permission denied") && errors.contains("No token was shown"), "{errors}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn an_interrupt_ends_it_and_keeps_what_there_is() {
    let place = TempDir::new().unwrap();
    let agent = Agent::dev("host-1").started();
    let mut capturing = Process::start("debug", place.path(), &mut debug(&agent, place.path(), &["-duration=1h"]));
    wait::until("the metrics were looked at", LIMIT, || {
        wait::ensure(capturing.output().contains("metrics.json: 1"), || capturing.output())
    });
    capturing.signal(Signal::INT);
    assert!(capturing.wait(LIMIT).success(), "{}", capturing.log());
    let (_, index) = unpacked(place.path());
    assert_eq!((&index["interrupted"], &index["duration"]), (&json!(true), &json!("1h0m0s")));
    assert!(files(&index).contains(&"metrics.json"), "{index}");

    // What is there is not written over.
    let (code, _, errors) = output(&mut debug(&agent, place.path(), &["-duration=1s"]));
    assert!(code == Some(1) && errors.contains("is there already"), "{errors}");
}

#[test]
fn an_agent_that_is_not_there_leaves_nothing() {
    let place = TempDir::new().unwrap();
    let agent = Agent::dev("host-1");
    let (code, _, errors) = output(&mut debug(&agent, place.path(), &["-duration=1s"]));
    assert!(code == Some(1) && errors.contains("connection refused"), "{errors}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
