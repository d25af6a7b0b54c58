//! Prepared queries by DNS.

use std::{collections::BTreeSet, sync::Arc};

use hickory_proto::{
    op::ResponseCode,
    rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption},
};
use uuid::Uuid;

use super::*;
use crate::{
    command::QueryCommand,
    model::{Coordinate, NodeCoordinate, PreparedQuery, ServiceQuery, Template},
};

impl Catalog {
    fn apply(&mut self, command: &Command) {
        let index = Index(self.state.index().0 + 1);
        assert!(self.state.apply(index, Time(0), command).outcome.is_done(), "{command:?}");
    }

    fn query(&mut self, number: u128, query: PreparedQuery) {
        let query = Box::new(PreparedQuery { id: Uuid::from_u128(number), ..query });
        let known = self.state.query(query.id).is_some();
        self.apply(&Command::Query(if known { QueryCommand::Update(query) } else { QueryCommand::Create(query) }));
    }
}

fn named(name: &str, service: &str) -> PreparedQuery {
    let service = ServiceQuery { service: service.into(), ..ServiceQuery::default() };
    PreparedQuery { name: name.into(), service, ..PreparedQuery::default() }
}

/// Instances of `web` on nodes n1 to n4 at 10.0.0.1 to 10.0.0.4, in a row.
fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for number in 1..=4 {
        catalog.instance(&format!("n{number}"), &format!("10.0.0.{number}"), "web", Status::Passing);
        let mut coordinate = Coordinate::default();
        coordinate.position[0] = f64::from(number);
        let update = NodeCoordinate { node: format!("n{number}").into(), coordinate };
        catalog.apply(&Command::UpdateCoordinates(vec![update]));
    }
    catalog
}

fn addresses(message: &Message) -> Vec<u8> {
    message.answers.iter().filter_map(|record| Some(record.data.ip_addr()?.to_string().as_bytes()[7] - b'0')).collect()
}

#[test]
fn names_and_times_to_live() {
    let mut catalog = catalog();
    catalog.query(1, PreparedQuery { dns_ttl: "7s".into(), ..named("My.Web", "web") });
    catalog.query(2, named("plain", "web"));
    catalog.query(3, PreparedQuery { template: Some(Template::default()), ..named("t-", "${name.suffix}") });
    let service_ttl = [("web".into(), Duration::from_secs(5))].into();
    let settings = Settings { service_ttl, ..Settings::default() };
    let look = |name: &str, kind| lookup(&catalog.state, &settings, name, kind);
    for (name, ttl) in [
        ("my.web.query.consul.", 7),
        ("MY.web.query.dc1.consul.", 7),
        ("plain.query.consul.", 5),
        ("_plain._tcp.query.consul.", 5),
        ("t-web.query.consul.", 5),
        ("00000000-0000-0000-0000-000000000001.query.consul.", 7),
    ] {
        let got = look(name, RecordType::A);
        assert_eq!((got.answers.len(), got.answers[0].ttl), (4, ttl), "{name}");
        assert!(got.metadata.authoritative && got.answers.iter().all(|record| record.name == got.queries[0].name));
        let got = look(name, RecordType::SRV);
        assert_eq!((got.answers.len(), got.additionals.len(), got.additionals[0].ttl), (4, 4, ttl), "{name}");
    }
    for name in [
        "absent.query.consul.",
        "my.web.query.dc2.consul.",
        "t-nothing.query.consul.",
        "00000000-0000-0000-0000-000000000003.query.consul.",
        "query.consul.",
    ] {
        let got = look(name, RecordType::A);
        assert_eq!((got.metadata.response_code, got.authorities.len()), (ResponseCode::NXDomain, 1), "{name}");
    }
    let got = look("plain.query.consul.", RecordType::AAAA);
    assert_eq!((got.metadata.response_code, got.answers.len()), (ResponseCode::NoError, 0));
    assert_eq!(look("db.query.consul.", RecordType::SOA).answers.len(), 1);
    let got = lookup(&State::default(), &settings, "plain.query.consul.", RecordType::A);
    assert_eq!(got.metadata.response_code, ResponseCode::ServFail);
}

fn from_subnet(name: &str, ip: &str) -> Message {
    let mut message = with_edns(question(name, RecordType::A), 4096);
    let subnet = ClientSubnet::new(ip.parse().unwrap(), 32, 0);
    message.edns.as_mut().unwrap().options_mut().insert(EdnsOption::Subnet(subnet));
    message
}

#[test]
fn the_nearest_come_first() {
    let mut catalog = catalog();
    let near = |name: &str, near: &str| {
        let mut query = named(name, "web");
        query.service.near = near.into();
        query
    };
    catalog.query(1, near("agent", "_agent"));
    catalog.query(2, near("ip", "_ip"));
    let settings = Settings { node_name: "n4".into(), ..Settings::default() };
    let ask = |message: &Message| ask(&catalog.state, &settings, message, Transport::Udp).0;
    let subnet = |message: &Message| match message.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(*subnet),
        _ => None,
    };
    for _ in 0..10 {
        let got = ask(&from_subnet("agent.query.consul.", "10.0.0.1"));
        assert_eq!((addresses(&got), subnet(&got)), (vec![4, 3, 2, 1], None));
        let got = ask(&from_subnet("ip.query.consul.", "10.0.0.1"));
        let scope = ClientSubnet::new("10.0.0.1".parse().unwrap(), 32, 32);
        assert_eq!((addresses(&got), subnet(&got)), (vec![1, 2, 3, 4], Some(scope)));
    }
    let orders: BTreeSet<_> =
        (0..200).map(|_| addresses(&ask(&with_edns(question("ip.query.consul.", RecordType::A), 4096)))).collect();
    assert!(orders.len() > 10, "without a place the order is drawn");
}

#[test]
fn what_is_kept_ready_is_never_stale() {
    let mut catalog = catalog();
    catalog.query(1, named("q", "web"));
    let (mut ready, settings) = (Ready::seeded(1), Settings::default());
    let packet = with_edns(question("q.query.consul.", RecordType::A), 4096).to_vec().unwrap();
    let mut seen = |state: &State| {
        let state = Arc::new(state.clone());
        let look = |_| {
            let mut reply = Vec::new();
            assert!(ready.respond(&packet, &state, &settings, &mut reply));
            let message = Message::from_vec(&reply).unwrap();
            (addresses(&message).into_iter().collect::<BTreeSet<_>>(), message.answers.first().map(|record| record.ttl))
        };
        let seen: BTreeSet<_> = (0..100).map(look).collect();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap()
    };
    assert_eq!(seen(&catalog.state), ([1, 2, 3, 4].into(), Some(0)));
    catalog.query(1, PreparedQuery { dns_ttl: "9s".into(), ..named("q", "web") });
    assert_eq!(seen(&catalog.state), ([1, 2, 3, 4].into(), Some(9)));
    catalog.instance("n2", "10.0.0.2", "web", Status::Critical);
    assert_eq!(seen(&catalog.state), ([1, 3, 4].into(), Some(9)));
    catalog.query(1, named("q", "other"));
    assert_eq!(seen(&catalog.state), (BTreeSet::new(), None));
    catalog.query(1, named("q", "web"));
    assert_eq!(seen(&catalog.state), ([1, 3, 4].into(), Some(0)));
    catalog.apply(&Command::Query(QueryCommand::Delete(Uuid::from_u128(1))));
    assert_eq!(seen(&catalog.state), (BTreeSet::new(), None));
}
