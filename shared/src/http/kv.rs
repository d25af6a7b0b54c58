//! `/v1/kv/...`: keys, by their text as it stands in the path: decoded, with whatever slashes are in it.
//!
//! Many parameters count by their mere presence (`?recurse=false` recurses). A server answers from its own view, but
//! never one that is older than the caller wants: what a lock is decided by must not be stale in secret. A sidecar holds
//! no keys and has a server answer (`remote`); its writes are commands like every other.

use std::fmt::Display;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use smol_str::SmolStr;
use uuid::Uuid;

use super::{
    Context, Failure,
    answer::Answer,
    context::datacenter_asked,
    json::kv::KeyRow,
    read::{Question, Rows, read},
    remote,
    route::Request,
};
use crate::{
    acl::{Level, Resource, Rights},
    catalog::{State, Topic},
    command::{Command, KeyCommand, KeyEntry, Outcome, Refusal},
    model::{Index, KeyValue},
};

const CONTENT_TYPE_OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");

pub(super) async fn get(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let (key, query) = (request.parameter.as_str(), &request.query);
    let (lists_keys, recurses) = (query.has("keys"), query.has("recurse"));
    if !lists_keys && !recurses {
        name(request)?;
    }
    context.refuse_other_datacenter(datacenter_asked(query))?;
    let below = lists_keys || recurses;
    require(context, request, below, &request.caller.rights)?;
    if !context.holds_keys() {
        return remote::fetch(context, request).await;
    }
    let topic = if below { Topic::Prefix(key.into()) } else { Topic::Key(key.into()) };
    let question =
        Question { topics: vec![topic], besides: None, schema: None, headers_on_failure: false, insists: true };
    let separator = query.get("separator").unwrap_or_default();
    let raw = query.has("raw");
    read(context, request, question, |state, rows| {
        // It may have waited for long.
        if let Err(denied) = require(context, request, below, rows.rights()) {
            return denied.into();
        }
        if lists_keys {
            key_list(state, rows, key, separator)
        } else if recurses {
            let below = state.keys_below(key).filter(|row| sees(rows, &row.key));
            let below: Vec<_> = below.map(|row| KeyRow::new(row)).collect();
            if below.is_empty() { not_found() } else { rows.value(&below).into() }
        } else {
            match state.key(key) {
                None => not_found(),
                Some(row) if raw => as_it_is(row),
                Some(row) => rows.value(&[KeyRow::new(row)]).into(),
            }
        }
    })
    .await
}

/// Whether the caller may ask for that key, or for all below a prefix: those that it may not see are left out, but where
/// lists have a right of their own.
fn require(context: &Context, request: &Request, below: bool, rights: &Rights) -> Result<(), Failure> {
    let level = match (below, context.authority.settings().key_list_policy) {
        (true, true) => Level::List,
        (true, false) => return Ok(()),
        (false, _) => Level::Read,
    };
    Ok(rights.require(Resource::Key, level, &request.parameter)?)
}

fn sees(rows: &Rows, key: &str) -> bool {
    rows.sees(rows.rights().allow(Resource::Key, Level::Read, key))
}

fn not_found() -> Answer {
    Answer::empty().with_status(StatusCode::NOT_FOUND)
}

/// The value alone. Nobody knows what it is, so no browser shall guess.
fn as_it_is(row: &KeyValue) -> Answer {
    Answer::plain(row.value.clone())
        .with_header(CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .with_header(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"))
}

/// The keys below a prefix; with a separator, only up to the next one after the prefix.
fn key_list(state: &State, rows: &Rows, prefix: &str, separator: &str) -> Answer {
    let mut keys: Vec<&str> = Vec::new();
    for row in state.keys_below(prefix).filter(|row| sees(rows, &row.key)) {
        let key = row.key.as_str();
        let rest = &key[prefix.len()..];
        let found = if separator.is_empty() { None } else { rest.find(separator) };
        let shown = found.map_or(key, |at| &key[..prefix.len() + at + separator.len()]);
        if keys.last() != Some(&shown) {
            keys.push(shown);
        }
    }
    if keys.is_empty() && !prefix.is_empty() { not_found() } else { rows.value(&keys).into() }
}

pub(super) async fn put(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let key = name(request)?;
    refuse_conflict(request, &["cas", "acquire", "release"])?;
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let number = |name| request.query.get(name).map(unsigned).transpose();
    let (flags, cas) = (number("flags")?, number("cas")?);
    let limit = context.settings.limits.kv_value_bytes;
    if request.body.len() > limit {
        return Err(Failure::TooLarge(limit));
    }
    let entry = KeyEntry { key: key.into(), value: request.body.clone(), flags: flags.unwrap_or_default() };
    let session = |name| request.query.get(name).map(session_id).transpose();
    let command = match (cas, session("acquire")?, session("release")?) {
        (Some(index), _, _) => KeyCommand::Cas(entry, Index(index)),
        (_, Some(session), _) => KeyCommand::Acquire(entry, session),
        (_, _, Some(session)) => KeyCommand::Release(entry, session),
        _ => KeyCommand::Set(entry),
    };
    write(context, request, command).await
}

pub(super) async fn delete(context: &Context, request: &Request) -> Result<Answer, Failure> {
    let recurses = request.query.has("recurse");
    refuse_conflict(request, &["recurse", "cas"])?;
    let key: SmolStr = if recurses { request.parameter.as_str() } else { name(request)? }.into();
    context.refuse_other_datacenter(datacenter_asked(&request.query))?;
    let command = match request.query.get("cas") {
        Some(index) => KeyCommand::DeleteCas(key, Index(unsigned(index)?)),
        None if recurses => KeyCommand::DeleteTree(key),
        None => KeyCommand::Delete(key),
    };
    write(context, request, command).await
}

async fn write(context: &Context, request: &Request, command: KeyCommand) -> Result<Answer, Failure> {
    match context.propose(request, Command::Key(command)).await?.outcome {
        Outcome::Refused(refusal @ Refusal::NoSession(_)) => Err(apply_failed(&refusal)),
        Outcome::Refused(refusal) => Err(refusal.into()),
        outcome => Ok(Answer::json(Bytes::from_static(if outcome.is_done() { b"true" } else { b"false" }))),
    }
}

fn name(request: &Request) -> Result<&str, Failure> {
    if request.parameter.is_empty() {
        return Err(Failure::BadRequest("Missing key name".into()));
    }
    Ok(&request.parameter)
}

fn refuse_conflict(request: &Request, names: &[&str]) -> Result<(), Failure> {
    if names.iter().filter(|name| request.query.has(name)).count() > 1 {
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        return Err(Failure::BadRequest(format!("Conflicting flags: {query}")));
    }
    Ok(())
}

/// A number as Go's `strconv.ParseUint` reads it; clients see its sentences.
fn unsigned(text: &str) -> Result<u64, Failure> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let problem = if digits { "value out of range" } else { "invalid syntax" };
    let failure = || Failure::Rejected(format!("strconv.ParseUint: parsing {text:?}: {problem}"));
    if digits { text.parse().map_err(|_| failure()) } else { Err(failure()) }
}

fn session_id(text: &str) -> Result<Uuid, Failure> {
    if text.is_empty() {
        return Err(apply_failed(&"missing session"));
    }
    super::session::id(text).map_err(|reason| apply_failed(&reason))
}

fn apply_failed(reason: &dyn Display) -> Failure {
    Failure::Rejected(format!("raft apply failed: {reason}"))
}
