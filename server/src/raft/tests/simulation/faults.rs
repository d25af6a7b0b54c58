//! What goes wrong, chosen by the seed: several things at once, each for a while, and in the end nothing.
//!
//! | fault | what it is after |
//! |---|---|
//! | cut off | servers (mostly the leader) that others do not reach, while clients go on to ask them |
//! | one way | what one server sends to another is lost |
//! | frozen | a server that is silent, and then says everything at once; its disk stands still |
//! | crash | one server, or all at once, restarted soon or late |
//! | crash after an acknowledgement | the power of all goes right when a client was told "done", while disks are slow |
//! | crash after an election | most of those who have just voted lose power, and are back before the next election |
//! | torn commit | the power goes between two writes of a commit |
//! | slow network, lossy network, slow disks | order changes, time-outs pass, queues fill |
//!
//! A frozen server's clock goes on, unlike that of a stopped process: turmoil cannot stop one.

use std::{collections::BTreeSet, fs, time::Duration};

use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IteratorRandom};
use turmoil::Sim;

use super::{campaign::CLIENT_HOST, server::name, world};

/// Between the beginnings of two faults, in milliseconds.
const GAP_MS: std::ops::Range<u64> = 200..3000;
/// The latency of messages when all is well, in milliseconds.
pub(super) const LATENCY_MS: u64 = 5;

/// What is wrong at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// These do not reach the others, nor the other way round.
    CutOff(BTreeSet<usize>),
    /// What the first sends to the second is lost.
    OneWay(usize, usize),
    Frozen(usize),
    /// It does not run.
    Down(usize),
    SlowNetwork,
    LossyNetwork,
    SlowDisks,
}

/// A crash that waits for its moment.
#[derive(Debug)]
struct Armed {
    /// When more writes than this are acknowledged.
    acknowledged: Option<u64>,
    /// When more leaders than this were seen.
    elections: Option<u64>,
    victims: BTreeSet<usize>,
    /// How long they are down, in milliseconds.
    down_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Healthy,
    Cut,
    Held,
    OneWay(usize, usize),
}

/// See the module.
pub(super) struct Faults {
    random: SmallRng,
    servers: usize,
    /// What is wrong, and until when.
    active: Vec<(Duration, Fault)>,
    armed: Vec<Armed>,
    next: Duration,
    links: Vec<(usize, usize, Link)>,
    /// How many there were.
    pub count: usize,
}

impl Faults {
    pub fn new(servers: usize) -> Self {
        let random = SmallRng::seed_from_u64(world::random_u64());
        let pairs = (0..=servers).flat_map(|b| (0..b).map(move |a| (a, b, Link::Healthy)));
        let (active, armed, next) = (Vec::new(), Vec::new(), Duration::from_secs(1));
        Self { random, servers, active, armed, next, links: pairs.collect(), count: 0 }
    }

    /// To be called after each step: ends what is over, begins what is due.
    pub fn step(&mut self, sim: &mut Sim<'_>) {
        let now = sim.elapsed();
        for server in 0..self.servers {
            if world::disk_of(server).is_off() && !self.is_down(server) {
                let down_ms = self.random.random_range(50..1500);
                self.crash(sim, server, down_ms);
            }
        }
        self.fire(sim);
        let over: Vec<Fault> =
            self.active.iter().filter(|(until, _)| *until <= now).map(|(_, fault)| fault.clone()).collect();
        self.active.retain(|(until, _)| *until > now);
        for fault in over {
            self.end(sim, &fault);
        }
        if now >= self.next {
            self.begin(sim);
            self.next = now + Duration::from_millis(self.random.random_range(GAP_MS));
        }
        self.apply(sim);
    }

    /// Ends all.
    pub fn heal(&mut self, sim: &mut Sim<'_>) {
        self.armed.clear();
        for (_, fault) in std::mem::take(&mut self.active) {
            self.end(sim, &fault);
        }
        for server in 0..self.servers {
            if world::disk_of(server).is_off() {
                self.crash(sim, server, 0);
                self.active.clear();
                self.end(sim, &Fault::Down(server));
            }
            world::disk_of(server).cut_after(u64::MAX);
        }
        self.apply(sim);
        world::note(|| "all is well".into());
    }

    fn is_down(&self, server: usize) -> bool {
        self.active.iter().any(|(_, fault)| *fault == Fault::Down(server))
    }

    fn any(&mut self) -> usize {
        self.random.random_range(0..self.servers)
    }

    /// Most often the leader.
    fn important(&mut self) -> usize {
        let leader = world::with(|world| world.oracles.leaders.leader());
        leader.filter(|_| self.random.random_bool(0.75)).unwrap_or_else(|| self.any())
    }

    fn some(&mut self, count: usize) -> BTreeSet<usize> {
        (0..self.servers).choose_multiple(&mut self.random, count).into_iter().collect()
    }

    fn begin(&mut self, sim: &mut Sim<'_>) {
        self.count += 1;
        let for_ms = self.random.random_range(300..4000);
        let majority = self.servers / 2 + 1;
        let fault = match self.random.random_range(0..20) {
            0..4 => Fault::CutOff([self.important()].into()),
            4 => {
                let count = self.random.random_range(1..self.servers);
                Fault::CutOff(self.some(count))
            }
            5 => {
                let (from, to) = (self.important(), self.any());
                if from == to {
                    return;
                }
                Fault::OneWay(from, to)
            }
            6..8 => Fault::Frozen(self.important()),
            8..10 => {
                let (server, down_ms) = (self.important(), self.random.random_range(50..3000));
                return self.crash(sim, server, down_ms);
            }
            10 => {
                let down_ms = self.random.random_range(50..1000);
                return (0..self.servers).for_each(|server| self.crash(sim, server, down_ms));
            }
            11..14 => return self.arm_for_acknowledgement(sim),
            14..16 => {
                let elections = Some(world::with(|world| world.elections));
                let (victims, down_ms) = (self.some(majority), self.random.random_range(20..300));
                let server = self.important();
                self.crash(sim, server, for_ms);
                return self.armed.push(Armed { acknowledged: None, elections, victims, down_ms });
            }
            16 => {
                let operations = self.random.random_range(0..30);
                return world::disk_of(self.any()).cut_after(operations);
            }
            17 => Fault::SlowNetwork,
            18 => Fault::LossyNetwork,
            _ => Fault::SlowDisks,
        };
        self.add(sim, fault, for_ms);
    }

    /// The power of all goes right after the next acknowledgement or one soon after.
    fn arm_for_acknowledgement(&mut self, sim: &mut Sim<'_>) {
        self.add(sim, Fault::SlowDisks, 2000);
        let more = self.random.random_range(0..4);
        let acknowledged = Some(world::with(|world| world.acknowledged) + more);
        let (victims, down_ms) = ((0..self.servers).collect(), self.random.random_range(50..600));
        self.armed.push(Armed { acknowledged, elections: None, victims, down_ms });
    }

    fn fire(&mut self, sim: &mut Sim<'_>) {
        let (acknowledged, elections) = world::with(|world| (world.acknowledged, world.elections));
        let is_due = |armed: &mut Armed| {
            armed.acknowledged.is_some_and(|count| acknowledged > count)
                || armed.elections.is_some_and(|count| elections > count)
        };
        for armed in self.armed.extract_if(.., is_due).collect::<Vec<_>>() {
            for server in armed.victims {
                self.crash(sim, server, armed.down_ms);
            }
        }
    }

    fn add(&mut self, sim: &Sim<'_>, fault: Fault, for_ms: u64) {
        world::note(|| format!("{fault:?} for {for_ms} ms"));
        match &fault {
            Fault::Frozen(server) => drop(world::with(|world| world.frozen.insert(*server))),
            Fault::SlowNetwork => sim.set_max_message_latency(Duration::from_millis(200)),
            Fault::SlowDisks => world::with(|world| world.slow_disks = true),
            _ => {}
        }
        self.active.push((sim.elapsed() + Duration::from_millis(for_ms), fault));
    }

    fn end(&mut self, sim: &mut Sim<'_>, fault: &Fault) {
        if self.active.iter().any(|(_, active)| active == fault) {
            return;
        }
        world::note(|| format!("{fault:?} is over"));
        match fault {
            Fault::Frozen(server) => drop(world::with(|world| world.frozen.remove(server))),
            Fault::SlowNetwork => sim.set_max_message_latency(Duration::from_millis(LATENCY_MS)),
            Fault::SlowDisks => world::with(|world| world.slow_disks = false),
            Fault::Down(server) => sim.bounce(name(*server)),
            Fault::LossyNetwork => {
                // turmoil may have cut links, and would repair them at some message.
                self.links.iter_mut().for_each(|(_, _, link)| *link = Link::Cut);
            }
            Fault::CutOff(_) | Fault::OneWay(..) => {}
        }
        let lossy = self.active.iter().any(|(_, active)| *active == Fault::LossyNetwork);
        sim.set_fail_rate(if lossy { 0.02 } else { 0.0 });
    }

    fn crash(&mut self, sim: &mut Sim<'_>, server: usize, down_ms: u64) {
        if self.is_down(server) {
            return;
        }
        // First the disk: a process that dies does not write on the way.
        world::lose_power(server);
        sim.crash(name(server));
        self.leave_debris(server);
        world::with(|world| world.oracles.leaders.seen(server, None).map(drop)).unwrap();
        self.add(sim, Fault::Down(server), down_ms);
    }

    /// Snapshots that were not finished are there, in part.
    fn leave_debris(&mut self, server: usize) {
        let dir = world::data_dir(server).join("raft/snapshots");
        if dir.is_dir() && self.random.random_bool(0.3) {
            let bytes = vec![7; self.random.random_range(0..600)];
            fs::write(dir.join("received-0.unfinished"), bytes).unwrap();
        }
    }

    /// Makes the links what the faults say.
    fn apply(&mut self, sim: &mut Sim<'_>) {
        let lossy = self.active.iter().any(|(_, active)| *active == Fault::LossyNetwork);
        sim.set_fail_rate(if lossy { 0.02 } else { 0.0 });
        let mut links = std::mem::take(&mut self.links);
        for (a, b, link) in &mut links {
            let wanted = self.wanted(*a, *b);
            if *link == wanted {
                continue;
            }
            let (one, other) = (self.host(*a), self.host(*b));
            sim.release(one.as_str(), other.as_str());
            match wanted {
                Link::Healthy => {}
                Link::Cut => sim.partition(one, other),
                Link::Held => sim.hold(one, other),
                Link::OneWay(from, to) => sim.partition_oneway(self.host(from), self.host(to)),
            }
            *link = wanted;
        }
        self.links = links;
    }

    fn wanted(&self, a: usize, b: usize) -> Link {
        let mut wanted = Link::Healthy;
        for (_, fault) in &self.active {
            match fault {
                Fault::Frozen(server) if *server == a || *server == b => return Link::Held,
                Fault::CutOff(set) if b < self.servers && set.contains(&a) != set.contains(&b) => wanted = Link::Cut,
                Fault::OneWay(from, to) if wanted == Link::Healthy && [(a, b), (b, a)].contains(&(*from, *to)) => {
                    wanted = Link::OneWay(*from, *to);
                }
                _ => {}
            }
        }
        wanted
    }

    /// Servers, and then the clients' host.
    fn host(&self, number: usize) -> String {
        if number == self.servers { CLIENT_HOST.to_owned() } else { name(number) }
    }
}
