//! What a packet may do to us: nothing.

use hickory_proto::op::ResponseCode;
use proptest::prelude::*;

use super::*;

fn settings() -> Settings {
    Settings { alt_domain: Some(domain("x.test").unwrap()), ..Settings::default() }
}

fn sample() -> State {
    let mut catalog = Catalog { state: many(50) };
    catalog.instance("n", "web.service.consul", "consul", Status::Warning);
    catalog.instance("a b=`\u{7f}", "not a name..", "odd", Status::Passing);
    catalog.instance("long", &"long.".repeat(80), "long", Status::Passing);
    catalog.state
}

/// The reply's code, for a packet that must have one.
fn code_of(packet: &[u8]) -> ResponseCode {
    let reply = respond(packet, Transport::Udp, &sample(), &settings(), &mut rand::rng()).unwrap();
    let reply = Message::from_vec(&reply).unwrap();
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    reply.metadata.response_code
}

#[test]
fn malformed_and_unusual_messages() {
    let good = question("web.service.consul.", RecordType::A);
    let bytes = |change: &dyn Fn(&mut Message)| {
        let mut message = good.clone();
        change(&mut message);
        message.to_vec().unwrap()
    };
    let whole = bytes(&|_| {});
    assert_eq!(code_of(&whole), ResponseCode::NoError);
    assert_eq!(code_of(&whole[..whole.len() - 1]), ResponseCode::FormErr);
    assert_eq!(code_of(&whole[..12]), ResponseCode::FormErr);
    let mut counted = whole.clone();
    counted[4..12].fill(0xff);
    assert_eq!(code_of(&counted), ResponseCode::FormErr);
    counted[4..6].copy_from_slice(&[0, 1]);
    assert_eq!(code_of(&counted), ResponseCode::FormErr);
    let twice = bytes(&|m| {
        m.add_query(m.queries[0].clone());
    });
    assert_eq!(code_of(&twice), ResponseCode::FormErr);
    for operation in [OpCode::Status, OpCode::Notify, OpCode::Update, OpCode::Unknown(9)] {
        assert_eq!(code_of(&bytes(&|m| m.metadata.op_code = operation)), ResponseCode::NotImp);
    }
    for transfer in [RecordType::AXFR, RecordType::IXFR] {
        assert_eq!(code_of(&bytes(&|m| m.queries[0].query_type = transfer)), ResponseCode::NotImp);
    }
    assert_eq!(code_of(&bytes(&|m| m.queries[0].query_class = DNSClass::CH)), ResponseCode::Refused);
    let mut edns = Edns::new();
    edns.set_version(1);
    // 16 is also BADSIG, which is how it is read back.
    assert_eq!(u16::from(code_of(&bytes(&|m| m.edns = Some(edns.clone())))), u16::from(ResponseCode::BADVERS));

    let silent = |packet: &[u8]| respond(packet, Transport::Udp, &sample(), &settings(), &mut rand::rng()).is_none();
    assert!(silent(&whole[..11]));
    assert!(silent(&bytes(&|m| m.metadata.message_type = MessageType::Response)));
}

#[test]
fn the_clients_subnet_makes_no_difference() {
    use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
    let mut message = with_edns(question("web.service.consul.", RecordType::A), 1232);
    let plain = ask(&many(1), &settings(), &message, Transport::Udp).0;
    let subnet = ClientSubnet::new("192.0.2.0".parse().unwrap(), 24, 0);
    message.edns.as_mut().unwrap().options_mut().insert(EdnsOption::Subnet(subnet));
    let got = ask(&many(1), &settings(), &message, Transport::Udp).0;
    assert_eq!((got.answers, got.edns), (plain.answers, plain.edns));
}

#[test]
fn the_letter_case_of_the_question_comes_back() {
    let got = lookup(&many(1), &settings(), "WeB.sErViCe.CoNsUl.", RecordType::A);
    assert_eq!(got.queries[0].name.to_string(), "WeB.sErViCe.CoNsUl.");
    assert_eq!(texts(&got.answers), ["WeB.sErViCe.CoNsUl. 0 A 10.0.0.1"]);
    assert_eq!(got.metadata.id, 4711);
}

fn label() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "web", "consul", "long", "odd", "host-7", "_web", "_tcp", "service", "node", "addr", "query", "dc1", "x",
        "test", "0a000001", "+a000001", "in-addr", "ip6", "arpa", "10", "0", "f",
    ]);
    prop_oneof![8 => word.prop_map(|word| word.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 1..64)]
}

fn well_formed() -> impl Strategy<Value = Vec<u8>> {
    let labels = prop::collection::vec(label(), 0..36);
    let end = prop::sample::select(vec![
        "service.consul",
        "node.consul",
        "addr.consul",
        "consul",
        "x.test",
        "in-addr.arpa",
        "",
    ]);
    (labels, end, any::<u16>(), any::<u16>(), prop::option::of(any::<(u16, u8)>())).prop_map(
        |(labels, end, kind, bits, edns)| {
            let mut name = Name::root();
            for label in labels.iter().map(Vec::as_slice).chain(end.split('.').map(str::as_bytes)) {
                name = name.clone().append_label(label).unwrap_or(name);
            }
            let mut message = Message::new(bits, MessageType::Query, OpCode::Query);
            let kind = if bits & 1 == 0 { kind % 40 } else { kind };
            let mut query = Query::query(name, RecordType::from(kind));
            query.query_class = if bits & 6 == 0 { DNSClass::from(bits) } else { DNSClass::IN };
            message.add_query(query);
            if let Some((payload, version)) = edns {
                let mut edns = Edns::new();
                edns.set_max_payload(payload).set_version(version.saturating_sub(250));
                message.set_edns(edns);
            }
            message.to_vec().unwrap()
        },
    )
}

/// The reply is a message of a length the client takes, about the same question.
fn check(packet: &[u8], state: &State) -> Result<(), TestCaseError> {
    for transport in [Transport::Udp, Transport::Tcp] {
        let Some(reply) = respond(packet, transport, state, &settings(), &mut rand::rng()) else { continue };
        let read = Message::from_vec(&reply).unwrap();
        prop_assert_eq!(&reply[..2], &packet[..2]);
        prop_assert_eq!(read.metadata.message_type, MessageType::Response);
        let takes = Message::from_vec(packet).ok().and_then(|asked| asked.edns).map_or(512, |edns| edns.max_payload());
        if transport == Transport::Udp {
            prop_assert!(reply.len() <= usize::from(takes.max(512)), "{} bytes", reply.len());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_do_no_harm(packet in prop::collection::vec(any::<u8>(), 0..600)) {
        check(&packet, &many(3))?;
    }

    #[test]
    fn any_bytes_after_a_plausible_header_do_no_harm(
        id in any::<[u8; 2]>(), counts in prop::array::uniform4(0_u8..3), rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let [a, b, c, d] = counts;
        check(&[&id[..], &[1, 0, 0, a, 0, b, 0, c, 0, d], &rest].concat(), &many(3))?;
    }

    #[test]
    fn any_question_gets_an_answer_that_fits(packet in well_formed()) {
        let state = sample();
        prop_assert!(respond(&packet, Transport::Udp, &state, &settings(), &mut rand::rng()).is_some());
        check(&packet, &state)?;
    }

    #[test]
    fn a_damaged_question_does_no_harm(packet in well_formed(), damage in prop::collection::vec(any::<(u16, u8)>(), 1..6)) {
        let mut packet = packet;
        for (place, byte) in damage {
            let place = usize::from(place) % packet.len();
            packet[place] = byte;
        }
        check(&packet, &many(3))?;
    }
}
