//! How many questions a second of processor time answers, packet to packet, without sockets:
//! `cargo run --release -p lictor-shared --example dns_answers`.

#![allow(clippy::print_stdout, reason = "its figures go to the terminal")]

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use lictor_shared::{
    catalog::State,
    command::{Command, Registration},
    dns::{Ready, Settings, Transport, respond},
    model::{Check, Index, Node, Service, Status, Time},
};
use rand::{SeedableRng, rngs::SmallRng};

/// How long each kind of question is asked.
const TIME: Duration = Duration::from_millis(500);

fn state(instances: u32) -> State {
    let mut state = State::default();
    for number in 1..=instances {
        let node = format!("host-{number}");
        let address = Ipv4Addr::from(0x0a00_0000 + number).to_string();
        let check = Check { id: "c".into(), service_id: "web".into(), status: Status::Passing, ..Check::default() };
        let service = Service { id: "web".into(), name: "web".into(), port: 80, ..Service::default() };
        let node = Node { name: node.into(), address: address.into(), ..Node::default() };
        let registration =
            Registration { node, service: Some(service), checks: vec![check], ..Registration::default() };
        state.apply(Index(u64::from(number)), Time(0), &Command::Register(Box::new(registration)));
    }
    state
}

fn question(kind: RecordType, payload: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let name = Name::from_ascii("web.service.consul.").expect("a name");
    message.add_query(Query::query(name, kind));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message.to_vec().expect("a message")
}

/// How often a second `answer` answers.
fn rate(mut answer: impl FnMut() -> bool) -> f64 {
    let (start, mut answers) = (Instant::now(), 0_u32);
    while start.elapsed() < TIME {
        for _ in 0..64 {
            assert!(answer());
            answers += 1;
        }
    }
    f64::from(answers) / start.elapsed().as_secs_f64()
}

fn main() {
    let settings = Settings::default();
    let mut random = SmallRng::seed_from_u64(1);
    let ways = ["UDP", "EDNS 1232", "EDNS 4096", "TCP", "ready", "ready 1232"].map(|way| format!(" {way:>12}"));
    println!("{:<10} {:>9}{}", "", "instances", ways.concat());
    for kind in [RecordType::A, RecordType::SRV] {
        for instances in [1, 10, 100] {
            let state = Arc::new(state(instances));
            let mut line = format!("{kind:<10} {instances:>9}");
            let ways = [
                (None, Transport::Udp),
                (Some(1232), Transport::Udp),
                (Some(4096), Transport::Udp),
                (None, Transport::Tcp),
            ];
            for (payload, transport) in ways {
                let packet = question(kind, payload);
                let answer = || respond(&packet, transport, &state, &settings, &mut random).is_some();
                line.push_str(&format!(" {:>10.0}/s", rate(answer)));
            }
            for payload in [None, Some(1232)] {
                let packet = question(kind, payload);
                let (mut ready, mut reply) = (Ready::seeded(1), Vec::new());
                let answer = || {
                    reply.clear();
                    ready.respond(&packet, &state, &settings, &mut reply)
                };
                line.push_str(&format!(" {:>10.0}/s", rate(answer)));
            }
            println!("{line}");
        }
    }
}
