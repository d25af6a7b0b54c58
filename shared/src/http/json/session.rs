//! Sessions as Consul shows them, and the body that creates one.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;
use uuid::Uuid;

use super::parse;
use crate::{
    acl::{Level, Resource, Rights},
    agent::{
        definition::{Fields, Strictness},
        duration,
    },
    http::{Failure, read::Guarded},
    model::{Behavior, CheckId, SERF_HEALTH, Session},
};

/// How long a lock is held back unless its session says otherwise.
const DEFAULT_LOCK_DELAY: Duration = Duration::from_secs(15);
/// The longest it is.
const LONGEST_LOCK_DELAY: Duration = Duration::from_secs(60);
/// A shorter delay was meant in seconds, as in Consul.
const SHORTEST_LOCK_DELAY: Duration = Duration::from_micros(1);
const SHORTEST_TTL: Duration = Duration::from_secs(10);
const LONGEST_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The answer to a creation.
#[derive(Serialize)]
pub struct Created {
    #[serde(rename = "ID")]
    id: Uuid,
}

/// The answer to the creation of that session.
#[must_use]
pub fn created(id: Uuid) -> Created {
    Created { id }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceCheckRow<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    namespace: &'static str,
}

/// A session.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SessionRow<'a> {
    #[serde(rename = "ID")]
    id: Uuid,
    name: &'a str,
    node: &'a str,
    /// In nanoseconds.
    lock_delay: u64,
    behavior: &'static str,
    #[serde(rename = "TTL")]
    ttl: &'a str,
    node_checks: &'a [CheckId],
    service_checks: Option<Vec<ServiceCheckRow<'a>>>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> SessionRow<'a> {
    /// The row of a session.
    #[must_use]
    pub fn new(session: &'a Session) -> Self {
        let service_checks = session.service_checks.iter().map(|id| ServiceCheckRow { id, namespace: "" });
        Self {
            id: session.id,
            name: &session.name,
            node: &session.node,
            lock_delay: u64::try_from(session.lock_delay.as_nanos()).unwrap_or(u64::MAX),
            behavior: session.behavior.as_str(),
            ttl: &session.ttl_text,
            node_checks: &session.node_checks,
            service_checks: (!session.service_checks.is_empty()).then(|| service_checks.collect()),
            create_index: session.create_index.0,
            modify_index: session.modify_index.0,
        }
    }
}

/// Reads the body that creates a session, which may be empty. The session's ID is for its creator to choose.
///
/// # Errors
/// 400 where it cannot be read, and what Consul refuses with 500.
pub fn session(body: &[u8], own_node: &str) -> Result<Session, Failure> {
    let body = if body.is_empty() { Value::Null } else { parse(body)? };
    let mut fields = Fields::of(&body, Strictness::Body)?;
    let node = fields.text("node")?;
    let ttl_text = fields.text("ttl")?;
    let lock_delay = fields.optional_duration("lockdelay")?.map_or(DEFAULT_LOCK_DELAY, lock_delay);
    Ok(Session {
        name: fields.text("name")?,
        node: if node.is_empty() { own_node.into() } else { node.into() },
        node_checks: node_checks(&mut fields)?,
        service_checks: service_checks(&mut fields)?,
        behavior: behavior(&fields.text("behavior")?)?,
        ttl: ttl(&ttl_text)?,
        lock_delay,
        ttl_text,
        ..Session::default()
    })
}

fn lock_delay(given: Duration) -> Duration {
    let delay = if given < SHORTEST_LOCK_DELAY { given.saturating_mul(1_000_000_000) } else { given };
    delay.min(LONGEST_LOCK_DELAY)
}

fn node_checks(fields: &mut Fields<'_>) -> Result<Vec<CheckId>, Failure> {
    let mut given = false;
    let mut checks = Vec::new();
    // The second is the older name of the first.
    for name in ["nodechecks", "checks"] {
        given |= fields.has(name);
        checks.extend(fields.texts(name)?.into_iter().map(CheckId));
    }
    Ok(if given { checks } else { vec![SERF_HEALTH.into()] })
}

fn service_checks(fields: &mut Fields<'_>) -> Result<Vec<CheckId>, Failure> {
    let mut checks = Vec::new();
    for check in fields.list("servicechecks")? {
        checks.push(Fields::of(check, Strictness::Body)?.text("id")?.into());
    }
    Ok(checks)
}

fn behavior(text: &SmolStr) -> Result<Behavior, Failure> {
    match text.as_str() {
        "" | "release" => Ok(Behavior::Release),
        "delete" => Ok(Behavior::Delete),
        other => Err(Failure::Rejected(format!("Invalid Behavior setting '{other}'"))),
    }
}

fn ttl(text: &str) -> Result<Duration, Failure> {
    if text.is_empty() {
        return Ok(Duration::ZERO);
    }
    let ttl =
        duration::parse(text).map_err(|error| Failure::Rejected(format!("Session TTL '{text}' invalid: {error}")))?;
    if ttl.is_zero() || (SHORTEST_TTL..=LONGEST_TTL).contains(&ttl) {
        return Ok(ttl);
    }
    let (shortest, longest) = (duration::show(SHORTEST_TTL), duration::show(LONGEST_TTL));
    let nanoseconds = ttl.as_nanos();
    Err(Failure::Rejected(format!("Invalid Session TTL '{nanoseconds}', must be between [{shortest}={longest}]")))
}

impl Guarded for SessionRow<'_> {
    fn is_visible(&self, rights: &Rights) -> bool {
        rights.allow(Resource::Session, Level::Read, self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_body_is_a_session_of_this_node() {
        for body in ["", "{}"] {
            let session = session(body.as_bytes(), "n").unwrap();
            assert_eq!((session.node.as_str(), session.node_checks), ("n", vec![SERF_HEALTH.into()]));
            assert_eq!((session.lock_delay, session.ttl), (DEFAULT_LOCK_DELAY, Duration::ZERO));
        }
    }

    #[test]
    fn delays_and_checks() {
        for (body, delay_ms, checks) in [
            (r#"{"LockDelay": "0s", "Checks": []}"#, 0, vec![]),
            (r#"{"LockDelay": 20, "Checks": ["a"], "NodeChecks": ["b"]}"#, 20_000, vec!["b", "a"]),
            (r#"{"LockDelay": 1500000000}"#, 1500, vec!["serfHealth"]),
            (r#"{"LockDelay": "5m", "NodeChecks": null}"#, 60_000, vec!["serfHealth"]),
        ] {
            let session = session(body.as_bytes(), "n").unwrap();
            assert_eq!(session.lock_delay, Duration::from_millis(delay_ms), "{body}");
            assert_eq!(session.node_checks.iter().map(|id| id.as_str()).collect::<Vec<_>>(), checks, "{body}");
        }
    }

    #[test]
    fn times_to_live() {
        for (text, good) in [("", true), ("0s", true), ("10s", true), ("24h", true), ("9s", false), ("25h", false)] {
            assert_eq!(ttl(text).is_ok(), good, "{text}");
        }
        assert!(ttl("1s").unwrap_err().to_string().starts_with("Invalid Session TTL '1000000000'"));
    }
}
