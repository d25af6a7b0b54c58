//! Recorded conversations with Consul: every answer must be the same, field by field.
//!
//! `recorded/NAME.txt` has the requests (blocks of a request line, then the body), `NAME.json` Consul's answers to
//! them in order, with what no two runs share masked.

use serde_json::Map;

use super::*;

/// Fields that differ between any two runs.
const INDEXES: [&str; 2] = ["CreateIndex", "ModifyIndex"];
const VERSIONS: [&str; 4] = ["build", "version", "Version", "Build"];
const HEADERS: [&str; 3] = ["X-Consul-Index", "X-Consul-Knownleader", "X-Consul-Lastcontact"];

fn requests(scenario: &str) -> Vec<(Method, String, String)> {
    let blocks = scenario.split("\n\n").map(|block| {
        let mut lines = block.lines().filter(|line| !line.starts_with('#'));
        let (method, path) = lines.next()?.split_once(' ')?;
        Some((method.parse().ok()?, path.to_string(), lines.collect::<Vec<_>>().join("\n")))
    });
    blocks.flatten().collect()
}

/// Masks what differs between any two runs; the same UUID gets the same mark.
fn mask(value: Value, key: &str, seen: &mut Vec<String>) -> Value {
    match value {
        Value::Object(map) => {
            let entry = |(key, value): (String, Value)| {
                let value = mask(value, &key, seen);
                (key, value)
            };
            Value::Object(map.into_iter().map(entry).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|item| mask(item, key, seen)).collect()),
        Value::String(text) if VERSIONS.contains(&key) && !text.is_empty() => "<version>".into(),
        Value::String(text) if Uuid::try_parse(&text).is_ok() => {
            let place = seen.iter().position(|id| *id == text).unwrap_or_else(|| {
                seen.push(text);
                seen.len() - 1
            });
            format!("<uuid-{}>", place + 1).into()
        }
        Value::Number(number) if INDEXES.contains(&key) && number.as_u64() > Some(0) => "<index>".into(),
        other => other,
    }
}

async fn replay(scenario: &str, recorded: &str) {
    let server = TestServer::start().await;
    server.register_itself();
    let (requests, recorded): (_, Vec<Value>) = (requests(scenario), serde_json::from_str(recorded).unwrap());
    assert_eq!(requests.len(), recorded.len());
    let mut seen = Vec::new();
    for ((method, path, body), wanted) in requests.into_iter().zip(recorded) {
        let step = format!("{method} {path} {body}");
        let reply = server.send(method, &path, &body).await;
        assert_eq!(reply.status.as_u16(), wanted["status"], "{step}: {reply:?}");
        if wanted["status"].as_u64() >= Some(400) {
            assert_eq!(reply.body.is_empty(), wanted["text"] == "", "{step}: {reply:?}");
        } else {
            let kind = reply.header("content-type").unwrap_or_default();
            assert_eq!(kind.split(';').next(), wanted["type"].as_str(), "{step}");
            assert_eq!(mask(reply.json(), "", &mut seen), wanted["json"], "{step}");
        }
        let headers: Vec<&str> = HEADERS.into_iter().filter(|name| reply.header(name).is_some()).collect();
        assert_eq!(Value::from(headers), wanted["headers"], "{step}");
    }
}

#[tokio::test]
async fn catalog() {
    replay(include_str!("../recorded/catalog.txt"), include_str!("../recorded/catalog.json")).await;
}

#[tokio::test]
async fn health() {
    replay(include_str!("../recorded/health.txt"), include_str!("../recorded/health.json")).await;
}
