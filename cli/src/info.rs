//! `lictor info`: the numbers an agent keeps about itself, by section.

use std::{collections::BTreeMap, io, process::ExitCode};

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    format::{FormatFlags, json},
    target::{self, HttpFlags},
};

/// Flags of `info`.
#[derive(Args, Debug)]
pub struct InfoFlags {
    #[command(flatten)]
    pub format: FormatFlags,
    #[command(flatten)]
    pub http: HttpFlags,
}

/// The part of `/v1/agent/self` that is printed.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Stats")]
    sections: BTreeMap<String, BTreeMap<String, Value>>,
}

/// Prints the sections and their keys in the order of their names.
///
/// # Errors
/// The agent could not be asked, or `out` cannot be written to.
pub async fn run(flags: InfoFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let answer: Answer = target::agent(&flags.http)?.get("/v1/agent/self").await.context("Error querying agent")?;
    let text = if flags.format.is_json() { json(&answer.sections)? } else { text(&answer.sections) };
    write!(out, "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn text(sections: &BTreeMap<String, BTreeMap<String, Value>>) -> String {
    let mut text = String::new();
    for (section, values) in sections {
        text.push_str(&format!("{section}:\n"));
        for (key, value) in values {
            match value {
                Value::String(value) => text.push_str(&format!("\t{key} = {value}\n")),
                value => text.push_str(&format!("\t{key} = {value}\n")),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_keys_are_sorted_and_strings_have_no_quotes() {
        let answer = r#"{"Config": {}, "Stats": {"raft": {"term": "2", "peers": 3}, "build": {"version": "0.1.0"}}}"#;
        let answer: Answer = serde_json::from_str(answer).unwrap();
        assert_eq!(text(&answer.sections), "build:\n\tversion = 0.1.0\nraft:\n\tpeers = 3\n\tterm = 2\n");
    }
}
