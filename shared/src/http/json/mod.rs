//! Consul's JSON, and nowhere else: the rows of answers and the bodies of requests.
//!
//! `rows` writes the catalog and health answers, `ui` those of the web page, `agent`, `host` and `metrics` those about
//! this agent, its pool and its host, `operator` and `usage` those about the servers, `prepared` prepared queries; `far` reads what other datacenters answer, `registration` reads what the
//! catalog endpoints take; services and checks of the agent are read by [`crate::agent::definition`], since
//! files have them too. What is null, `[]` or `{}` when empty is as recorded from Consul, field by field: clients
//! have come to depend on it.

pub mod acl;
pub mod agent;
pub mod coordinate;
pub mod event;
pub mod far;
pub mod host;
pub mod kv;
pub mod login;
pub mod metrics;
pub mod operator;
pub mod prepared;
pub mod registration;
pub mod rows;
pub mod session;
pub mod time;
pub mod txn;
pub mod ui;
pub mod usage;

use serde_json::Value;

use super::Failure;
use crate::agent::definition::DefinitionError;

/// Reads a whole body as JSON; null, which says nothing, is refused.
///
/// # Errors
/// 400 with what is wrong and where.
pub fn parse(body: &[u8]) -> Result<Value, Failure> {
    let value = serde_json::from_slice(body).map_err(|error| decode_failed(&error))?;
    if value == Value::Null { Err(decode_failed(&"the body is null")) } else { Ok(value) }
}

fn decode_failed(reason: &dyn std::fmt::Display) -> Failure {
    Failure::BadRequest(format!("Request decode failed: {reason}"))
}

impl From<DefinitionError> for Failure {
    fn from(error: DefinitionError) -> Self {
        if error.is_decoding() { decode_failed(&error.explain()) } else { Self::BadRequest(error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_are_no_json_are_refused() {
        let deep = "[".repeat(100_000);
        for body in ["", "null", "not json", "{\"a\":", "\u{0}", "{} {}", deep.as_str()] {
            let failure = parse(body.as_bytes()).unwrap_err();
            assert!(matches!(&failure, Failure::BadRequest(text) if text.starts_with("Request decode failed: ")));
        }
    }
}
