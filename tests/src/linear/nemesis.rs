//! What goes wrong: one fault after the other, each healed before the next, all chosen by one seed.
//!
//! Only processes of the given cluster are signalled. Cuts are made only where there is a [`Network`].

use std::{
    thread,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use rustix::process::Signal;

use crate::{cluster::Cluster, namespaces::Network};

/// How long a fault lasts, in milliseconds: shorter and longer than an election.
const FAULT_MS: std::ops::Range<u64> = 200..3000;
/// How long all is well between two faults, in milliseconds.
const REST_MS: std::ops::Range<u64> = 300..2000;

/// What can go wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    KillLeader,
    KillAll,
    KillSidecar,
    Pause,
    PauseLeader,
    CutOff,
    CutOffLeader,
    /// One server no longer hears another, which hears it.
    CutOneWay,
    CutOffSidecar,
}

const WITHOUT_NETWORK: [Fault; 6] =
    [Fault::Kill, Fault::KillLeader, Fault::KillAll, Fault::KillSidecar, Fault::Pause, Fault::PauseLeader];
/// A leader that is cut off and does not know it is where stale reads would come from: more often than the others.
const WITH_NETWORK: [Fault; 6] = [
    Fault::CutOff,
    Fault::CutOffLeader,
    Fault::CutOffLeader,
    Fault::CutOffLeader,
    Fault::CutOneWay,
    Fault::CutOffSidecar,
];

/// The one who makes things go wrong.
pub struct Nemesis<'a> {
    cluster: &'a mut Cluster,
    network: Option<&'a Network>,
    random: SmallRng,
    started: Instant,
    told: Vec<String>,
}

impl<'a> Nemesis<'a> {
    /// Its choices come from `seed`.
    #[must_use]
    pub fn new(cluster: &'a mut Cluster, network: Option<&'a Network>, seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        Self { cluster, network, random, started: Instant::now(), told: Vec::new() }
    }

    /// Works until `end`, then heals everything. A line for each fault: when, what, and how long.
    #[must_use]
    pub fn run(mut self, end: Instant) -> Vec<String> {
        while Instant::now() < end {
            self.pass(REST_MS);
            let faults = WITHOUT_NETWORK.iter().chain(self.network.map_or(&[][..], |_| &WITH_NETWORK));
            let faults: Vec<Fault> = faults.copied().collect();
            let fault = faults[self.random.random_range(0..faults.len())];
            self.fault(fault);
        }
        self.told
    }

    /// The schedule's own time: nothing is waited for.
    fn pass(&mut self, range_ms: std::ops::Range<u64>) -> Duration {
        let time = Duration::from_millis(self.random.random_range(range_ms));
        thread::sleep(time);
        time
    }

    fn fault(&mut self, fault: Fault) {
        let servers = self.cluster.servers.len();
        let any = self.random.random_range(0..servers);
        let other = (any + 1 + self.random.random_range(0..servers - 1)) % servers;
        let sidecar = self.random.random_range(0..self.cluster.sidecars.len());
        let leader = self.leader().unwrap_or(any);
        let at = self.started.elapsed();
        let (who, time) = match fault {
            Fault::Kill => self.kill(&[any]),
            Fault::KillLeader => self.kill(&[leader]),
            Fault::KillAll => self.kill(&(0..servers).collect::<Vec<_>>()),
            Fault::KillSidecar => {
                self.cluster.sidecars[sidecar].kill();
                let time = self.pass(FAULT_MS);
                self.cluster.sidecars[sidecar].start();
                (format!("sidecar {sidecar}"), time)
            }
            Fault::Pause => self.pause(any),
            Fault::PauseLeader => self.pause(leader),
            Fault::CutOff => self.cut(format!("server {any}"), |network| network.cut_off(any)),
            Fault::CutOffLeader => self.cut(format!("server {leader}"), |network| network.cut_off(leader)),
            Fault::CutOneWay => self.cut(format!("from {any} to {other}"), |network| network.cut(any, other)),
            Fault::CutOffSidecar => {
                self.cut(format!("sidecar {sidecar}"), |network| network.cut_off(servers + sidecar))
            }
        };
        self.told.push(format!("{:.3} s: {fault:?} {who} for {time:?}", at.as_secs_f64()));
    }

    fn kill(&mut self, servers: &[usize]) -> (String, Duration) {
        for &server in servers {
            self.cluster.servers[server].signal(Signal::KILL);
        }
        for &server in servers {
            self.cluster.servers[server].kill();
        }
        let time = self.pass(FAULT_MS);
        for &server in servers {
            self.cluster.servers[server].start();
        }
        (format!("servers {servers:?}"), time)
    }

    fn pause(&mut self, server: usize) -> (String, Duration) {
        self.cluster.servers[server].signal(Signal::STOP);
        let time = self.pass(FAULT_MS);
        self.cluster.servers[server].signal(Signal::CONT);
        (format!("server {server}"), time)
    }

    fn cut(&mut self, who: String, cut: impl FnOnce(&Network)) -> (String, Duration) {
        self.network.map(cut);
        let time = self.pass(FAULT_MS);
        self.network.map(Network::heal);
        (who, time)
    }

    /// Who leads, as one of the agents says at once.
    fn leader(&self) -> Option<usize> {
        let agents = self.cluster.agents().filter(|agent| agent.is_running());
        let mut said = agents.filter_map(|agent| {
            let leader = agent.http().with_time_out(Duration::from_millis(200)).json("/v1/status/leader").ok()?;
            let of = |server: &crate::agent::Agent| leader == server.address(server.ports.server).to_string();
            self.cluster.servers.iter().position(of)
        });
        said.next()
    }
}
