//! Access control from the command line, against a real agent that allows nothing without a token.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use lictor_tests::{agent::Agent, binary, wait};
use serde_json::Value;

/// Longest time until a change counts, on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// An agent, and whoever asks it.
struct Caller<'a> {
    agent: &'a Agent,
    /// The flag that shows a token; empty: none is shown.
    token: String,
}

impl<'a> Caller<'a> {
    fn nobody(agent: &'a Agent) -> Self {
        Self { agent, token: String::new() }
    }

    fn with_secret(agent: &'a Agent, secret: &str) -> Self {
        Self { agent, token: format!("-token={secret}") }
    }

    fn output(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(binary::path("lictor"));
        for variable in ["CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_ADDR"] {
            command.env_remove(variable);
        }
        command.args(arguments).arg(format!("-http-addr={}", self.agent.address(self.agent.ports.http)));
        command.args((!self.token.is_empty()).then_some(&self.token)).envs(variables.iter().copied());
        command.output().unwrap()
    }

    /// What a command prints; it must succeed.
    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments, &[]);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.printed(&[arguments, &["-format=json"]].concat())).unwrap()
    }

    /// What a command says when it is refused.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments, &[]);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let secret = self.token.trim_start_matches("-token=");
        assert!(secret.is_empty() || !said.contains(secret), "a secret is in an error: {said}");
        said
    }

    /// Waits until a command is refused: what was allowed counts until the agent knows better.
    fn wait_until_refused(&self, arguments: &[&str]) -> String {
        wait::until(&format!("{arguments:?} is refused"), LIMIT, || {
            let output = self.output(arguments, &[]);
            wait::ensure(output.status.code() == Some(1), || format!("{output:?}"))
        });
        self.refused(arguments)
    }
}

fn protected() -> Agent {
    let agent = Agent::dev("host-1").with_config_directory();
    agent.write_file("acl.hcl", "acl { enabled = true default_policy = \"deny\" }\n");
    agent.started()
}

/// What a label has behind it.
fn labelled<'a>(text: &'a str, label: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label} in {text}")).trim()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no {key} in {row}"))
}

#[test]
fn from_the_first_token_to_the_last() {
    let agent = protected();
    let nobody = Caller::nobody(&agent);
    let said = nobody.refused(&["kv", "put", "app/a", "1"]);
    assert!(said.contains("403 (Permission denied") && said.contains("No token was shown. Give one by"), "{said}");

    let first = nobody.output(&["acl", "bootstrap"], &[]);
    assert!(first.status.success() && first.stderr.starts_with(b"Warning: "), "{first:?}");
    let first = String::from_utf8(first.stdout).unwrap();
    assert!(first.ends_with("Policies:\n   00000000-0000-0000-0000-000000000001 - global-management\n"), "{first}");
    let operator = Caller::with_secret(&agent, labelled(&first, "SecretID:"));
    assert!(nobody.refused(&["acl", "bootstrap"]).contains("acl-bootstrap-reset"));

    let rules = agent.directory().join("app.hcl");
    fs::write(&rules, "key_prefix \"app/\" {\n  policy = \"write\"\n}\n").unwrap();
    let from_file = format!("-rules=@{}", rules.display());
    let policy = operator.printed(&["acl", "policy", "create", "-name=app", &from_file, "-description=for app"]);
    assert_eq!(labelled(&policy, "Description:"), "for app");
    assert!(policy.ends_with("Rules:\nkey_prefix \"app/\" {\n  policy = \"write\"\n}\n"), "{policy}");
    let policy_id = labelled(&policy, "ID:").to_owned();

    let token = operator.json(&["acl", "token", "create", "-policy-id", &policy_id[..18], "-description=one"]);
    let (accessor, secret) = (text(&token, "AccessorID"), text(&token, "SecretID"));
    assert_eq!(token["Policies"], serde_json::json!([{"ID": policy_id, "Name": "app"}]));
    let app = Caller::with_secret(&agent, secret);
    assert_eq!(app.printed(&["kv", "put", "app/a", "1"]), "Success! Data written to: app/a\n");
    let said = app.refused(&["kv", "put", "other", "1"]);
    assert!(said.contains(&format!("The token of -token (accessor {accessor}) does not allow it")), "{said}");
    let own = app.printed(&["acl", "token", "read", "-self"]);
    assert_eq!((labelled(&own, "AccessorID:"), labelled(&own, "SecretID:")), (accessor, secret));

    tokens_come_from_files(&agent, secret);
    clones_are_tokens_of_their_own(&operator, accessor);
    changes_count_at_once(&operator, &app, accessor);
    an_agent_has_a_token_for_those_who_show_none(&operator);

    assert!(operator.printed(&["acl", "policy", "delete", "-name=app"]).contains(&policy_id));
    let said = app.wait_until_refused(&["kv", "get", "app/a"]);
    assert!(said.contains("does not allow it"), "{said}");
    let said = operator.refused(&["acl", "policy", "read", "-name=app"]);
    assert!(said.contains("is known, so what was asked for does not exist"), "{said}");
}

fn tokens_come_from_files(agent: &Agent, secret: &str) {
    let file = agent.directory().join("token");
    fs::write(&file, format!("{secret}\n")).unwrap();
    let file = file.to_str().unwrap();
    let (nobody, get) = (Caller::nobody(agent), ["kv", "get", "app/a"]);
    assert_eq!(nobody.printed(&["kv", "get", "-token-file", file, "app/a"]), "1\n");
    for (variables, allowed) in [
        (&[("CONSUL_HTTP_TOKEN_FILE", file)][..], true),
        (&[("CONSUL_HTTP_TOKEN", secret)][..], true),
        // The variable goes before the file that another names.
        (&[("CONSUL_HTTP_TOKEN", "unknown"), ("CONSUL_HTTP_TOKEN_FILE", file)][..], false),
    ] {
        let output = nobody.output(&get, variables);
        assert_eq!(output.status.success(), allowed, "{variables:?}: {output:?}");
    }
}

fn clones_are_tokens_of_their_own(operator: &Caller<'_>, accessor: &str) {
    let clone = operator.json(&["acl", "token", "clone", "-accessor-id", accessor, "-description=two"]);
    let (its_accessor, its_secret) = (text(&clone, "AccessorID"), text(&clone, "SecretID"));
    assert!(its_accessor != accessor && clone["Description"] == "two", "{clone}");
    let user = Caller::with_secret(operator.agent, its_secret);
    user.printed(&["kv", "put", "app/b", "2"]);

    let listed = operator.json(&["acl", "token", "list"]);
    let row = listed.as_array().unwrap().iter().find(|row| row["AccessorID"] == its_accessor).unwrap();
    assert_eq!((&row["Description"], row.get("SecretID")), (&clone["Description"], None));
    assert!(user.refused(&["acl", "token", "list"]).contains("does not allow it"));

    let gone = operator.printed(&["acl", "token", "delete", "-accessor-id", &its_accessor[..23]]);
    assert_eq!(gone, format!("Token {its_accessor:?} deleted successfully\n"));
    let said = user.wait_until_refused(&["kv", "get", "app/b"]);
    assert!(said.contains("The agent knows no token with the secret of -token"), "{said}");
}

fn changes_count_at_once(operator: &Caller<'_>, app: &Caller<'_>, accessor: &str) {
    let role = operator.printed(&["acl", "role", "create", "-name=ops", "-service-identity=web:dc1"]);
    assert!(role.ends_with("Service Identities:\n   web (Datacenters: dc1)\n"), "{role}");
    let changed = operator.json(&["acl", "token", "update", "-accessor-id", accessor, "-append-role-name=ops"]);
    assert_eq!((&changed["Description"], text(&changed["Policies"][0], "Name")), (&"one".into(), "app"));
    assert_eq!(text(&changed["Roles"][0], "Name"), "ops");
    let expanded = operator.printed(&["acl", "token", "read", "-accessor-id", accessor, "-expanded"]);
    assert!(expanded.contains("Policy app:\n") && expanded.contains("Default Policy:   deny\n"), "{expanded}");

    let rules = "key_prefix \"app/\" { policy = \"read\" }";
    operator.printed(&["acl", "policy", "update", "-name=app", "-rules", rules]);
    app.wait_until_refused(&["kv", "put", "app/a", "2"]);
    assert_eq!(app.printed(&["kv", "get", "app/a"]), "1\n");
    let read = operator.printed(&["acl", "policy", "read", "-name=app"]);
    assert!(labelled(&read, "Description:") == "for app" && read.contains(rules), "{read}");
    let wrong = operator.refused(&["acl", "policy", "update", "-name=app", "-rules", "key \"a\" { policy = \"own\" }"]);
    assert!(wrong.starts_with("Error updating policy "), "{wrong}");

    operator.printed(&["acl", "role", "delete", "-name=ops"]);
    assert_eq!(operator.json(&["acl", "role", "list"]), Value::Array(Vec::new()));
}

fn an_agent_has_a_token_for_those_who_show_none(operator: &Caller<'_>) {
    let nobody = Caller::nobody(operator.agent);
    nobody.refused(&["kv", "get", "app/a"]);
    let reader = operator.json(&["acl", "token", "create", "-policy-name=app"]);
    let set = operator.printed(&["acl", "set-agent-token", "default", text(&reader, "SecretID")]);
    assert_eq!(set, "ACL token \"default\" set successfully\n");
    assert_eq!(nobody.printed(&["kv", "get", "app/a"]), "1\n");
    let said = nobody.refused(&["kv", "get", "other"]);
    assert!(said.contains(&format!("the agent takes then (accessor {})", text(&reader, "AccessorID"))), "{said}");
    operator.printed(&["acl", "set-agent-token", "default", ""]);
    nobody.refused(&["kv", "get", "app/a"]);
}

#[test]
fn where_access_control_is_off_a_person_is_told_how_to_turn_it_on() {
    let agent = Agent::dev("host-1").started();
    let nobody = Caller::nobody(&agent);
    for arguments in [&["acl", "bootstrap"][..], &["acl", "policy", "list"], &["acl", "set-agent-token", "agent", "x"]]
    {
        let said = nobody.refused(arguments);
        assert!(said.contains("401 (ACL support disabled)\n") && said.contains("enabled = true"), "{said}");
    }
}
