//! Lookups beyond the recording.

use hickory_proto::op::ResponseCode;

use super::*;

fn answers(state: &State, settings: &Settings, name: &str, record_type: RecordType) -> Vec<String> {
    texts(&lookup(state, settings, name, record_type).answers)
}

#[test]
fn unhealthy_instances_are_left_out() {
    let mut catalog = Catalog::default();
    catalog.instance("n1", "10.0.0.1", "web", Status::Passing);
    catalog.instance("n2", "10.0.0.2", "web", Status::Warning);
    catalog.instance("n3", "10.0.0.3", "web", Status::Critical);
    catalog.instance("n4", "10.0.0.4", "down", Status::Critical);
    let (state, settings) = (&catalog.state, Settings::default());
    let strict = Settings { only_passing: true, ..Settings::default() };
    let web = "web.service.consul.";
    let record = |n| format!("web.service.consul. 0 A 10.0.0.{n}");
    assert_eq!(answers(state, &settings, web, RecordType::A), [record(1), record(2)]);
    assert_eq!(answers(state, &strict, web, RecordType::A), [record(1)]);
    let down = lookup(state, &settings, "down.service.consul.", RecordType::A);
    assert_eq!(down.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(down.authorities.len(), 1);
}

#[test]
fn before_the_first_snapshot_nothing_is_denied() {
    let state = State::default();
    for name in ["web.service.consul.", "n.node.consul."] {
        let got = lookup(&state, &Settings::default(), name, RecordType::A);
        assert_eq!(got.metadata.response_code, ResponseCode::ServFail);
    }
}

#[test]
fn answers_come_in_every_order() {
    let state = many(4);
    let first = || text(&lookup(&state, &Settings::default(), "web.service.consul.", RecordType::A).answers[0]);
    let seen: std::collections::BTreeSet<_> = (0..400).map(|_| first()).collect();
    assert_eq!(seen.len(), 4);
}

#[test]
fn times_to_live_by_kind_and_name() {
    let mut catalog = Catalog::default();
    for (number, service) in ["web", "web-api", "db"].iter().enumerate() {
        catalog.instance(&format!("n{number}"), &format!("10.0.0.{number}"), service, Status::Passing);
    }
    let ttl = |settings: &Settings, name: &str| lookup(&catalog.state, settings, name, RecordType::A).answers[0].ttl;
    let second = Duration::from_secs;
    let service_ttl = [("web".into(), second(3)), ("web*".into(), second(5)), ("*".into(), second(7))].into();
    let settings = Settings { node_ttl: second(11), service_ttl, ..Settings::default() };
    let table = [
        ("web.service.consul.", 3),
        ("WEB.service.consul.", 3),
        ("web-api.service.consul.", 5),
        ("db.service.consul.", 7),
        ("n1.node.consul.", 11),
    ];
    for (name, want) in table {
        assert_eq!(ttl(&settings, name), want, "{name}");
    }
    let long = Settings { node_ttl: Duration::MAX, ..Settings::default() };
    assert_eq!(ttl(&long, "n1.node.consul."), 0x7fff_ffff);
}

#[test]
fn the_other_domain_answers_in_its_own_name() {
    let state = many(1);
    let settings = Settings { alt_domain: Some(domain("lictor.example").unwrap()), ..Settings::default() };
    let got = lookup(&state, &settings, "web.service.Lictor.Example.", RecordType::SRV);
    assert_eq!(texts(&got.answers), ["web.service.Lictor.Example. 0 SRV 1 1 80 host-1.node.dc1.lictor.example."]);
    let got = lookup(&state, &settings, "web.service.consul.", RecordType::SRV);
    assert_eq!(texts(&got.answers), ["web.service.consul. 0 SRV 1 1 80 host-1.node.dc1.consul."]);
    let got = lookup(&state, &settings, "nope.service.lictor.example.", RecordType::A);
    assert_eq!(
        texts(&got.authorities),
        ["lictor.example. 0 SOA ns.lictor.example. hostmaster.lictor.example. <serial> 3600 600 86400 0"]
    );
}

#[test]
fn aliases_within_our_domain_are_followed_but_not_for_ever() {
    let mut catalog = Catalog::default();
    catalog.instance("n1", "10.0.0.1", "web", Status::Passing);
    catalog.instance("n2", "web.service.consul", "front", Status::Passing);
    catalog.instance("n3", "loop.service.consul", "loop", Status::Passing);
    let settings = Settings::default();
    assert_eq!(
        answers(&catalog.state, &settings, "front.service.consul.", RecordType::A),
        ["front.service.consul. 0 CNAME web.service.consul.", "web.service.consul. 0 A 10.0.0.1"]
    );
    assert_eq!(answers(&catalog.state, &settings, "loop.service.consul.", RecordType::A).len(), 1 + 3);
}

#[test]
fn instances_at_one_address_share_its_record() {
    let mut catalog = Catalog::default();
    let instance = |id: &str, port, address: &str| Registration {
        node: Node { name: "n1".into(), address: "10.0.0.1".into(), ..Node::default() },
        service: Some(Service {
            id: id.into(),
            name: "web".into(),
            port,
            address: address.into(),
            ..Service::default()
        }),
        ..Registration::default()
    };
    catalog.put(instance("a", 1, ""));
    catalog.put(instance("b", 2, "10.0.0.1"));
    catalog.put(instance("c", 2, ""));
    let got = lookup(&catalog.state, &Settings::default(), "web.service.consul.", RecordType::A);
    assert_eq!(texts(&got.answers), ["web.service.consul. 0 A 10.0.0.1"]);
    let got = lookup(&catalog.state, &Settings::default(), "web.service.consul.", RecordType::SRV);
    let record = |port| format!("web.service.consul. 0 SRV 1 1 {port} n1.node.dc1.consul.");
    assert_eq!(texts(&got.answers), [record(1), record(2)]);
    assert_eq!(texts(&got.additionals), ["n1.node.dc1.consul. 0 A 10.0.0.1"]);
}

#[test]
fn addresses_have_names_both_ways() {
    let mut catalog = Catalog::default();
    catalog.instance("six", "2001:db8::6", "web", Status::Passing);
    let service = Service { id: "db".into(), name: "db".into(), address: "10.9.9.9".into(), ..Service::default() };
    let node = Node { name: "n".into(), address: "10.0.0.1".into(), ..Node::default() };
    catalog.put(Registration { node, service: Some(service), ..Registration::default() });
    let (state, settings) = (&catalog.state, Settings::default());
    let hex = "20010db8000000000000000000000006.addr.dc1.consul.";
    assert_eq!(answers(state, &settings, hex, RecordType::AAAA), [format!("{hex} 0 AAAA 2001:db8::6")]);
    assert!(answers(state, &settings, hex, RecordType::A).is_empty());
    let reverse = format!("6.{}8.b.d.0.1.0.0.2.ip6.arpa.", "0.".repeat(23));
    assert_eq!(answers(state, &settings, &reverse, RecordType::PTR), [format!("{reverse} 0 PTR six.node.dc1.consul.")]);
    assert_eq!(
        answers(state, &settings, "9.9.9.10.in-addr.arpa.", RecordType::PTR),
        ["9.9.9.10.in-addr.arpa. 0 PTR db.service.dc1.consul."]
    );
}

#[test]
fn a_node_that_cannot_be_named_is_reached_by_its_address() {
    let mut catalog = Catalog::default();
    catalog.instance(&"x".repeat(80), "10.0.0.1", "web", Status::Passing);
    let got = lookup(&catalog.state, &Settings::default(), "web.service.consul.", RecordType::SRV);
    assert_eq!(texts(&got.answers), ["web.service.consul. 0 SRV 1 1 80 0a000001.addr.dc1.consul."]);
    assert_eq!(texts(&got.additionals), ["0a000001.addr.dc1.consul. 0 A 10.0.0.1"]);
}

#[test]
fn name_servers_are_the_living_servers() {
    let mut catalog = Catalog::default();
    for number in 1..=5 {
        let status = if number == 5 { Status::Critical } else { Status::Passing };
        catalog.instance(&format!("s{number}"), &format!("10.0.0.{number}"), "consul", status);
    }
    for _ in 0..20 {
        let got = lookup(&catalog.state, &Settings::default(), "consul.", RecordType::NS);
        assert_eq!((got.answers.len(), got.additionals.len()), (3, 3));
        assert!(!texts(&got.additionals).iter().any(|record| record.ends_with("10.0.0.5")));
    }
}

#[test]
fn meta_of_nodes_is_added_where_it_is_wanted() {
    let mut catalog = Catalog::default();
    let node = Node {
        name: "n".into(),
        address: "10.0.0.1".into(),
        meta: [("rack".into(), "r1".into())].into(),
        ..Node::default()
    };
    catalog.put(Registration { node, ..Registration::default() });
    for (node_meta_txt, added) in [(true, 1), (false, 0)] {
        let settings = Settings { node_meta_txt, ..Settings::default() };
        let got = lookup(&catalog.state, &settings, "n.node.consul.", RecordType::A);
        assert_eq!((got.answers.len(), got.additionals.len()), (1, added));
        // Asked for, it is there in any case.
        assert_eq!(
            answers(&catalog.state, &settings, "n.node.consul.", RecordType::TXT),
            ["n.node.consul. 0 TXT \"rack=r1\""]
        );
    }
}

#[test]
fn names_outside_are_for_recursors_alone() {
    let mut catalog = Catalog::default();
    catalog.instance("ext", "db.example.com", "ext", Status::Passing);
    let recursors = vec!["127.0.0.1:53".parse().unwrap()];
    let with = Settings { recursors, ..Settings::default() };
    for (settings, available, code) in
        [(&with, true, ResponseCode::ServFail), (&Settings::default(), false, ResponseCode::Refused)]
    {
        let got = lookup(&catalog.state, settings, "www.example.com.", RecordType::A);
        assert_eq!((got.metadata.response_code, got.metadata.recursion_available), (code, available));
        let got = lookup(&catalog.state, settings, "ext.service.consul.", RecordType::A);
        assert_eq!(got.metadata.recursion_available, available);
        assert_eq!(texts(&got.answers), ["ext.service.consul. 0 CNAME db.example.com."]);
    }
}
