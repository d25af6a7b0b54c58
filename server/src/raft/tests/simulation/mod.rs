//! A seeded simulation of the Raft tier: real nodes on a simulated network, simulated disks and simulated time.
//!
//! One seed decides all: which messages are late or lost, who crashes and when, what of a disk survives, how long an election
//! waits, what clients ask. So a seed that fails, fails again:
//!
//! ```text
//! LICTOR_SEED=N cargo test -p lictor-server --lib simulation -- --nocapture
//! ```
//!
//! Each seed runs in a process of its own, because the order in which `select!` of `futures` looks at its branches comes
//! from a generator that only a new process begins anew. Tokio's own (for its `select!`, and for whom a watched value wakes
//! first) takes no seed in an ordinary build. The watched values of openraft are therefore ordered here; of what is left
//! no effect on a trace was seen, but nothing rules one out.
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
//! | an append acknowledged before it is synced | 4 of 8 | `applied` |
//! | a vote that is never written | 8 of 8 | `leaders` |
//! | a vote that is written, but not waited for | 6 of 8 | `leaders` |
//! | the last two entries of a snapshot applied again after a restart | 8 of 8 | `applied`; once the server did not start |
//!
//! Such counts differ a little with every change of what is simulated.
//!
//! Not simulated: snapshot files lie in a real directory, and a crash loses none of them that was finished; of one that was
//! not, some debris is left. A frozen server's clock goes on.

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
    env,
    process::Command,
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
const FIXED: u64 = 6;
/// Seeds of the clock that run besides.
const NEW: u64 = 2;
/// Simulations at once.
const PROCESSES: usize = 2;
/// The test that a process of its own runs for a seed.
const ONE: &str = "raft::tests::simulation::one_seed_keeps_all_promises";

/// Runs one seed in a process of its own: whether it keeps all promises, and what it printed.
fn run(seed: u64, with_trace: bool) -> (bool, String) {
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["--exact", ONE, "--ignored", "--nocapture", "--test-threads=1"]).env(SEED, seed.to_string());
    if with_trace {
        process.env(TRACE, "1");
    }
    let output = process.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
#[ignore = "every_seed_keeps_all_promises runs it, in a process for each seed"]
#[allow(clippy::print_stderr, reason = "the process that asked reads it")]
fn one_seed_keeps_all_promises() {
    let seed = env::var(SEED).expect("a seed").parse().expect("a number");
    let report = campaign::run(seed);
    if env::var_os(TRACE).is_some() {
        report.trace.iter().for_each(|line| eprintln!("{line}"));
    }
    let ((operations, unknown), digest) = (report.operations, report.digest());
    eprintln!(
        "seed {seed}: {operations} operations ({unknown} unknown), {} registrations, {} faults, {} elections, \
         trace {digest:016x}",
        report.registrations, report.faults, report.elections
    );
    assert!(report.violations.is_empty(), "seed {seed}: {}", report.violations.join("\n    "));
    assert_eq!(report.undecided, 0, "seed {seed}: keys that could not be decided on");
}

#[test]
#[allow(clippy::print_stderr, reason = "what ran is to be seen with the result")]
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
        for _ in 0..PROCESSES.min(seeds.len()) {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (kept, printed) = run(*seed, false);
                    eprint!("{printed}");
                    if !kept {
                        failed.lock().unwrap().push(format!("seed {seed}:\n{printed}"));
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
    let ((_, first), (_, second)) = (run(7, true), run(7, true));
    let differs = first.lines().zip(second.lines()).position(|(one, other)| one != other);
    if let Some(line) = differs {
        panic!("line {line} differs:\n{:?}\n{:?}", first.lines().nth(line), second.lines().nth(line));
    }
    assert!(first == second, "one is longer");
    assert!(first.lines().count() > 300, "{} lines", first.lines().count());
}
