//! Access control over two datacenters: one keeps policies, roles and tokens that count everywhere, the other has a copy,
//! and each decides for itself.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::time::Duration;

use lictor_tests::{agent::Agent, turn, wait};
use serde_json::{Value, json};

const MANAGEMENT: &str = "7e1d1e4f-0000-4000-8000-000000000001";
const REPLICATION: &str = "7e1d1e4f-0000-4000-8000-000000000002";
const READER: &str = "7e1d1e4f-0000-4000-8000-000000000003";
const LOCAL: &str = "7e1d1e4f-0000-4000-8000-000000000004";
/// Longest time until a change is seen, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

fn server(name: &str, datacenter: &str, tokens: &str) -> Agent {
    let acl = format!(
        r#"-hcl=primary_datacenter = "one" acl {{ enabled = true default_policy = "deny" enable_token_replication = true
            tokens {{ {tokens} agent = "{MANAGEMENT}" replication = "{REPLICATION}" }} }}"#
    );
    Agent::server(name, 1).argument(format!("-datacenter={datacenter}")).argument(acl).shown(MANAGEMENT)
}

fn put(agent: &Agent, path: &str, body: &Value) -> Value {
    serde_json::from_slice(&agent.http().put(path, body).unwrap().body).unwrap()
}

fn status(agent: &Agent, path: &str, token: Option<&'static str>) -> Result<u16, String> {
    Ok(agent.http().showing(token).get(path)?.status)
}

#[test]
fn another_datacenter_has_a_copy_and_decides_by_it() {
    let _turn = turn::take();
    let one = server("a", "one", &format!("initial_management = \"{MANAGEMENT}\"")).started();
    let two = server("b", "two", "").argument(format!("-retry-join-wan=127.0.0.1:{}", one.ports.serf_wan)).started();
    put(&one, "/v1/acl/policy", &json!({"Name": "replication", "Rules": "acl = \"write\""}));
    put(&one, "/v1/acl/token", &json!({"SecretID": REPLICATION, "Policies": [{"Name": "replication"}]}));
    let rules = r#"key_prefix "" { policy = "read" }"#;
    put(&one, "/v1/acl/policy", &json!({"Name": "reads", "Rules": rules}));
    put(&one, "/v1/acl/role", &json!({"Name": "readers", "Policies": [{"Name": "reads"}]}));
    let reader = put(&one, "/v1/acl/token", &json!({"SecretID": READER, "Roles": [{"Name": "readers"}]}));
    put(&one, "/v1/acl/token", &json!({"SecretID": LOCAL, "Roles": [{"Name": "readers"}], "Local": true}));
    wait::until("what one may do counts in the other datacenter", LIMIT, || {
        let code = status(&two, "/v1/kv/a", Some(READER))?;
        wait::ensure(code == 404, || format!("{code}: {}", two.log()))
    });
    // The manager's token has come too; one that is local has not.
    two.http().put("/v1/kv/a", &json!("x")).unwrap();
    assert_eq!(status(&two, "/v1/kv/a", Some(READER)).unwrap(), 200);
    assert_eq!(status(&two, "/v1/kv/a", Some(LOCAL)).unwrap(), 403);
    // Whoever asks across is judged over there.
    wait::until("there is a way across", LIMIT, || {
        let code = status(&one, "/v1/kv/a?dc=two", Some(READER))?;
        wait::ensure(code == 200, || format!("{code}"))
    });
    assert_eq!(status(&one, "/v1/kv/a?dc=two", Some(LOCAL)).unwrap(), 403);
    assert_eq!(status(&one, "/v1/kv/a?dc=two", None).unwrap(), 403);
    for path in ["/v1/catalog/datacenters", "/v1/acl/replication", "/v1/status/peers", "/v1/acl/tokens"] {
        for datacenter in ["two", "nowhere"] {
            let answer = one.http().showing(None).get(&format!("{path}?dc={datacenter}")).unwrap();
            assert!(matches!(answer.status, 403 | 500), "{path} {datacenter}: {} {}", answer.status, answer.text());
        }
    }
    let report = two.http().json("/v1/acl/replication").unwrap();
    assert_eq!((&report["Running"], &report["SourceDatacenter"]), (&json!(true), &json!("one")), "{report}");
    // A write of what is kept elsewhere goes there, and comes back.
    let made = put(&two, "/v1/acl/policy", &json!({"Name": "made-in-two", "Rules": ""}));
    assert_eq!(one.http().json("/v1/acl/policy/name/made-in-two").unwrap()["ID"], made["ID"]);
    let accessor = reader["AccessorID"].as_str().unwrap();
    assert_eq!(two.http().send("DELETE", &format!("/v1/acl/token/{accessor}"), &[], b"").unwrap().status, 200);
    wait::until("what was revoked counts nowhere", LIMIT, || {
        let codes = (status(&one, "/v1/kv/a", Some(READER))?, status(&two, "/v1/kv/a", Some(READER))?);
        wait::ensure(codes == (403, 403), || format!("{codes:?}"))
    });
}
