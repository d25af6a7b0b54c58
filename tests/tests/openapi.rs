//! An agent does what its own description at `/v1/openapi.json` says, whatever it is asked: Schemathesis reads that, makes
//! requests of all kinds of it, and looks at the answers.
//!
//! What is not asked, with the reasons: `openapi/schemathesis.toml`; which refusals are as they must be: `openapi/hooks.py`.
//! Schemathesis is installed from PyPI into the build directory, once, by the host's `python3 -m pip`.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use lictor_tests::{agent::Agent, python, wait};
use serde_json::{Value, json};

/// Longest time until the agent has told the registry what it was told.
const SEEN_LIMIT: Duration = Duration::from_secs(20);

/// The directory with what Schemathesis needs.
fn given() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi")
}

/// The token that allows everything.
const MANAGEMENT: &str = "00000000-0000-0000-0000-0000000000f1";
/// The endpoints of access control.
const ACCESS: &str = "^/v1/acl/";

/// A directory with Schemathesis.
fn packages() -> PathBuf {
    python::packages(&given().join("requirements.txt"), Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi"))
}

#[test]
fn an_agent_does_what_its_description_says() {
    let agent = Agent::dev("described").started();
    let known = fill(&agent);
    // All of these say that there is no access control.
    ask(agent, &known, &["--exclude-path-regex", ACCESS]);
}

#[test]
fn access_control_does_what_its_description_says() {
    let acl =
        format!(r#"acl {{ enabled = true default_policy = "deny" tokens {{ initial_management = "{MANAGEMENT}" }} }}"#);
    let agent = Agent::dev("guarded").argument(format!("-hcl={acl}")).shown(MANAGEMENT).started();
    let known = grant(&agent);
    let token = format!("X-Consul-Token: {MANAGEMENT}");
    ask(agent, &known, &["--include-path-regex", ACCESS, "--header", &token]);
}

/// Has Schemathesis ask the agent; `known` is what there is to ask about.
fn ask(agent: Agent, known: &Value, arguments: &[&str]) {
    let mut command = Command::new("python3");
    command.args(["-m", "schemathesis.cli", "--no-color", "--config-file"]).arg(given().join("schemathesis.toml"));
    command.arg("run").arg(format!("http://127.0.0.1:{}/v1/openapi.json", agent.ports.http)).args(arguments);
    command.current_dir(agent.directory()).env("PYTHONPATH", packages()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("SCHEMATHESIS_HOOKS", given().join("hooks.py")).env("LICTOR_KNOWN", known.to_string());
    let start = Instant::now();
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}\n{}: {} s", agent.name, start.elapsed().as_secs());
    assert!(output.status.success(), "{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(agent.is_running(), "{}", agent.log());
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

/// Makes one of each of access control; what there is then.
fn grant(agent: &Agent) -> Value {
    let http = agent.http();
    wait::until("the first token", SEEN_LIMIT, || http.json("/v1/acl/token/self"));
    let make = |path: &str, id: &str, body: Value| {
        let answer = http.put(path, &body).unwrap_or_else(|error| panic!("{path}: {error}"));
        let made: Value = serde_json::from_slice(&answer.body).unwrap();
        made[id].as_str().unwrap().to_owned()
    };
    let rules = r#"key "a" { policy = "read" }"#;
    let policy = make("/v1/acl/policy", "ID", json!({"Name": "policy", "Rules": rules, "Datacenters": ["dc1"]}));
    let links = json!([{"Name": "policy"}]);
    let (services, nodes) = (json!([{"ServiceName": "web"}]), json!([{"NodeName": "n", "Datacenter": "dc1"}]));
    let role = json!({"Name": "role", "Policies": links, "ServiceIdentities": services, "NodeIdentities": nodes});
    let role = make("/v1/acl/role", "ID", role);
    let token = json!({"Description": "t", "Roles": [{"ID": role}], "Policies": links, "ExpirationTTL": "1h"});
    let accessor = make("/v1/acl/token", "AccessorID", token);
    // The key of RFC 8037, appendix A.2.
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let config = json!({"JWKS": {"keys": [key]}});
    let method = json!({"Name": "ci", "Type": "jwt", "DisplayName": "CI", "MaxTokenTTL": "1h", "Config": config});
    let method = make("/v1/acl/auth-method", "Name", method);
    let rule = json!({"AuthMethod": method, "BindType": "service", "BindName": "web"});
    let rule = make("/v1/acl/binding-rule", "ID", rule);
    json!({
        "accessor": [accessor],
        "method": [method],
        "policy-id": [policy],
        "policy-name": ["policy"],
        "role-id": [role],
        "role-name": ["role"],
        "rule": [rule],
    })
}

/// Registers one of each; what there is then, by the name of the parameter that asks about it.
fn fill(agent: &Agent) -> Value {
    let http = agent.http();
    let put = |path: &str, body: Value| http.put(path, &body).unwrap_or_else(|error| panic!("{path}: {error}"));
    let id = |path: &str, method: &str, body: &Value| {
        let answer = http.send(method, path, &[], body.to_string().as_bytes()).unwrap();
        let created: Value = serde_json::from_slice(&answer.body).unwrap();
        created["ID"].as_str().unwrap().to_owned()
    };
    let check = |status: &str| json!({"CheckID": format!("{status}-check"), "TTL": "1h", "Status": status});
    for status in ["passing", "warning", "critical"] {
        let service = json!({"Name": status, "Tags": ["a", status], "Port": 80, "Address": "10.0.0.1", "Meta": {"k": "v"},
            "Check": check(status)});
        put("/v1/agent/service/register", service);
    }
    put(
        "/v1/catalog/register",
        json!({"Node": "outside", "Address": "10.0.0.2", "NodeMeta": {"rack": "r1"}, "Service": {"Service": "passing"},
            "Check": {"Name": "alive", "Status": "passing", "Definition": {"TCP": "10.0.0.2:80", "Interval": "10s"}}}),
    );
    for key in ["a", "a/b"] {
        put(&format!("/v1/kv/{key}"), json!({"some": "value"}));
    }
    put("/v1/event/fire/deploy", json!({}));
    let coordinate = json!({"Vec": [0, 0, 0, 0, 0, 0, 0, 0.5], "Error": 1.5, "Adjustment": 0, "Height": 0.001});
    put("/v1/coordinate/update", json!({"Node": "outside", "Coord": coordinate}));
    // A session needs its node, and that this is alive.
    wait::until("the agent's node alive in the registry", SEEN_LIMIT, || {
        let rows = http.json("/v1/health/node/described")?;
        let alive = |row: &Value| row["CheckID"] == "serfHealth" && row["Status"] == "passing";
        wait::ensure(rows.as_array().is_some_and(|rows| rows.iter().any(alive)), || rows.to_string())
    });
    let sessions: Vec<_> = (0..3).map(|_| id("/v1/session/create", "PUT", &json!({"TTL": "1h"}))).collect();
    let query = json!({"Name": "find", "Service": {"Service": "passing", "Tags": ["a"]}});
    let query = id("/v1/query", "POST", &query);
    wait::until("the services in the registry", SEEN_LIMIT, || {
        let rows = http.json("/v1/catalog/node-services/described")?;
        wait::ensure(rows["Services"].as_array().is_some_and(|rows| rows.len() >= 4), || rows.to_string())
    });
    let statuses = ["passing", "warning", "critical"];
    json!({
        "check-id": statuses.map(|status| format!("{status}-check")),
        "event": ["deploy"],
        "file": ["main.js", "style.css", "icon.svg", "services"],
        "key": ["a", "a/b", "a/"],
        "node": ["described", "outside"],
        "query": [query],
        "query-name": ["find", query],
        "service": statuses,
        "service-id": statuses,
        "session": sessions,
        "state": statuses,
    })
}
