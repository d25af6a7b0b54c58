//! Auth methods, binding rules, login and logout over real connections, with access control on.

use serde_json::json;

use super::*;
use crate::{
    acl::{self, Authority, OwnTokens, login::tests::issuer::Issuer},
    command::AccessCommand,
    model::{Secret, Time},
};

/// The secret of a token that may do everything.
const MANAGEMENT: &str = "11111111-2222-3333-4444-555555555555";

/// A server of that datacenter, of which `dc1` is the primary.
async fn server_in(datacenter: &str, change: impl FnOnce(&mut Settings)) -> TestServer {
    let backend = Fake::new();
    let settings = acl::Settings {
        enabled: true,
        datacenter: datacenter.into(),
        primary_datacenter: "dc1".into(),
        node_name: "node-a".into(),
        ..acl::Settings::default()
    };
    backend.set_authority(Arc::new(Authority::new(settings, OwnTokens::default(), backend.reader())));
    let initialise = AccessCommand::Initialise {
        management: Some(Secret::new(MANAGEMENT)),
        accessor: Uuid::from_u128(1),
        servers: Secret::new("s".repeat(72)),
    };
    backend.apply(&Command::Access(initialise));
    TestServer::over(backend, &[], |settings| {
        settings.identity.datacenter = datacenter.into();
        change(settings);
    })
    .await
}

async fn server() -> TestServer {
    server_in("dc1", |_| ()).await
}

async fn send(server: &TestServer, method: Method, path: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.send_with(method, path, &body, &[("x-consul-token", MANAGEMENT)]).await
}

async fn put(server: &TestServer, path: &str, body: &Value) -> Value {
    let reply = send(server, Method::PUT, path, body).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {:?}", reply.body);
    reply.json()
}

fn method_of(issuer: &Issuer) -> Value {
    let config = json!({
        "JWTValidationPubKeys": [issuer.pem()], "JWTSupportedAlgs": ["ES256"], "BoundAudiences": ["lictor"],
        "ClaimMappings": {"sub": "name"}, "ListClaimMappings": {"groups": "groups"},
    });
    json!({"Name": "ci", "Type": "jwt", "Description": "builds", "MaxTokenTTL": "5m", "Config": config})
}

fn rule() -> Value {
    json!({"AuthMethod": "ci", "BindType": "service", "BindName": "web-${value.name}", "Selector": "dev in list.groups"})
}

fn jwt(issuer: &Issuer, name: &str, groups: &[&str]) -> String {
    let now = Time::now().0 / 1000;
    issuer.sign(&json!({"sub": name, "groups": groups, "aud": "lictor", "iat": now, "exp": now + 60}))
}

fn login(token: &str) -> String {
    json!({"AuthMethod": "ci", "BearerToken": token, "Meta": {"pod": "p\"1", "a": "b"}}).to_string()
}

async fn log_in(server: &TestServer, token: &str) -> Reply {
    server.send(Method::POST, "/v1/acl/login", &login(token)).await
}

async fn log_out(server: &TestServer, secret: &str) -> Reply {
    server.send_with(Method::POST, "/v1/acl/logout", "", &[("x-consul-token", secret)]).await
}

fn said(reply: &Reply) -> (u16, String) {
    (reply.status.as_u16(), String::from_utf8_lossy(&reply.body).into_owned())
}

#[tokio::test]
async fn the_life_of_a_method_and_its_rules() {
    let (server, issuer) = (server().await, Issuer::of("ES256"));
    let made = put(&server, "/v1/acl/auth-method", &method_of(&issuer)).await;
    assert_eq!(
        (&made["Name"], &made["MaxTokenTTL"], &made["TokenLocality"]),
        (&json!("ci"), &json!("5m0s"), &json!("local"))
    );
    assert_eq!(made["Config"], method_of(&issuer)["Config"]);
    assert_eq!(send(&server, Method::GET, "/v1/acl/auth-method/ci", &Value::Null).await.json(), made);
    let mut changed = method_of(&issuer);
    changed["DisplayName"] = "Builds".into();
    changed.as_object_mut().unwrap().remove("Name");
    let changed = put(&server, "/v1/acl/auth-method/ci", &changed).await;
    assert_eq!((&changed["DisplayName"], &changed["CreateIndex"]), (&json!("Builds"), &made["CreateIndex"]));
    assert!(changed["ModifyIndex"].as_u64() > made["ModifyIndex"].as_u64());
    // As Consul: what is put under a name that is there changes it.
    put(&server, "/v1/acl/auth-method", &method_of(&issuer)).await;
    let listed = send(&server, Method::GET, "/v1/acl/auth-methods", &Value::Null).await.json();
    assert_eq!(
        (listed[0]["Name"].as_str(), listed[0].get("Config"), listed.as_array().unwrap().len()),
        (Some("ci"), None, 1)
    );

    let bound = put(&server, "/v1/acl/binding-rule", &rule()).await;
    let path = format!("/v1/acl/binding-rule/{}", bound["ID"].as_str().unwrap());
    assert_eq!((&bound["BindType"], &bound["BindName"]), (&json!("service"), &json!("web-${value.name}")));
    assert_eq!(send(&server, Method::GET, &path, &Value::Null).await.json(), bound);
    let mut other = rule();
    other["Description"] = "other".into();
    assert_eq!(put(&server, &path, &other).await["Description"], "other");
    for (path, count) in [
        ("/v1/acl/binding-rules", 1),
        ("/v1/acl/binding-rules?authmethod=ci", 1),
        ("/v1/acl/binding-rules?authmethod=x", 0),
    ] {
        let rules = send(&server, Method::GET, path, &Value::Null).await.json();
        assert_eq!(rules.as_array().unwrap().len(), count, "{path}");
    }
    assert_eq!(send(&server, Method::DELETE, &path, &Value::Null).await.json(), true);
    assert_eq!(said(&send(&server, Method::GET, &path, &Value::Null).await), (403, "ACL not found".into()));
    put(&server, "/v1/acl/binding-rule", &rule()).await;
    // Its rules go with it.
    assert_eq!(send(&server, Method::DELETE, "/v1/acl/auth-method/ci", &Value::Null).await.json(), true);
    assert_eq!(send(&server, Method::DELETE, "/v1/acl/auth-method/ci", &Value::Null).await.json(), true);
    for list in ["/v1/acl/auth-methods", "/v1/acl/binding-rules"] {
        assert_eq!(send(&server, Method::GET, list, &Value::Null).await.json(), json!([]), "{list}");
    }
    assert_eq!(said(&send(&server, Method::GET, "/v1/acl/auth-method/ci", &Value::Null).await).0, 403);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (server, issuer) = (server().await, Issuer::of("ES256"));
    put(&server, "/v1/acl/auth-method", &method_of(&issuer)).await;
    let method = |change: &Value| {
        let mut method = method_of(&issuer);
        method.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        method
    };
    let rule = |change: &Value| {
        let mut rule = rule();
        rule.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        rule
    };
    let id = Uuid::from_u128(9).to_string();
    let (methods, rules) = ("/v1/acl/auth-method", "/v1/acl/binding-rule");
    for (path, body, status, sentence) in [
        (methods, json!(7), 400, "Request decode failed"),
        (methods, method(&json!({"Name": ""})), 500, "Invalid Auth Method: no Name is set"),
        (methods, method(&json!({"Name": "a b"})), 500, "Invalid Auth Method: invalid Name"),
        (methods, method(&json!({"Type": "kubernetes"})), 500, "Type should be one of: [jwt]"),
        (methods, method(&json!({"MaxTokenTTL": "25h"})), 500, "MaxTokenTTL 25h0m0s is not between"),
        (methods, method(&json!({"MaxTokenTTL": "1ms"})), 500, "MaxTokenTTL 1ms is not between"),
        (methods, method(&json!({"MaxTokenTTL": "x"})), 400, "Request decode failed"),
        (methods, method(&json!({"TokenLocality": "x"})), 500, "TokenLocality"),
        (methods, method(&json!({"Config": null})), 500, "Config is missing"),
        (methods, method(&json!({"Config": {}})), 500, "no key to check signatures with"),
        (methods, method(&json!({"Config": {"JWKSURL": "https://x"}})), 500, "keys are not fetched from elsewhere"),
        ("/v1/acl/auth-method/other", method(&json!({})), 400, "do not match"),
        (rules, json!([]), 400, "Request decode failed"),
        (rules, rule(&json!({"ID": id})), 400, "Cannot specify the ID"),
        (rules, rule(&json!({"AuthMethod": ""})), 500, "no AuthMethod is set"),
        (rules, rule(&json!({"AuthMethod": "x"})), 500, "auth method \"x\" not found"),
        (rules, rule(&json!({"BindType": ""})), 500, "no BindType is set"),
        (rules, rule(&json!({"BindType": "policy"})), 500, "BindType \"policy\""),
        (rules, rule(&json!({"BindName": ""})), 500, "no BindName is set"),
        (rules, rule(&json!({"BindName": "${value.x}"})), 500, "\"value.x\" is not mapped"),
        (rules, rule(&json!({"Selector": "value.x == y"})), 500, "Selector \"value.x\" is not valid"),
        (&format!("{rules}/{id}"), rule(&json!({})), 500, "Cannot find binding rule"),
        (&format!("{rules}/x"), rule(&json!({})), 400, "Invalid binding rule ID"),
    ] {
        let (found, text) = said(&send(&server, Method::PUT, path, &body).await);
        assert!(found == status && text.contains(sentence), "{path} {body}: {found} {text}");
    }
    // Nobody reads or writes it without the right.
    for (method, path) in [
        (Method::GET, "/v1/acl/auth-methods"),
        (Method::GET, "/v1/acl/auth-method/ci"),
        (Method::PUT, methods),
        (Method::DELETE, "/v1/acl/auth-method/ci"),
        (Method::GET, "/v1/acl/binding-rules"),
        (Method::PUT, rules),
        (Method::DELETE, &format!("{rules}/{id}")),
    ] {
        let (status, text) = said(&server.send(method.clone(), path, "").await);
        assert!(status == 403 && text.contains("acl:"), "{method} {path}: {status} {text}");
    }
}

#[tokio::test]
async fn who_logs_in_gets_a_token_that_does_what_the_rules_say_until_it_logs_out() {
    let (server, issuer) = (server().await, Issuer::of("ES256"));
    put(&server, "/v1/acl/auth-method", &method_of(&issuer)).await;
    put(&server, "/v1/acl/binding-rule", &rule()).await;
    let before = Time::now().0;
    let reply = log_in(&server, &jwt(&issuer, "Alice", &["dev"])).await;
    let token = reply.json();
    assert_eq!(token["Description"], r#"token created via login: {"a":"b","pod":"p\"1"}"#);
    assert_eq!((&token["AuthMethod"], &token["Local"]), (&json!("ci"), &json!(true)));
    assert_eq!(token["ServiceIdentities"], json!([{"ServiceName": "web-alice"}]));
    let accessor = Uuid::try_parse(token["AccessorID"].as_str().unwrap()).unwrap();
    let expires = server.backend.reader().load().access_token(accessor).unwrap().expires.unwrap().0;
    assert!((before + 300_000..=Time::now().0 + 300_000).contains(&expires));
    let secret = token["SecretID"].as_str().unwrap();
    let own = server.send_with(Method::GET, "/v1/acl/token/self", "", &[("x-consul-token", secret)]).await.json();
    assert_eq!(own["AccessorID"], token["AccessorID"]);
    // Two who log in are told apart.
    assert_ne!(log_in(&server, &jwt(&issuer, "alice", &["dev"])).await.json()["SecretID"], token["SecretID"]);
    for (service, status) in [("web-alice", 200), ("web-bob", 403)] {
        let body = json!({"Name": service}).to_string();
        let reply =
            server.send_with(Method::PUT, "/v1/agent/service/register", &body, &[("x-consul-token", secret)]).await;
        assert_eq!(reply.status.as_u16(), status, "{service}: {:?}", reply.body);
    }
    assert_eq!(said(&log_out(&server, secret).await), (200, "true".into()));
    assert_eq!(said(&log_out(&server, secret).await), (403, "ACL not found".into()));
    assert_eq!(
        said(&server.send_with(Method::GET, "/v1/acl/token/self", "", &[("x-consul-token", secret)]).await).0,
        403
    );
}

#[tokio::test]
async fn who_is_not_let_in_is_not_told_why() {
    let (server, issuer, other) = (server().await, Issuer::of("ES256"), Issuer::of("ES256"));
    let good = jwt(&issuer, "alice", &["dev"]);
    assert_eq!(said(&log_in(&server, &good).await), (403, "ACL not found".into()));
    put(&server, "/v1/acl/auth-method", &method_of(&issuer)).await;
    let denied = (403, "Permission denied".to_string());
    // There is no rule yet.
    assert_eq!(said(&log_in(&server, &good).await), denied);
    put(&server, "/v1/acl/binding-rule", &rule()).await;
    assert_eq!(log_in(&server, &good).await.status, StatusCode::OK);
    for token in [
        jwt(&other, "alice", &["dev"]),
        jwt(&issuer, "alice", &["ops"]),
        jwt(&issuer, "not a name", &["dev"]),
        issuer.sign(&json!({"sub": "alice", "groups": ["dev"], "aud": "lictor", "exp": 1})),
        "x".into(),
        "x".repeat(17 * 1024),
    ] {
        assert_eq!(said(&log_in(&server, &token).await), denied, "{token:.40}");
    }
    let meta = json!({"AuthMethod": "ci", "BearerToken": good, "Meta": {"a": "x".repeat(5000)}}).to_string();
    for (body, status, sentence) in [
        ("{}", 400, "no AuthMethod is set"),
        (r#"{"AuthMethod": "ci"}"#, 400, "no BearerToken is set"),
        ("", 400, "Request decode failed"),
        (&meta, 400, "description of more than"),
        (&"x".repeat(65 * 1024), 413, "too large"),
    ] {
        let (found, text) = said(&server.send(Method::POST, "/v1/acl/login", body).await);
        assert!(found == status && text.contains(sentence), "{found} {text}");
    }
    // Only tokens of a login can be logged out; nobody's and wrong ones neither.
    assert_eq!(said(&log_out(&server, MANAGEMENT).await), denied);
    assert_eq!(said(&server.send(Method::POST, "/v1/acl/logout", "").await), denied);
    assert_eq!(said(&log_out(&server, "x").await), (403, "ACL not found".into()));
    let (status, _) = said(&server.send(Method::PUT, "/v1/acl/login", &login(&good)).await);
    assert_eq!(status, 405);
}

#[tokio::test]
async fn tokens_end_with_their_method() {
    let (server, issuer) = (server().await, Issuer::of("ES256"));
    put(&server, "/v1/acl/auth-method", &method_of(&issuer)).await;
    put(&server, "/v1/acl/binding-rule", &rule()).await;
    let token = log_in(&server, &jwt(&issuer, "alice", &["dev"])).await.json();
    let path = format!("/v1/acl/token/{}", token["AccessorID"].as_str().unwrap());
    assert_eq!(send(&server, Method::GET, &path, &Value::Null).await.status, StatusCode::OK);
    send(&server, Method::DELETE, "/v1/acl/auth-method/ci", &Value::Null).await;
    assert_eq!(said(&send(&server, Method::GET, &path, &Value::Null).await).0, 403);
    let secret = token["SecretID"].as_str().unwrap();
    assert_eq!(
        said(&server.send_with(Method::GET, "/v1/acl/token/self", "", &[("x-consul-token", secret)]).await).0,
        403
    );
}

#[tokio::test]
async fn a_sidecar_has_a_server_do_it() {
    let (server, issuer) = (server().await, Issuer::of("ES256"));
    let sidecar = server_in("dc1", |settings| settings.identity.server_address = None).await;
    sidecar.backend.server().open(server.context.clone(), server.tasks.stopping());
    put(&sidecar, "/v1/acl/auth-method", &method_of(&issuer)).await;
    put(&sidecar, "/v1/acl/binding-rule", &rule()).await;
    let listed = send(&sidecar, Method::GET, "/v1/acl/auth-methods", &Value::Null).await.json();
    assert_eq!(listed, send(&server, Method::GET, "/v1/acl/auth-methods", &Value::Null).await.json());
    assert!(sidecar.context.reader.load().auth_methods().next().is_none());
    let token = log_in(&sidecar, &jwt(&issuer, "alice", &["dev"])).await;
    assert_eq!(token.status, StatusCode::OK, "{:?}", token.body);
    let fetched = sidecar.backend.fetches().pop().unwrap();
    assert!(fetched.once && fetched.method == "POST" && fetched.path_and_query == "/v1/acl/login");
    let accessor = Uuid::try_parse(token.json()["AccessorID"].as_str().unwrap()).unwrap();
    assert!(server.context.reader.load().access_token(accessor).is_some());
    assert_eq!(said(&log_in(&sidecar, "x").await), (403, "Permission denied".into()));
}

#[tokio::test]
async fn where_there_is_no_access_control_there_is_no_login() {
    let server = TestServer::start().await;
    for (method, path) in [
        (Method::GET, "/v1/acl/auth-methods"),
        (Method::PUT, "/v1/acl/auth-method"),
        (Method::GET, "/v1/acl/binding-rules"),
        (Method::POST, "/v1/acl/login"),
        (Method::POST, "/v1/acl/logout"),
        // Whatever is wrong with the rest: these once said 500.
        (Method::GET, "/v1/acl/binding-rule/no-id"),
        (Method::GET, "/v1/acl/policy/no-id"),
        (Method::GET, "/v1/acl/role/no-id"),
        (Method::GET, "/v1/acl/token/no-id"),
    ] {
        let found = said(&server.send(method.clone(), path, "").await);
        assert_eq!(found, (401, "ACL support disabled".into()), "{method} {path}");
    }
}

#[tokio::test]
async fn another_datacenter_writes_methods_at_the_primary_and_makes_local_tokens_itself() {
    let (primary, issuer) = (server().await, Issuer::of("ES256"));
    let other = server_in("dc2", |_| ()).await;
    other.backend.far().open(primary.context.clone(), primary.tasks.stopping());
    put(&other, "/v1/acl/auth-method", &method_of(&issuer)).await;
    put(&other, "/v1/acl/binding-rule", &rule()).await;
    assert!(other.context.reader.load().auth_methods().next().is_none());
    // What the leader of the other datacenter copies.
    let copy = || {
        let state = primary.context.reader.load_full();
        let methods = state.auth_methods().cloned().map(crate::catalog::AccessRow::AuthMethod);
        let rules = state.binding_rules().cloned().map(crate::catalog::AccessRow::BindingRule);
        other.backend.apply(&Command::Access(AccessCommand::Replicate(methods.chain(rules).collect())));
    };
    copy();
    let good = jwt(&issuer, "alice", &["dev"]);
    let token = log_in(&other, &good).await.json();
    let accessor = |token: &Value| Uuid::try_parse(token["AccessorID"].as_str().unwrap()).unwrap();
    let has = |server: &TestServer, token: &Value| server.context.reader.load().access_token(accessor(token)).is_some();
    assert!(has(&other, &token) && !has(&primary, &token) && token["Local"] == true);
    // A method whose tokens count everywhere has the primary make them.
    let mut global = method_of(&issuer);
    global["TokenLocality"] = "global".into();
    put(&other, "/v1/acl/auth-method/ci", &global).await;
    copy();
    let token = log_in(&other, &good).await.json();
    assert!(!has(&other, &token) && has(&primary, &token) && token["Local"] == false);
    // Asked for by name, it is the other's matter.
    let reply = other.send(Method::POST, "/v1/acl/login?dc=dc1", &login(&good)).await;
    assert!(has(&primary, &reply.json()));
    // A local token ends with its method, also where it is not kept.
    let local = || other.context.reader.load().access_tokens().filter(|token| token.auth_method == "ci").count();
    assert_eq!(local(), 1);
    let gone = crate::catalog::AccessRow::AuthMethodGone("ci".into());
    other.backend.apply(&Command::Access(AccessCommand::Replicate(vec![gone])));
    assert_eq!(local(), 0);
}
