//! What a pool is measured by, in virtual time with seeds: false failures, how fast a crash is known, joins of many at
//! once, traffic, a node that gets no processor.
//!
//! The tests here are small enough for every run. With 1,000 nodes and an hour it is a program, which prints a table and
//! fails when a figure does not hold:
//!
//! ```text
//! cargo run --profile simulation -p lictor-shared --features simulation --example membership
//! ```

use std::{collections::HashMap, fmt, time::Duration};

use super::{
    member::MemberStatus,
    simulated::{Network, SECOND},
};

/// How long all may take to know of a crash, for the 95th percentile of what every node knows of every dead one.
const KNOWN_WITHIN: Duration = Duration::from_secs(15);
/// How long a join of many at once may take until all know all.
const JOINED_WITHIN: Duration = Duration::from_secs(10);
/// How much more a node may send in a pool of any size than in the smallest that is compared.
const MORE_TRAFFIC: f64 = 1.3;

/// How much is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// What all randomness comes from.
    pub seed: u64,
    /// The nodes of the large pool, at least 20.
    pub nodes: u16,
    /// For how long nobody may be failed by loss, in minutes of simulated time.
    pub minutes: u32,
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was done.
    pub what: String,
    /// What was to come of it.
    pub wanted: String,
    /// What came of it.
    pub measured: String,
    /// Whether that is as it was to be.
    pub holds: bool,
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds { "holds" } else { "FAILS" };
        write!(formatter, "| {} | {} | {} | {verdict} |", self.what, self.wanted, self.measured)
    }
}

/// Takes one figure.
pub type Measure = fn(&Extent) -> Figure;

/// Every figure by its name, those that take longest last.
pub const MEASURES: [(&str, Measure); 5] =
    [("join", join), ("traffic", traffic_of_sizes), ("crash", crash), ("starved", starved_node), ("loss", loss)];

fn join(extent: &Extent) -> Figure {
    let newcomers = extent.nodes / 5;
    let time = join_of_many(extent.seed, extent.nodes - newcomers, newcomers);
    Figure {
        what: format!("{newcomers} join {} at once, 10 % loss", extent.nodes - newcomers),
        wanted: format!("all know all within {JOINED_WITHIN:?}"),
        measured: format!("{time:.1?}"),
        holds: time <= JOINED_WITHIN,
    }
}

fn traffic_of_sizes(extent: &Extent) -> Figure {
    let sizes = [extent.nodes / 10, extent.nodes * 3 / 10, extent.nodes];
    let sent = sizes.map(|size| traffic(extent.seed, size, 60 * SECOND));
    let told = sizes
        .iter()
        .zip(sent)
        .map(|(size, (packets, bytes))| format!("{size}: {packets:.1} packets, {bytes:.0} bytes"));
    let (least_packets, least_bytes) = sent[0];
    Figure {
        what: "each node's UDP in a second, by the size of the pool, 10 % loss".into(),
        wanted: format!("no more than {MORE_TRAFFIC} times that of the smallest"),
        measured: told.collect::<Vec<_>>().join("; "),
        holds: sent
            .iter()
            .all(|(packets, bytes)| *packets <= MORE_TRAFFIC * least_packets && *bytes <= MORE_TRAFFIC * least_bytes),
    }
}

fn crash(extent: &Extent) -> Figure {
    let killed = usize::from(extent.nodes / 20);
    let time = crash_known_within(extent.seed, extent.nodes, killed);
    Figure {
        what: format!("{killed} of {} killed at once, 10 % loss", extent.nodes),
        wanted: format!("all others know within {KNOWN_WITHIN:?} (95th percentile)"),
        measured: format!("{time:.1?}"),
        holds: time <= KNOWN_WITHIN,
    }
}

fn starved_node(extent: &Extent) -> Figure {
    let rounds = 15;
    let (of_it, of_others) = starved(extent.seed, extent.nodes, rounds);
    Figure {
        what: format!("1 of {} without a processor for 5 s of 20, {rounds} times, 10 % loss", extent.nodes),
        wanted: "no other fails it more than once, and it fails nobody".into(),
        measured: format!("at most {of_it} times; others {of_others} times"),
        holds: of_it <= 1 && of_others == 0,
    }
}

fn loss(extent: &Extent) -> Figure {
    let failed = false_failures(extent.seed, extent.nodes, extent.minutes * 60 * SECOND);
    Figure {
        what: format!("{} nodes for {} min, 10 % loss", extent.nodes, extent.minutes),
        wanted: "nobody is failed".into(),
        measured: format!("{failed} false failures"),
        holds: failed == 0,
    }
}

/// A pool in which all know all, on a network that loses a tenth.
fn lossy(seed: u64, size: u16) -> Network {
    let mut network = Network::formed(seed, size);
    whole_within(&mut network, 5 * SECOND);
    forget_history(&mut network);
    network.loss = 0.1;
    network
}

/// How long it takes until all show all as alive.
fn whole_within(network: &mut Network, limit: Duration) -> Duration {
    let from = network.now;
    while !network.is_whole() {
        assert!(network.now < from + limit, "not whole within {limit:?}");
        network.pass(SECOND / 10);
    }
    network.now - from
}

fn forget_history(network: &mut Network) {
    network.nodes.iter_mut().for_each(|node| node.protocol.history.clear());
}

/// How often a node has shown another one as failed.
fn failures(network: &Network) -> usize {
    let histories = network.nodes.iter().map(|node| &node.protocol.history);
    histories.map(|history| history.iter().filter(|(_, status)| *status == MemberStatus::Failed).count()).sum()
}

fn false_failures(seed: u64, size: u16, time: Duration) -> usize {
    let mut network = lossy(seed, size);
    network.pass(time);
    failures(&network)
}

/// Kills so many at once; the 95th percentile of the time until a node that lives knows of a dead one.
fn crash_known_within(seed: u64, size: u16, killed: usize) -> Duration {
    let mut network = lossy(seed, size);
    let names: Vec<String> = network.nodes[1..=killed].iter().map(|node| node.protocol.name.clone()).collect();
    network.nodes[1..=killed].iter_mut().for_each(|node| node.running = false);
    let living: Vec<usize> = (0..network.nodes.len()).filter(|node| network.nodes[*node].running).collect();
    let (from, expected) = (network.now, living.len() * killed);
    let mut known: HashMap<(usize, String), Duration> = HashMap::new();
    while known.len() < expected && network.now < from + 2 * KNOWN_WITHIN {
        network.pass(SECOND / 10);
        let after = network.now - from;
        for node in &living {
            for (name, status) in std::mem::take(&mut network.nodes[*node].protocol.history) {
                if status == MemberStatus::Failed {
                    assert!(names.contains(&name), "{name} lives");
                    known.entry((*node, name)).or_insert(after);
                }
            }
        }
    }
    let mut times: Vec<_> = known.into_values().collect();
    times.resize(expected, Duration::MAX);
    times.sort_unstable();
    times[expected * 95 / 100]
}

/// A node that gets no processor for 5 s of each 20: how often the others declare it failed, the most of any of them.
fn starved(seed: u64, size: u16, rounds: usize) -> (usize, usize) {
    let mut network = lossy(seed, size);
    let name = network.nodes[7].protocol.name.clone();
    for _ in 0..rounds {
        network.nodes[7].stalled_until = network.now + 5 * SECOND;
        network.pass(20 * SECOND);
    }
    let count = |of_it: bool| {
        let told = network.nodes.iter().enumerate().filter(|(node, _)| *node != 7).map(|(_, node)| {
            let history = node.protocol.history.iter();
            history.filter(|(named, status)| *status == MemberStatus::Failed && (*named == name) == of_it).count()
        });
        told.max().unwrap_or_default()
    };
    (count(true), count(false))
}

fn join_of_many(seed: u64, size: u16, newcomers: u16) -> Duration {
    let mut network = lossy(seed, size);
    for index in 0..newcomers {
        let node = network.start(&format!("new-{index:03}"), 10_000 + index);
        network.join(node, usize::from(index) % usize::from(size));
    }
    whole_within(&mut network, 6 * JOINED_WITHIN)
}

/// Packets and bytes each node sends in a second of a calm pool, on average.
fn traffic(seed: u64, size: u16, time: Duration) -> (f64, f64) {
    let mut network = lossy(seed, size);
    // The news of the joins are spread by then.
    network.pass(30 * SECOND);
    let before: Vec<_> = network.nodes.iter().map(|node| (node.sent_packets, node.sent_bytes)).collect();
    network.pass(time);
    let mut sums = (0, 0);
    for (node, (packets, bytes)) in network.nodes.iter().zip(before) {
        sums = (sums.0 + node.sent_packets - packets, sums.1 + node.sent_bytes - bytes);
    }
    #[expect(clippy::cast_precision_loss)]
    let each = |sum: u64| sum as f64 / f64::from(size) / time.as_secs_f64();
    (each(sums.0), each(sums.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_failed_by_loss() {
        assert_eq!(false_failures(1, 60, 40 * SECOND), 0);
    }

    #[test]
    fn a_crash_of_many_is_known_soon() {
        let time = crash_known_within(2, 60, 5);
        assert!(time <= KNOWN_WITHIN, "{time:?}");
    }

    #[test]
    fn a_starved_node_is_seldom_failed_and_fails_nobody() {
        let (of_it, of_others) = starved(3, 60, 2);
        assert!(of_it <= 1 && of_others == 0, "{of_it} {of_others}");
    }

    #[test]
    fn many_join_at_once() {
        let time = join_of_many(4, 40, 30);
        assert!(time <= JOINED_WITHIN, "{time:?}");
    }

    #[test]
    fn traffic_does_not_grow_with_the_pool() {
        let (small, large) = (traffic(5, 20, 20 * SECOND), traffic(5, 80, 20 * SECOND));
        assert!(large.0 <= MORE_TRAFFIC * small.0 && large.1 <= MORE_TRAFFIC * small.1, "{small:?} {large:?}");
    }
}
