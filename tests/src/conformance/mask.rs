//! Replaces what differs between any two runs: indexes, UUIDs, times, versions, ports.
//!
//! The same UUID gets the same mark throughout a scenario: `<uuid-1>` is the first one seen.

use regex::{Captures, Regex};
use serde_json::Value;

use crate::ports::Ports;

const INDEX: [&str; 6] = ["CreateIndex", "ModifyIndex", "LastIndex", "Index", "LTime", "LastTerm"];
const TIMES: [&str; 8] =
    ["CreateTime", "ExpirationTime", "Elapsed", "Timestamp", "LastContact", "StableSince", "Hash", "ContentHash"];
const VERSIONS: [&str; 4] = ["build", "version", "Version", "Build"];

/// The marks given so far.
#[derive(Debug)]
pub struct Mask {
    uuid: Regex,
    number: Regex,
    seen: Vec<String>,
    ports: Vec<(String, &'static str)>,
}

impl Mask {
    /// A mask for an agent with these ports.
    ///
    /// # Panics
    /// Never: the patterns are constants.
    #[must_use]
    pub fn new(ports: &Ports) -> Self {
        Self {
            uuid: Regex::new("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").expect("a constant pattern"),
            number: Regex::new("[0-9]+").expect("a constant pattern"),
            seen: Vec::new(),
            ports: ports.named().iter().map(|(name, port)| (port.to_string(), *name)).collect(),
        }
    }

    /// Gives marks to the UUIDs of an answer in the order of its text. JSON must be shown here before
    /// [`Mask::value`], which sees fields in the order of their names.
    pub fn show(&mut self, text: &str) {
        for uuid in self.uuid.find_iter(text) {
            if !self.seen.iter().any(|seen| seen == uuid.as_str()) {
                self.seen.push(uuid.as_str().into());
            }
        }
    }

    /// The text with UUIDs and ports masked.
    #[must_use]
    pub fn text(&mut self, text: &str) -> String {
        self.show(text);
        let marked = self.uuid.replace_all(text, |uuid: &Captures<'_>| {
            let place = self.seen.iter().position(|seen| seen == &uuid[0]).map_or(0, |place| place + 1);
            format!("<uuid-{place}>")
        });
        let ported = self.number.replace_all(&marked, |number: &Captures<'_>| match self.port(&number[0]) {
            Some(name) => format!("<port-{name}>"),
            None => number[0].to_owned(),
        });
        ported.into_owned()
    }

    fn port(&self, number: &str) -> Option<&'static str> {
        self.ports.iter().find(|(port, _)| port == number).map(|(_, name)| *name)
    }

    /// JSON with everything masked; `key` is the name of the field it is in.
    #[must_use]
    pub fn value(&mut self, value: &Value, key: &str) -> Value {
        match value {
            Value::Object(fields) => {
                fields.iter().map(|(name, field)| (self.text(name), self.value(field, name))).collect()
            }
            Value::Array(rows) => {
                let mut rows: Vec<Value> = rows.iter().map(|row| self.value(row, key)).collect();
                if !rows.is_empty() && rows.iter().all(|row| row.get("CheckID").is_some()) {
                    // A map in the agent: no order is promised.
                    rows.sort_by(|row, other| row["CheckID"].as_str().cmp(&other["CheckID"].as_str()));
                }
                rows.into()
            }
            Value::String(text) if VERSIONS.contains(&key) && !text.is_empty() => "<version>".into(),
            Value::String(text) if TIMES.contains(&key) && !text.is_empty() => "<time>".into(),
            Value::String(text) => self.text(text).into(),
            Value::Number(number) if number.as_f64() != Some(0.0) && INDEX.contains(&key) => "<index>".into(),
            Value::Number(number) if number.as_f64() != Some(0.0) && TIMES.contains(&key) => "<time>".into(),
            Value::Number(number) => match self.port(&number.to_string()) {
                Some(name) => format!("<port-{name}>").into(),
                None => value.clone(),
            },
            Value::Bool(_) | Value::Null => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn masks() {
        let ports = Ports { http: 8500, dns: 8600, serf_lan: 8301, serf_wan: 8302, server: 8300, grpc: 8502 };
        let mut mask = Mask::new(&ports);
        let (first, second) = ("aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000");
        mask.show(&format!("{second} {first}"));
        for (value, expected) in [
            (json!({"ID": first, "Other": format!("x{second}")}), json!({"ID": "<uuid-2>", "Other": "x<uuid-1>"})),
            (json!({"ModifyIndex": 7, "CreateIndex": 0}), json!({"ModifyIndex": "<index>", "CreateIndex": 0})),
            (json!({"Version": "1.10", "Build": ""}), json!({"Version": "<version>", "Build": ""})),
            (json!({"Hash": "x", "LastContact": "5ms"}), json!({"Hash": "<time>", "LastContact": "<time>"})),
            (
                json!([8300, 83000, "a:8301", true, null]),
                json!(["<port-server>", 83000, "a:<port-serf_lan>", true, null]),
            ),
            (json!([{"CheckID": "b"}, {"CheckID": "a"}]), json!([{"CheckID": "a"}, {"CheckID": "b"}])),
        ] {
            assert_eq!(mask.value(&value, ""), expected);
        }
    }
}
