//! dnsperf: one question over and over, a hundred at a time.

use std::{fs, path::Path};

use super::{command, output};

/// Questions under way at once, and the sockets they come from.
const OUTSTANDING: usize = 100;
const CLIENTS: usize = 4;
/// More than this share of questions without an answer and the figure says nothing.
const MAX_LOST_SHARE: f64 = 0.01;

/// Asks one question for some seconds.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The name, without a dot at its end.
    pub name: &'a str,
    /// `A` or `SRV`.
    pub kind: &'a str,
    /// Whether it offers EDNS, with 1232 bytes or more as dnsperf has it, or takes 512 bytes at most.
    pub has_edns: bool,
}

/// How many answers the server on `port` of loopback gave within `seconds`.
///
/// # Panics
/// Answers are lost or are no answers.
#[must_use]
pub fn answers(port: u16, question: Question<'_>, seconds: u64, directory: &Path) -> f64 {
    let file = directory.join("questions");
    let written = fs::write(&file, format!("{} {}\n", question.name, question.kind));
    written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut dnsperf = command("dnsperf");
    dnsperf
        .args(["-s", "127.0.0.1", "-t", "2", "-T", "1"])
        .arg("-d")
        .arg(&file)
        .args(question.has_edns.then_some("-e"));
    for (option, value) in [
        ("-p", port.to_string()),
        ("-l", seconds.to_string()),
        ("-q", OUTSTANDING.to_string()),
        ("-c", CLIENTS.to_string()),
    ] {
        dnsperf.arg(option).arg(value);
    }
    let text = output(&mut dnsperf);
    let (sent, completed) = (count(&text, "Queries sent:"), count(&text, "Queries completed:"));
    let good = text.lines().any(|line| line.trim().starts_with("Response codes:") && line.contains("NOERROR"));
    assert!(good && completed >= sent * (1.0 - MAX_LOST_SHARE), "{question:?}: not answered: {text}");
    completed
}

fn count(text: &str, label: &str) -> f64 {
    let found = text.lines().find_map(|line| line.trim().strip_prefix(label)?.split_whitespace().next()?.parse().ok());
    found.unwrap_or_else(|| panic!("dnsperf did not say {label:?}: {text}"))
}
