//! Both paths give the same answers, and what is kept is neither stale nor unfair nor without bounds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::prelude::*;

use super::*;
use crate::{
    command::Deregistration,
    dns::{
        handler::Step,
        ready::{MAX_BYTES, MAX_QUESTIONS, Taken},
    },
};

/// A client that has asked before: with ready answers, and the state it asks.
struct Asking {
    ready: Ready,
    state: Arc<State>,
    settings: Settings,
}

impl Asking {
    fn new(state: State) -> Self {
        Self { ready: Ready::seeded(1), state: Arc::new(state), settings: Settings::default() }
    }

    fn ask(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut reply = Vec::new();
        self.ready.respond(packet, &self.state, &self.settings, &mut reply).then_some(reply)
    }

    fn message(&mut self, question: &Message) -> Message {
        Message::from_vec(&self.ask(&question.to_vec().unwrap()).unwrap()).unwrap()
    }

    /// Whether the answer is kept.
    fn is_ready(&mut self, question: &Message) -> bool {
        self.ready.see(&self.state, None);
        let taken = self.ready.consider(&question.to_vec().unwrap(), &self.state, &self.settings, &mut Vec::new());
        matches!(taken, Taken::Answered)
    }

    /// Asks until all messages for a question are there.
    fn warm(&mut self, question: &Message) {
        assert!((0..1000).any(|_| self.is_ready(question)), "the answer is never kept");
    }
}

fn set(records: &[Record]) -> BTreeSet<String> {
    // With the serial of a SOA, which `texts` masks. A name that ends in letters of the question has those, and so may
    // have others than by the ordinary path; to DNS they are the same (RFC 4343).
    records.iter().map(|record| format!("{record}").to_ascii_lowercase()).collect()
}

/// The same message, but for the order of records and which of many are left out.
fn same(got: &Message, want: &Message, all: &Message) -> Result<(), TestCaseError> {
    prop_assert_eq!(&got.metadata, &want.metadata);
    prop_assert_eq!(&got.queries, &want.queries);
    let letters = |message: &Message| message.queries.iter().map(|query| query.name.to_string()).collect::<Vec<_>>();
    prop_assert_eq!(letters(got), letters(want));
    prop_assert_eq!(&got.edns, &want.edns);
    for (got, want, all) in [
        (&got.answers, &want.answers, &all.answers),
        (&got.authorities, &want.authorities, &all.authorities),
        (&got.additionals, &want.additionals, &all.additionals),
    ] {
        prop_assert_eq!(got.len(), want.len());
        prop_assert_eq!(set(got).len(), got.len());
        prop_assert!(set(got).is_subset(&set(all)), "{:?} is not in {:?}", texts(got), texts(all));
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Action {
    /// Asks some times.
    Ask {
        name: usize,
        kind: RecordType,
        payload: Option<u16>,
        upper: u32,
        recursion: bool,
    },
    Put {
        node: u8,
        service: u8,
        status: Status,
    },
    Remove {
        node: u8,
        service: Option<u8>,
    },
}

/// Names of one length, so that as many fit in any order.
const SERVICES: [&str; 4] = ["alpha", "bravo", "consul", "delta"];
const NAMES: [&str; 14] = [
    "alpha.service.consul.",
    "bravo.service.consul.",
    "delta.service.dc1.consul.",
    "v1.alpha.service.consul.",
    "_bravo._tcp.service.consul.",
    "nothing.service.consul.",
    "host-1.node.consul.",
    "host-2.node.dc1.consul.",
    "host-99.node.consul.",
    "0a000001.addr.consul.",
    "3.0.0.10.in-addr.arpa.",
    "consul.",
    "no-such.consul.",
    "example.com.",
];

fn action() -> impl Strategy<Value = Action> {
    let kind = prop::sample::select(vec![
        RecordType::A,
        RecordType::A,
        RecordType::SRV,
        RecordType::AAAA,
        RecordType::ANY,
        RecordType::TXT,
        RecordType::PTR,
        RecordType::SOA,
        RecordType::NS,
    ]);
    let payload = prop::sample::select(vec![None, Some(512), Some(700), Some(1232), Some(4096)]);
    let status = prop::sample::select(vec![Status::Passing, Status::Warning, Status::Critical]);
    let ask = (0..NAMES.len(), kind, payload, prop_oneof![Just(0), any::<u32>()], any::<bool>());
    prop_oneof![
        4 => ask.prop_map(|(name, kind, payload, upper, recursion)| Action::Ask { name, kind, payload, upper, recursion }),
        2 => (0..9_u8, 0..4_u8, status).prop_map(|(node, service, status)| Action::Put { node, service, status }),
        1 => (0..9_u8, prop::option::of(0..4_u8)).prop_map(|(node, service)| Action::Remove { node, service }),
    ]
}

/// The name with some letters in upper case.
fn spelled(name: &str, upper: u32) -> String {
    let letter = |(place, c): (usize, char)| if upper >> (place % 32) & 1 == 1 { c.to_ascii_uppercase() } else { c };
    name.chars().enumerate().map(letter).collect()
}

fn change(state: &mut State, action: &Action) {
    let index = Index(state.index().0 + 1);
    let node_name = |node: u8| format!("host-{}", node + 1);
    let command = match *action {
        Action::Ask { .. } => return,
        Action::Remove { node, service } => {
            let node = node_name(node).as_str().into();
            Command::Deregister(match service {
                None => Deregistration::Node(node),
                Some(service) => Deregistration::Service(node, SERVICES[usize::from(service)].into()),
            })
        }
        Action::Put { node, service, status } => {
            let name = SERVICES[usize::from(service)];
            // As many servers as are named: which are is drawn.
            let node = if name == "consul" { node % 3 } else { node };
            let check = Check { id: name.into(), service_id: name.into(), status, ..Check::default() };
            let tags = vec![SmolStr::new("v1")];
            let service = Service { id: name.into(), name: name.into(), port: 80, tags, ..Service::default() };
            let address = format!("10.0.0.{}", node + 1).as_str().into();
            let meta = [("rack".into(), "r1".into())].into();
            let node = Node { name: node_name(node).as_str().into(), address, meta, ..Node::default() };
            let registration =
                Registration { node, service: Some(service), checks: vec![check], ..Registration::default() };
            Command::Register(Box::new(registration))
        }
    };
    state.apply(index, Time(0), &command);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn both_paths_agree_whatever_changes(actions in prop::collection::vec(action(), 1..80), compress in any::<bool>()) {
        let mut asking = Asking::new(State::default());
        asking.settings = Settings { disable_compression: !compress, enable_truncate: true, ..Settings::default() };
        for action in actions {
            if let Action::Ask { name, kind, payload, upper, recursion } = action {
                let mut message = question(&spelled(NAMES[name], upper), kind);
                message.metadata.recursion_desired = recursion;
                if let Some(payload) = payload {
                    message = with_edns(message, payload);
                }
                let (want, _) = ask(&asking.state, &asking.settings, &message, Transport::Udp);
                let (all, _) = ask(&asking.state, &asking.settings, &message, Transport::Tcp);
                for _ in 0..4 {
                    same(&asking.message(&message), &want, &all)?;
                }
            } else {
                let mut state = State::clone(&asking.state);
                change(&mut state, &action);
                asking.state = Arc::new(state);
            }
        }
        asking.ready.size();
    }
}

#[test]
fn any_packet_is_answered_as_by_the_ordinary_path() {
    let mut asking = Asking::new(many(1));
    let good = with_edns(question("web.service.consul.", RecordType::A), 1232).to_vec().unwrap();
    let mut packets: Vec<Vec<u8>> = (0..good.len()).map(|length| good[..length].to_vec()).collect();
    for place in 0..good.len() {
        for byte in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
            let mut packet = good.clone();
            packet[place] = byte;
            packets.push(packet);
        }
    }
    for packet in packets {
        let want = respond(&packet, Transport::Udp, &asking.state, &asking.settings, &mut rand::rng());
        for _ in 0..4 {
            assert_eq!(asking.ask(&packet), want, "{packet:?}");
        }
    }
}

#[test]
fn a_change_elsewhere_keeps_an_answer_and_one_of_its_own_does_not() {
    let mut catalog = Catalog { state: many(3) };
    let web = question("web.service.consul.", RecordType::A);
    let node = question("host-1.node.consul.", RecordType::A);
    let negative = question("none.service.consul.", RecordType::A);
    let mut asking = Asking::new(catalog.state.clone());
    for question in [&web, &node, &negative] {
        asking.warm(question);
    }
    catalog.instance("other", "10.0.9.9", "other", Status::Passing);
    asking.state = Arc::new(catalog.state.clone());
    assert_eq!([&web, &node, &negative].map(|question| asking.is_ready(question)), [true, true, false]);

    catalog.instance("host-1", "10.0.0.1", "web", Status::Critical);
    asking.state = Arc::new(catalog.state.clone());
    assert_eq!([&web, &node].map(|question| asking.is_ready(question)), [false, true]);
    assert_eq!(asking.message(&web).answers.len(), 2);
}

#[test]
fn a_state_of_another_history_is_another_truth() {
    // The same indexes, other rows: what a registry that was set up anew gives.
    let (mut before, mut after) = (Catalog::default(), Catalog::default());
    before.instance("n", "10.0.0.1", "web", Status::Passing);
    after.instance("n", "10.0.0.2", "web", Status::Passing);
    let web = question("web.service.consul.", RecordType::A);
    let mut asking = Asking::new(before.state);
    asking.warm(&web);
    asking.state = Arc::new(after.state);
    assert_eq!(texts(&asking.message(&web).answers), ["web.service.consul. 0 A 10.0.0.2"]);
}

#[test]
fn what_recursors_must_be_asked_is_not_kept() {
    let mut catalog = Catalog { state: many(1) };
    catalog.instance("ext", "db.example.com", "ext", Status::Passing);
    let mut asking = Asking::new(catalog.state);
    asking.settings.recursors = vec!["127.0.0.1:53".parse().unwrap()];
    for (name, kind) in [
        ("example.com.", RecordType::A),
        ("ext.service.consul.", RecordType::A),
        ("ext.service.consul.", RecordType::SRV),
        ("9.9.9.10.in-addr.arpa.", RecordType::PTR),
    ] {
        let packet = question(name, kind).to_vec().unwrap();
        for _ in 0..4 {
            asking.ready.see(&asking.state, None);
            let taken = asking.ready.consider(&packet, &asking.state, &asking.settings, &mut Vec::new());
            assert!(matches!(taken, Taken::Left(Some(Step::Wait(_)))), "{name}");
        }
    }
    assert_eq!(asking.ready.size(), (0, 0));
}

/// The data of the first records, over many answers.
fn counted(asking: &mut Asking, kind: RecordType, answers: u32) -> [BTreeMap<String, u32>; 2] {
    let packet = question("web.service.consul.", kind).to_vec().unwrap();
    let mut counts = [BTreeMap::new(), BTreeMap::new()];
    for _ in 0..answers {
        let reply = Message::from_vec(&asking.ask(&packet).unwrap()).unwrap();
        for (counts, record) in counts.iter_mut().zip(&reply.answers) {
            *counts.entry(record.data.to_string()).or_insert(0) += 1;
        }
    }
    counts
}

fn check_about(expected: u32, off: f64, counts: &BTreeMap<String, u32>, instances: u32) {
    assert_eq!(counts.len(), instances as usize, "of {instances} instances");
    for count in counts.values() {
        let is_off = (f64::from(*count) - f64::from(expected)).abs();
        assert!(is_off <= off, "{instances} instances, {expected} of each: {counts:?}");
    }
}

#[test]
fn each_instance_comes_first_equally_often() {
    // Six times the standard deviation of independent draws. Of 200, some wait for their turn, which has a length.
    let expected = 300_u32;
    let off = 6.0 * f64::from(expected).sqrt();
    let table =
        [(2, RecordType::A, off), (3, RecordType::SRV, off), (10, RecordType::A, off), (200, RecordType::A, 2.0 * off)];
    for (instances, kind, off) in table {
        let [first, _] = counted(&mut Asking::new(many(instances)), kind, expected * instances);
        check_about(expected, off, &first, instances);
    }
}

#[test]
fn behind_the_first_the_others_are_in_any_order() {
    let mut all = BTreeMap::new();
    for seed in 0..200 {
        let mut asking = Asking { ready: Ready::seeded(seed), ..Asking::new(many(10)) };
        for (data, count) in counted(&mut asking, RecordType::A, 60)[1].iter() {
            *all.entry(data.clone()).or_insert(0) += count;
        }
    }
    check_about(1200, 6.0 * 1200_f64.sqrt(), &all, 10);
}

#[test]
fn a_flood_of_questions_neither_grows_nor_drives_out_what_is_asked_for() {
    let mut asking = Asking::new(many(3));
    let web = question("web.service.consul.", RecordType::A);
    asking.warm(&web);
    let flood = |number: usize| question(&format!("x{number}.service.consul."), RecordType::A).to_vec().unwrap();
    for number in 0..5000 {
        asking.ask(&flood(number));
    }
    assert_eq!(asking.ready.size().0, 1, "what is asked once is not kept");
    for number in 0..2 * MAX_QUESTIONS {
        (0..2).for_each(|_| drop(asking.ask(&flood(number))));
        if number % 100 == 0 {
            asking.ask(&web.to_vec().unwrap());
        }
    }
    let (questions, bytes) = asking.ready.size();
    assert!(questions > 1000 && questions <= MAX_QUESTIONS && bytes <= MAX_BYTES, "{questions}, {bytes}");
    assert!(asking.ready.holds(&web.to_vec().unwrap()), "driven out");

    // Large answers: their bytes are what is bounded.
    let mut asking = Asking::new(many(200));
    for payload in 3000..3100 {
        let packet = with_edns(question("web.service.consul.", RecordType::A), payload).to_vec().unwrap();
        (0..20).for_each(|_| drop(asking.ask(&packet)));
    }
    let (questions, bytes) = asking.ready.size();
    assert!(questions > 10 && bytes > MAX_BYTES / 2 && bytes <= MAX_BYTES, "{questions}, {bytes}");
}
