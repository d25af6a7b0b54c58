//! All that a server holds, as it answers by itself: rows with their indexes, byte by byte, and the index of each answer.

use serde_json::Value;

use crate::{agent::Agent, http::Client};

/// What is asked besides the services, which are asked one by one.
const QUESTIONS: [&str; 5] = [
    "/v1/kv/?recurse&stale",
    "/v1/catalog/nodes?stale",
    "/v1/catalog/services?stale",
    "/v1/health/state/any?stale",
    "/v1/session/list?stale",
];

/// Each question with the index and the text of its answer.
pub type Picture = Vec<(String, String, String)>;

/// Takes a picture.
///
/// # Errors
/// The server does not answer so.
pub fn of(agent: &Agent) -> Result<Picture, String> {
    let client = agent.http();
    let mut picture = QUESTIONS.iter().map(|path| ask(&client, path)).collect::<Result<Picture, String>>()?;
    let services = client.json("/v1/catalog/services?stale")?;
    for service in services.as_object().into_iter().flat_map(|services| services.keys()) {
        picture.push(ask(&client, &format!("/v1/health/service/{service}?stale"))?);
        picture.push(ask(&client, &format!("/v1/catalog/service/{service}?stale"))?);
    }
    Ok(picture)
}

fn ask(client: &Client, path: &str) -> Result<(String, String, String), String> {
    let answer = client.get(path)?;
    match answer.header("x-consul-index") {
        Some(index) if answer.status == 200 => Ok((path.to_owned(), index.to_owned(), answer.text())),
        _ => Err(format!("GET {path}: {} {}", answer.status, answer.text())),
    }
}

/// The first place at which two pictures differ.
///
/// # Errors
/// That place, and what is there.
pub fn compare(one: &Picture, other: &Picture) -> Result<(), String> {
    for (one, other) in one.iter().zip(other) {
        if one != other {
            let rows = |text: &str| serde_json::from_str::<Vec<Value>>(text).unwrap_or_default();
            let (ones, others) = (rows(&one.2), rows(&other.2));
            let differing = ones.iter().zip(&others).find(|(one, other)| one != other);
            let (indexes, rows) = ((&one.1, &other.1), (ones.len(), others.len()));
            return Err(format!("{} differs: indexes {indexes:?}, rows {rows:?}, first {differing:?}", one.0));
        }
    }
    if one.len() == other.len() { Ok(()) } else { Err(format!("{} and {} answers", one.len(), other.len())) }
}
