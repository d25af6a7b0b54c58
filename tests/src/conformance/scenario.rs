//! Reads the text of a scenario. The format is in the header of `conformance.rs`.

use serde_json::{Value, json};

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// `METHOD PATH`, `DNS NAME TYPE` or `SLEEP SECONDS`.
    pub head: String,
    /// Names, and the fields of the answer that they keep: `id` and `.ID`.
    pub captures: Vec<(String, String)>,
    /// Request headers.
    pub headers: Vec<(String, String)>,
    /// The request's body.
    pub body: String,
}

/// The configuration and the steps.
///
/// # Panics
/// `@config` is not JSON.
#[must_use]
pub fn parse(text: &str) -> (Value, Vec<Step>) {
    let (mut config, mut steps) = (json!({}), Vec::new());
    let lines: Vec<&str> = text.lines().collect();
    for block in lines.split(|line| line.trim().is_empty()) {
        let mut lines = block.iter().copied().skip_while(|line| line.starts_with('#')).peekable();
        let Some(head) = lines.next() else { continue };
        if let Some(first) = head.strip_prefix("@config") {
            let all: Vec<&str> = std::iter::once(first).chain(lines).collect();
            config = serde_json::from_str(&all.join(" ")).unwrap_or_else(|error| panic!("@config: {error}"));
            continue;
        }
        let (head, kept) = head.split_once(" > ").unwrap_or((head, ""));
        let mut step = Step { head: head.trim().into(), ..Step::default() };
        step.captures = kept.split_whitespace().filter_map(|field| pair(field, '=')).collect();
        while let Some(header) = lines.next_if(|line| line.starts_with("H ")) {
            step.headers.extend(pair(&header[2..], ':'));
        }
        step.body = lines.collect::<Vec<_>>().join("\n");
        steps.push(step);
    }
    (config, steps)
}

fn pair(text: &str, separator: char) -> Option<(String, String)> {
    text.split_once(separator).map(|(left, right)| (left.trim().into(), right.trim().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        let text = "@config {\"acl\":\n{}}\n\n# one\n\n# two\nPUT /a > id=.ID n=.0.N\nH X: y\nb1\nb2\n\nSLEEP 1\n";
        let put = Step {
            head: "PUT /a".into(),
            captures: vec![("id".into(), ".ID".into()), ("n".into(), ".0.N".into())],
            headers: vec![("X".into(), "y".into())],
            body: "b1\nb2".into(),
        };
        let sleep = Step { head: "SLEEP 1".into(), ..Step::default() };
        assert_eq!(parse(text), (json!({"acl": {}}), vec![put, sleep]));
    }
}
