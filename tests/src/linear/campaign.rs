//! One campaign: a cluster, clients, a nemesis, a last look when all is well again, and the verdict.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use lictor_linear::{
    checker::{Verdict, check},
    history::{self, Operation, Outcome},
};

use super::{
    client::{Client, Shared},
    nemesis::Nemesis,
};
use crate::{cluster::Cluster, namespaces::Network, wait};

const SERVERS: usize = 3;
const SIDECARS: usize = 2;
const CLIENTS: usize = 8;
/// Longest time from the last fault until a write works at every agent.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Operations by what came of them: read, done, refused, unknown.
    pub counts: [usize; 4],
    /// Keys that were used.
    pub keys: usize,
    /// Keys whose check was given up.
    pub undecided: usize,
    /// A line for each fault.
    pub faults: Vec<String>,
    /// What is wrong, and the file with the history of the key.
    pub violations: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        let [read, done, refused, unknown] = self.counts;
        writeln!(
            f,
            "{} operations on {} keys: {read} reads, {done} done, {refused} refused, {unknown} unknown",
            self.counts.iter().sum::<usize>(),
            self.keys
        )?;
        if self.undecided > 0 {
            writeln!(f, "not decided for {} keys: the search was given up", self.undecided)?;
        }
        match self.violations.len() {
            0 => write!(f, "linearizable"),
            count => write!(f, "NOT linearizable: {count} keys\n{}", self.violations.join("\n")),
        }
    }
}

/// Runs for so long; with a network, agents are on hosts of their own that are cut off at times. Histories of keys that
/// are not linearizable are written to `directory`.
///
/// # Panics
/// The cluster does not form, does not recover when all is well, or answers what makes no sense.
#[must_use]
pub fn run(seed: u64, duration: Duration, network: Option<&Network>, directory: &Path) -> Report {
    let hosts = network.map_or(&[][..], |network| &network.hosts);
    let mut cluster = Cluster::start_on(hosts, SERVERS, SIDECARS, |agent| agent);
    let shared = Shared::new(cluster.agents().map(|agent| agent.http()));
    let (mut operations, faults) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn({
                    let client = Client::new(number, seed, &shared);
                    move || client.run()
                })
            })
            .collect();
        let stop = Stop(&shared);
        let faults = Nemesis::new(&mut cluster, network, seed).run(Instant::now() + duration);
        drop(stop);
        let recorded = clients.into_iter().map(|client| client.join());
        let recorded = recorded.map(|joined| joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        (recorded.flatten().collect::<Vec<Operation>>(), faults)
    });
    for agent in cluster.agents_mut() {
        agent.wait_for_http();
        wait::until(&format!("a write at {} works again", agent.name), RECOVERY_LIMIT, || {
            agent.http().put("/v1/kv/recovered", &true.into())
        });
    }
    operations.extend(Client::new(CLIENTS, seed, &shared).read_all());
    judge(operations, faults, directory)
}

/// Stops the clients, also when the nemesis panics (else their scope would wait for ever).
struct Stop<'a>(&'a Shared);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

fn judge(operations: Vec<Operation>, faults: Vec<String>, directory: &Path) -> Report {
    let mut report = Report { counts: [0; 4], keys: 0, undecided: 0, faults, violations: Vec::new() };
    for operation in &operations {
        let kind = match operation.outcome {
            Outcome::Read(_) => 0,
            Outcome::Done => 1,
            Outcome::Refused => 2,
            Outcome::Unknown => 3,
        };
        report.counts[kind] += 1;
    }
    for (key, operations) in history::by_key(operations) {
        report.keys += 1;
        let wrong = match check(&operations) {
            Verdict::Linearizable => history::check_indexes(&operations).err(),
            Verdict::Undecided => {
                report.undecided += 1;
                history::check_indexes(&operations).err()
            }
            Verdict::Violation { ordered } => {
                Some(format!("there is no order of its operations (at best of the first {ordered} or so)"))
            }
        };
        if let Some(wrong) = wrong {
            let path = save(directory, key, &operations);
            report.violations.push(format!("key linear/{key}: {wrong}; its history: {}", path.display()));
        }
    }
    report
}

fn save(directory: &Path, key: u64, operations: &[Operation]) -> PathBuf {
    let path = directory.join(format!("linear-{}-{key}.jsonl", std::process::id()));
    history::write(&path, operations).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}
