//! A reload applies all that the files say or nothing: with one bad file among them, whatever is wrong in it, the
//! agent stays as it was, says what is wrong and where, and the next good one applies.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{os::unix::fs::symlink, time::Duration};

use lictor_tests::{agent::Agent, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Longest time until a signal is answered.
const SIGNAL_LIMIT: Duration = Duration::from_secs(10);
/// What the log says of every reload that was refused, and of one that was not.
const REFUSED: &str = "configuration not reloaded; nothing was changed";

/// What a bad file is called and says, and the words that a refusal has beside the name.
const BAD_FILES: [(&str, &str, &[&str]); 13] = [
    ("json.json", r#"{"service": {"name": "three", "#, &["1:30"]),
    ("hcl.hcl", "service {\n  name = \"three\"\n  port = = 3\n}\n", &["3:10"]),
    ("key.json", r#"{"service": {"name": "three", "prot": 1003}}"#, &["three", "prot"]),
    ("key.hcl", "log_levl = \"info\"\n", &["log_levl"]),
    ("kind.json", r#"{"service": {"name": "three", "port": "many"}}"#, &["three", "port"]),
    ("duration.json", r#"{"service": {"name": "three", "check": {"ttl": "soon"}}}"#, &["three", "ttl", "soon"]),
    ("unit.hcl", "check {\n name = \"c\"\n tcp = \"127.0.0.1:1\"\n interval = \"10\"\n}\n", &["interval", "10s"]),
    ("twice.json", r#"{"service": {"name": "another", "id": "one"}}"#, &["one", "id"]),
    (
        "two-checks.hcl",
        "checks = [{name = \"a\", id = \"x\", ttl = \"1s\"}, {name = \"b\", id = \"x\", ttl = \"1s\"}]",
        &["x"],
    ),
    ("type.json", r#"{"check": {"name": "nothing", "interval": "1s"}}"#, &["nothing"]),
    ("missing.json", r#"{"check": {"name": "lost", "ttl": "1m", "service_id": "nobody"}}"#, &["lost", "nobody"]),
    (
        "script.json",
        r#"{"check": {"name": "run", "args": ["/bin/true"], "interval": "1s"}}"#,
        &["run", "enable_script_checks"],
    ),
    ("bytes.json", "\u{0}", &["1:1"]),
];

/// The services, the checks, and whether the log level lets more than warnings through.
fn state(agent: &Agent) -> (Value, Value, bool) {
    let mut checks = agent.http().json("/v1/agent/checks").unwrap();
    for check in checks.as_object_mut().unwrap().values_mut() {
        // A check that is due says something in between.
        check["Output"] = Value::Null;
    }
    (agent.http().json("/v1/agent/services").unwrap(), checks, agent.log().contains(" INFO "))
}

fn refusals(agent: &Agent) -> usize {
    agent.log().lines().filter(|line| line.contains(REFUSED)).count()
}

/// Asks for a reload by each way there is; gives what is wrong with the refusals.
fn refused(agent: &mut Agent, file: &str, words: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |way: &str, refused: bool, said: &str| {
        let said = said.trim_end();
        let named = said.contains(file) && words.iter().all(|word| said.contains(word));
        if !refused || !named || said.lines().count() != 1 {
            wrong.push(format!("{file}, {way}: wanted a refusal in one line with {words:?}: {said:?}"));
        }
    };
    let output = agent.command(&["reload"]);
    expect("command", output.status.code() == Some(1), &String::from_utf8_lossy(&output.stderr));
    let answer = agent.http().send("PUT", "/v1/agent/reload", &[], b"").unwrap();
    expect("HTTP", answer.status == 500, &answer.text());
    let before = refusals(agent);
    agent.signal(Signal::HUP);
    let said = wait::until(&format!("{file}: an answer to SIGHUP"), SIGNAL_LIMIT, || {
        let log = agent.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(REFUSED)).collect();
        if lines.len() > before { Ok(lines[before].to_owned()) } else { Err("nothing is said") }
    });
    expect("SIGHUP", true, &said);
    wrong
}

#[test]
fn a_reload_is_all_or_nothing() {
    let agent = Agent::of_files("node-a");
    let ports = json!(agent.ports.named().into_iter().collect::<std::collections::BTreeMap<_, _>>());
    let base = json!({"node_name": "node-a", "bind_addr": "127.0.0.1", "server": true, "bootstrap": true,
        "data_dir": agent.data_directory(), "ports": ports});
    agent.write_file("10-base.json", &base.to_string());
    agent.write_file("20-log.hcl", "log_level = \"warn\"\n");
    agent.write_file(
        "30-one.json",
        r#"{"service": {"name": "one", "port": 1001, "check": {"id": "beat", "ttl": "1h"}}}"#,
    );
    agent.write_file("40-two.hcl", "service { name = \"two\" port = 1002 }\n");
    let mut agent = agent.started();
    agent.http().put("/v1/agent/service/register", &json!({"Name": "by-http", "Port": 1})).unwrap();
    agent.http().put("/v1/agent/check/pass/beat", &Value::Null).unwrap();
    let before = state(&agent);
    assert_eq!((before.0.as_object().unwrap().len(), before.2), (3, false), "{before:?}");

    // Changes that are good, and wait for the bad file to be repaired.
    agent.write_file("20-log.hcl", "log_level = \"debug\"\n");
    agent.write_file(
        "30-one.json",
        r#"{"service": {"name": "one", "port": 2001, "check": {"id": "beat", "ttl": "2h"}}}"#,
    );
    agent.remove_file("40-two.hcl");
    agent.write_file("50-new.json", r#"{"service": {"name": "new", "port": 1005}}"#);
    let mut wrong = Vec::new();
    for (file, text, words) in BAD_FILES {
        agent.write_file(file, text);
        wrong.extend(refused(&mut agent, file, words));
        if state(&agent) != before {
            wrong.push(format!("{file}: it is not as before: {:?}", state(&agent)));
        }
        agent.remove_file(file);
    }
    // A value that only makes no sense when all files are put together is named by its setting.
    agent.write_file("level.hcl", "log_level = \"loud\"\n");
    wrong.extend(refused(&mut agent, "log-level", &["loud", "debug"]));
    assert_eq!(state(&agent), before);
    agent.remove_file("level.hcl");
    symlink("/nowhere/at/all", agent.config_directory().join("unreadable.json")).unwrap();
    wrong.extend(refused(&mut agent, "unreadable.json", &["No such file"]));
    assert_eq!(state(&agent), before);
    agent.remove_file("unreadable.json");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let output = agent.command(&["reload"]);
    assert!(output.status.success(), "{output:?}");
    let (services, checks, says_more) = state(&agent);
    let mut names: Vec<&str> = services.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["by-http", "new", "one"]);
    assert_eq!(services["one"]["Port"], 2001);
    assert_eq!(checks["beat"]["Status"], "passing", "a check whose definition changes keeps its status");
    assert!(says_more, "the log level is as before: {}", agent.log());
}
