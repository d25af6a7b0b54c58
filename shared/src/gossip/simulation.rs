//! How a pool behaves, in virtual time: joins, failures, partitions, restarts, damage. See `simulated`.

use std::{collections::BTreeMap, time::Duration};

use foca_rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{
    config::Timing,
    member::{Member, MemberStatus},
    protocol::Protocol,
    simulated::{Network, Node, SECOND},
    user_event::UserEvent,
    wire::Reply,
};

impl Network {
    /// A pool of so many nodes, the first of which the others have just joined.
    fn started(seed: u64, size: u16) -> Self {
        let mut network = Self::new(seed, Timing::lan());
        for index in 0..size {
            let node = network.start(&format!("node-{index:03}"), 1000 + index);
            if node > 0 {
                network.join(node, 0);
            }
        }
        network
    }

    /// Lets the time pass until `holds`; a panic after `limit`.
    fn until(&mut self, what: &str, limit: Duration, holds: impl Fn(&Self) -> bool) {
        let from = self.now;
        while !holds(self) {
            assert!(self.now < from + limit, "{what}: not within {limit:?}\n{}", self.report());
            self.pass(Duration::from_millis(2));
        }
    }

    /// What each running node shows, without the alive ones.
    fn report(&self) -> String {
        let running = self.nodes.iter().filter(|node| node.running).map(|node| &node.protocol);
        let lines = running.map(|protocol| {
            let all = statuses(protocol);
            let others: Vec<_> = all.iter().filter(|(_, status)| *status != MemberStatus::Alive).collect();
            format!("{}: {} alive, {others:?}\n", protocol.name, all.len() - others.len())
        });
        lines.collect()
    }

    fn status(&self, at: usize, name: &str) -> Option<MemberStatus> {
        self.nodes[at]
            .protocol
            .table
            .record(name)
            .filter(|record| !record.facts.pruned)
            .map(|record| record.facts.status())
    }

    /// True when every running node shows `name` with this status.
    fn all_show(&self, name: &str, status: MemberStatus) -> bool {
        (0..self.nodes.len())
            .filter(|node| self.nodes[*node].running)
            .all(|node| self.status(node, name) == Some(status))
    }
}

fn statuses(protocol: &Protocol) -> Vec<(String, MemberStatus)> {
    protocol.members().into_iter().map(|Member { name, status, .. }| (name, status)).collect()
}

fn tags(key: &str, value: &str) -> BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

#[test]
fn joined_nodes_see_each_other_with_their_tags() {
    for seed in 0..5 {
        let mut network = Network::started(seed, 20);
        network.until("all see all", 5 * SECOND, Network::is_whole);
        network.until("tags", SECOND, |network| {
            network
                .nodes
                .iter()
                .all(|node| node.protocol.members().iter().all(|member| member.tags == tags("role", &member.name)))
        });
    }
}

#[test]
fn changed_tags_spread_even_when_they_do_not_fit_a_packet() {
    for (seed, size) in [(1, 10), (2, 4000)] {
        let mut network = Network::started(seed, 10);
        network.until("all see all", 5 * SECOND, Network::is_whole);
        let large = tags("large", &"x".repeat(size));
        network.call(3, |protocol, now| protocol.set_tags(now, large.clone())).unwrap();
        network.until("the new tags", 10 * SECOND, |network| {
            let shown = |node: &Node| node.protocol.members().into_iter().find(|member| member.name == "node-003");
            network.nodes.iter().all(|node| shown(node).is_some_and(|member| member.tags == large))
        });
        assert!(network.call(3, |protocol, now| protocol.set_tags(now, tags("large", &"x".repeat(5000)))).is_err());
    }
}

fn event(name: &str) -> UserEvent {
    UserEvent { id: uuid::Uuid::new_v4(), name: name.into(), payload: vec![7; 400], ..UserEvent::default() }
}

#[test]
fn an_event_reaches_everyone_once_those_cut_off_too_and_no_newcomer() {
    for seed in 0..5 {
        let mut network = Network::started(seed, 20);
        network.until("all see all", 5 * SECOND, Network::is_whole);
        network.loss = 0.1;
        network.nodes[7].side = 1;
        network.call(3, |protocol, now| protocol.fire(now, event("first"))).unwrap();
        network.call(3, |protocol, now| protocol.fire(now, event("second"))).unwrap();
        // Packets overtake each other.
        let heard = |node: &Node| node.events == ["first", "second"] || node.events == ["second", "first"];
        let of_others = |network: &Network| network.nodes.iter().enumerate().all(|(at, node)| at == 7 || heard(node));
        network.until("all others have heard", 60 * SECOND, of_others);
        network.nodes[7].side = 0;
        network.until("all have heard", 120 * SECOND, |network| network.nodes.iter().all(heard));
        let newcomer = network.start("newcomer", 3000);
        network.join(newcomer, 0);
        network.pass(100 * SECOND);
        assert!(network.nodes[newcomer].events.is_empty());
        let third = network.call(newcomer, |protocol, now| protocol.fire(now, event("third"))).unwrap();
        assert_eq!(third.time, 3);
        network.until("the third", 60 * SECOND, |network| {
            network.nodes.iter().all(|node| node.events.last().is_some_and(|name| name == "third"))
        });
        assert!(network.nodes[..20].iter().all(|node| node.events.len() == 3), "once each");
    }
}

#[test]
fn coordinates_tell_the_round_trips() {
    let mut network = Network::started(1, 10);
    network.pass(300 * SECOND);
    for node in &network.nodes {
        let coordinates = node.protocol.coordinates();
        assert_eq!(coordinates.len(), 10);
        let own = node.protocol.round_trips.own();
        // A packet takes 0.1 to 3 ms, so a round trip about 3 ms.
        for (name, other) in coordinates.iter().filter(|(name, _)| *name != node.protocol.name) {
            let distance = own.distance_s(other);
            assert!((0.0005..0.010).contains(&distance), "{name}: {distance}");
        }
    }
}

#[test]
fn a_killed_node_fails_within_seconds_and_its_restart_is_alive_at_once() {
    for seed in 0..20 {
        let mut network = Network::started(seed, 5);
        network.until("all see all", 5 * SECOND, Network::is_whole);
        network.pass(Duration::from_millis(seed * 137));
        network.nodes[4].running = false;
        let limit = 6 * SECOND;
        network.until("it failed", limit, |network| network.all_show("node-004", MemberStatus::Failed));
        network.pass(3 * SECOND);
        let restarted = network.start("node-004", 1004);
        network.join(restarted, 2);
        network.until("it is back", SECOND, Network::is_whole);
    }
}

#[test]
fn a_quick_restart_is_never_seen_as_failed() {
    for seed in 0..10 {
        let mut network = Network::started(seed, 5);
        network.until("all see all", 5 * SECOND, Network::is_whole);
        network.nodes[4].running = false;
        network.pass(SECOND / 2);
        let restarted = network.start("node-004", 1004);
        network.join(restarted, 0);
        let limit = network.now + 20 * SECOND;
        while network.now < limit {
            network.step(limit);
            for node in [0, 1, 2, 3] {
                assert_ne!(network.status(node, "node-004"), Some(MemberStatus::Failed), "seed {seed}");
            }
        }
        assert!(network.is_whole());
    }
}

#[test]
fn a_leaving_node_is_left_and_at_no_time_failed() {
    for seed in 0..10 {
        let mut network = Network::started(seed, 8);
        network.loss = 0.05;
        network.until("all see all", 10 * SECOND, Network::is_whole);
        network.call(5, Protocol::begin_leave);
        let watch = |network: &Network| {
            for node in (0..8).filter(|node| *node != 5) {
                assert_ne!(network.status(node, "node-005"), Some(MemberStatus::Failed), "seed {seed}");
            }
        };
        network.until("the intent is spread", 5 * SECOND, |network| {
            watch(network);
            network.nodes[5].protocol.is_spread()
        });
        network.call(5, Protocol::complete_leave);
        network.pass(SECOND / 20);
        network.nodes[5].running = false;
        network.until("it left", 10 * SECOND, |network| {
            watch(network);
            network.all_show("node-005", MemberStatus::Left)
        });
        let back = network.start("node-005", 1005);
        network.join(back, 0);
        network.until("it is back", 5 * SECOND, Network::is_whole);
    }
}

#[test]
fn a_failed_node_can_be_forced_out_everywhere_and_pruned() {
    let mut network = Network::started(7, 5);
    network.until("all see all", 5 * SECOND, Network::is_whole);
    network.nodes[4].running = false;
    network.until("it failed", 7 * SECOND, |network| network.all_show("node-004", MemberStatus::Failed));
    assert!(network.call(0, |protocol, now| protocol.force_leave(now, "absent", false)).is_err());
    network.call(0, |protocol, now| protocol.force_leave(now, "node-001", false)).unwrap();
    network.call(0, |protocol, now| protocol.force_leave(now, "node-004", false)).unwrap();
    network.until("it left", 5 * SECOND, |network| network.all_show("node-004", MemberStatus::Left));
    assert!(network.all_show("node-001", MemberStatus::Alive), "a living one is not touched");
    network.call(1, |protocol, now| protocol.force_leave(now, "node-004", true)).unwrap();
    network.until("it is gone", 5 * SECOND, |network| (0..4).all(|node| network.status(node, "node-004").is_none()));
    network.pass(120 * SECOND);
    assert!((0..4).all(|node| network.status(node, "node-004").is_none()), "no exchange brings it back");
}

#[test]
fn a_healed_partition_merges() {
    for seed in 0..5 {
        let mut network = Network::started(seed, 6);
        network.until("all see all", 5 * SECOND, Network::is_whole);
        for node in 0..3 {
            network.nodes[node].side = 1;
        }
        network.until("each side fails the other", 30 * SECOND, |network| {
            (0..3).all(|one| {
                (3..6).all(|other| {
                    network.status(one, &format!("node-{other:03}")) == Some(MemberStatus::Failed)
                        && network.status(other, &format!("node-{one:03}")) == Some(MemberStatus::Failed)
                })
            })
        });
        network.pass(60 * SECOND);
        for node in 0..3 {
            network.nodes[node].side = 0;
        }
        network.until("they merge", 60 * SECOND, Network::is_whole);
        network.pass(30 * SECOND);
        assert!(network.is_whole(), "and stay so\n{}", network.report());
    }
}

#[test]
fn a_paused_node_comes_back_by_itself() {
    let mut network = Network::started(3, 5);
    network.until("all see all", 5 * SECOND, Network::is_whole);
    // Cut off alone, it hears nothing and is not heard: what a stopped process looks like to the others.
    network.nodes[2].side = 1;
    network.until("it failed", 10 * SECOND, |network| network.status(0, "node-002") == Some(MemberStatus::Failed));
    network.nodes[2].side = 0;
    network.until("it is back", 40 * SECOND, Network::is_whole);
}

#[test]
fn a_lossy_network_fails_nobody() {
    for seed in 0..3 {
        let mut network = Network::started(seed, 10);
        network.loss = 0.1;
        network.until("all see all", 20 * SECOND, Network::is_whole);
        let limit = network.now + 120 * SECOND;
        while network.now < limit {
            network.pass(SECOND);
            assert!(network.is_whole(), "seed {seed}\n{}", network.report());
        }
    }
}

#[test]
fn a_node_that_hears_late_knows_that_and_suspects_few() {
    for seed in 0..5 {
        let mut network = Network::started(seed, 10);
        network.until("all see all", 5 * SECOND, Network::is_whole);
        network.nodes.iter_mut().for_each(|node| node.protocol.history.clear());
        // Longer than a probe takes in all.
        network.nodes[7].lag = SECOND * 7 / 10;
        network.pass(120 * SECOND);
        assert!(network.nodes.iter().all(|node| node.protocol.history.is_empty()), "seed {seed}: nobody is failed");
        let refuted: u32 = network.nodes.iter().map(|node| u32::from(node.protocol.health.incarnation)).sum();
        assert!(refuted <= 70, "seed {seed}: {refuted} suspicions had to be refuted");
        network.nodes[7].lag = Duration::ZERO;
        network.until("it is well again", 60 * SECOND, |network| network.nodes[7].protocol.health.points() == 0);
    }
}

#[test]
fn a_suspected_member_is_told_by_whoever_suspects_it() {
    let mut network = Network::started(3, 4);
    network.until("all see all", 5 * SECOND, Network::is_whole);
    // Cut off for a while, long enough to be suspected and not to be failed.
    network.nodes[2].side = 1;
    network.pass(3 * SECOND);
    network.nodes[2].side = 0;
    let limit = network.now + 60 * SECOND;
    while network.now < limit {
        network.pass(SECOND / 2);
        assert!(network.is_whole(), "{}", network.report());
    }
    assert_eq!(network.nodes[2].protocol.health.incarnation, 1, "it has refuted the suspicion, once");
    assert_eq!(network.nodes[2].protocol.foca.identity().renewal, 0, "and nobody held it down after that");
}

#[test]
fn members_that_answer_streams_alone_are_not_failed() {
    let mut network = Network::started(11, 8);
    network.until("all see all", 5 * SECOND, Network::is_whole);
    network.streams_only = true;
    let limit = network.now + 60 * SECOND;
    while network.now < limit {
        network.pass(SECOND);
        assert!(network.is_whole(), "{}", network.report());
    }
    network.nodes[3].running = false;
    network.until("one is failed that answers neither", 60 * SECOND, |network| {
        network.status(0, "node-003") == Some(MemberStatus::Failed)
    });
}

#[test]
fn a_node_whose_clock_was_set_back_is_taken_again() {
    let mut network = Network::started(3, 4);
    network.until("all see all", 5 * SECOND, Network::is_whole);
    network.nodes[3].running = false;
    network.until("it failed", 7 * SECOND, |network| network.all_show("node-003", MemberStatus::Failed));
    let restarted = network.start_at("node-003", 1003, 17);
    network.join(restarted, 0);
    network.until("it is back", 5 * SECOND, Network::is_whole);
}

#[test]
fn a_name_moves_to_another_address_only_when_its_holder_is_not_alive() {
    let mut network = Network::started(3, 4);
    network.until("all see all", 5 * SECOND, Network::is_whole);
    let double = network.start("node-003", 2003);
    let request = network.call(double, |protocol, now| protocol.push_pull_request(now));
    let Reply::Refused(reason) = network.call(0, |protocol, now| protocol.answer(now, request)) else {
        panic!("a second alive node-003 was taken");
    };
    assert!(reason.contains("10.0.0.1:1003") && reason.contains("10.0.0.1:2003"), "{reason}");
    network.nodes[3].running = false;
    network.until("it failed", 7 * SECOND, |network| {
        (0..3).all(|node| network.status(node, "node-003") == Some(MemberStatus::Failed))
    });
    network.join(double, 0);
    network.until("it moved", 5 * SECOND, |network| {
        network.is_whole() && network.nodes[1].protocol.members()[3].address.port() == 2003
    });
}

#[test]
fn garbage_and_cut_packets_change_nothing() {
    let mut network = Network::started(9, 3);
    network.until("all see all", 5 * SECOND, Network::is_whole);
    let before = statuses(&network.nodes[0].protocol);
    let mut random = SmallRng::seed_from_u64(1);
    network.call(1, |protocol, now| protocol.set_tags(now, tags("more", "news"))).unwrap();
    let good = network.nodes[1].protocol.envelope.seal(super::envelope::Kind::Swim, &[7; 300]);
    for length in 0..1500 {
        let mut packet: Vec<u8> = (0..length).map(|_| random.random()).collect();
        network.call(0, |protocol, now| protocol.packet(now, &packet));
        let header = good.len().min(6).min(length);
        packet[..header].copy_from_slice(&good[..header]);
        network.call(0, |protocol, now| protocol.packet(now, &packet));
    }
    assert_eq!(statuses(&network.nodes[0].protocol), before);
    network.pass(10 * SECOND);
    assert!(network.is_whole());
}

#[test]
fn damaged_packets_do_no_lasting_harm() {
    for seed in 0..40 {
        let mut network = Network::started(seed, 6);
        network.until("all see all", 5 * SECOND, Network::is_whole);
        network.damage = 0.2;
        for second in 0..20 {
            let news = tags("second", &second.to_string());
            network.call(second % 6, |protocol, now| protocol.set_tags(now, news)).unwrap();
            network.pass(SECOND);
        }
        network.damage = 0.0;
        network.until("all see all", 180 * SECOND, |network| {
            let real = |member: &Member| member.name.starts_with("node-00");
            network.nodes.iter().all(|node| {
                let members = node.protocol.members();
                let alive = members.iter().filter(|member| real(member) && member.status == MemberStatus::Alive);
                let agreed = |member: &Member| {
                    network.nodes.iter().all(|other| {
                        let own = other.protocol.own();
                        own.name != member.name || own.tags == member.tags
                    })
                };
                alive.filter(|member| agreed(member)).count() == 6
            })
        });
    }
}

#[test]
fn one_seed_gives_one_history() {
    let history = |seed| {
        let mut network = Network::started(seed, 6);
        network.loss = 0.1;
        network.pass(20 * SECOND);
        (network.sent, network.report())
    };
    assert_eq!(history(5), history(5));
    assert_ne!(history(5).0, history(6).0);
}

#[test]
fn long_gone_members_are_forgotten_everywhere() {
    let mut network = Network::new(4, Timing { reap: 60 * SECOND, ..Timing::lan() });
    for index in 0..4_u16 {
        let node = network.start(&format!("node-{index:03}"), 1000 + index);
        network.join(node, 0);
    }
    network.until("all see all", 5 * SECOND, Network::is_whole);
    network.nodes[3].running = false;
    network.until("it failed", 10 * SECOND, |network| network.all_show("node-003", MemberStatus::Failed));
    network.until("it is forgotten", 70 * SECOND, |network| {
        let forgotten =
            |node: &Node| node.protocol.members().len() == 3 && node.protocol.foca.iter_membership_state().len() == 2;
        network.nodes.iter().filter(|node| node.running).all(forgotten)
    });
    network.pass(60 * SECOND);
    assert_eq!(network.nodes[0].protocol.members().len(), 3, "and stays so");
}
