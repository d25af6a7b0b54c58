//! What the catalog should say of the members of the LAN pool, as commands. Pure: the duties task proposes them.
//!
//! An alive member is a node whose `serfHealth` passes, and a server also an instance of the service `consul`; a failed
//! one is critical; one that left is taken out with all it had. Nodes that have a `serfHealth` and are not in the pool
//! (a leader that has not met them yet, a table that was reaped) turn critical only after `Unmet` has waited for them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use lictor_shared::{
    catalog::State,
    command::{Command, Deregistration, Registration},
    gossip::{Member, MemberStatus},
    model::{Check, Key, Node, NodeName, SERF_HEALTH, SERVER_SERVICE, Service, Status},
    node::tags,
};
/// How long a new leader waits for a node that it has in the catalog and has not met in the pool.
const MEETING_TIME: Duration = Duration::from_secs(15);

/// The nodes that would turn critical by the word of the pool: failed, or among the `lost` that [`Unmet`] has given up on.
/// Whether they do is for others to say too (`witness`).
#[must_use]
pub fn failing(members: &[Member], state: &State, datacenter: &str, lost: &[NodeName]) -> Vec<NodeName> {
    let all = commands(members, state, datacenter, lost, &|_| true);
    let none = commands(members, state, datacenter, lost, &|_| false);
    let critical = all.into_iter().filter(|command| !none.contains(command)).filter_map(|command| match command {
        Command::Register(registration) => Some(registration.node.name),
        _ => None,
    });
    critical.collect()
}

/// The commands that make the catalog agree with the pool. `lost` are the nodes that [`Unmet`] has given up on; of the
/// nodes that would turn critical those do that `may_fail` holds of.
#[must_use]
pub fn commands(
    members: &[Member],
    state: &State,
    datacenter: &str,
    lost: &[NodeName],
    may_fail: &dyn Fn(&str) -> bool,
) -> Vec<Command> {
    let ours: Vec<&Member> = members.iter().filter(|member| tags::is_of(member, datacenter)).collect();
    let present = |member: &Member| matches!(member.status, MemberStatus::Alive | MemberStatus::Leaving);
    // To the pool, names that differ in letter case are two; here they are one node, and one that is there counts.
    let mut named: HashSet<Key> = HashSet::new();
    let (there, gone): (Vec<&Member>, Vec<&Member>) = ours.into_iter().partition(|member| present(member));
    let each_once = there.into_iter().chain(gone).filter(|member| named.insert(Key::new(&member.name)));
    let of_members = each_once.filter_map(|member| match member.status {
        MemberStatus::Alive | MemberStatus::Leaving => alive(member, state, datacenter),
        MemberStatus::Failed => may_fail(&member.name).then(|| failed(&member.name, state)).flatten(),
        MemberStatus::Left => left(member, state),
    });
    let lost = lost.iter().filter(|node| may_fail(node.as_str()));
    of_members.chain(lost.filter_map(|node| failed(node, state))).collect()
}

fn alive(member: &Member, state: &State, datacenter: &str) -> Option<Command> {
    let address = member.address.ip().to_string();
    let (existing, id) = (state.node(&member.name), tags::id(member));
    let service = tags::server_address(member, datacenter).map(|rpc| server_service(member, rpc));
    let passes = state.node_check(&member.name, SERF_HEALTH).is_some_and(|check| check.status == Status::Passing);
    let same_address = existing.is_some_and(|node| node.address == address.as_str());
    let same_service = service.as_ref().is_none_or(|wanted| {
        let found = state.node_service(&member.name, &wanted.id);
        found.is_some_and(|found| found.port == wanted.port && found.meta == wanted.meta)
    });
    let held = existing.and_then(|node| node.id);
    if passes && held.zip(id).is_some_and(|(held, id)| held != id) {
        // A wiped host that came back quickly. A name passes to another ID only when its holder is not alive; names are
        // unique in the pool, so the holder is not.
        return failed(&member.name, state);
    }
    if passes && same_address && same_service {
        return None;
    }
    // The row of a node that is known belongs to its agent, which also knows its meta; only the address is ours to say.
    let node = match existing {
        Some(node) => Node { address: address.into(), id: id.or(node.id), ..Node::clone(node) },
        None => Node { name: member.name.as_str().into(), id, address: address.into(), ..Node::default() },
    };
    let check = serf_health(Status::Passing, "Agent alive and reachable");
    Some(register(node, false, service, check))
}

fn failed(name: &str, state: &State) -> Option<Command> {
    let check = state.node_check(name, SERF_HEALTH)?;
    if check.status == Status::Critical {
        return None;
    }
    let node = Node { name: check.node.clone(), ..Node::default() };
    Some(register(node, true, None, serf_health(Status::Critical, "Agent not live or unreachable")))
}

fn left(member: &Member, state: &State) -> Option<Command> {
    // A node without the check is not the pool's: someone has registered it under a name that a member once had.
    let check = state.node_check(&member.name, SERF_HEALTH)?;
    Some(Command::Deregister(Deregistration::Node(check.node.clone())))
}

fn register(node: Node, skip_node_update: bool, service: Option<Service>, check: Check) -> Command {
    Command::Register(Box::new(Registration { node, skip_node_update, service, checks: vec![check] }))
}

fn serf_health(status: Status, output: &str) -> Check {
    let name = "Serf Health Status".into();
    Check { id: SERF_HEALTH.into(), name, status, output: output.into(), ..Check::default() }
}

fn server_service(member: &Member, rpc: SocketAddr) -> Service {
    let meta = [
        ("non_voter", "false"),
        ("raft_version", "3"),
        ("read_replica", "false"),
        ("serf_protocol_current", "2"),
        ("serf_protocol_max", "5"),
        ("serf_protocol_min", "1"),
        ("version", tags::version(member)),
    ];
    Service {
        id: SERVER_SERVICE.into(),
        name: SERVER_SERVICE.into(),
        port: rpc.port(),
        meta: meta.into_iter().map(|(key, value)| (key.into(), value.into())).collect::<BTreeMap<_, _>>(),
        ..Service::default()
    }
}

/// The nodes of the catalog that this leader has not met in the pool, and since when.
#[derive(Debug, Default)]
pub struct Unmet {
    since: HashMap<Key, (NodeName, Instant)>,
}

impl Unmet {
    /// Looks again; gives the nodes that have been missing for too long.
    pub fn look(&mut self, members: &[Member], state: &State, now: Instant) -> Vec<NodeName> {
        let met: HashSet<Key> = members.iter().map(|member| Key::new(&member.name)).collect();
        let gossiping = state.nodes().filter(|node| state.node_check(&node.name, SERF_HEALTH).is_some());
        let unmet: HashMap<Key, NodeName> =
            gossiping.map(|node| (node.name.key(), node.name.clone())).filter(|(key, _)| !met.contains(key)).collect();
        self.since.retain(|key, _| unmet.contains_key(key));
        for (key, name) in unmet {
            self.since.entry(key).or_insert((name, now));
        }
        let too_long = self.since.values().filter(|(_, since)| now.duration_since(*since) >= MEETING_TIME);
        too_long.map(|(name, _)| name.clone()).collect()
    }

    /// Starts over: what an earlier term has seen does not count.
    pub fn clear(&mut self) {
        self.since.clear();
    }
}

#[cfg(test)]
mod tests {
    use lictor_shared::model::{Index, Time};

    use super::*;
    use crate::leader::testing::{member, server};

    const DC: &str = "dc1";

    fn settle(state: &mut State, members: &[Member]) -> usize {
        let commands = commands(members, state, DC, &[], &|_| true);
        for command in &commands {
            state.apply(Index(state.index().0 + 1), Time(0), command);
        }
        commands.len()
    }

    fn health(state: &State, node: &str) -> Option<Status> {
        state.node_check(node, SERF_HEALTH).map(|check| check.status)
    }

    #[test]
    fn members_come_fail_return_and_leave() {
        let mut state = State::default();
        let table = [
            (MemberStatus::Alive, 1, Some(Status::Passing)),
            (MemberStatus::Alive, 0, Some(Status::Passing)),
            (MemberStatus::Leaving, 0, Some(Status::Passing)),
            (MemberStatus::Failed, 1, Some(Status::Critical)),
            (MemberStatus::Failed, 0, Some(Status::Critical)),
            (MemberStatus::Alive, 1, Some(Status::Passing)),
            (MemberStatus::Left, 1, None),
            (MemberStatus::Left, 0, None),
        ];
        for (status, commands, expected) in table {
            assert_eq!(settle(&mut state, &[member("n1", status)]), commands, "{status:?}");
            assert_eq!(health(&state, "n1"), expected, "{status:?}");
        }
        assert!(state.node("n1").is_none());
    }

    #[test]
    fn whoever_has_a_witness_does_not_turn_critical() {
        let mut state = State::default();
        settle(&mut state, &[member("n1", MemberStatus::Alive), member("n2", MemberStatus::Alive)]);
        let members = [member("n1", MemberStatus::Failed), member("n2", MemberStatus::Failed)];
        assert_eq!(failing(&members, &state, DC, &[]), [NodeName::from("n1"), "n2".into()]);
        for command in commands(&members, &state, DC, &[], &|name| name == "n2") {
            state.apply(Index(9), Time(0), &command);
        }
        assert_eq!((health(&state, "n1"), health(&state, "n2")), (Some(Status::Passing), Some(Status::Critical)));
        assert_eq!(failing(&members, &state, DC, &[]), [NodeName::from("n1")], "it stays in doubt");
    }

    #[test]
    fn a_server_is_an_instance_of_the_service_consul() {
        let mut state = State::default();
        settle(&mut state, &[server(7, 1, &[])]);
        let found = state.instances("consul").next().unwrap();
        assert_eq!((found.service.port, found.address()), (8300, "127.0.0.1"));
        assert_eq!(found.service.meta["version"], "1.10.12");
    }

    #[test]
    fn what_the_agent_says_of_its_node_is_kept() {
        let mut state = State::default();
        let member = member("n1", MemberStatus::Alive);
        settle(&mut state, std::slice::from_ref(&member));
        let node = Node { meta: [("rack".into(), "r1".into())].into(), ..Node::clone(state.node("n1").unwrap()) };
        state.apply(Index(9), Time(0), &register(node, false, None, serf_health(Status::Critical, "")));
        settle(&mut state, &[member]);
        assert_eq!(state.node("n1").unwrap().meta["rack"], "r1");
        assert_eq!(health(&state, "n1"), Some(Status::Passing));
    }

    #[test]
    fn nodes_registered_from_outside_and_members_elsewhere_are_left_alone() {
        let mut state = State::default();
        let external = Node { name: "ext".into(), address: "10.0.0.9".into(), ..Node::default() };
        let registration = Registration { node: external, ..Registration::default() };
        state.apply(Index(1), Time(0), &Command::Register(Box::new(registration)));
        let mut elsewhere = member("far", MemberStatus::Alive);
        elsewhere.tags.insert("dc".into(), "dc2".into());
        let gone = member("ext", MemberStatus::Left);
        assert_eq!(settle(&mut state, &[elsewhere, gone]), 0);
        assert!(state.node("ext").is_some());
    }

    #[test]
    fn a_wiped_host_that_comes_back_at_once_takes_its_name() {
        let mut state = State::default();
        let mut member = member("n1", MemberStatus::Alive);
        settle(&mut state, std::slice::from_ref(&member));
        let new = uuid::Uuid::from_u128(7);
        member.tags.insert("id".into(), new.to_string());
        for (commands, expected) in [(1, Status::Critical), (1, Status::Passing), (0, Status::Passing)] {
            assert_eq!(settle(&mut state, std::slice::from_ref(&member)), commands);
            assert_eq!(health(&state, "n1"), Some(expected));
        }
        assert_eq!(state.node("n1").unwrap().id, Some(new));
    }

    #[test]
    fn a_name_in_another_letter_case_is_the_same_node() {
        for former in [MemberStatus::Failed, MemberStatus::Left, MemberStatus::Alive] {
            let mut state = State::default();
            let members = [member("N1", former), member("n1", MemberStatus::Alive)];
            settle(&mut state, &members);
            assert_eq!(settle(&mut state, &members), 0, "{former:?}");
            assert_eq!(health(&state, "n1"), Some(Status::Passing), "{former:?}");
        }
    }

    #[test]
    fn a_node_that_nobody_has_met_turns_critical_after_a_while() {
        let mut state = State::default();
        settle(&mut state, &[member("n1", MemberStatus::Alive), member("n2", MemberStatus::Alive)]);
        let (mut unmet, start) = (Unmet::default(), Instant::now());
        let met = [member("n1", MemberStatus::Alive)];
        assert_eq!(unmet.look(&met, &state, start), []);
        let lost = unmet.look(&met, &state, start + MEETING_TIME);
        assert_eq!(lost, [NodeName::from("n2")]);
        let commands = commands(&met, &state, DC, &lost, &|_| true);
        assert_eq!(commands.len(), 1);
        state.apply(Index(9), Time(0), &commands[0]);
        assert_eq!(health(&state, "n2"), Some(Status::Critical));
        let back = [met[0].clone(), member("n2", MemberStatus::Alive)];
        assert_eq!(unmet.look(&back, &state, start + MEETING_TIME * 2), []);
    }
}
