//! The steps, in order: fill, Raft's own snapshots, an archive, restarts, a new server, and the check of it all.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    digest,
    footprint::{Footprint, Watch, newest_snapshot},
    keys,
    load::{Load, Written},
    pauses::{Pauses, Span},
};
use crate::{agent::Agent, cluster::Cluster, wait};

/// Longest time that a step may take.
pub const STEP_LIMIT: Duration = Duration::from_secs(180);
const SERVERS: usize = 3;
/// What comes after a snapshot still counts as part of it: old ones and the log before it are removed.
const AFTERMATH: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// So many keys.
    pub keys: usize,
    /// Log entries after which Raft makes a snapshot, and entries that are kept before it; none: the defaults.
    pub snapshots: Option<(u64, u64)>,
    /// So many of Raft's snapshots are waited for under load, at each server.
    pub builds: usize,
}

/// Does it and tells each result in a line. Gives the longest pause of writes while a snapshot was made, sent or installed.
///
/// # Errors
/// What is lost, or differs.
///
/// # Panics
/// A step does not come to its end in time.
pub fn run(plan: Plan, tell: &dyn Fn(&str)) -> Result<Duration, String> {
    let cluster = Cluster::start_with(SERVERS, 0, |agent| match plan.snapshots {
        None => agent,
        Some((after, kept)) => {
            agent.argument(format!("-hcl=raft_snapshot_threshold = {after} raft_trailing_logs = {kept}"))
        }
    });
    let mut run = Run { cluster, plan, tell, written: Vec::new(), marks: 0, longest: Duration::ZERO };
    run.fill()?;
    run.raft_snapshots();
    run.archive()?;
    run.restart_one();
    run.restart_all();
    run.new_server()?;
    run.check()?;
    Ok(run.longest)
}

struct Run<'a> {
    cluster: Cluster,
    plan: Plan,
    tell: &'a dyn Fn(&str),
    written: Vec<Written>,
    marks: usize,
    longest: Duration,
}

fn http(server: &Agent) -> SocketAddr {
    server.address(server.ports.http)
}

impl Run<'_> {
    fn say(&self, step: &str, what: impl std::fmt::Display) {
        (self.tell)(&format!("{step:<34} {what}"));
    }

    fn footprints(&self) {
        for (number, server) in self.cluster.servers.iter().enumerate() {
            let Footprint { resident, peak, log, snapshots, snapshot } = Footprint::of(server);
            let [resident, peak, log, snapshots, snapshot] =
                [resident, peak, log, snapshots, snapshot].map(|bytes| bytes >> 20);
            let what = format!(
                "resident {resident} MiB, peak {peak} MiB, log {log} MiB, snapshots {snapshots} MiB (newest {snapshot})"
            );
            self.say(&format!("  server {}", number + 1), what);
        }
    }

    fn fill(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        let servers: Vec<SocketAddr> = self.cluster.servers.iter().map(http).collect();
        keys::fill(&servers, self.plan.keys)?;
        self.say(&format!("{} keys filled in", self.plan.keys), format!("{:.1?}", begun.elapsed()));
        self.footprints();
        Ok(())
    }

    fn start_load(&self, servers: &[usize]) -> Load {
        let servers: Vec<SocketAddr> = servers.iter().map(|&server| http(&self.cluster.servers[server])).collect();
        Load::start(&servers, self.written.len())
    }

    /// Keeps the account of a load; what it gives is told, and counts for the longest pause where it is `judged`.
    fn tell_pauses(&mut self, step: &str, pauses: Pauses, judged: bool) {
        self.say(step, pauses);
        if judged {
            self.longest = self.longest.max(pauses.longest);
        }
    }

    fn keep(&mut self, written: Vec<Written>) {
        for failure in written.iter().flat_map(|written| written.failures.first()) {
            self.say("  a write failed", failure);
        }
        self.written.extend(written);
    }

    fn raft_snapshots(&mut self) {
        let load = self.start_load(&[0, 1, 2]);
        let watch = Watch::start(&self.cluster.servers);
        for _ in 0..self.plan.builds {
            let before: Vec<_> = self.cluster.servers.iter().map(newest_snapshot).collect();
            wait::until("a snapshot at every server", STEP_LIMIT, || {
                let now: Vec<_> = self.cluster.servers.iter().map(newest_snapshot).collect();
                wait::ensure(now.iter().zip(&before).all(|(now, before)| now != before), || format!("{now:?}"))
            });
        }
        let leader = self.cluster.leader();
        // The aftermath of the last one.
        std::thread::sleep(AFTERMATH);
        let (written, builds) = (load.end(), watch.end());
        let times = |server: &Vec<Span>| server.iter().map(|(from, to)| *to - *from).max().unwrap_or_default();
        self.say("Raft snapshots: longest build", format!("{:.2?}", builds.iter().map(times).collect::<Vec<_>>()));
        let widened = |spans: &[Span]| spans.iter().map(|&(from, to)| (from, to + AFTERMATH)).collect::<Vec<_>>();
        let all = widened(&builds.concat());
        self.tell_pauses("  without a snapshot", Pauses::outside(&written, &all), false);
        self.tell_pauses("  while the leader makes one", Pauses::within(&written, &widened(&builds[leader])), true);
        self.tell_pauses("  while any server makes one", Pauses::within(&written, &all), true);
        self.keep(written);
        self.footprints();
    }

    fn archive(&mut self) -> Result<(), String> {
        let load = self.start_load(&[0, 1, 2]);
        let leader = self.cluster.leader();
        let from = Instant::now();
        let saved = digest::of(&self.cluster.servers[leader]);
        let to = Instant::now();
        let written = load.end();
        let (_, bytes) = saved?;
        self.say("an archive saved in", format!("{:.2?}, {} MiB", to - from, bytes >> 20));
        self.tell_pauses("  meanwhile", Pauses::within(&written, &[(from, to)]), true);
        self.keep(written);
        self.footprints();
        Ok(())
    }

    /// Writes a key that was not there, through this server.
    fn mark(&mut self, through: usize) -> String {
        self.marks += 1;
        let path = format!("/v1/kv/mark/{}", self.marks);
        let client = self.cluster.servers[through].http();
        wait::until("a write", STEP_LIMIT, || {
            let answer = client.send("PUT", &path, &[], b"here")?;
            wait::ensure(answer.text().trim() == "true", || answer.text())
        });
        path
    }

    fn wait_for_mark(&self, at: usize, mark: &str) {
        let client = self.cluster.servers[at].http();
        wait::until("the server has what the others have", STEP_LIMIT, || {
            let answer = client.get(&format!("{mark}?raw&stale"))?;
            wait::ensure(answer.status == 200, || format!("{} {}", answer.status, answer.text()))
        });
    }

    /// One that does not lead.
    fn follower(&self) -> usize {
        (self.cluster.leader() + 1) % SERVERS
    }

    fn restart_one(&mut self) {
        let server = self.follower();
        self.cluster.servers[server].kill();
        let mark = self.mark(self.cluster.leader());
        let begun = Instant::now();
        self.cluster.servers[server].start();
        self.wait_for_mark(server, &mark);
        self.say("a server killed is current after", format!("{:.2?}", begun.elapsed()));
        self.cluster.wait_until_complete();
        self.footprints();
    }

    fn restart_all(&mut self) {
        self.cluster.kill_servers();
        let begun = Instant::now();
        for server in &mut self.cluster.servers {
            server.start();
        }
        let mark = self.mark(0);
        self.say("all killed: a write is done after", format!("{:.2?}", begun.elapsed()));
        (0..SERVERS).for_each(|server| self.wait_for_mark(server, &mark));
        self.say("  all are current after", format!("{:.2?}", begun.elapsed()));
        self.cluster.wait_until_complete();
        self.footprints();
    }

    fn new_server(&mut self) -> Result<(), String> {
        let new = self.follower();
        self.cluster.servers[new].kill();
        let directory = self.cluster.servers[new].data_directory();
        fs::remove_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let others: Vec<usize> = (0..SERVERS).filter(|&server| server != new).collect();
        let mark = self.mark(others[0]);
        let load = self.start_load(&others);
        let from = Instant::now();
        self.cluster.servers[new].start();
        self.wait_for_mark(new, &mark);
        let to = Instant::now();
        std::thread::sleep(AFTERMATH);
        let written = load.end();
        self.say("a new server has everything after", format!("{:.2?}", to - from));
        self.tell_pauses("  meanwhile", Pauses::within(&written, &[(from, to + AFTERMATH)]), true);
        self.keep(written);
        if newest_snapshot(&self.cluster.servers[new]).is_none() {
            return Err("the new server was sent no snapshot".into());
        }
        self.cluster.wait_until_complete();
        self.footprints();
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        for server in &self.cluster.servers {
            keys::check(server, self.plan.keys)?;
            self.written.iter().try_for_each(|written| written.check(server))?;
        }
        let same = || {
            let taken = self.cluster.servers.iter().map(digest::of).collect::<Result<Vec<_>, String>>()?;
            let digests: Vec<_> = taken.iter().map(|(digest, _)| *digest).collect();
            wait::ensure(digests.windows(2).all(|two| two[0] == two[1]), || format!("{digests:?}")).map(|()| digests[0])
        };
        let digest = wait::attempt(STEP_LIMIT, same).map_err(|differ| format!("servers differ: {differ}"))?;
        self.say("all servers hold the same", format!("{} bytes, {:016x}", digest.bytes, digest.hash));
        Ok(())
    }
}
