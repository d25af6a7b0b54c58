use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::{
    command::{Command, Registration},
    model::{Coordinate, Index, Node, NodeCoordinate, SERF_HEALTH, Service, Time},
};

fn apply(state: &mut State, command: &Command) {
    let index = Index(state.index().0 + 1);
    state.apply(index, Time(index.0), command);
}

/// Instances of `db` on nodes n1 to n5, the nearer to n1 the lower the number.
fn state() -> State {
    let mut state = State::default();
    for (number, tags, version, checks) in [
        (1, &["a", "B"][..], "1", &[][..]),
        (2, &["a"], "1", &[("own", Status::Warning)]),
        (3, &["b"], "2", &[("own", Status::Critical)]),
        (4, &[], "2", &[("own", Status::Passing), ("other", Status::Critical)]),
        (5, &["a", "c"], "2", &[]),
    ] {
        let pair = |value: String| [("v".into(), value.into())].into();
        let node = Node {
            name: format!("n{number}").into(),
            address: format!("10.0.0.{number}").into(),
            meta: pair(format!("node-{version}")),
            ..Node::default()
        };
        let service = Service {
            id: "db".into(),
            name: "db".into(),
            tags: tags.iter().map(|tag| SmolStr::from(*tag)).collect(),
            meta: pair(version.into()),
            ..Service::default()
        };
        let check = |(id, status): &(&str, Status)| Check {
            id: (*id).into(),
            service_id: "db".into(),
            status: *status,
            ..Check::default()
        };
        let checks = checks.iter().map(check).collect();
        let registration = Registration { node, service: Some(service), checks, skip_node_update: false };
        apply(&mut state, &Command::Register(Box::new(registration)));
        let mut coordinate = Coordinate::default();
        coordinate.position[0] = f64::from(number);
        let update = NodeCoordinate { node: format!("n{number}").into(), coordinate };
        apply(&mut state, &Command::UpdateCoordinates(vec![update]));
    }
    state
}

/// The numbers of the nodes in the answer's order.
fn numbers(state: &State, service: ServiceQuery, asked: &Asked<'_>, seed: u64) -> Vec<u32> {
    let query = PreparedQuery { service: ServiceQuery { service: "db".into(), ..service }, ..PreparedQuery::default() };
    let instances = execute(state, &query, asked, &mut SmallRng::seed_from_u64(seed));
    instances.iter().map(|instance| instance.node.name[1..].parse().unwrap()).collect()
}

fn found(service: ServiceQuery, asked: &Asked<'_>) -> Vec<u32> {
    let mut numbers = numbers(&state(), service, asked, 1);
    numbers.sort_unstable();
    numbers
}

fn texts<T: From<&'static str>>(texts: &[&'static str]) -> Vec<T> {
    texts.iter().map(|text| T::from(*text)).collect()
}

#[test]
fn which_instances_are_wanted() {
    let any = ServiceQuery::default;
    let tags = |tags| ServiceQuery { tags: texts(tags), ..any() };
    let pair = |value: &str| [("v".into(), value.into())].into();
    for (service, expected) in [
        (any(), &[1, 2, 5][..]),
        (ServiceQuery { only_passing: true, ..any() }, &[1, 5]),
        (ServiceQuery { ignored_checks: texts(&["OWN"]), ..any() }, &[1, 2, 3, 5]),
        (ServiceQuery { ignored_checks: texts(&["own"]), only_passing: true, ..any() }, &[1, 2, 3, 5]),
        (ServiceQuery { ignored_checks: texts(&["own", "other"]), ..any() }, &[1, 2, 3, 4, 5]),
        (tags(&["A"]), &[1, 2, 5]),
        (tags(&["a", "b"]), &[1]),
        (tags(&["a", "!b"]), &[2, 5]),
        (tags(&["!A"]), &[]),
        (tags(&[""]), &[]),
        (tags(&["!"]), &[1, 2, 5]),
        (ServiceQuery { node_meta: pair("node-2"), ..any() }, &[5]),
        (ServiceQuery { service_meta: pair("1"), ..any() }, &[1, 2]),
        (ServiceQuery { service_meta: pair("1"), node_meta: pair("node-2"), ..any() }, &[]),
        (ServiceQuery { connect: true, ..any() }, &[]),
    ] {
        assert_eq!(found(service.clone(), &Asked::default()), expected, "{service:?}");
    }
    assert_eq!(found(any(), &Asked { passing: true, ..Asked::default() }), [1, 5]);
    assert_eq!(found(any(), &Asked { connect: true, ..Asked::default() }), [0; 0]);
    let elsewhere = PreparedQuery { service: ServiceQuery { service: "x".into(), ..any() }, ..Default::default() };
    assert!(execute(&state(), &elsewhere, &Asked::default(), &mut SmallRng::seed_from_u64(1)).is_empty());
}

#[test]
fn the_nearest_come_first_where_a_place_is_known() {
    let near = |near: &str| ServiceQuery { near: near.into(), ..ServiceQuery::default() };
    let asked = Asked { own_node: "n5", ..Asked::default() };
    let from = |ip: &str| Asked { asker: Some(ip.parse().unwrap()), ..asked };
    for (service, asked, expected) in [
        (near("n1"), asked, [1, 2, 5]),
        (near("N5"), asked, [5, 2, 1]),
        (near("n2"), asked, [2, 1, 5]),
        (near("n4"), asked, [5, 2, 1]),
        (near("_agent"), asked, [5, 2, 1]),
        (near("_ip"), from("10.0.0.1"), [1, 2, 5]),
        (near("_ip"), from("::ffff:10.0.0.5"), [5, 2, 1]),
        (near("n1"), Asked { near: "n5", ..asked }, [5, 2, 1]),
        (near(""), Asked { near: "_ip", ..from("10.0.0.5") }, [5, 2, 1]),
    ] {
        assert_eq!(numbers(&state(), service.clone(), &asked, 7), expected, "{service:?} {asked:?}");
    }
    // Its own come first even where nobody knows how far the others are.
    let mut state = State::default();
    for number in 1..=8 {
        let node = Node { name: format!("n{number}").into(), ..Node::default() };
        let service = Service { id: "db".into(), name: "db".into(), ..Service::default() };
        let registration = Registration { node, service: Some(service), ..Registration::default() };
        apply(&mut state, &Command::Register(Box::new(registration)));
    }
    assert!((0..20).all(|seed| numbers(&state, near("n4"), &asked, seed)[0] == 4));
}

#[test]
fn the_order_is_drawn_where_no_place_is_known_and_the_limit_cuts_what_was_ordered() {
    for near in ["", "_ip", "never"] {
        let service = || ServiceQuery { near: near.into(), ..ServiceQuery::default() };
        let asked = Asked { asker: Some("10.9.9.9".parse().unwrap()), limit: 1, ..Asked::default() };
        let first: std::collections::BTreeSet<_> =
            (0..200).map(|seed| numbers(&state(), service(), &asked, seed)).collect();
        assert_eq!(first, [vec![1], vec![2], vec![5]].into(), "{near:?}");
    }
    let nearest = Asked { near: "n1", limit: 2, ..Asked::default() };
    assert_eq!(numbers(&state(), ServiceQuery::default(), &nearest, 3), [1, 2]);
}

#[test]
fn instances_of_nodes_that_vanished_together_are_served_where_that_is_wanted() {
    let mut state = state();
    for number in [1, 2] {
        let node = Node { name: format!("n{number}").into(), ..Node::default() };
        let check = Check { id: SERF_HEALTH.into(), status: Status::Critical, ..Check::default() };
        let gone = Registration { node, skip_node_update: true, service: None, checks: vec![check] };
        apply(&mut state, &Command::Register(Box::new(gone)));
    }
    let protection = Some(Protection { threshold: 0.5, window: Duration::from_secs(60) });
    for (ignored, protection, expected) in
        [(&[][..], None, &[5][..]), (&[], protection, &[1, 2, 5]), (&["own"], protection, &[1, 2, 3, 5])]
    {
        let service = ServiceQuery { ignored_checks: texts(ignored), ..ServiceQuery::default() };
        let mut numbers = numbers(&state, service, &Asked { protection, ..Asked::default() }, 1);
        numbers.sort_unstable();
        assert_eq!(numbers, expected);
    }
}
