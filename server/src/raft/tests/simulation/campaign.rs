//! One simulation: servers, clients, a time in which things fail, a time in which nothing does, and the verdict.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    clients::{CLIENTS, Client, applied},
    faults::{Faults, LATENCY_MS},
    oracles, server, world,
};

/// The clients' host.
pub(super) const CLIENT_HOST: &str = "clients";
/// How long things fail.
const FAULTS: Duration = Duration::from_secs(12);
/// When nothing fails any more, every server does a write within this time, and all come to the same.
pub(super) const RECOVERY: Duration = Duration::from_secs(10);
/// Every host runs for so long at a time.
const TICK: Duration = Duration::from_millis(4);

/// What came of it.
#[derive(Debug)]
pub(super) struct Report {
    /// Of all that has happened.
    pub trace: Vec<String>,
    /// What is wrong.
    pub violations: Vec<String>,
    /// Operations on keys, and those of unknown outcome among them.
    pub operations: (usize, usize),
    /// Registrations that were acknowledged.
    pub registrations: usize,
    pub faults: usize,
    pub elections: u64,
    /// Keys that could not be decided on.
    pub undecided: usize,
}

impl Report {
    /// Equal for equal traces.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.trace.hash(&mut hasher);
        hasher.finish()
    }
}

/// Runs the simulation that a seed stands for.
pub(super) fn run(seed: u64) -> Report {
    let servers = if seed % 5 == 4 { 5 } else { 3 };
    let _ended = world::begin(seed, servers);
    let mut builder = turmoil::Builder::new();
    builder
        .simulation_duration(FAULTS + 10 * RECOVERY)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(LATENCY_MS))
        .fail_rate(0.0)
        .repair_rate(0.05)
        .tcp_capacity(4096)
        .rng_seed(world::random_u64());
    let mut sim = builder.build();
    for number in 0..servers {
        sim.host(server::name(number), move || server::live(number, servers));
    }
    sim.client(CLIENT_HOST, ask(servers));
    let mut faults = Faults::new(servers);
    let mut is_over = false;
    while !is_over {
        is_over = match sim.step() {
            Ok(over) => over,
            Err(error) => {
                world::with(|world| world.oracles.hear(Err(error.to_string())));
                true
            }
        };
        let (stop, wrong) = world::with(|world| (world.stop, !world.oracles.violations.is_empty()));
        if stop || wrong {
            is_over |= wrong;
        } else if sim.elapsed() < FAULTS {
            faults.step(&mut sim);
        } else {
            faults.heal(&mut sim);
            world::with(|world| world.stop = true);
        }
    }
    drop(sim);
    report(servers, faults.count)
}

/// The clients' host: they ask while things fail; then every server must work, and is asked for everything.
async fn ask(servers: usize) -> turmoil::Result {
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| tokio::task::spawn_local(Client::new(number, servers).run())).collect();
    for client in clients {
        client.await?;
    }
    let healed = Instant::now();
    let mut client = Client::new(CLIENTS, servers);
    for server in 0..servers {
        while !client.write_at(server).await {
            if healed.elapsed() > RECOVERY {
                return Err(format!("server {server} does no write within {RECOVERY:?} of the last fault").into());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    client.read_all().await;
    loop {
        let mut indexes = Vec::new();
        for server in 0..servers {
            indexes.push(applied(server).await);
        }
        if indexes[0].is_some() && indexes.iter().all(|index| *index == indexes[0]) {
            return Ok(());
        }
        if healed.elapsed() > RECOVERY {
            return Err(format!("the servers are at indexes {indexes:?} {RECOVERY:?} after the last fault").into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn report(servers: usize, faults: usize) -> Report {
    world::with(|world| {
        let (wrong, undecided) = world.oracles.linear.check();
        world.oracles.violations.extend(wrong);
        if world.stop {
            let states: Vec<_> = world.readers.iter().flatten().map(|reader| reader.load_full()).collect();
            let bytes: Vec<_> = states.iter().map(|state| oracles::bytes(state)).collect();
            for server in 0..servers {
                let verdict = world.oracles.lost.check(server, &states[server]);
                world.oracles.hear(verdict);
                if states[server].index() == states[0].index() && bytes[server] != bytes[0] {
                    world.oracles.hear(Err(format!("servers 0 and {server} do not hold the same")));
                }
            }
        }
        Report {
            trace: std::mem::take(&mut world.trace),
            violations: std::mem::take(&mut world.oracles.violations),
            operations: world.oracles.linear.count(),
            registrations: world.oracles.lost.count(),
            faults,
            elections: world.elections,
            undecided,
        }
    })
}
