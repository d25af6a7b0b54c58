//! From packet to packet: whatever comes is answered with a message that fits, or not at all; by UDP also when it comes
//! again and the answer is ready.
//!
//! The first byte chooses the transport and the settings, the rest is the packet. The corpus began as the recorded
//! questions (`shared/src/dns/testdata`).

use std::{
    net::Ipv4Addr,
    sync::{Arc, LazyLock},
};

use hickory_proto::op::{Message, MessageType};
use lictor_shared::{
    catalog::State,
    command::{Command, Registration},
    dns::{Ready, Settings, Transport, domain, respond},
    model::{Check, Index, Node, Service, Status, Time},
};
use rand::{SeedableRng, rngs::StdRng};

/// How often a packet comes: once, to be admitted, to be kept, and to be answered from what is kept.
const TIMES: usize = 4;

static STATE: LazyLock<Arc<State>> = LazyLock::new(|| Arc::new(state()));

/// Instances that are many, in every state, at addresses of every kind, with names that DNS cannot express.
fn state() -> State {
    let mut state = State::default();
    let mut put = |node: &str, address: &str, service: &str, status: Status| {
        let check = Check { id: "c".into(), service_id: service.into(), status, ..Check::default() };
        let service = Service {
            id: service.into(),
            name: service.into(),
            port: 80,
            tags: vec!["primary".into(), "a.b".into()],
            ..Service::default()
        };
        let meta = [("rack".into(), "r1".into()), ("long".into(), "v".repeat(300).into())].into();
        let node = Node { name: node.into(), address: address.into(), meta, ..Node::default() };
        let registration =
            Registration { node, service: Some(service), checks: vec![check], ..Registration::default() };
        let index = Index(state.index().0 + 1);
        state.apply(index, Time(0), &Command::Register(Box::new(registration)));
    };
    for number in 1..=60_u8 {
        put(&format!("host-{number}"), &Ipv4Addr::new(10, 0, 0, number).to_string(), "db", Status::Passing);
    }
    put("six", "2001:db8::6", "six", Status::Warning);
    put("down", "10.0.1.1", "down", Status::Critical);
    put("ext", "db.example.com", "ext", Status::Passing);
    put("front", "db.service.consul", "front", Status::Passing);
    put("loop", "loop.service.consul", "loop", Status::Passing);
    put("a b=`\u{7f}", "not a name..", "odd", Status::Passing);
    put("long", &"long.".repeat(80), "long", Status::Passing);
    put("server", "10.0.2.1", "consul", Status::Passing);
    state
}

fn settings(choice: u8) -> Settings {
    let bit = |bit: u8| choice & 1 << bit != 0;
    Settings {
        alt_domain: bit(1).then(|| domain("alt.consul").expect("a valid domain")),
        recursors: if bit(2) { vec![(Ipv4Addr::LOCALHOST, 53).into()] } else { Vec::new() },
        enable_truncate: bit(3),
        only_passing: bit(4),
        disable_compression: bit(5),
        a_record_limit: usize::from(bit(6)),
        ..Settings::default()
    }
}

/// Answers a packet, several times.
pub fn run(data: &[u8]) {
    let Some((choice, packet)) = data.split_first() else { return };
    let transport = if choice & 1 == 0 { Transport::Udp } else { Transport::Tcp };
    let settings = settings(*choice);
    let mut random = StdRng::seed_from_u64(0);
    let ordinary = respond(packet, transport, &STATE, &settings, &mut random);
    if let Some(reply) = &ordinary {
        check(packet, transport, reply);
    }
    if transport == Transport::Udp {
        let mut ready = Ready::seeded(0);
        for _ in 0..TIMES {
            let mut reply = Vec::new();
            let is_answered = ready.respond(packet, &STATE, &settings, &mut reply);
            assert_eq!(is_answered, ordinary.is_some(), "only one path answers");
            if let Some(ordinary) = &ordinary {
                check(packet, transport, &reply);
                // The header but for TC and the counts, which depend on the order where not all fits.
                assert_eq!((reply[2] | 2, reply[3]), (ordinary[2] | 2, ordinary[3]), "another header");
            }
        }
    }
}

fn check(packet: &[u8], transport: Transport, reply: &[u8]) {
    assert_eq!(reply[..2], packet[..2], "another number");
    let read = Message::from_vec(reply).expect("our own messages can be read");
    assert_eq!(read.metadata.message_type, MessageType::Response);
    let takes = Message::from_vec(packet).ok().and_then(|asked| asked.edns).map_or(512, |edns| edns.max_payload());
    assert!(transport == Transport::Tcp || reply.len() <= usize::from(takes.max(512)), "{} bytes", reply.len());
}
