//! Servers and sidecars that have found each other.

use std::{net::SocketAddr, time::Duration};

use rustix::process::Signal;

use crate::{
    agent::{Agent, texts},
    namespaces::Host,
    turn::{self, Turn},
    wait,
};

/// Longest time until a new cluster is complete.
const FORMATION_LIMIT: Duration = Duration::from_secs(40);

/// A running cluster. It ends when dropped, every process by its own handle.
#[derive(Debug)]
pub struct Cluster {
    /// `server-1`, `server-2`, ...
    pub servers: Vec<Agent>,
    /// `sidecar-1`, `sidecar-2`, ...; the ones with an even number are run by the slim binary.
    pub sidecars: Vec<Agent>,
    // After the agents: the next test starts when these are gone.
    _turn: Turn,
}

impl Cluster {
    /// Takes a turn, starts everything, and waits until every agent knows every node as passing.
    ///
    /// # Panics
    /// It is not complete in time.
    #[must_use]
    pub fn start(servers: usize, sidecars: usize) -> Self {
        Self::start_with(servers, sidecars, |agent| agent)
    }

    /// The same of agents that `configure` has had in hand.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    #[must_use]
    pub fn start_with(servers: usize, sidecars: usize, configure: impl Fn(Agent) -> Agent) -> Self {
        Self::start_on(&[], servers, sidecars, configure)
    }

    /// The same on these hosts, one for each agent, servers first; without hosts all are on loopback.
    ///
    /// # Panics
    /// As [`Cluster::start`], and when there are too few hosts.
    #[must_use]
    pub fn start_on(hosts: &[Host], servers: usize, sidecars: usize, configure: impl Fn(Agent) -> Agent) -> Self {
        let turn = turn::take();
        let place = |agent: Agent, number: usize| if hosts.is_empty() { agent } else { agent.on(&hosts[number]) };
        let mut tier: Vec<Agent> =
            (1..=servers).map(|number| Agent::server(&format!("server-{number}"), servers)).collect();
        tier = tier.into_iter().enumerate().map(|(number, agent)| place(agent, number)).collect();
        let join: Vec<SocketAddr> = tier.iter().map(|agent| agent.address(agent.ports.serf_lan)).collect();
        tier = tier.into_iter().map(|agent| configure(agent.joining_at(join.clone()))).collect();
        let sidecars = (1..=sidecars).map(|number| {
            let make = if number % 2 == 0 { Agent::slim_sidecar } else { Agent::sidecar };
            let agent = place(make(&format!("sidecar-{number}")), servers + number - 1);
            configure(agent.joining_at(join.clone()))
        });
        let sidecars = sidecars.collect();
        let mut cluster = Self { servers: tier, sidecars, _turn: turn };
        for agent in cluster.agents_mut() {
            agent.start();
        }
        cluster.wait_until_complete();
        cluster
    }

    /// All agents, servers first.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.servers.iter().chain(&self.sidecars)
    }

    /// All agents, servers first.
    pub fn agents_mut(&mut self) -> impl Iterator<Item = &mut Agent> {
        self.servers.iter_mut().chain(&mut self.sidecars)
    }

    /// Waits until every agent is running and answers that every node's `serfHealth` is passing.
    ///
    /// # Panics
    /// It is not so in time, or an agent has ended.
    pub fn wait_until_complete(&mut self) {
        let mut names: Vec<String> = self.agents().map(|agent| agent.name.clone()).collect();
        names.sort_unstable();
        for agent in self.agents_mut() {
            agent.wait_for_http();
            wait::until(&format!("{} knows every node as passing", agent.name), FORMATION_LIMIT, || {
                let checks = agent.http().json("/v1/health/state/passing?filter=CheckID==serfHealth")?;
                let passing = texts(&checks, "/Node");
                wait::ensure(passing == names, || format!("it knows {passing:?}"))
            });
        }
    }

    /// Which of the servers leads, as a running agent has it.
    ///
    /// # Panics
    /// There is no leader in time.
    #[must_use]
    pub fn leader(&self) -> usize {
        wait::until("a leader", FORMATION_LIMIT, || {
            let asked = self.agents().find(|agent| agent.is_running()).ok_or("no agent is running")?;
            let leader = asked.http().json("/v1/status/leader")?;
            self.servers
                .iter()
                .position(|server| leader == server.address(server.ports.server).to_string())
                .filter(|&server| self.servers[server].is_running())
                .ok_or(format!("{} says {leader}", asked.name))
        })
    }

    /// kill -9 of every server before any is waited for.
    pub fn kill_servers(&mut self) {
        for server in &mut self.servers {
            server.signal(Signal::KILL);
        }
        for server in &mut self.servers {
            server.kill();
        }
    }
}
