//! What is measured: a section a file, each with a cluster of its own. The budgets stand beside what they are for.

mod acl;
mod checks;
mod churn;
mod dns;
mod failover;
mod fanout;
mod health;
mod keys;
mod memory;
mod propagation;
mod streams;
mod writes;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lictor_tests::{agent::Agent, cluster::Cluster};

use crate::{
    figure::Figure,
    load::wrk::{self, Requests},
    processor::{Processes, Work},
};

/// Something that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it measures.
    pub about: &'static str,
    /// Programs it needs beside Lictor's.
    pub programs: &'static [&'static str],
    /// Whether a quick look does without it, where it is not asked for by name.
    pub is_slow: bool,
    /// How long it may take.
    pub limit: Duration,
    /// Measures, and gives each figure as soon as it has it.
    pub run: fn(Effort, &mut dyn FnMut(Figure)),
}

const fn section(
    name: &'static str,
    about: &'static str,
    programs: &'static [&'static str],
    run: fn(Effort, &mut dyn FnMut(Figure)),
) -> Section {
    Section { name, about, programs, is_slow: false, limit: Duration::from_secs(150), run }
}

/// All sections, in the order they run in.
pub const SECTIONS: &[Section] = &[
    section("dns", "DNS answers of a sidecar", &["dnsperf", "unbound"], dns::run),
    section("health", "`/v1/health/service/NAME?passing` of a sidecar", &["wrk"], health::run),
    section("propagation", "PUT at a server until another host's DNS shows it", &[], propagation::run),
    section("fanout", "one change to callers blocked at a sidecar", &[], fanout::run),
    section("streams", "one change to 1,000 sidecars at one server", &[], streams::run),
    section("memory", "memory and size", &["strip"], memory::run),
    section("churn", "100 changes a second, 1,000 services, 200 watchers at one sidecar", &[], churn::run),
    section("writes", "writes through a sidecar, 3 servers, durable", &["wrk"], writes::run),
    section("keys", "one key of 100 bytes is read", &["wrk"], keys::run),
    Section { is_slow: true, ..section("checks", "1,000 checks of one sidecar, each every 10 s", &[], checks::run) },
    section("acl", "what access control costs: with it, and beside it without", &["wrk", "dnsperf"], acl::run),
    section("failover", "the leader is killed", &[], failover::run),
];

/// The section that is called so.
///
/// # Errors
/// There is none; the message lists those there are.
pub fn named(name: &str) -> Result<&'static Section, String> {
    let known: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
    let found = SECTIONS.iter().find(|section| section.name == name);
    found.ok_or_else(|| format!("there are {}", known.join(", ")))
}

/// How much is done for a figure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Little: for a look between two changes.
    pub is_quick: bool,
}

impl Effort {
    /// One of two, by the effort.
    pub fn choose<T>(self, quick: T, whole: T) -> T {
        if self.is_quick { quick } else { whole }
    }

    /// How often a throughput is measured; its figure is the median.
    pub fn runs(self) -> usize {
        self.choose(1, 3)
    }
}

/// Long enough for the resolution of processor times (10 ms), short enough to be repeated.
const RUN_SECONDS: u64 = 1;

/// Three servers, a sidecar by the `lictor` binary and one by the slim one.
fn cluster() -> Cluster {
    Cluster::start(3, 2)
}

/// The sidecar that is asked: the slim binary, as on most hosts.
fn asked(cluster: &Cluster) -> &Agent {
    &cluster.sidecars[1]
}

/// A place for the files of load generators, gone with the section.
fn files(cluster: &Cluster) -> PathBuf {
    asked(cluster).directory().to_owned()
}

/// The median of some runs of wrk against the agent at `port`, and what else there is to say of it.
fn throughput(
    effort: Effort,
    processes: &Processes,
    port: u16,
    requests: Requests<'_>,
    seconds: u64,
    directory: &Path,
) -> (Work, String) {
    processes.rest();
    let mut latency = Vec::new();
    let runs = (0..effort.runs()).map(|_| {
        processes.during(|| {
            let answers = wrk::run(port, requests, seconds, directory);
            latency.push((answers.p50_ms, answers.p99_ms));
            answers.count
        })
    });
    let work = Work::median(runs.collect());
    let (p50, p99) = latency[latency.len() / 2];
    let note = format!("{:.0}/s; p50 {p50:.2} ms, p99 {p99:.2} ms; {}", work.per_second(), work.shares());
    (work, note)
}
