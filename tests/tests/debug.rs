//! `lictor debug` against a real agent: what is in the archive, what is not, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use flate2::read::GzDecoder;
use lictor_tests::{agent::Agent, binary, containers::succeeded, process::Process, wait};
use prost::Message;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest time until something is seen, on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
/// What the agent must not give away.
const SECRET: &str = "5ec2e700-0000-4000-8000-000000000001";

/// What this test reads of pprof's format.
#[derive(Clone, PartialEq, prost::Message)]
struct Profile {
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Function {
    #[prost(int64, tag = "2")]
    name: i64,
}

impl Profile {
    fn read(packed: &[u8]) -> Self {
        let mut encoded = Vec::new();
        GzDecoder::new(packed).read_to_end(&mut encoded).unwrap();
        Self::decode(&encoded[..]).unwrap()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.function.iter().map(|function| self.string_table[usize::try_from(function.name).unwrap()].as_str())
    }
}

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
    let profile = index["captured"].as_array().unwrap().iter().find(|entry| entry["capture"] == "pprof").unwrap();
    assert_eq!(
        (&profile["file"], &profile["path"]),
        (&json!("profile.prof"), &json!("/debug/pprof/profile?seconds=3"))
    );
    Profile::read(&fs::read(bundle.join("profile.prof")).unwrap());
    assert!(fs::read_to_string(bundle.join("logs.txt")).unwrap().contains("configuration reloaded"));
    for file in fs::read_dir(&bundle).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
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
        ("pprof", "403 (Permission denied"),
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
fn an_agent_without_profiles_has_the_rest() {
    let place = TempDir::new().unwrap();
    let agent = Agent::dev("host-1").argument("-hcl=enable_debug = false").started();
    let (code, said, errors) = output(&mut debug(&agent, place.path(), &["-duration=1s", "-capture=host,pprof"]));
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    let (_, index) = unpacked(place.path());
    assert_eq!((files(&index), &index["refused"][0]["capture"]), (vec!["host.json"], &json!("pprof")), "{index}");
    let reason = index["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("403") && reason.contains("enable_debug = true"), "{index}");

    let agent = Agent::slim_sidecar("host-2").argument("-hcl=enable_debug = true");
    let server = Agent::server("host-3", 1).started();
    let agent = agent.joining([&server.ports]).started();
    let reply = agent.http().send("GET", "/debug/pprof/profile", &[], b"").unwrap();
    assert!(reply.status == 501 && reply.text().contains("no profiler"), "{reply:?}");
}

/// An agent that takes its profiles in that directory.
fn profiled(place: &Path) -> Agent {
    let mut agent = Agent::dev("host-1");
    agent.set_environment(&[("TMPDIR", place.display().to_string())]);
    agent.started()
}

/// Ends what goes on, with the test.
struct Over<'t>(&'t AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_profile_names_what_an_agent_does() {
    let place = TempDir::new().unwrap();
    let agent = profiled(place.path());
    let http = agent.http().with_time_out(LIMIT);
    let profile = || http.get("/debug/pprof/profile?seconds=2").unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also where a check fails: the scope waits for those who ask.
        let _over = Over(&is_over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // What comes of it is not what is asked here.
                    let _ = agent.http().get("/v1/agent/metrics?format=prometheus");
                }
            });
        }
        // Again and again, on what the last one has left.
        let profiles: Vec<_> = (0..3).map(|_| Profile::read(&profile().body)).collect();
        for profile in profiles {
            let seen: i64 = profile.sample.iter().map(|sample| sample.value[0]).sum();
            assert!(seen >= 5, "{seen} samples of two seconds of work");
            let deepest = profile.sample.iter().map(|sample| sample.location_id.len()).max();
            assert!(deepest > Some(10), "{deepest:?}: stacks are cut short");
            for part in ["lictor_shared::http::", "tokio::runtime::"] {
                assert!(profile.names().any(|name| name.contains(part)), "{part}: {profile:?}");
            }
        }
    });
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "it leaves nothing behind");
}

#[test]
fn an_interrupt_ends_it_and_keeps_what_there_is() {
    let place = TempDir::new().unwrap();
    // The test may kill it while it still takes a profile.
    let agent = profiled(place.path());
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
