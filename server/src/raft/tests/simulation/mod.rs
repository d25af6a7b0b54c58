//! A seeded simulation of the Raft tier: real nodes on a simulated network, simulated disks and simulated time.
//!
//! One seed decides all: which messages are late or lost, who crashes and when, what of a disk survives, how long an election
//! waits, what clients ask. So a seed that fails, fails again:
//!
//! ```text
//! LICTOR_SEED=N cargo test -p lictor-server --lib simulation -- --nocapture
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `campaign` | one simulation from begin to verdict |
//! | `world` | what all in it share: randomness, disks, oracles, trace |
//! | `runtime`, `watched`, `network`, `disk` | what stands in for the real ones (`raft/surroundings.rs`, `raft/log/simulated.rs`) |
//! | `server`, `clients` | who takes part |
//! | `faults` | what goes wrong |
//! | `oracles` | what must never happen, whatever goes wrong |
//!
//! Whether it finds anything was tried with mistakes put in on purpose, on the seeds 0 to 7:
//!
//! | mistake | seeds that found it | by the oracle |
//! |---|---|---|
//! | a consistent read that no quorum confirms | 3 of 8 | `linear` |
//! | an append acknowledged before it is synced | 4 of 8 | `applied`, `lost` |
//! | a vote that is never written | 8 of 8 | `leaders` |
//! | a vote that is written, but not waited for | 6 of 8 | `leaders` |
//! | the last two entries of a snapshot applied again after a restart | 8 of 8 | `applied` |
//!
//! Not simulated: snapshot files lie in a real directory, and a crash loses none of them that was finished; of one that
//! was not, some debris is left. A frozen server's clock goes on.

pub(crate) mod disk;
pub(crate) mod runtime;
pub(crate) mod watched;
pub(crate) mod world;

mod campaign;
mod clients;
mod faults;
pub(in crate::raft) mod network;
mod oracles;
mod server;

use std::{
    env, panic,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

/// The variable with the one seed to run.
const SEED: &str = "LICTOR_SEED";
/// The variable with how many fixed seeds to run, for a longer search.
const SEEDS: &str = "LICTOR_SEEDS";
/// The variable that has everything printed that happened.
const TRACE: &str = "LICTOR_TRACE";
/// Seeds that always run.
const FIXED: u64 = 8;
/// Seeds of the clock that run besides.
const NEW: u64 = 2;
/// Simulations at once: each is on one thread.
const THREADS: usize = 2;

/// Runs one seed, and says what is wrong.
#[allow(clippy::print_stderr, reason = "what ran is to be seen with the result")]
fn check(seed: u64) -> Result<(), String> {
    let report = panic::catch_unwind(|| campaign::run(seed)).map_err(|_| format!("seed {seed} panicked"))?;
    if env::var_os(TRACE).is_some() {
        report.trace.iter().for_each(|line| eprintln!("{line}"));
    }
    let ((operations, unknown), digest) = (report.operations, report.digest());
    eprintln!(
        "seed {seed}: {operations} operations ({unknown} unknown), {} registrations, {} faults, {} elections, \
         trace {digest:016x}",
        report.registrations, report.faults, report.elections
    );
    match (report.violations.as_slice(), report.undecided) {
        ([], 0) => Ok(()),
        ([], undecided) => Err(format!("seed {seed}: {undecided} keys could not be decided on")),
        (violations, _) => Err(format!("seed {seed}: {}", violations.join("\n    "))),
    }
}

#[test]
fn every_seed_keeps_all_promises() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let seeds: Vec<u64> = match (number(SEED), number(SEEDS)) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (0..count).collect(),
        (None, None) => (0..FIXED).chain((0..NEW).map(|number| clock + number)).collect(),
    };
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..THREADS.min(seeds.len()) {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(wrong) = check(*seed) {
                        failed.lock().unwrap().push(wrong);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {} seeds failed:\n{}\nto run seed N alone: {SEED}=N cargo test -p lictor-server --lib simulation",
        failed.len(),
        seeds.len(),
        failed.join("\n")
    );
}

#[test]
fn a_seed_gives_the_same_trace_again() {
    let (first, second) = (campaign::run(7), campaign::run(7));
    let differs = first.trace.iter().zip(&second.trace).position(|(one, other)| one != other);
    if let Some(line) = differs {
        panic!("line {line} differs:\n{}\n{}", first.trace[line], second.trace[line]);
    }
    assert_eq!(first.digest(), second.digest());
    assert!(first.trace.len() > 300, "{} lines", first.trace.len());
}
