//! What a pool is measured by, in virtual time with seeds: false failures, how fast a crash is known, joins of many at
//! once, traffic, a node that gets no processor, a network that lets only streams through.
//!
//! The tests here are small enough for every run; `full` is the same with 1,000 nodes and an hour, with optimisation:
//! `cargo test --profile simulation -p lictor-shared --lib gossip::scale -- --ignored --nocapture` (some minutes).

use std::{collections::HashMap, time::Duration};

use super::{
    member::MemberStatus,
    simulated::{Network, SECOND},
};

/// How long all may take to know of a crash, for the 95th percentile of what every node knows of every dead one.
const KNOWN_WITHIN: Duration = Duration::from_secs(15);
/// How long a join of many at once may take until all know all.
const JOINED_WITHIN: Duration = Duration::from_secs(10);

/// A pool in which all know all, on a network that loses a tenth.
fn lossy(seed: u64, size: u16) -> Network {
    let mut network = Network::started(seed, size);
    network.pass(5 * SECOND);
    whole_within(&mut network, 60 * SECOND);
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
    assert!(large.0 < 1.3 * small.0 && large.1 < 1.3 * small.1, "{small:?} {large:?}");
}

#[test]
#[ignore = "some minutes with optimisation: see the module's header"]
fn full() {
    let minutes = std::env::var("LICTOR_SIMULATED_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(60_u32);
    let took = |what: &str, started: std::time::Instant| println!("  ({what}: {:.0?})", started.elapsed());
    let started = std::time::Instant::now();
    let joined = join_of_many(14, 800, 200);
    println!("join of 200 at once: all know all after {joined:.1?}");
    took("join", started);
    let known = crash_known_within(12, 1000, 50);
    println!("50 of 1,000 killed: known after {known:.1?} (95th percentile)");
    took("crash", started);
    let (of_it, of_others) = starved(13, 1000, 15);
    println!("starved for 5 s of 20, 15 times: failed at most {of_it} times at one node, others {of_others} times");
    took("starved", started);
    for size in [10, 100, 1000] {
        let (packets, bytes) = traffic(15, size, 60 * SECOND);
        println!("{size} nodes: each sends {packets:.1} packets, {bytes:.0} bytes a second by UDP");
    }
    took("traffic", started);
    let failed = false_failures(11, 1000, minutes * 60 * SECOND);
    println!("1,000 nodes, 10 % loss, {minutes} min: {failed} false failures");
    took("loss", started);
    assert!(known <= KNOWN_WITHIN && joined <= JOINED_WITHIN && of_it <= 1 && failed == 0);
}
