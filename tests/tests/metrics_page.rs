//! The page of metrics (`docs/src/metrics.md`) has a row for each metric that there is, and for no other, with the type and
//! the labels that an agent shows. Rules, dashboard and what is written about them name no metric that there is not.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::collections::{BTreeMap, BTreeSet};

use lictor_tests::agent::Agent;
use regex::Regex;
use serde_json::json;

const PAGE: &str = include_str!("../../docs/src/metrics.md");
/// The name of every metric is in this file, whoever counts it.
const TABLE: &str = include_str!("../../shared/src/metrics/table.rs");
/// What speaks of metrics.
const SPEAKERS: [(&str, &str); 4] = [
    ("alerts.yml", include_str!("../../examples/monitoring/alerts.yml")),
    ("alerts_test.yml", include_str!("../../examples/monitoring/alerts_test.yml")),
    ("dashboard.json", include_str!("../../examples/monitoring/dashboard.json")),
    ("monitoring.md", include_str!("../../docs/src/monitoring.md")),
];
/// Labels whose values are not listed.
const OPEN_LABELS: [&str; 6] = ["file", "le", "method", "path", "version", "role"];
/// Metrics of which an agent that was just started does not show all label values that they can have.
const SHOWN_IN_PART: [&str; 2] = ["lictor_http_requests_total", "lictor_tls_certificate_expires_seconds"];

/// What the page says of a metric.
struct Row {
    kind: &'static str,
    /// Names and values, in no order.
    labels: BTreeSet<&'static str>,
}

/// What an agent shows of a metric.
#[derive(Default)]
struct Shown {
    kind: String,
    labels: BTreeSet<(String, String)>,
}

fn names() -> BTreeSet<&'static str> {
    let literal = Regex::new(r#""((?:lictor|process)_[a-z_]+)""#).unwrap();
    literal.captures_iter(TABLE).map(|found| found.get(1).unwrap().as_str()).collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn rows() -> BTreeMap<&'static str, Row> {
    let mut rows = BTreeMap::new();
    for line in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [name, kind, unit, labels, says, _worry] = cells[..] {
            let name = name.trim_matches('`');
            assert!(!unit.is_empty() && !says.is_empty(), "{name}: a cell is empty");
            let before = rows.insert(name, Row { kind, labels: quoted(labels).collect() });
            assert!(before.is_none(), "{name}: two rows");
        }
    }
    rows
}

fn shown(text: &str) -> BTreeMap<String, Shown> {
    let label = Regex::new(r#"([a-z_]+)="([^"]*)""#).unwrap();
    let mut all: BTreeMap<String, Shown> = BTreeMap::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("# TYPE ") {
            let (name, kind) = heading.split_once(' ').unwrap();
            all.entry(name.into()).or_default().kind = kind.into();
        } else if !line.starts_with('#') {
            let sample = line.split(['{', ' ']).next().unwrap();
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| sample.strip_suffix(part));
            let name = of_histogram.filter(|name| all.contains_key(*name)).unwrap_or(sample);
            let labels = label.captures_iter(line).map(|found| (found[1].to_owned(), found[2].to_owned()));
            all.get_mut(name).unwrap_or_else(|| panic!("{line}: no heading")).labels.extend(labels);
        }
    }
    all
}

#[test]
fn the_page_has_a_row_for_each_name_and_for_no_other() {
    let (rows, names) = (rows(), names());
    let described: BTreeSet<&str> = rows.keys().copied().collect();
    let missing: Vec<_> = names.difference(&described).collect();
    let unknown: Vec<_> = described.difference(&names).collect();
    assert!(missing.is_empty(), "docs/src/metrics.md has no row for {missing:?}");
    assert!(
        unknown.is_empty(),
        "docs/src/metrics.md has rows for what is not in shared/src/metrics/table.rs: {unknown:?}"
    );
}

#[test]
fn a_row_says_what_an_agent_shows() {
    let agent = Agent::dev("metrics").started();
    agent.http().put("/v1/kv/metrics", &json!(1)).unwrap();
    let answer = agent.http().get("/v1/agent/metrics?format=prometheus").unwrap();
    let rows = rows();
    for (name, shown) in shown(&answer.text()) {
        let row = rows.get(&*name).unwrap_or_else(|| panic!("docs/src/metrics.md has no row for {name}"));
        assert_eq!(row.kind, shown.kind, "{name}");
        let closed = shown.labels.iter().filter(|(label, _)| !OPEN_LABELS.contains(&&**label));
        let words: BTreeSet<&str> = closed.flat_map(|(label, value)| [&**label, &**value]).collect();
        let undescribed: Vec<_> = words.difference(&row.labels).collect();
        assert!(undescribed.is_empty(), "{name}: the page does not say {undescribed:?}");
        let open = shown.labels.iter().filter(|(label, _)| OPEN_LABELS.contains(&&**label) && label != "le");
        let unnamed: BTreeSet<_> =
            open.map(|(label, _)| &**label).filter(|label| !row.labels.contains(label)).collect();
        assert!(unnamed.is_empty(), "{name}: the page does not name {unnamed:?}");
        if !SHOWN_IN_PART.contains(&&*name) {
            let gone: Vec<_> = row.labels.difference(&words).filter(|word| !OPEN_LABELS.contains(word)).collect();
            assert!(gone.is_empty(), "{name}: the page says {gone:?}, and no agent does");
        }
    }
}

#[test]
fn nobody_speaks_of_a_metric_that_there_is_not() {
    let names = names();
    let word = Regex::new(r"\b(?:lictor|process)_[a-z_]+").unwrap();
    for (file, text) in SPEAKERS {
        for found in word.find_iter(text).map(|found| found.as_str()) {
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| found.strip_suffix(part));
            let known = names.contains(found) || of_histogram.is_some_and(|name| names.contains(name));
            assert!(known, "{file}: there is no metric {found}");
        }
    }
}
