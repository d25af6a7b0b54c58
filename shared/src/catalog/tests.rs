use proptest::prelude::*;

use super::*;
use crate::{
    command::{Command, Deregistration, Outcome, Refusal, Registration},
    model::{CheckId, Coordinate, ServiceId, Time},
};

fn node(name: &str) -> Node {
    Node { name: name.into(), address: "10.0.0.1".into(), ..Node::default() }
}

fn service(id: &str, name: &str) -> Service {
    Service { id: id.into(), name: name.into(), port: 80, ..Service::default() }
}

fn check(id: &str, service_id: &str, status: Status) -> Check {
    Check { id: id.into(), service_id: service_id.into(), status, ..Check::default() }
}

fn register(node: Node, service: Option<Service>, checks: Vec<Check>) -> Command {
    Command::Register(Box::new(Registration { node, skip_node_update: false, service, checks }))
}

struct Log {
    state: State,
    next: u64,
}

impl Log {
    fn new() -> Self {
        Self { state: State::default(), next: 10 }
    }

    fn apply(&mut self, command: &Command) -> Applied {
        self.next += 1;
        self.state.apply(Index(self.next), Time(self.next * 1000), command)
    }
}

#[test]
fn a_registered_instance_is_found_with_its_node_and_checks() {
    let mut log = Log::new();
    let checks = vec![check("disk", "", Status::Passing), check("http", "web-1", Status::Warning)];
    log.apply(&register(node("n1"), Some(service("web-1", "Web")), checks));
    let found: Vec<_> = log.state.instances("web").collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].status(), Status::Warning);
    assert_eq!(found[0].checks.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["disk", "http"]);
    assert_eq!(found[0].checks[1].service_name.as_str(), "Web");
    assert_eq!(found[0].checks[1].since, Time(11_000));
    assert_eq!(found[0].address(), "10.0.0.1");
    assert_eq!(log.state.index_of(&Topic::Service(Key::new("web"))), Index(11));
}

#[test]
fn the_same_registration_again_changes_no_row_and_no_index() {
    let mut log = Log::new();
    let command = register(node("n1"), Some(service("s", "s")), vec![check("c", "s", Status::Passing)]);
    log.apply(&command);
    let again = log.apply(&command);
    assert_eq!(again.change.rows, []);
    assert!(again.touched.is_empty());
    assert_eq!(log.state.index(), Index(12));
    assert_eq!(log.state.index_of(&Topic::Service(Key::new("s"))), Index(11));
}

#[test]
fn a_change_touches_what_it_is_about_and_nothing_else() {
    let mut log = Log::new();
    log.apply(&register(node("n1"), Some(service("a", "a")), vec![check("ca", "a", Status::Passing)]));
    log.apply(&register(node("n2"), Some(service("b", "b")), vec![check("cb", "b", Status::Passing)]));
    let moved = log.apply(&register(node("n1"), None, vec![check("ca", "a", Status::Critical)]));
    let expected = [
        Topic::Service(Key::new("a")),
        Topic::Node(Key::new("n1")),
        Topic::Checks,
        Topic::Status(Status::Passing),
        Topic::Status(Status::Critical),
    ];
    assert_eq!(moved.touched, expected.into_iter().collect());
    assert_eq!(log.state.index_of(&Topic::Service(Key::new("b"))), Index(12));
}

#[test]
fn a_node_check_counts_for_every_service_of_the_node() {
    let mut log = Log::new();
    log.apply(&register(node("n1"), Some(service("a", "a")), vec![]));
    log.apply(&register(node("n1"), Some(service("b", "b")), vec![]));
    log.apply(&register(node("n1"), None, vec![check("serfHealth", "", Status::Critical)]));
    for name in ["a", "b"] {
        assert_eq!(log.state.instances(name).next().unwrap().status(), Status::Critical);
        assert_eq!(log.state.index_of(&Topic::Service(Key::new(name))), Index(13));
    }
}

#[test]
fn removing_the_last_instance_leaves_an_index_that_never_goes_back() {
    let mut log = Log::new();
    let topic = Topic::Service(Key::new("a"));
    assert_eq!(log.state.index_of(&topic), Index(1));
    log.apply(&register(node("n1"), Some(service("a", "a")), vec![check("c", "a", Status::Passing)]));
    log.apply(&Command::Deregister(Deregistration::Service("n1".into(), "a".into())));
    assert!(log.state.service("a").is_none());
    assert_eq!(log.state.index_of(&topic), Index(12));
    assert!(log.state.node_checks("n1").next().is_none());
}

#[test]
fn a_node_that_goes_takes_all_with_it() {
    let mut log = Log::new();
    let checks = vec![check("n", "", Status::Passing), check("c", "a", Status::Passing)];
    log.apply(&register(node("n1"), Some(service("a", "a")), checks));
    let gone = log.apply(&Command::Deregister(Deregistration::Node("N1".into())));
    assert_eq!(gone.change.rows.last(), Some(&Row::NodeGone("n1".into())));
    assert!(log.state.node("n1").is_none() && log.state.service("a").is_none());
    assert_eq!(log.state.checks().count(), 0);
}

#[test]
fn a_service_registered_again_under_another_name_moves() {
    let mut log = Log::new();
    log.apply(&register(node("n1"), Some(service("x", "old")), vec![]));
    log.apply(&register(node("n1"), Some(service("x", "new")), vec![]));
    assert!(log.state.service("old").is_none());
    assert_eq!(log.state.instances("new").count(), 1);
}

#[test]
fn a_node_known_by_its_id_is_renamed() {
    let id = Some(Uuid::from_u128(7));
    let mut log = Log::new();
    log.apply(&register(Node { id, ..node("before") }, Some(service("a", "a")), vec![]));
    log.apply(&register(Node { id, ..node("after") }, None, vec![]));
    assert!(log.state.node("before").is_none() && log.state.service("a").is_none());
    assert_eq!(log.state.node("after").unwrap().create_index, Index(11));
    assert_eq!(log.state.node_by_id(Uuid::from_u128(7)).unwrap().name.as_str(), "after");
}

#[test]
fn refused_commands_change_nothing() {
    let alive = vec![check("serfHealth", "", Status::Passing)];
    let holder = Node { id: Some(Uuid::from_u128(1)), ..node("n1") };
    let other = Node { id: Some(Uuid::from_u128(2)), ..node("n1") };
    let mut log = Log::new();
    log.apply(&register(holder, None, alive));
    let taken = log.apply(&register(other, Some(service("a", "a")), vec![]));
    assert!(matches!(taken.outcome, Outcome::Refused(Refusal::NameTaken { .. })));
    let orphan = log.apply(&register(node("n9"), None, vec![check("c", "absent", Status::Passing)]));
    assert_eq!(orphan.outcome, Outcome::Refused(Refusal::MissingService));
    assert!(orphan.change.rows.is_empty() && taken.change.rows.is_empty());
    assert!(log.state.node("n9").is_none());
}

fn coordinate(node: &str, height: f64) -> NodeCoordinate {
    NodeCoordinate { node: node.into(), coordinate: Coordinate { height, ..Coordinate::default() } }
}

#[test]
fn a_coordinate_lives_as_long_as_its_node_and_wakes_nobody_else() {
    let mut log = Log::new();
    log.apply(&register(node("N1"), None, vec![]));
    let put = Command::UpdateCoordinates(vec![coordinate("n1", 1.0), coordinate("absent", 1.0)]);
    let applied = log.apply(&put);
    assert_eq!(applied.touched, [Topic::Coordinates].into());
    assert_eq!(log.state.coordinates().map(|c| c.node.to_string()).collect::<Vec<_>>(), ["N1"]);
    assert!(log.apply(&put).change.rows.is_empty(), "unchanged");
    assert!(log.apply(&Command::UpdateCoordinates(vec![coordinate("n1", f64::NAN)])).change.rows.is_empty());
    log.apply(&Command::Deregister(Deregistration::Node("n1".into())));
    assert_eq!(log.state.coordinates().count(), 0);
    assert_eq!(log.state.index_of(&Topic::Coordinates), Index(15));
}

#[test]
fn autopilot_is_set_only_over_what_was_expected() {
    let mut log = Log::new();
    let mut set = |quorum, expected: Option<u64>| {
        let autopilot = Box::new(Autopilot { min_quorum: quorum, ..Autopilot::default() });
        log.apply(&Command::SetAutopilot { autopilot, expected: expected.map(Index) }).outcome
    };
    assert_eq!(set(1, Some(7)), Outcome::Mismatch);
    assert_eq!(set(1, Some(0)), Outcome::Done);
    assert_eq!(set(2, Some(0)), Outcome::Mismatch);
    assert_eq!(set(2, Some(12)), Outcome::Done);
    assert_eq!(set(3, None), Outcome::Done);
    let autopilot = log.state.autopilot().unwrap();
    assert_eq!((autopilot.min_quorum, autopilot.create_index, autopilot.modify_index), (3, Index(12), Index(15)));
}

/// Commands about a few nodes, services and checks.
pub(crate) fn any_command() -> impl Strategy<Value = Command> {
    let (n, s, c) = (0..3_u8, 0..4_u8, 0..4_u8);
    let status = prop::sample::select(&Status::ALL[..]);
    (n, s, c, status, 0..10_u8).prop_map(|(n, s, c, status, kind)| {
        let name: NodeName = format!("n{n}").into();
        let id: ServiceId = format!("S{s}").into();
        let check_id: CheckId = format!("c{c}").into();
        let host = Node { id: (n == 0).then(|| Uuid::from_u128(u128::from(s))), ..node(&name) };
        let about = if c == 0 { String::new() } else { id.to_string() };
        match kind {
            0 => Command::Deregister(Deregistration::Node(name)),
            1 => Command::Deregister(Deregistration::Service(name, id)),
            2 => Command::Deregister(Deregistration::Check(name, check_id)),
            3 => register(host, None, vec![check(&check_id, &about, status)]),
            4 => register(host, Some(service(&id, &format!("web{c}"))), vec![]),
            5 => Command::UpdateCoordinates(vec![coordinate(&name, f64::from(s)), coordinate("n1", f64::from(c))]),
            6 => Command::SetAutopilot {
                autopilot: Box::new(Autopilot { min_quorum: s.into(), ..Autopilot::default() }),
                expected: (c > 0).then_some(Index(10 + u64::from(c))),
            },
            _ => register(host, Some(service(&id, "web")), vec![check(&check_id, &about, status)]),
        }
    })
}

proptest! {
    /// A copy that absorbs the changes, and one that is loaded from records, are the state itself.
    #[test]
    fn copies_are_equal(commands in prop::collection::vec(any_command(), 1..60)) {
        let (mut log, mut copy) = (Log::new(), State::default());
        for command in &commands {
            let before: Vec<_> = log.state.records().collect();
            let applied = log.apply(command);
            if matches!(applied.outcome, Outcome::Refused(_) | Outcome::Mismatch) {
                prop_assert_eq!(&before, &log.state.records().collect::<Vec<_>>());
            }
            let touched = copy.absorb(&applied.change);
            prop_assert_eq!(touched, applied.touched);
        }
        let records: Vec<_> = log.state.records().collect();
        prop_assert_eq!(&records, &copy.records().collect::<Vec<_>>());
        let mut loader = Loader::default();
        for record in records.clone() {
            loader.push(record);
        }
        let loaded = loader.finish(log.state.index());
        prop_assert_eq!(&records, &loaded.records().collect::<Vec<_>>());
        let join = |state: &State| state.all_instances()
            .map(|i| (i.node.clone(), i.service.clone(), i.checks.to_vec())).collect::<Vec<_>>();
        prop_assert_eq!(join(&log.state), join(&loaded));
        prop_assert_eq!(join(&log.state), join(&copy));
    }
}
