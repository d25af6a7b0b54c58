//! Every endpoint with every odd thing: methods, parameters, queries and bodies that nobody should send. Each request
//! is answered in time, with an answer that could be meant, and the next one is answered too.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::*;
use crate::http::route;

/// Odd requests at each endpoint.
const ROUNDS: usize = 24;
const METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"];

const PARAMETERS: [&str; 16] = [
    "",
    "web",
    "a/b",
    "a%2Fb",
    "%00",
    "%ff%fe",
    "%",
    "..",
    "../../etc/passwd",
    "%2e%2e",
    "a%0d%0ab",
    "*",
    "{*rest}",
    "127.0.0.1:1",
    "any",
    "'%22;--",
];
const NAMES: [&str; 23] = [
    "index",
    "stale",
    "consistent",
    "cached",
    "max_stale",
    "pretty",
    "dc",
    "token",
    "filter",
    "near",
    "node-meta",
    "tag",
    "passing",
    "format",
    "hash",
    "note",
    "replace-existing-checks",
    "loglevel",
    "logjson",
    "wan",
    "prune",
    "enable",
    "reason",
];
/// None of them waits for long.
const VALUES: [&str; 20] = [
    "",
    "0",
    "1",
    "-1",
    "18446744073709551615",
    "18446744073709551616",
    "1e9",
    "true",
    "maybe",
    "1ms",
    "-1ms",
    "99999999999999999999h",
    "dc1",
    "dc9",
    "%00",
    "%ff",
    "Node%20==%20%22a%22",
    "((((((((",
    "prometheus",
    "a:b:c",
];
const BODIES: [&str; 18] = [
    "",
    "null",
    "{}",
    "[]",
    "0",
    "\"text\"",
    "{",
    "not json",
    "\u{0}",
    "{\"Name\": null}",
    "{\"Name\": []}",
    "{\"ID\": \"\", \"Name\": \"\"}",
    "{\"Name\": \"x\", \"Port\": 99999999999}",
    "{\"Name\": \"x\", \"Port\": -1}",
    "{\"Name\": \"x\", \"Check\": {\"TTL\": \"-1s\"}}",
    "{\"Name\": \"x\", \"Checks\": {\"TTL\": \"1s\"}}",
    "{\"Node\": \"n\", \"Address\": \"a\", \"Service\": {\"Service\": 7}}",
    "{\"Status\": \"odd\", \"Output\": {\"deep\": [[[[]]]]}}",
];

/// One odd request to an endpoint.
fn odd(own: Method, path: &'static str) -> impl Strategy<Value = (Method, String, String)> {
    let method = prop_oneof![
        3 => Just(own),
        1 => prop::sample::select(&METHODS[..]).prop_map(|name| name.parse().unwrap()),
    ];
    let free = "[ -~]{0,12}".prop_map(|text| percent(&text));
    let parameter = prop_oneof![prop::sample::select(&PARAMETERS[..]).prop_map(str::to_string), free.clone()];
    let value = prop_oneof![4 => prop::sample::select(&VALUES[..]).prop_map(str::to_string), 1 => free];
    let pair = (prop::sample::select(&NAMES[..]), value);
    let query = prop::collection::vec(pair, 0..4);
    let body = prop_oneof![
        4 => prop::sample::select(&BODIES[..]).prop_map(str::to_string),
        1 => "\\PC{0,40}",
        1 => (1..2000_usize).prop_map(|depth| "[".repeat(depth)),
    ];
    (method, parameter, query, body).prop_map(move |(method, parameter, query, body)| {
        let mut path = match path.strip_suffix('*') {
            Some(stem) => format!("{stem}{parameter}?wait=1ms"),
            None => format!("{path}?wait=1ms"),
        };
        for (name, value) in query {
            path.push_str(&format!("&{name}={value}"));
        }
        (method, path, body)
    })
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Whether an answer of this endpoint has no end.
fn goes_on(path: &str) -> bool {
    path.ends_with("/monitor") || path.ends_with("/stream") || path.ends_with("/changes")
}

/// Joining asks the system for whatever name it is given, which may take the system long.
fn asks_elsewhere(path: &str) -> bool {
    path.starts_with("/v1/agent/join/")
}

#[tokio::test]
async fn whatever_is_sent_is_answered() {
    let server = TestServer::start_with_agent().await;
    server.register("web", 80);
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let sending = async {
        for (own, path) in route::table().filter(|(_, path)| !goes_on(path) && !asks_elsewhere(path)) {
            let requests = odd(own, path);
            for _ in 0..ROUNDS {
                let (method, path, body) = requests.new_tree(&mut runner).unwrap().current();
                let reply = server.send(method.clone(), &path, &body).await;
                // No handler has these, so they come from none: a handler that panics gives no answer at all.
                assert!(!matches!(reply.status.as_u16(), 501 | 502 | 504..), "{method} {path} {body}: {reply:?}");
                let says_json = reply.header("content-type") == Some("application/json");
                assert!(!says_json || method == Method::HEAD || serde_json::from_slice::<Value>(&reply.body).is_ok());
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = recordings::answer_reloads(&server) => {}
    }
    assert_eq!(server.get("/v1/status/leader").await.json(), "127.0.0.1:8300");
    assert!(server.tasks.shutdown(PATIENCE).await);
}
