//! Recorded conversations with Consul 1.10, replayed against `lictor agent -dev`.
//!
//! `conformance/scenarios/NAME.txt` are the requests, `conformance/recorded/NAME.json` Consul's answers. A scenario is
//! a text of blocks separated by blank lines:
//!
//! ```text
//! # a comment, before a block
//! @config {"acl": {...}}         merged into the agent's configuration file (first block only)
//! PUT /v1/kv/a?flags=42 > id=.ID an HTTP request; what follows ' > ' keeps fields of the JSON answer
//! H X-Consul-Token: ${id}        a header, directly under the request; ${name} is a field kept before
//! hello                          the body
//! DNS hello.service.consul SRV   a question over UDP with EDNS; DNS-PLAIN without, DNS-TCP over TCP
//! SLEEP 1.5                      seconds
//! ```
//!
//! - [`scenario`] reads it, [`player`] plays it, [`mask`] replaces what differs between any two runs, [`compare`] says
//!   what is different from the recording.

pub mod compare;
pub mod mask;
pub mod player;
pub mod scenario;

use std::{fs, path::PathBuf};

use serde_json::Value;

/// Replays a scenario and returns its differences, one text for each step that differs, and how many answers were
/// compared.
///
/// # Panics
/// The scenario or its recording cannot be read, or the agent does not start.
#[must_use]
pub fn differences(name: &str) -> (Vec<String>, usize) {
    let (config, steps) = scenario::parse(&read(&format!("scenarios/{name}.txt")));
    let recorded: Value = serde_json::from_str(&read(&format!("recorded/{name}.json")))
        .unwrap_or_else(|error| panic!("recorded/{name}.json: {error}"));
    let recorded = recorded.as_array().map(Vec::as_slice).unwrap_or_default();
    let answers = player::play(&config, &steps);
    assert_eq!(answers.len(), recorded.len(), "{name}: as many answers as recorded");
    let differing = answers.iter().zip(recorded).filter_map(|((step, answer), wanted)| {
        let lines = compare::answers(wanted, answer);
        (!lines.is_empty()).then(|| format!("{name}: {step}\n    {}", lines.join("\n    ")))
    });
    (differing.collect(), answers.len())
}

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
