//! `lictor snapshot inspect`: checks a file, and says what is in it. No agent is asked.

use std::{collections::BTreeMap, io, path::PathBuf, process::ExitCode};

use anyhow::anyhow;
use clap::Args;
use lictor_server::archive::Manifest;
use lictor_shared::catalog::{AccessRow, Record};
use serde::Serialize;

use super::read;
use crate::{
    format::{FormatFlags, json},
    table,
};

/// Flags of `snapshot inspect`.
#[derive(Args, Debug, Default)]
pub struct InspectFlags {
    /// A file that `snapshot save` has written
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    format: FormatFlags,
}

/// What is printed, under Consul's names.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    meta: Meta,
    stats: Vec<Stats>,
    #[serde(rename = "StatsKV")]
    stats_kv: Option<()>,
    total_size: usize,
    #[serde(rename = "TotalSizeKV")]
    total_size_kv: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    #[serde(rename = "ID")]
    id: String,
    size: u64,
    index: u64,
    term: u64,
    version: u32,
    datacenter: String,
}

/// The records of one kind.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stats {
    name: &'static str,
    /// Bytes.
    sum: usize,
    count: usize,
}

/// Prints it.
///
/// # Errors
/// The file is no sound snapshot.
pub fn run(flags: &InspectFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let mut kinds: BTreeMap<&'static str, Stats> = BTreeMap::new();
    let manifest = read(&flags.file, |record, bytes| {
        let name = kind(&record);
        let stats = kinds.entry(name).or_insert(Stats { name, sum: 0, count: 0 });
        stats.sum += bytes;
        stats.count += 1;
    });
    let manifest = manifest.map_err(|error| anyhow!("Error reading snapshot: {} {error}", flags.file.display()))?;
    let report = Report::new(manifest, kinds.into_values().collect());
    if flags.format.is_json() {
        write!(out, "{}", json(&report)?)?;
    } else {
        write!(out, "{}", text(&report))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What Consul calls records of that kind.
fn kind(record: &Record) -> &'static str {
    match record {
        Record::Node(..) | Record::Service(_) | Record::Check(_) => "Register",
        Record::ServiceIndex(..) | Record::Indexes(_) | Record::CoordinationIndexes(_) => "Index",
        Record::Coordinate(_) => "CoordinateBatchUpdate",
        Record::Autopilot(_) => "Autopilot",
        Record::Key(_) => "KVS",
        Record::KeyGone(..) => "Tombstone",
        Record::LockDelay(..) => "LockDelay",
        Record::Session(_) => "Session",
        Record::Query(_) => "PreparedQuery",
        Record::Access(row) => match row {
            AccessRow::Token(_) | AccessRow::TokenGone(_) | AccessRow::Servers(_) => "ACLToken",
            AccessRow::Policy(_) | AccessRow::PolicyGone(_) => "ACLPolicy",
            AccessRow::Role(_) | AccessRow::RoleGone(_) => "ACLRole",
            AccessRow::AuthMethod(_) | AccessRow::AuthMethodGone(_) => "ACLAuthMethod",
            AccessRow::BindingRule(_) | AccessRow::BindingRuleGone(_) => "ACLBindingRule",
            AccessRow::Bootstrapped(_) => "ACLBootstrap",
        },
        Record::Restoring(..) | Record::Staged(_) => "Restore",
    }
}

impl Report {
    fn new(manifest: Manifest, mut stats: Vec<Stats>) -> Self {
        stats.sort_by(|one, other| other.sum.cmp(&one.sum).then(one.name.cmp(other.name)));
        let total_size = stats.iter().map(|stats| stats.sum).sum();
        let Manifest { id, size, index, term, version, datacenter, .. } = manifest;
        let meta = Meta { id, size, index, term, version, datacenter };
        Self { meta, stats, stats_kv: None, total_size, total_size_kv: 0 }
    }
}

fn text(report: &Report) -> String {
    let meta = &report.meta;
    let rows = [
        ("ID", meta.id.clone()),
        ("Size", meta.size.to_string()),
        ("Index", meta.index.to_string()),
        ("Term", meta.term.to_string()),
        ("Version", meta.version.to_string()),
        ("Datacenter", meta.datacenter.clone()),
    ];
    let rows: Vec<Vec<String>> = rows.map(|(name, value)| vec![format!(" {name}"), value]).into();
    let line = |name: &str, count: &str, size: &str| vec![format!(" {name}"), count.to_string(), size.to_string()];
    let rule = || line("----", "----", "----");
    let kinds = report.stats.iter().map(|stats| line(stats.name, &stats.count.to_string(), &size(stats.sum)));
    let head = [line("Type", "Count", "Size"), rule()];
    let total = [rule(), line("Total", "", &size(report.total_size))];
    let kinds: Vec<Vec<String>> = head.into_iter().chain(kinds).chain(total).collect();
    format!("{}\n{}", table::lines(&rows, "   "), table::lines(&kinds, "   "))
}

/// Bytes for people: with one decimal of the largest unit that fits.
fn size(bytes: usize) -> String {
    let mut unit = "B";
    #[allow(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = bytes as f64;
    for larger in ["KB", "MB", "GB", "TB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    let text = format!("{value:.1}");
    format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1024, "1KB"), (2500, "2.4KB"), (5 << 30, "5GB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
