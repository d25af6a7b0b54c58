//! `lictor acl`: what is asked, printed and refused.

use crate::canned::{Canned, LICTOR, Said, command, reply};

const POLICY_ID: &str = "3f8a0000-0000-0000-0000-000000000001";
const POLICY: &str = r#"{"ID":"3f8a0000-0000-0000-0000-000000000001","Name":"web","Description":"d","Rules":"key \"a\" {}","Hash":"AAEC","CreateIndex":5,"ModifyIndex":9}"#;
const ROLE: &str = r#"{"ID":"7c000000-0000-0000-0000-000000000001","Name":"ops","Description":"","Policies":[{"ID":"3f8a0000-0000-0000-0000-000000000001","Name":"web"}],"Hash":"AAEC","CreateIndex":5,"ModifyIndex":9}"#;
const TOKEN_ID: &str = "ab000000-0000-0000-0000-000000000001";
const TOKEN: &str = r#"{"AccessorID":"ab000000-0000-0000-0000-000000000001","SecretID":"5ec2e700-0000-0000-0000-000000000001","Description":"for web","Policies":[{"ID":"3f8a0000-0000-0000-0000-000000000001","Name":"web"}],"Local":false,"CreateTime":"2026-01-01T00:00:00Z","Hash":"AAEC","CreateIndex":5,"ModifyIndex":9}"#;
const TOKEN_TEXT: &str = "AccessorID:       ab000000-0000-0000-0000-000000000001\n\
     SecretID:         5ec2e700-0000-0000-0000-000000000001\nDescription:      for web\nLocal:            false\n\
     Create Time:      2026-01-01T00:00:00Z\nPolicies:\n   3f8a0000-0000-0000-0000-000000000001 - web\n";
const RULE: &str = r#"{"ID":"9b000000-0000-0000-0000-000000000001","Description":"","AuthMethod":"builds","Selector":"","BindType":"service","BindName":"web","CreateIndex":5,"ModifyIndex":9}"#;
const METHOD: &str =
    r#"{"Name":"builds","Type":"jwt","Description":"d","Config":{"a":1},"CreateIndex":5,"ModifyIndex":9}"#;

/// An agent that has one of each, in lists too; the longest key comes first.
fn agent() -> Canned {
    let listed = |row: &str| format!("[{row}]");
    Canned::new(&[
        ("/v1/acl/policies", &listed(POLICY)),
        ("/v1/acl/policy", POLICY),
        ("/v1/acl/roles", &listed(ROLE)),
        ("/v1/acl/role", ROLE),
        ("/v1/acl/tokens", &listed(&TOKEN.replace(r#""SecretID":"5ec2e700-0000-0000-0000-000000000001","#, ""))),
        ("/v1/acl/token", TOKEN),
        ("/v1/acl/auth-methods", &listed(METHOD)),
        ("/v1/acl/auth-method", METHOD),
        ("/v1/acl/binding-rules", &listed(RULE)),
        ("/v1/acl/binding-rule", RULE),
        ("/v1/acl/bootstrap", TOKEN),
        ("/v1/agent/token", ""),
    ])
}

fn said(line: &str) -> (Said, Vec<String>) {
    let agent = agent();
    (agent.said(line), agent.asked())
}

#[test]
fn each_command_asks_its_endpoint() {
    let policy = format!("/v1/acl/policy/{POLICY_ID}");
    let token = format!("/v1/acl/token/{TOKEN_ID}");
    let links = format!(r#""Policies":[{{"ID":"{POLICY_ID}","Name":"web"}}]"#);
    let kept = format!(r#""AccessorID":"{TOKEN_ID}","Description":"for web","Local":false"#);
    let rule = "/v1/acl/binding-rule/9b000000-0000-0000-0000-000000000001";
    let role = "/v1/acl/role/7c000000-0000-0000-0000-000000000001";
    for (line, request) in [
        ("acl policy create -name=web -rules=x -valid-datacenter=dc1 -description=d",
            r#"PUT /v1/acl/policy {"Datacenters":["dc1"],"Description":"d","Name":"web","Rules":"x"}"#.into()),
        ("acl policy read -name=web -stale", "GET /v1/acl/policy/name/web?stale=".into()),
        ("acl policy read -id=3f", format!("GET {policy}")),
        ("acl policy update -name=web -description=e",
            format!(r#"PUT {policy} {{"Description":"e","ID":"{POLICY_ID}","Name":"web","Rules":"key \"a\" {{}}"}}"#)),
        ("acl policy update -id=3f8a -name=w -no-merge -rules=x",
            format!(r#"PUT {policy} {{"ID":"{POLICY_ID}","Name":"w","Rules":"x"}}"#)),
        ("acl policy delete -name=web -datacenter=dc2", format!("DELETE {policy}?dc=dc2")),
        ("acl policy list", "GET /v1/acl/policies".into()),
        ("acl role create -name=ops -policy-id=3f -service-identity=web:dc1 -node-identity=n:dc1",
            format!(r#"PUT /v1/acl/role {{"Name":"ops","NodeIdentities":[{{"Datacenter":"dc1","NodeName":"n"}}],"Policies":[{{"ID":"{POLICY_ID}"}}],"ServiceIdentities":[{{"Datacenters":["dc1"],"ServiceName":"web"}}]}}"#)),
        ("acl role read -name=ops", "GET /v1/acl/role/name/ops".into()),
        ("acl role update -name=ops -policy-name=web -no-merge -description=x",
            format!(r#"PUT {role} {{"Description":"x","ID":"7c000000-0000-0000-0000-000000000001","Name":"ops","NodeIdentities":[],"Policies":[{{"Name":"web"}}],"ServiceIdentities":[]}}"#)),
        ("acl role delete -id=7", format!("DELETE {role}")),
        ("acl role list", "GET /v1/acl/roles".into()),
        ("acl token create -policy-name=web -role-name=ops -local -expires-ttl=1h",
            r#"PUT /v1/acl/token {"ExpirationTTL":"1h","Local":true,"Policies":[{"Name":"web"}],"Roles":[{"Name":"ops"}]}"#.into()),
        ("acl token read -self -expanded", "GET /v1/acl/token/self?expanded=true".into()),
        ("acl token read -id=ab", format!("GET {token}")),
        ("acl token update -accessor-id=ab -description=x",
            format!(r#"PUT {token} {{"AccessorID":"{TOKEN_ID}","Description":"x","Local":false,{links}}}"#)),
        ("acl token update -accessor-id=ab -policy-name=b",
            format!(r#"PUT {token} {{{kept},"Policies":[{{"Name":"b"}}]}}"#)),
        ("acl token update -accessor-id=ab -policy-name=web -merge-policies",
            format!("PUT {token} {{{kept},{links}}}")),
        ("acl token update -accessor-id=ab -append-policy-name=b",
            format!(r#"PUT {token} {{{kept},"Policies":[{{"ID":"{POLICY_ID}","Name":"web"}},{{"Name":"b"}}]}}"#)),
        ("acl token delete -accessor-id=ab", format!("DELETE {token}")),
        ("acl token list", "GET /v1/acl/tokens".into()),
        ("acl token clone -accessor-id=ab -description=x", format!(r#"PUT {token}/clone {{"Description":"x"}}"#)),
        ("acl set-agent-token agent s", r#"PUT /v1/agent/token/agent {"Token":"s"}"#.into()),
        ("acl set-agent-token agent_master s", r#"PUT /v1/agent/token/recovery {"Token":"s"}"#.into()),
        ("acl auth-method create -name=builds -type=jwt -config={} -max-token-ttl=1h",
            r#"PUT /v1/acl/auth-method {"Config":{},"MaxTokenTTL":"1h","Name":"builds","Type":"jwt"}"#.into()),
        ("acl auth-method read -name=builds", "GET /v1/acl/auth-method/builds".into()),
        ("acl auth-method update -name=builds -display-name=b",
            r#"PUT /v1/acl/auth-method/builds {"Config":{"a":1},"Description":"d","DisplayName":"b","Name":"builds","Type":"jwt"}"#.into()),
        ("acl auth-method delete -name=builds", "DELETE /v1/acl/auth-method/builds".into()),
        ("acl auth-method list", "GET /v1/acl/auth-methods".into()),
        ("acl binding-rule create -method=builds -bind-name=web",
            r#"PUT /v1/acl/binding-rule {"AuthMethod":"builds","BindName":"web","BindType":"service"}"#.into()),
        ("acl binding-rule read -id=9b", format!("GET {rule}")),
        ("acl binding-rule update -id=9b -bind-type=role",
            format!(r#"PUT {rule} {{"AuthMethod":"builds","BindName":"web","BindType":"role","Description":"","ID":"9b000000-0000-0000-0000-000000000001","Selector":""}}"#)),
        ("acl binding-rule delete -id=9b", format!("DELETE {rule}")),
        ("acl binding-rule list -method=builds", "GET /v1/acl/binding-rules?authmethod=builds".into()),
    ] {
        let (said, asked) = said(line);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{line}");
        assert_eq!(asked.last(), Some(&request), "{line}");
    }
}

#[test]
fn what_is_printed_has_consuls_labels_or_is_json() {
    let policy = format!("ID:           {POLICY_ID}\nName:         web\nDescription:  d\nDatacenters:\n");
    let listed = TOKEN_TEXT.replace("SecretID:         5ec2e700-0000-0000-0000-000000000001\n", "");
    for (line, out) in [
        ("acl policy read -name=web", format!("{policy}Rules:\nkey \"a\" {{}}\n")),
        (
            "acl policy read -name=web -meta",
            format!("{policy}Hash:         000102\nCreate Index: 5\nModify Index: 9\nRules:\nkey \"a\" {{}}\n"),
        ),
        ("acl policy delete -id=3f", format!("Policy \"{POLICY_ID}\" deleted successfully\n")),
        ("acl token read -self", TOKEN_TEXT.into()),
        ("acl token create -policy-name=web", TOKEN_TEXT.into()),
        ("acl token list", listed),
        ("acl token delete -accessor-id=ab", format!("Token \"{TOKEN_ID}\" deleted successfully\n")),
        ("acl set-agent-token default s", "ACL token \"default\" set successfully\n".into()),
    ] {
        assert_eq!(said(line).0.out, out, "{line}");
    }
    let json = said("acl token list -format=json").0.out;
    assert!(
        json.starts_with("[\n    {\n        \"AccessorID\": \"ab000000-") && json.ends_with("    }\n]\n"),
        "{json}"
    );
}

#[test]
fn the_first_token_is_printed_and_its_holder_warned() {
    let (first, asked) = said("acl bootstrap");
    assert_eq!((first.code, first.out.as_str()), (0, TOKEN_TEXT));
    assert!(first.err.starts_with("Warning: ") && first.err.lines().count() == 1, "{first:?}");
    assert_eq!(asked, ["PUT /v1/acl/bootstrap"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "5ec2e700-0000-0000-0000-000000000001\n").unwrap();
    let (given, asked) = said(&format!("acl bootstrap -format=json {}", file.display()));
    assert!(given.code == 0 && given.out.starts_with("{\n    \"AccessorID\""), "{given:?}");
    assert_eq!(asked, [r#"PUT /v1/acl/bootstrap {"BootstrapSecret":"5ec2e700-0000-0000-0000-000000000001"}"#]);
}

#[test]
fn what_cannot_be_done_is_one_line_and_nothing_is_written() {
    for (line, err) in [
        ("acl policy create -rules=x", "Missing required '-name' flag"),
        (
            "acl policy create -name=a -rules=@/nonexistent",
            "Error loading rules: Failed to read file \"/nonexistent\": No such file or directory (os error 2)",
        ),
        ("acl policy read", "Must specify either the -id or -name parameters"),
        ("acl policy read -id=4", "No policy has an ID that begins with \"4\""),
        (
            "acl token create",
            "A token that allows nothing is not made: name at least one -policy-name, -policy-id, -role-name, -role-id, -service-identity or -node-identity",
        ),
        ("acl token create -policy-name=a -expires-ttl=5", "-expires-ttl: \"5\" has no unit (try \"5s\")"),
        (
            "acl token create -policy-id=4",
            "Error resolving policy ID \"4\": No policy has an ID that begins with \"4\"",
        ),
        ("acl token update -description=x", "Must specify the -accessor-id parameter"),
        (
            "acl token update -accessor-id=ab -policy-name=a -append-policy-id=3f",
            "-policy... and -append-policy... exclude each other: what is named replaces or is added",
        ),
        (
            "acl token create -node-identity=n",
            "invalid value 'n' for '--node-identity <NAME:DC>': \"n\" is not NAME:DATACENTER (try host-1:dc1) (see lictor acl token create --help)",
        ),
        ("acl auth-method create -name=a", "Missing required '-type' flag"),
        ("acl binding-rule create -method=a", "Missing required '-bind-name' flag"),
        ("acl binding-rule update -id=9b -no-merge -bind-type=role", "Missing required '-bind-name' flag"),
    ] {
        let (said, asked) = said(line);
        assert_eq!(said, Said { code: 1, out: String::new(), err: format!("{err}\n") }, "{line}");
        assert!(asked.iter().all(|request| request.starts_with("GET ")), "{line}: {asked:?}");
    }
    let two = format!("[{POLICY},{}]", POLICY.replace("3f8a0000", "3f8b0000"));
    let several = Canned::new(&[("/v1/acl/policies", &two)]).said("acl policy read -id=3F8");
    assert_eq!(several.err, "2 policies have IDs that begin with \"3F8\": give more of it\n");
}

/// An agent that refuses all but who one is.
fn refusing(status: &'static str, reason: &'static str, caller: Result<&'static str, ()>) -> Canned {
    Canned::answering(move |request| match caller {
        Ok(accessor) if request.contains("/v1/acl/token/self") => {
            reply("200 OK", &format!(r#"{{"AccessorID":"{accessor}"}}"#))
        }
        Err(()) if request.contains("/v1/acl/token/self") => reply("403 Forbidden", "ACL not found"),
        _ => reply(status, reason),
    })
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn a_refusal_says_who_one_was_and_what_to_do() {
    let missing = "Permission denied: Missing key:write on a";
    let anonymous = "00000000-0000-0000-0000-000000000002";
    for (status, reason, caller, arguments, expected) in [
        (
            "403 Forbidden",
            missing,
            Ok(anonymous),
            &["kv", "put", "a", "x"][..],
            &["No token was shown. Give one by -token-file=FILE", "lictor acl bootstrap"][..],
        ),
        (
            "403 Forbidden",
            missing,
            Ok("acc-1"),
            &["kv", "put", "a", "x"],
            &["No token was shown, and the one that the agent takes then (accessor acc-1)"],
        ),
        (
            "403 Forbidden",
            missing,
            Ok("acc-1"),
            &["kv", "put", "-token=secret-1", "a", "x"],
            &[
                "The token of -token (accessor acc-1) does not allow it",
                "lictor acl token read -accessor-id=acc-1 -expanded",
            ],
        ),
        (
            "403 Forbidden",
            missing,
            Err(()),
            &["members", "-token=secret-1"],
            &["The token of -token does not allow it"],
        ),
        (
            "403 Forbidden",
            "ACL not found",
            Err(()),
            &["members", "-token=secret-1"],
            &["knows no token with the secret of -token", "has expired or was deleted"],
        ),
        (
            "403 Forbidden",
            "ACL not found",
            Ok("acc-1"),
            &["acl", "policy", "read", "-name=a", "-token=secret-1"],
            &["(accessor acc-1) is known, so what was asked for does not exist"],
        ),
        (
            "401 Unauthorized",
            "ACL support disabled",
            Err(()),
            &["acl", "policy", "list"],
            &["Access control is off at this agent", "enabled = true"],
        ),
        (
            "403 Forbidden",
            "Permission denied: ACL bootstrap no longer allowed (reset index: 7)",
            Err(()),
            &["acl", "bootstrap"],
            &["acl-bootstrap-reset"],
        ),
    ] {
        let agent = refusing(status, reason, caller);
        let said = crate::canned::said(LICTOR, arguments, agent.address);
        let lines: Vec<&str> = said.err.lines().collect();
        let code = status.split(' ').next().unwrap();
        assert_eq!((said.code, lines.len()), (1, 2), "{said:?}");
        assert!(lines[0].ends_with(&format!("Unexpected response code: {code} ({reason})")), "{said:?}");
        assert!(expected.iter().all(|part| lines[1].contains(part)) && lines[1].ends_with('.'), "{said:?}");
        assert!(!said.err.contains("secret-1"), "{said:?}");
    }
}

#[test]
fn a_secret_in_the_place_of_an_accessor_is_not_repeated() {
    // Who takes one for the other does not find it in the log of a build.
    let secret = "5ec2e700-0000-0000-0000-000000000001";
    for command in ["read", "update", "delete", "clone"] {
        let mistaken = refusing("403 Forbidden", "ACL not found", Err(()));
        let said = mistaken.said(&format!("acl token {command} -accessor-id={secret}"));
        assert!(said.code == 1 && said.err.contains("token \"5ec2e700\"...") && !said.err.contains(secret), "{said:?}");
    }
}

#[test]
fn not_every_403_is_about_rights() {
    let other = refusing("403 Forbidden", "Remote exec is disabled", Err(())).said("event -name=a");
    assert_eq!(other.err.lines().count(), 1, "{other:?}");
}

#[test]
fn a_token_of_a_file_or_the_environment_is_sent_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "secret-1\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, variables, origin) in [
        (&["members", "-token-file", file][..], &[("CONSUL_HTTP_TOKEN", "secret-2")][..], "-token-file"),
        (&["members"][..], &[("CONSUL_HTTP_TOKEN", "secret-2")][..], "CONSUL_HTTP_TOKEN"),
        (&["members"][..], &[("CONSUL_HTTP_TOKEN_FILE", file)][..], "CONSUL_HTTP_TOKEN_FILE"),
    ] {
        let agent = refusing("403 Forbidden", "Permission denied: Missing node:read", Ok("acc-1"));
        let mut command = command(LICTOR, arguments, &agent.address.to_string());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(&format!("The token of {origin} (accessor acc-1)")) && !said.contains("secret-"),
            "{said}"
        );
    }
}
