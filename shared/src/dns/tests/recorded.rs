//! Recorded answers of Consul: the same registrations, the same questions, the same answers.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::model::Weights;

/// The port of the recorded agent's server, masked in the recording.
const SERVER_PORT: u16 = 8300;

fn registrations() -> Vec<Registration> {
    let read: Vec<Value> = serde_json::from_str(include_str!("../testdata/registrations.json")).unwrap();
    read.iter().map(registration).collect()
}

fn words(value: &Value) -> Vec<SmolStr> {
    value.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().into()).collect()
}

fn registration(body: &Value) -> Registration {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let meta = body["NodeMeta"].as_object().into_iter().flatten().map(|(k, v)| (k.into(), word(v).into())).collect();
    let node =
        Node { name: word(&body["Node"]).into(), address: word(&body["Address"]).into(), meta, ..Node::default() };
    let put = &body["Service"];
    let weight = |state: &str| put["Weights"][state].as_u64().map_or(1, |weight| u32::try_from(weight).unwrap());
    let service = Service {
        id: word(&put["ID"]).into(),
        name: word(&put["Service"]).into(),
        address: word(&put["Address"]).into(),
        port: u16::try_from(put["Port"].as_u64().unwrap()).unwrap(),
        tags: words(&put["Tags"]),
        weights: Weights { passing: weight("Passing"), warning: weight("Warning") },
        ..Service::default()
    };
    let check = body["Check"].as_object().map(|check| Check {
        id: word(&check["CheckID"]).into(),
        service_id: word(&check["ServiceID"]).into(),
        status: Status::parse(&word(&check["Status"])).unwrap(),
        ..Check::default()
    });
    Registration { node, service: Some(service), checks: check.into_iter().collect(), ..Registration::default() }
}

/// The recorded agent itself: a server.
fn agent() -> Registration {
    let meta = [("consul-network-segment".into(), "".into())].into();
    let node = Node { name: "node-a".into(), address: "127.0.0.1".into(), meta, ..Node::default() };
    let service = Service { id: "consul".into(), name: "consul".into(), port: SERVER_PORT, ..Service::default() };
    let check = Check { id: "serfHealth".into(), status: Status::Passing, ..Check::default() };
    Registration { node, service: Some(service), checks: vec![check], ..Registration::default() }
}

fn flags(message: &Message) -> String {
    let metadata = &message.metadata;
    let set = [
        ("QR", metadata.message_type == MessageType::Response),
        ("AA", metadata.authoritative),
        ("TC", metadata.truncation),
        ("RD", metadata.recursion_desired),
        ("RA", metadata.recursion_available),
        ("AD", metadata.authentic_data),
        ("CD", metadata.checking_disabled),
    ];
    set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

fn code(message: &Message) -> &'static str {
    use hickory_proto::op::ResponseCode as Code;
    match message.metadata.response_code {
        Code::NoError => "NOERROR",
        Code::NXDomain => "NXDOMAIN",
        Code::ServFail => "SERVFAIL",
        Code::Refused => "REFUSED",
        other => panic!("{other}"),
    }
}

#[test]
fn every_answer_is_as_recorded() {
    let mut catalog = Catalog::default();
    catalog.put(agent());
    registrations().into_iter().for_each(|registration| catalog.put(registration));
    let recorded: Vec<Value> = serde_json::from_str(include_str!("../testdata/answers.json")).unwrap();
    assert_eq!(recorded.len(), 50);
    let (state, settings, mut ready) = (Arc::new(catalog.state), Settings::default(), Ready::seeded(1));
    for want in recorded {
        let step = want["step"].as_str().unwrap();
        let [how, name, record_type] = step.split(' ').collect::<Vec<_>>()[..] else { panic!("{step}") };
        let plain = question(name, record_type.parse().unwrap());
        let (message, transport) = match how {
            "DNS-PLAIN" => (plain, Transport::Udp),
            "DNS-TCP" => (with_edns(plain, 4096), Transport::Tcp),
            _ => (with_edns(plain, 4096), Transport::Udp),
        };
        let section = |name: &str| -> Vec<String> {
            let port = SERVER_PORT.to_string();
            words(&want[name]).iter().map(|record| record.replace("<port-server>", &port)).collect()
        };
        // By the ordinary path and then, asked again, from what is ready.
        let mut replies = vec![ask(&state, &settings, &message, transport).0];
        if transport == Transport::Udp {
            let packet = message.to_vec().unwrap();
            replies.extend((0..4).map(|_| {
                let mut reply = Vec::new();
                assert!(ready.respond(&packet, &state, &settings, &mut reply), "{step}");
                Message::from_vec(&reply).unwrap()
            }));
        }
        for got in replies {
            assert_eq!(code(&got), want["rcode"], "{step}");
            assert_eq!(flags(&got), want["flags"], "{step}");
            assert_eq!(texts(&got.answers), section("answer"), "{step}: answer");
            assert_eq!(texts(&got.authorities), section("authority"), "{step}: authority");
            assert_eq!(texts(&got.additionals), section("additional"), "{step}: additional");
            assert_eq!(got.edns.is_some(), want["edns"].as_bool().unwrap(), "{step}: EDNS");
        }
    }
}
