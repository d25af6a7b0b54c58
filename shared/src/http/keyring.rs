//! `/v1/operator/keyring`: the keys of gossip encryption, at all members of the pools that the answering server is in.
//!
//! A sidecar is in one pool only and has a server answer. What is done at the members is in `gossip::key_rounds`; here
//! are only its forms. `?relay-factor` is accepted and has no effect: members are asked directly.

use std::collections::BTreeMap;

use http::Method;
use serde::{Deserialize, Serialize};

use super::{Context, Failure, answer::Answer, read::Rows, remote, route::Request};
use crate::gossip::{GossipKey, KeyringChange, KeyringReport, Pool};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row<'report> {
    #[serde(rename = "WAN")]
    wan: bool,
    datacenter: &'report str,
    segment: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    messages: &'report BTreeMap<String, String>,
    keys: &'report BTreeMap<String, usize>,
    primary_keys: &'report BTreeMap<String, usize>,
    num_nodes: usize,
}

/// Lists, installs, uses or removes keys, by the method.
pub(super) async fn keyring(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let local_only = request.query.get("local-only").is_some_and(|value| matches!(value, "" | "true" | "1"));
    if local_only && request.method != Method::GET {
        return Err(Failure::BadRequest("Invalid use of local-only: only GET takes it".into()));
    }
    let change = change(request)?;
    if !local_only && !context.holds_keys() {
        return remote::fetch(context, request).await;
    }
    let mut reports = Vec::new();
    for (wan, pool) in [(true, context.wan.as_ref()), (false, Some(&context.members))] {
        let Some(pool) = pool else { continue };
        reports.push((wan, report(pool, change.as_ref(), local_only).await));
    }
    let errors: Vec<String> =
        reports.iter().flat_map(|(wan, report)| errors(*wan, context.datacenter(), report)).collect();
    if !errors.is_empty() {
        let lines: String = errors.iter().map(|error| format!("\t* {error}\n")).collect();
        return Err(Failure::Rejected(format!("{} errors occurred:\n{lines}\n", errors.len())));
    }
    if change.is_some() {
        return Ok(Answer::empty());
    }
    let rows: Vec<Row<'_>> = reports.iter().map(|(wan, report)| row(*wan, context.datacenter(), report)).collect();
    Ok(Answer::json(Rows::wanted(request, None)?.value(&rows)))
}

fn change(request: &Request) -> Result<Option<KeyringChange>, Failure> {
    if request.method == Method::GET {
        return Ok(None);
    }
    let wrong = |problem: String| Failure::BadRequest(format!("Request decode failed: {problem}"));
    let body: Body = serde_json::from_slice(&request.body).map_err(|error| wrong(error.to_string()))?;
    let key = GossipKey::parse(&body.key).map_err(|error| wrong(format!("Key: {error}")))?;
    Ok(Some(match request.method {
        Method::POST => KeyringChange::Install(key),
        Method::PUT => KeyringChange::Use(key),
        _ => KeyringChange::Remove(key),
    }))
}

async fn report(pool: &Pool, change: Option<&KeyringChange>, local_only: bool) -> KeyringReport {
    match change {
        Some(change) => pool.change_keys(change.clone()).await,
        None => pool.keys(local_only).await,
    }
}

/// A summary of each pool in which something failed, and the failures.
fn errors(wan: bool, datacenter: &str, report: &KeyringReport) -> Vec<String> {
    if report.errors.is_empty() {
        return Vec::new();
    }
    let pool = if wan { "WAN".into() } else { format!("{datacenter} (LAN)") };
    let summary = format!("{pool} error: {}/{} nodes reported failure", report.errors.len(), report.members);
    let each = report.errors.iter().map(|(node, error)| format!("{node}: {error}"));
    std::iter::once(summary).chain(each).collect()
}

fn row<'report>(wan: bool, datacenter: &'report str, report: &'report KeyringReport) -> Row<'report> {
    Row {
        wan,
        datacenter,
        segment: "",
        messages: &report.errors,
        keys: &report.keys,
        primary_keys: &report.primary,
        num_nodes: report.members,
    }
}
