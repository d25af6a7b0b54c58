//! Logging in with a JWT at a sidecar of a real cluster: what the token does there and elsewhere, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lictor_tests::{agent::Agent, base64, cluster::Cluster, http::Answer, wait};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

/// The secret of a token that may do everything.
const MANAGEMENT: &str = "11111111-2222-3333-4444-555555555555";
/// What stands before a key of Ed25519 in its wrapping (RFC 8410, section 4).
const WRAPPING: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// Longest time until every agent has what was written at one.
const SPREADING_LIMIT: Duration = Duration::from_secs(10);

fn key() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
}

fn pem(key: &Ed25519KeyPair) -> String {
    let wrapped = [&WRAPPING, key.public_key().as_ref()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64::encode(&wrapped))
}

fn jwt(key: &Ed25519KeyPair, name: &str) -> String {
    let part = |bytes: &[u8]| base64::encode(bytes).replace('+', "-").replace('/', "_").replace('=', "");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"iss": "https://ci.test", "sub": name, "iat": now, "exp": now + 600});
    let header = json!({"alg": "EdDSA", "typ": "JWT"});
    let message = format!("{}.{}", part(header.to_string().as_bytes()), part(claims.to_string().as_bytes()));
    format!("{message}.{}", part(key.sign(message.as_bytes()).as_ref()))
}

fn with_access_control(agent: Agent) -> Agent {
    let agent = agent.with_config_directory();
    let tokens = json!({"initial_management": MANAGEMENT, "agent": MANAGEMENT, "default": MANAGEMENT});
    let acl = json!({"enabled": true, "default_policy": "deny", "tokens": tokens});
    agent.write_file("acl.json", &json!({"acl": acl}).to_string());
    agent
}

fn send(agent: &Agent, secret: &str, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    agent.http().send(method, path, &[("X-Consul-Token", secret)], body.as_bytes()).unwrap()
}

fn put(agent: &Agent, path: &str, body: &Value) {
    let answer = send(agent, MANAGEMENT, "PUT", path, body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

fn log_in(agent: &Agent, token: &str) -> Answer {
    let body = json!({"AuthMethod": "ci", "BearerToken": token, "Meta": {"job": "7"}}).to_string();
    agent.http().send("POST", "/v1/acl/login", &[], body.as_bytes()).unwrap()
}

fn secret_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(token["Description"], r#"token created via login: {"job":"7"}"#);
    token["SecretID"].as_str().unwrap().to_owned()
}

fn register(agent: &Agent, secret: &str, service: &str) -> u16 {
    send(agent, secret, "PUT", "/v1/agent/service/register", &json!({"Name": service})).status
}

fn own_token(agent: &Agent, secret: &str) -> u16 {
    send(agent, secret, "GET", "/v1/acl/token/self", &Value::Null).status
}

#[test]
fn a_jwt_gives_a_token_that_ends_with_a_logout_or_its_method() {
    let cluster = Cluster::start_with(1, 1, with_access_control);
    let (server, sidecar) = (&cluster.servers[0], &cluster.sidecars[0]);
    let issuer = key();
    let config = json!({
        "JWTValidationPubKeys": [pem(&issuer)], "JWTSupportedAlgs": ["EdDSA"],
        "BoundIssuer": "https://ci.test", "ClaimMappings": {"sub": "name"},
    });
    let method = json!({"Name": "ci", "Type": "jwt", "MaxTokenTTL": "1h", "Config": config});
    put(sidecar, "/v1/acl/auth-method", &method);
    let rule = json!({
        "AuthMethod": "ci", "BindType": "service", "BindName": "web-${value.name}", "Selector": "value.name != mallory",
    });
    put(sidecar, "/v1/acl/binding-rule", &rule);

    // The token counts at once where its bearer has got it.
    let secret = secret_of(&log_in(sidecar, &jwt(&issuer, "Alice")));
    assert_eq!(register(sidecar, &secret, "web-alice"), 200);
    assert_eq!(register(sidecar, &secret, "web-bob"), 403);
    assert_eq!(send(sidecar, &secret, "PUT", "/v1/kv/a", &json!(1)).status, 403);
    wait::until("the service is in the catalog", SPREADING_LIMIT, || {
        let passing = server.passing("web-alice")?;
        wait::ensure(passing == ["web-alice"], || format!("{passing:?}"))
    });

    // Others are not let in, and the log says why, but not with what they came.
    for token in [jwt(&key(), "alice"), jwt(&issuer, "mallory"), "x.y.z".to_owned()] {
        let answer = log_in(sidecar, &token);
        assert_eq!((answer.status, answer.text().as_str()), (403, "Permission denied"), "{token}");
        assert!(!server.log().contains(&token) && !sidecar.log().contains(&token));
    }
    assert!(server.log().contains("a login was refused: no key of the method has made its signature"));

    let logout = |secret: &str| send(sidecar, secret, "POST", "/v1/acl/logout", &Value::Null).status;
    assert_eq!(logout(MANAGEMENT), 403);
    assert_eq!(logout(&secret), 200);
    assert_eq!((own_token(server, &secret), own_token(sidecar, &secret)), (403, 403));
    assert_eq!((register(sidecar, &secret, "web-alice"), logout(&secret)), (403, 403));

    // At a server as well; and the end of the method is the end of its tokens, everywhere.
    let secret = secret_of(&log_in(server, &jwt(&issuer, "alice")));
    for agent in cluster.agents() {
        wait::until("the token is known", SPREADING_LIMIT, || {
            let status = register(agent, &secret, "web-alice");
            wait::ensure(status == 200, || format!("{}: {status}", agent.name))
        });
    }
    assert_eq!(send(sidecar, MANAGEMENT, "DELETE", "/v1/acl/auth-method/ci", &Value::Null).status, 200);
    for agent in cluster.agents() {
        wait::until("the token is gone", SPREADING_LIMIT, || {
            let status = register(agent, &secret, "web-alice");
            wait::ensure(status == 403, || format!("{}: {status}", agent.name))
        });
    }
    assert_eq!(log_in(sidecar, &jwt(&issuer, "alice")).status, 403);
}
