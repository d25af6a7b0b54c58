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
        (r#"{"node_name": "a","#, &["wrong.json:1:18"]),
        ("{\n  \"node_name\": \"a\"\n  \"server\": true\n}", &["wrong.json:3:3"]),
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
    for (flag, remedy) in [
        ("http", "-http-port"),
        ("dns", "-dns-port"),
        ("serf-lan", "configure another port"),
        ("server", "-server-port"),
        ("grpc", "-grpc-port"),
    ] {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let output = run(&["-dev".into(), format!("-{flag}-port={port}")]);
        findings.expect_refusal(flag, &output, &[&port, "in use", remedy]);
    }
    findings.report();
}

#[test]
fn the_data_directory_of_another_is_refused_and_unchanged() {
    let mut findings = Findings::default();
    let mut first = Agent::server("first", 1).started();
    let path = first.data_directory();
    first.kill();
    let before = contents(&path);
    let start = |arguments: &[&str]| {
        let given = ["-server", "-bootstrap-expect=1"].iter().chain(arguments).map(|argument| (*argument).to_owned());
        run(&given.chain([format!("-data-dir={}", path.display())]).collect::<Vec<_>>())
    };
    for (arguments, words) in [
        (&["-node=second"][..], ["first", "second"]),
        (&["-node=first", "-datacenter=dc2"], ["dc1", "dc2"]),
        (&["-node=first", "-node-id=11111111-2222-3333-4444-555555555555"], ["node_id", "11111111"]),
    ] {
        let what = arguments.join(" ");
        findings.expect_refusal(&what, &start(arguments), &[&words[..], &["server.json", "-data-dir"]].concat());
        findings.expect_same(&what, &contents(&path), &before);
    }

    let identity = path.join("server.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&identity).unwrap()).unwrap();
    json["format"] = 99.into();
    fs::write(&identity, json.to_string()).unwrap();
    let before = contents(&path);
    findings.expect_refusal("another format", &start(&["-node=first"]), &["server.json", "format", "99", "-data-dir"]);
    findings.expect_same("another format", &contents(&path), &before);
    findings.report();
}

#[test]
fn a_directory_of_something_else_is_refused_and_unchanged() {
    let mut findings = Findings::default();
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("holiday")).unwrap();
    fs::write(directory.path().join("holiday/picture.png"), "pixels").unwrap();
    let before = contents(directory.path());
    let data = format!("-data-dir={}", directory.path().display());
    let output = run(&["-server".into(), "-bootstrap-expect=1".into(), data]);
    findings.expect_refusal("a server", &output, &[&directory.path().display().to_string(), "holiday", "-data-dir"]);
    findings.expect_same("a server", &contents(directory.path()), &before);
    findings.report();
}

/// Every file below `path` with its bytes.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(path).unwrap().to_owned();
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}
