//! Rounds of load, crash, restart and audit, all chosen by one seed.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::SmallRng, seq::SliceRandom};
use rustix::process::Signal;
use serde_json::json;

use super::{load::Account, picture};
use crate::{agent::Agent, cluster::Cluster, http::Client, wait};

const SERVERS: usize = 3;
/// Rounds with one cluster; then another is formed, with another setting.
const ROUNDS_PER_CLUSTER: usize = 10;
/// Log entries after which a snapshot is made and those that are kept before it; the last are the defaults.
const SNAPSHOTS: [Option<(u64, u64)>; 3] = [Some((40, 0)), Some((300, 50)), None];
/// How long the load goes on before a kill, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 100..2500;
/// Longest time until all servers hold the same, once there is no load.
const AGREEMENT_LIMIT: Duration = Duration::from_secs(30);
/// Longest time that is waited for a server to come by its fail point.
const FAIL_POINT_LIMIT: Duration = Duration::from_secs(5);
/// Where a server of a debug build can be made to end: `server/src/raft/fail_point.rs`.
const FAIL_POINTS: [&str; 3] = ["log-appended", "snapshot-written", "snapshot-renamed"];
/// How often a fail point is passed before, at most.
const PASSED_BEFORE: [u64; 3] = [100, 5, 5];

/// Does so many rounds and tells each in a sentence; so many writes were acknowledged.
///
/// # Errors
/// What was lost, done twice, or differs.
///
/// # Panics
/// A cluster does not form, or does not come back.
pub fn run(rounds: usize, seed: u64, tell: &dyn Fn(&str)) -> Result<usize, String> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut acknowledged = 0;
    for first in (0..rounds).step_by(ROUNDS_PER_CLUSTER) {
        let snapshots = SNAPSHOTS[first / ROUNDS_PER_CLUSTER % SNAPSHOTS.len()];
        tell(&format!("a cluster; snapshots after, and entries kept: {snapshots:?}"));
        let mut cluster = Cluster::start_with(SERVERS, 0, |agent| match snapshots {
            None => agent,
            Some((after, kept)) => {
                agent.argument(format!("-hcl=raft_snapshot_threshold = {after} raft_trailing_logs = {kept}"))
            }
        });
        let account = Account::default();
        for round in first..rounds.min(first + ROUNDS_PER_CLUSTER) {
            let before = account.acknowledged();
            let crash = Crash::choose(&mut random, snapshots.is_some());
            let happened = if crash.happen(&mut cluster, &account) { "" } else { " (not come by, killed)" };
            cluster.wait_until_complete();
            create_session(&cluster.servers[round % SERVERS], round);
            let audited = account.audit(&cluster.servers[round % SERVERS].http()).and_then(|()| agree(&cluster));
            audited.map_err(|wrong| format!("round {}, after {crash:?}: {wrong}", round + 1))?;
            let written = account.acknowledged() - before;
            tell(&format!("round {}: {crash:?}{happened}: {written} writes acknowledged", round + 1));
        }
        acknowledged += account.acknowledged();
    }
    Ok(acknowledged)
}

/// How servers end.
#[derive(Debug)]
enum Crash {
    /// kill -9 of these at once, after so long.
    Kill { servers: Vec<usize>, after: Duration },
    /// One ends at a fail point that it has passed so often.
    FailPoint { server: usize, point: &'static str, passed: u64 },
}

impl Crash {
    fn choose(random: &mut SmallRng, has_snapshots: bool) -> Self {
        let mut servers: Vec<usize> = (0..SERVERS).collect();
        servers.shuffle(random);
        // The servers are built as this program is: only debug builds have fail points.
        if cfg!(debug_assertions) && random.random_bool(0.5) {
            let point = random.random_range(0..if has_snapshots { FAIL_POINTS.len() } else { 1 });
            let passed = random.random_range(0..=PASSED_BEFORE[point]);
            return Self::FailPoint { server: servers[0], point: FAIL_POINTS[point], passed };
        }
        servers.truncate(random.random_range(1..=SERVERS));
        Self::Kill { servers, after: Duration::from_millis(random.random_range(LOAD_MS)) }
    }

    /// Under load; the servers run again at the end. False where no server came by its fail point.
    fn happen(&self, cluster: &mut Cluster, account: &Account) -> bool {
        if let Self::FailPoint { server, point, passed } = self {
            let server = &mut cluster.servers[*server];
            let _ended = server.terminate();
            server.set_environment(&[("LICTOR_FAIL_POINT", format!("{point}:{passed}"))]);
            server.start();
            server.set_environment(&[]);
        }
        let clients: Vec<Client> = cluster.servers.iter().map(Agent::http).collect();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| account.load(&clients, &stop));
            let _stopped = Stop(&stop);
            match self {
                Self::Kill { servers, after } => {
                    thread::sleep(*after);
                    for &server in servers {
                        cluster.servers[server].signal(Signal::KILL);
                    }
                    for &server in servers {
                        cluster.servers[server].kill();
                        cluster.servers[server].start();
                    }
                    true
                }
                Self::FailPoint { server, .. } => {
                    let server = &mut cluster.servers[*server];
                    let came_by = server.ends_within(FAIL_POINT_LIMIT);
                    server.kill();
                    server.start();
                    came_by
                }
            }
        })
    }
}

/// Ends the load, also when the crash panics (else its scope would wait for ever).
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn create_session(server: &Agent, round: usize) {
    let session = json!({"Name": format!("round-{round}"), "Checks": []});
    wait::until("a session", AGREEMENT_LIMIT, || server.http().put("/v1/session/create", &session));
}

/// Every server holds the same, to the byte.
fn agree(cluster: &Cluster) -> Result<(), String> {
    let same = || {
        let pictures = cluster.servers.iter().map(picture::of).collect::<Result<Vec<_>, String>>()?;
        pictures.windows(2).try_for_each(|two| picture::compare(&two[0], &two[1]))
    };
    wait::attempt(AGREEMENT_LIMIT, same)
        .map_err(|differs| format!("servers differ, after {AGREEMENT_LIMIT:?}: {differs}"))
}
