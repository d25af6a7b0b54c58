//! Whatever a server's state goes through, and wherever streams break off and are resumed: a sidecar that has caught up
//! has exactly the server's state, and its index never went back.

use std::collections::VecDeque;

use bytes::Bytes;
use lictor_proto::{
    encode_change, encode_record,
    internal::{Changes, InitBegin, InitDone, Records, WatchEvent, watch_event::Event},
};
use lictor_shared::{
    catalog::{Record, State},
    command::{Command, Deregistration, Registration},
    model::{Check, Index, Node, Service, Status, Time},
    view,
};
use proptest::prelude::*;

use crate::absorb::Absorber;

/// Records of one message of a whole state; few, so that streams break off within one.
const RECORDS_OF_MESSAGE: usize = 3;

/// A server's state, the changes it still has, and what is on its way to the sidecar.
#[derive(Default)]
struct Server {
    state: State,
    ring: VecDeque<(Index, Bytes)>,
    /// Every change after this one is in the ring.
    floor: Index,
    /// None: there is no stream.
    stream: Option<VecDeque<Event>>,
}

impl Server {
    fn write(&mut self, command: &Command) {
        let index = Index(self.state.index().0 + 1);
        let applied = self.state.apply(index, Time(index.0), command);
        let encoded = encode_change(&applied.change);
        self.ring.push_back((index, encoded.clone()));
        if let Some(stream) = &mut self.stream {
            stream.push_back(Event::Changes(Changes { changes: vec![encoded] }));
        }
    }

    fn forget_changes(&mut self, count: usize) {
        for _ in 0..count {
            if let Some((index, _)) = self.ring.pop_front() {
                self.floor = index;
            }
        }
    }

    /// Opens a stream for a sidecar that has `index`; it is told some of what it has once more.
    fn open(&mut self, index: Index, told_again: u64) {
        let from = Index(index.0.saturating_sub(told_again)).max(self.floor);
        let mut stream = VecDeque::new();
        if index >= self.floor && index > Index(0) {
            let missing = self.ring.iter().filter(|(change, _)| *change > from).map(|(_, encoded)| encoded.clone());
            stream.push_back(Event::Changes(Changes { changes: missing.collect() }));
        } else {
            let records: Vec<Bytes> = self.state.records().map(|record| encode_record(&record)).collect();
            stream.push_back(Event::InitBegin(InitBegin {}));
            let pieces = records.chunks(RECORDS_OF_MESSAGE);
            stream.extend(pieces.map(|piece| Event::Records(Records { records: piece.to_vec() })));
            stream.push_back(Event::InitDone(InitDone { index: self.state.index().0 }));
        }
        self.stream = Some(stream);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Command),
    ForgetChanges(usize),
    Open { told_again: u64 },
    Break,
    Deliver(usize),
}

fn command() -> impl Strategy<Value = Command> {
    let node = || prop::sample::select(&["n1", "N2"][..]);
    let id = || prop::sample::select(&["a", "B", "c"][..]);
    let status = prop::sample::select(&Status::ALL[..]);
    let register = (node(), id(), status).prop_map(|(node, id, status)| {
        let service = Service { id: id.into(), name: "web".into(), ..Service::default() };
        let check = Check { id: id.into(), service_id: id.into(), status, ..Check::default() };
        Command::Register(Box::new(Registration {
            node: Node { name: node.into(), address: "10.0.0.1".into(), ..Node::default() },
            service: Some(service),
            checks: vec![check],
            ..Registration::default()
        }))
    });
    prop_oneof![
        4 => register,
        1 => (node(), id()).prop_map(|(node, id)| Command::Deregister(Deregistration::Service(node.into(), id.into()))),
        1 => node().prop_map(|node| Command::Deregister(Deregistration::Node(node.into()))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => command().prop_map(Step::Write),
        1 => (1..10_usize).prop_map(Step::ForgetChanges),
        2 => (0..3_u64).prop_map(|told_again| Step::Open { told_again }),
        1 => Just(Step::Break),
        4 => (1..6_usize).prop_map(Step::Deliver),
    ]
}

fn open(server: &mut Server, absorber: &mut Absorber, told_again: u64) {
    absorber.begin();
    server.open(absorber.index(), told_again);
}

fn deliver(server: &mut Server, absorber: &mut Absorber, count: usize) {
    for event in server.stream.iter_mut().flat_map(|stream| stream.drain(..count.min(stream.len()))) {
        let before = absorber.index();
        absorber.take(WatchEvent { event: Some(event) }, false).unwrap();
        assert!(absorber.index() >= before, "the index went back from {before}");
    }
}

proptest! {
    #[test]
    fn a_sidecar_that_has_caught_up_has_the_servers_state(steps in prop::collection::vec(step(), 0..60)) {
        let (writer, reader) = view::new();
        let (mut server, mut absorber) = (Server::default(), Absorber::new(writer));
        for step in steps {
            match step {
                Step::Write(command) => server.write(&command),
                Step::ForgetChanges(count) => server.forget_changes(count),
                Step::Open { told_again } => open(&mut server, &mut absorber, told_again),
                Step::Break => server.stream = None,
                Step::Deliver(count) => deliver(&mut server, &mut absorber, count),
            }
        }
        if server.stream.is_none() {
            open(&mut server, &mut absorber, 0);
        }
        deliver(&mut server, &mut absorber, usize::MAX);
        let view = reader.load_full();
        prop_assert_eq!(view.index(), server.state.index());
        let (had, sent): (Vec<Record>, Vec<Record>) = (view.records().collect(), server.state.records().collect());
        prop_assert_eq!(had, sent);
    }
}
