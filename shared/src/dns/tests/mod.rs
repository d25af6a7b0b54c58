//! Tests of the DNS interface as a whole: registrations in, packets out.

mod limits;
mod lookups;
mod packets;
mod queries;
mod ready;
mod recorded;
mod sockets;

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{DNSClass, Name, RData, Record, RecordType},
};

use super::*;
use crate::{
    catalog::State,
    command::{Command, Registration},
    model::{Check, Index, Node, Service, Status, Time},
};

/// Puts things into a state, one index after the other.
#[derive(Default)]
struct Catalog {
    state: State,
}

impl Catalog {
    fn put(&mut self, registration: Registration) {
        let index = Index(self.state.index().0 + 1);
        self.state.apply(index, Time(0), &Command::Register(Box::new(registration)));
    }

    /// An instance of `service` on a node of its own, with one check in that state.
    fn instance(&mut self, node: &str, address: &str, service: &str, status: Status) {
        let check = Check { id: "c".into(), service_id: service.into(), status, ..Check::default() };
        let service = Service { id: service.into(), name: service.into(), port: 80, ..Service::default() };
        let node = Node { name: node.into(), address: address.into(), ..Node::default() };
        self.put(Registration { node, service: Some(service), checks: vec![check], ..Registration::default() });
    }
}

/// A state with `count` passing instances of `web`, at 10.0.0.1 and so on.
fn many(count: u32) -> State {
    let mut catalog = Catalog::default();
    for number in 1..=count {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
        catalog.instance(&format!("host-{number}"), &address, "web", Status::Passing);
    }
    catalog.state
}

fn question(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let mut query = Query::query(Name::from_ascii(name).unwrap(), record_type);
    query.query_class = DNSClass::IN;
    query.name.set_fqdn(true);
    message.add_query(query);
    message
}

fn with_edns(mut message: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

/// Asks and gives the reply as it was on the wire, too.
fn ask(state: &State, settings: &Settings, message: &Message, transport: Transport) -> (Message, usize) {
    let packet = respond(&message.to_vec().unwrap(), transport, state, settings, &mut rand::rng()).unwrap();
    (Message::from_vec(&packet).unwrap(), packet.len())
}

fn lookup(state: &State, settings: &Settings, name: &str, record_type: RecordType) -> Message {
    ask(state, settings, &with_edns(question(name, record_type), 4096), Transport::Udp).0
}

/// A record in the form `name ttl type data`, with the serial of a SOA masked.
fn text(record: &Record) -> String {
    let data = match &record.data {
        RData::SOA(soa) => {
            format!("{} {} <serial> {} {} {} {}", soa.mname, soa.rname, soa.refresh, soa.retry, soa.expire, soa.minimum)
        }
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target),
        RData::TXT(txt) => {
            let strings = txt.txt_data.iter().map(|s| format!("{:?}", std::str::from_utf8(s).unwrap()));
            strings.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    format!("{} {} {} {data}", record.name, record.ttl, record.record_type())
}

fn texts(records: &[Record]) -> Vec<String> {
    let mut texts: Vec<_> = records.iter().map(text).collect();
    texts.sort();
    texts
}
