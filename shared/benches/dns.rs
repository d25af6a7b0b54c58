//! What an answer costs, packet to packet, without sockets: `cargo bench -p lictor-shared --bench dns`.
//!
//! `answer` is the search for records, `message` that and the packet, `ready` the packet when it was asked before.

use std::{hint::black_box, net::Ipv4Addr, sync::Arc};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use lictor_shared::{
    catalog::State,
    command::{Command, Registration},
    dns::{Ready, Settings, Transport, answer, respond},
    model::{Index, Node, Service, Time},
};
use rand::{SeedableRng, rngs::SmallRng};

const NAME: &str = "web.service.consul.";
/// What most resolvers take, in bytes.
const PAYLOAD: u16 = 1232;

fn state(instances: u32) -> State {
    let mut state = State::default();
    for number in 1..=instances {
        let address = Ipv4Addr::from(0x0a00_0000 + number).to_string();
        let service = Service { id: "web".into(), name: "web".into(), port: 80, ..Service::default() };
        let node = Node { name: format!("host-{number}").as_str().into(), address: address.into(), ..Node::default() };
        let registration = Registration { node, service: Some(service), ..Registration::default() };
        state.apply(Index(u64::from(number)), Time(0), &Command::Register(Box::new(registration)));
    }
    state
}

fn question(name: &Name, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    message.set_edns(edns);
    message.to_vec().expect("a message")
}

fn answers(criterion: &mut Criterion) {
    let settings = Settings::default();
    let name = Name::from_ascii(NAME).expect("a name");
    let mut random = SmallRng::seed_from_u64(1);
    for kind in [RecordType::A, RecordType::SRV] {
        let mut group = criterion.benchmark_group(kind.to_string());
        for instances in [1, 10, 100] {
            let state = Arc::new(state(instances));
            let packet = question(&name, kind);
            group.bench_function(BenchmarkId::new("answer", instances), |bencher| {
                bencher.iter(|| answer(&state, &settings, black_box(&name), kind, &mut random));
            });
            group.bench_function(BenchmarkId::new("message", instances), |bencher| {
                bencher.iter(|| respond(black_box(&packet), Transport::Udp, &state, &settings, &mut random));
            });
            let (mut ready, mut reply) = (Ready::seeded(1), Vec::new());
            group.bench_function(BenchmarkId::new("ready", instances), |bencher| {
                bencher.iter(|| {
                    reply.clear();
                    ready.respond(black_box(&packet), &state, &settings, &mut reply)
                });
            });
        }
    }
}

criterion_group!(benches, answers);
criterion_main!(benches);
