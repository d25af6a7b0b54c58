//! Recorded conversations with Consul: every answer must be the same, field by field.
//!
//! `recorded/NAME.txt` has the requests (blocks of a request line, then the body), `NAME.json` Consul's answers to
//! them in order, with what no two runs share masked.

use serde_json::{Map, json};

use super::*;

/// Fields that differ between any two runs.
const INDEXES: [&str; 4] = ["CreateIndex", "ModifyIndex", "LastIndex", "LastTerm"];
const TIMES: [&str; 3] = ["ContentHash", "LastContact", "StableSince"];
const VERSIONS: [&str; 4] = ["build", "version", "Version", "Build"];
const HEADERS: [&str; 3] = ["X-Consul-Index", "X-Consul-Knownleader", "X-Consul-Lastcontact"];

fn requests(scenario: &str) -> Vec<(Method, String, String)> {
    let blocks = scenario.split("\n\n").map(|block| {
        let mut lines = block.lines().filter(|line| !line.starts_with('#'));
        let (method, path) = lines.next()?.split_once(' ')?;
        if method == "SLEEP" {
            return None;
        }
        Some((method.parse().ok()?, path.to_string(), lines.collect::<Vec<_>>().join("\n")))
    });
    blocks.flatten().collect()
}

fn port(number: &str) -> &'static str {
    if number == "8300" { "<port-server>" } else { "<port-serf_wan>" }
}

/// Masks what differs between any two runs; the same UUID gets the same mark.
fn mask(value: Value, key: &str, gossip: [u16; 2], seen: &mut Vec<String>) -> Value {
    match value {
        Value::Object(map) => {
            let entry = |(key, value): (String, Value)| {
                let value = mask(value, &key, gossip, seen);
                (key, value)
            };
            Value::Object(map.into_iter().map(entry).collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            let mut items: Vec<_> = items.into_iter().map(|item| mask(item, key, gossip, seen)).collect();
            // Consul promises no order of checks; recordings have them by ID.
            items.sort_by(|a, b| a["CheckID"].as_str().cmp(&b["CheckID"].as_str()));
            Value::Array(items)
        }
        Value::String(text) if VERSIONS.contains(&key) && !text.is_empty() => "<version>".into(),
        Value::String(text) if Uuid::try_parse(&text).is_ok() => {
            let place = seen.iter().position(|id| *id == text).unwrap_or_else(|| {
                seen.push(text);
                seen.len() - 1
            });
            format!("<uuid-{}>", place + 1).into()
        }
        Value::String(text) if TIMES.contains(&key) && !text.is_empty() => "<time>".into(),
        Value::String(text) if text == "8300" || text == "8302" => port(&text).into(),
        Value::String(text) if text == "127.0.0.1:8300" => "127.0.0.1:<port-server>".into(),
        Value::Number(number) if number.as_u64() == Some(gossip[0].into()) => "<port-serf_lan>".into(),
        Value::Number(number) if number.as_u64() == Some(gossip[1].into()) => "<port-serf_wan>".into(),
        Value::Number(number) if number.as_u64() == Some(8300) => "<port-server>".into(),
        Value::Number(number) if INDEXES.contains(&key) && number.as_u64() > Some(0) => "<index>".into(),
        other => other,
    }
}

/// Replays all requests but those for `elsewhere`, endpoints that are not built.
async fn replay(scenario: &str, recorded: &str, elsewhere: &[&str]) {
    let server = TestServer::start_with_agent().await;
    server.register_itself();
    let answering = answer_reloads(&server);
    let replaying = async {
        let (requests, recorded): (_, Vec<Value>) = (requests(scenario), serde_json::from_str(recorded).unwrap());
        assert_eq!(requests.len(), recorded.len());
        let built = |step: &((_, String, _), Value)| !elsewhere.iter().any(|other| step.0.1.contains(other));
        compare(&server, requests.into_iter().zip(recorded).filter(built)).await;
    };
    tokio::select! {
        () = replaying => {}
        () = answering => {}
    }
}

pub(super) async fn answer_reloads(server: &TestServer) {
    let next = || std::future::poll_fn(|task| server.requests.lock().unwrap().poll_recv(task));
    while let Some(control::Request::Reload(answer) | control::Request::Leave(answer)) = next().await {
        answer.send(Ok(())).unwrap();
    }
}

async fn compare(server: &TestServer, steps: impl Iterator<Item = ((Method, String, String), Value)>) {
    let mut seen = Vec::new();
    let gossip = [server.gossip.port(), server.wan_gossip.port()];
    for ((method, path, body), recorded) in steps {
        let step = format!("{method} {path} {body}");
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let reply = server.send(method.clone(), &path, &body).await;
            let mut seen_now = seen.clone();
            let (got, wanted) = (shown(&reply, &recorded, gossip, &mut seen_now), expected(&recorded));
            // An agent tells the registry what it was told soon, not at once.
            if got == wanted || method != Method::GET || tokio::time::Instant::now() > deadline {
                assert_eq!(got, wanted, "{step}");
                seen = seen_now;
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What is compared of a reply. Of a sentence that says why something failed, only that there is one.
fn shown(reply: &Reply, recorded: &Value, gossip: [u16; 2], seen: &mut Vec<String>) -> Value {
    let headers: Vec<&str> = HEADERS.into_iter().filter(|name| reply.header(name).is_some()).collect();
    let kind = reply.header("content-type").unwrap_or_default().split(';').next();
    let body = match recorded.get("json") {
        Some(_) => serde_json::from_slice(&reply.body).map(|json| mask(json, "", gossip, seen)).unwrap_or_default(),
        None => sentence(reply.status.as_u16().into(), &String::from_utf8_lossy(&reply.body)),
    };
    json!({"status": reply.status.as_u16(), "type": kind, "headers": headers, "body": body})
}

fn expected(recorded: &Value) -> Value {
    let body = match recorded.get("json") {
        Some(json) => json.clone(),
        None => sentence(recorded["status"].as_u64().unwrap(), recorded["text"].as_str().unwrap()),
    };
    json!({"status": recorded["status"], "type": recorded["type"], "headers": recorded["headers"], "body": body})
}

fn sentence(status: u64, text: &str) -> Value {
    if status >= 400 { (!text.is_empty()).into() } else { text.into() }
}

#[tokio::test]
async fn catalog() {
    replay(include_str!("../recorded/catalog.txt"), include_str!("../recorded/catalog.json"), &[]).await;
}

#[tokio::test]
async fn health() {
    replay(include_str!("../recorded/health.txt"), include_str!("../recorded/health.json"), &[]).await;
}

#[tokio::test]
async fn agent() {
    let (scenario, recorded) =
        (include_str!("../recorded/agent-service.txt"), include_str!("../recorded/agent-service.json"));
    replay(scenario, recorded, &[]).await;
}

#[tokio::test]
async fn status_events_and_operators() {
    let (scenario, recorded) =
        (include_str!("../recorded/status-event-operator.txt"), include_str!("../recorded/status-event-operator.json"));
    replay(scenario, recorded, &[]).await;
}
