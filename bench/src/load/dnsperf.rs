//! dnsperf: one question over and over, a hundred at a time.

use std::{fs, path::Path};

use super::{command, output};

/// Questions under way at once, and the sockets they come from.
const OUTSTANDING: usize = 100;
const CLIENTS: usize = 4;
/// The largest answer that a question with EDNS offers to take.
const PAYLOAD_BYTES: u16 = 1232;
/// More than this share of questions without an answer and the figure says nothing.
const MAX_LOST_SHARE: f64 = 0.01;

/// Asks one question for some seconds.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The name, without a dot at its end.
    pub name: &'a str,
    /// `A` or `SRV`.
    pub kind: &'a str,
    /// Whether it offers EDNS with 1232 bytes, or takes 512 bytes at most.
    pub has_edns: bool,
}

impl Question<'_> {
    /// The message (RFC 1035 section 4.1, RFC 6891 section 6.1.2), in the form of DNS over TCP: dnsperf's own questions
    /// with EDNS offer 4096 bytes, which hardly any resolver does.
    fn encode(self) -> Vec<u8> {
        let (additional, kind) = (u8::from(self.has_edns), if self.kind == "SRV" { 33 } else { 1 });
        // Its number is dnsperf's to set; it asks for recursion, as resolvers' clients do.
        let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, additional];
        for label in self.name.split('.') {
            message.push(label.len() as u8);
            message.extend_from_slice(label.as_bytes());
        }
        message.extend_from_slice(&[0, 0, kind, 0, 1]);
        if self.has_edns {
            message.extend_from_slice(&[0, 0, 41]);
            message.extend_from_slice(&PAYLOAD_BYTES.to_be_bytes());
            message.extend_from_slice(&[0; 6]);
        }
        let mut framed = (message.len() as u16).to_be_bytes().to_vec();
        framed.append(&mut message);
        framed
    }
}

/// How many answers the server on `port` of loopback gave within `seconds`.
///
/// # Panics
/// Answers are lost or are no answers.
#[must_use]
pub fn answers(port: u16, question: Question<'_>, seconds: u64, directory: &Path) -> f64 {
    let file = directory.join("questions");
    let written = fs::write(&file, question.encode());
    written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut dnsperf = command("dnsperf");
    dnsperf.args(["-B", "-s", "127.0.0.1", "-t", "2", "-T", "1", "-d"]).arg(&file);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        let question = Question { name: "a.b", kind: "SRV", has_edns: false };
        let plain = b"\x00\x15\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\x01b\0\0\x21\0\x01";
        assert_eq!(question.encode(), plain);
        let with_edns = Question { kind: "A", has_edns: true, ..question };
        let expected = b"\x00\x20\0\0\x01\0\0\x01\0\0\0\0\0\x01\x01a\x01b\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";
        assert_eq!(with_edns.encode(), expected);
    }
}
