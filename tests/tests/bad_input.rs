//! What is wrong on the command line, in a file, with a port or in a data directory ends the agent with code 1 and one
//! line that names the thing and the remedy; nothing is overwritten.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use lictor_tests::{agent::Agent, binary, ports::Ports, process::Process};
use serde_json::Value;
use tempfile::TempDir;

/// Longest time until an agent that cannot start has ended.
const REFUSAL_LIMIT: Duration = Duration::from_secs(20);

/// Runs `lictor agent` with these arguments, on free ports, until it has ended.
fn run(arguments: &[String]) -> Output {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new(binary::path("lictor"));
    command.arg("agent").args(arguments);
    let defaults = Ports::free().flags().into_iter().chain(["-bind=127.0.0.1".to_owned()]);
    let is_given = |flag: &str| arguments.iter().any(|argument| argument.split('=').next() == flag.split('=').next());
    command.args(defaults.filter(|flag| !is_given(flag)));
    let mut process = Process::start("agent", directory.path(), &mut command);
    let status = process.wait(REFUSAL_LIMIT);
    Output { status, stdout: process.output().into(), stderr: process.log().into() }
}

/// What was wrong with the refusals that a test has seen.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    /// It ended with code 1, and exactly one line of what it said has all of `words`.
    fn expect_refusal(&mut self, what: &str, output: &Output, words: &[&str]) {
        let said = [&output.stderr[..], &output.stdout[..]].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let naming = said.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        let is_refused = output.status.code() == Some(1) && naming.count() == 1 && !said.contains("panicked");
        if !is_refused {
            self.0.push(format!("{what}: {}, wanted 1 and one line with {words:?}: {said}", output.status));
        }
    }

    fn expect_same<T: PartialEq>(&mut self, what: &str, found: &T, wanted: &T) {
        if found != wanted {
            self.0.push(format!("{what}: it was changed"));
        }
    }

    fn report(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

#[test]
fn flags() {
    let mut findings = Findings::default();
    for (flag, words) in [
        ("-no-such-flag", &["-no-such-flag"][..]),
        ("-no-such-flag=1", &["-no-such-flag"]),
        ("-bootstrap-expect=many", &["-bootstrap-expect", "many"]),
        ("-http-port=70000", &["-http-port", "70000"]),
        ("-retry-interval=10", &["-retry-interval", "10s"]),
        ("-log-level=loud", &["loud", "info"]),
        ("-node=", &["-node"]),
        ("-config-file=/nowhere/at/all.json", &["/nowhere/at/all.json"]),
        ("-config-dir=/nowhere/at/all", &["/nowhere/at/all"]),
        ("-bind=not-an-address", &["-bind", "not-an-address"]),
        ("word", &["word"]),
    ] {
        let output = run(&["-dev".into(), flag.into()]);
        findings.expect_refusal(flag, &output, words);
    }
    findings.report();
}

#[test]
fn what_does_not_go_together() {
    let mut findings = Findings::default();
    for (arguments, words) in [
        (vec!["-server", "-bootstrap-expect=3"], &["-data-dir"][..]),
        (vec!["-data-dir=DIRECTORY", "-bootstrap-expect=3"], &["-bootstrap-expect", "-server"]),
    ] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().display().to_string();
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.replace("DIRECTORY", &path)).collect();
        let output = run(&arguments);
        findings.expect_refusal(&format!("{arguments:?}"), &output, words);
    }
    findings.report();
}

#[test]
fn files() {
    let mut findings = Findings::default();
    for (text, words) in [
        (r#"{"datacentre": "dc1"}"#, &["datacentre", "datacenter"][..]),
        (r#"{"ports": {"htpp": 8500}}"#, &["htpp", "http"]),
        (r#"{"ports": {"http": "8500"}}"#, &["http"]),
        (r#"{"server": "yes"}"#, &["server"]),
        (r#"{"node_name": "a","#, &["line 1"]),
        ("{\n  \"node_name\": \"a\"\n  \"server\": true\n}", &["line 3"]),
        ("", &["wrong.json"]),
        ("[]", &["wrong.json"]),
        (r#"{"service": {"port": 80}}"#, &["name"]),
        (r#"{"service": {"name": "web", "prot": 80}}"#, &["prot", "web"]),
        (r#"{"service": {"name": "web", "port": 700000}}"#, &["web", "700000"]),
        (r#"{"service": {"name": "web", "check": {"tcp": "127.0.0.1:80", "interval": "10"}}}"#, &["interval", "10s"]),
        (r#"{"service": {"name": "web", "check": {"tcp": "127.0.0.1:80"}}}"#, &["web", "Interval"]),
        (r#"{"services": [{"name": "hello", "check": {"ttl": "soon"}}]}"#, &["ttl", "soon", "hello"]),
        (r#"{"check": {"id": "c", "ttl": "10s"}}"#, &["name"]),
    ] {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("wrong.json"), text).unwrap();
        let output = run(&["-dev".into(), format!("-config-dir={}", directory.path().display())]);
        findings.expect_refusal(text, &output, &[&["wrong.json"], words].concat());
    }
    findings.report();
}

#[test]
fn a_port_in_use_is_named() {
    let mut findings = Findings::default();
    for flag in ["http", "dns", "serf-lan", "server"] {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let output = run(&["-dev".into(), format!("-{flag}-port={port}")]);
        findings.expect_refusal(flag, &output, &[&port, &format!("-{flag}-port")]);
    }
    findings.report();
}

#[test]
fn the_data_directory_of_another_is_refused_and_unchanged() {
    let mut findings = Findings::default();
    for role in ["-server", "-server=false"] {
        let server = role == "-server";
        let mut first = if server { Agent::server("first", 1) } else { Agent::sidecar("first") };
        let path = first.data_directory();
        let data = format!("-data-dir={}", path.display());
        let arguments = |more: &[&str]| -> Vec<String> {
            let both = [data.as_str(), role].into_iter().chain(more.iter().copied());
            both.map(str::to_owned).collect()
        };
        // A sidecar alone never knows a leader; its directory is made before it looks for one.
        first.start();
        let identity = wait_for_identity(&path);
        first.kill();

        let before = contents(&path);
        for (what, more, words) in [
            ("another name", &["-node=second"][..], &["first", "second", "-data-dir"][..]),
            ("another datacenter", &["-node=first", "-datacenter=dc2"], &["dc1", "dc2", "-data-dir"]),
            (
                "another ID",
                &["-node=first", "-node-id=11111111-2222-3333-4444-555555555555"],
                &["11111111", "-data-dir"],
            ),
        ] {
            findings.expect_refusal(&format!("{role}: {what}"), &run(&arguments(more)), words);
            findings.expect_same(&format!("{role}: {what}"), &contents(&path), &before);
        }

        let mut json: Value = serde_json::from_slice(&fs::read(&identity).unwrap()).unwrap();
        json["format"] = 99.into();
        fs::write(&identity, json.to_string()).unwrap();
        let before = contents(&path);
        findings.expect_refusal(
            &format!("{role}: another format"),
            &run(&arguments(&["-node=first"])),
            &["format", "99"],
        );
        findings.expect_same("another format", &contents(&path), &before);
    }
    findings.report();
}

#[test]
fn a_directory_of_something_else_is_refused_and_unchanged() {
    let mut findings = Findings::default();
    for role in ["-server", "-server=false"] {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("holiday")).unwrap();
        fs::write(directory.path().join("holiday/picture.png"), "pixels").unwrap();
        let before = contents(directory.path());
        let output = run(&[format!("-data-dir={}", directory.path().display()), role.into()]);
        findings.expect_refusal(role, &output, &[&directory.path().display().to_string(), "-data-dir"]);
        findings.expect_same(role, &contents(directory.path()), &before);
    }
    findings.report();
}

/// The file of a data directory that says whose it is: the one that has its format.
fn wait_for_identity(path: &Path) -> PathBuf {
    lictor_tests::wait::until("the data directory is made", REFUSAL_LIMIT, || {
        let files = contents(path).into_keys().map(|file| path.join(file));
        let mut identities = files.filter(|file| {
            let json = fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            json.is_some_and(|json| json["format"].is_u64())
        });
        identities.next().ok_or("no file in it says its format")
    })
}

/// Every file below `path` with its bytes, but for the lock, which a process takes before it looks at the rest.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            } else if entry.file_name() != "lock" {
                let name = entry.path().strip_prefix(path).unwrap().to_owned();
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}
