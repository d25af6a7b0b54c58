//! Names outside our domain: what the recursors say reaches the client as they said it, and costs our own names
//! nothing.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType},
};
use lictor_tests::{
    agent::Agent,
    dns::Transport::{self, Tcp, Udp, UdpPlain},
    upstream::{BIG_TEXTS, ODD_DATA, ODD_TYPE, SLOW, TTL, Upstream},
    wait,
};
use serde_json::json;

/// Longest time for an answer that waits for nobody, on a busy machine; far below the recursors' time-out.
const AT_ONCE: Duration = Duration::from_secs(1);

fn agent(recursors: &[SocketAddr]) -> Agent {
    let flags = recursors.iter().map(|address| format!("-recursor={address}"));
    let agent = flags.fold(Agent::dev("node-a"), Agent::argument).started();
    wait::until("the server is in the catalog", 10 * AT_ONCE, || {
        let found = agent.dns().addresses("consul.service.consul")?;
        wait::ensure(found.len() == 1, || format!("{found:?}"))
    });
    agent
}

/// A bound socket that nobody reads: no answer comes from there, and no word that none will.
fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// The same by TCP: connections are taken by the kernel, and nobody reads from them.
fn silent_by_tcp() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| format!("{} {} {}", record.name, record.record_type(), record.data)).collect()
}

fn ask(agent: &Agent, transport: Transport, name: &str, kind: RecordType) -> Message {
    agent.dns().ask(transport, name, kind).unwrap()
}

#[test]
fn what_an_upstream_says_is_passed_on() {
    let upstream = Upstream::start();
    let agent = agent(&[upstream.address]);

    for transport in [Udp, UdpPlain, Tcp] {
        let got = ask(&agent, transport, "WWW.Example.test", RecordType::A);
        assert_eq!(texts(&got.answers), ["WWW.Example.test. A 192.0.2.1"], "{transport:?}");
        assert_eq!(got.queries[0].name.to_string(), "WWW.Example.test.");
        assert!(got.metadata.recursion_available && !got.metadata.authoritative);
        assert_eq!(got.edns.is_some(), transport != UdpPlain);
    }
    let got = ask(&agent, UdpPlain, "alias.example.test", RecordType::A);
    assert_eq!(texts(&got.answers), ["alias.example.test. CNAME www.example.test.", "www.example.test. A 192.0.2.1"]);
    let got = ask(&agent, Udp, "none.example.test", RecordType::A);
    assert_eq!((got.metadata.response_code, got.authorities.len()), (ResponseCode::NXDomain, 1));
    assert_eq!(got.authorities[0].record_type(), RecordType::SOA);
    let got = ask(&agent, Udp, "www.example.test", RecordType::AAAA);
    assert_eq!((got.metadata.response_code, got.answers.len()), (ResponseCode::NoError, 0));
    assert_eq!(got.authorities[0].record_type(), RecordType::SOA);
    let got = ask(&agent, Udp, "odd.example.test", RecordType::from(ODD_TYPE));
    let RData::Unknown { rdata, .. } = &got.answers[0].data else { panic!("{got:?}") };
    assert_eq!(rdata.anything, ODD_DATA);
    let got = ask(&agent, Udp, "1.2.0.192.in-addr.arpa", RecordType::PTR);
    assert_eq!(texts(&got.answers), ["1.2.0.192.in-addr.arpa. PTR www.example.test."]);
    let got = ask(&agent, Udp, "fails.example.test", RecordType::A);
    assert_eq!(got.metadata.response_code, ResponseCode::ServFail);
    let got = ask(&agent, Udp, "lies.example.test", RecordType::A);
    assert_eq!(texts(&got.answers), ["lies.example.test. A 192.0.2.1"]);
    let got = ask(&agent, Tcp, "www.example.test", RecordType::AXFR);
    assert_eq!(got.metadata.response_code, ResponseCode::NotImp);

    // Our own names are answered as ever, with RA.
    let got = ask(&agent, Udp, "consul.service.consul", RecordType::A);
    assert_eq!(texts(&got.answers), ["consul.service.consul. A 127.0.0.1"]);
    assert!(got.metadata.recursion_available && got.metadata.authoritative);
    let got = ask(&agent, Udp, "none.service.consul", RecordType::A);
    assert_eq!(got.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(upstream.times(Udp, "none.service.consul.", RecordType::A), 0);
}

#[test]
fn what_was_cut_is_asked_for_by_tcp() {
    let upstream = Upstream::start();
    let agent = agent(&[upstream.address]);
    let big = "big.example.test";

    let got = ask(&agent, UdpPlain, big, RecordType::TXT);
    assert!(got.metadata.truncation && got.answers.len() == 2, "{got:?}");
    let got = ask(&agent, Udp, big, RecordType::TXT);
    assert!(got.metadata.truncation && (15..BIG_TEXTS).contains(&got.answers.len()), "{got:?}");
    let got = ask(&agent, Tcp, big, RecordType::TXT);
    assert_eq!((got.answers.len(), got.metadata.truncation), (BIG_TEXTS, false));
    // With and without EDNS are two questions; the one by TCP was known already.
    assert_eq!(upstream.times(Udp, "big.example.test.", RecordType::TXT), 2);
    assert_eq!(upstream.times(Tcp, "big.example.test.", RecordType::TXT), 2);

    let got = ask(&agent, Tcp, "alias.example.test", RecordType::A);
    assert_eq!(got.answers.len(), 2);
    assert_eq!(upstream.times(Udp, "alias.example.test.", RecordType::A), 0);
    assert_eq!(upstream.times(Tcp, "alias.example.test.", RecordType::A), 1);
}

#[test]
fn answers_are_kept_and_questions_shared() {
    let upstream = Upstream::start();
    let agent = agent(&[upstream.address]);
    let dns = agent.dns();
    let ask = |name: &'static str| move || dns.ask(Udp, name, RecordType::A).unwrap();
    let clients: Vec<_> = ["slow.example.test", "SLOW.example.test"]
        .into_iter()
        .cycle()
        .take(16)
        .map(|n| thread::spawn(ask(n)))
        .collect();
    for (client, name) in clients.into_iter().zip(["slow", "SLOW"].into_iter().cycle()) {
        assert_eq!(texts(&client.join().unwrap().answers), [format!("{name}.example.test. A 192.0.2.1")]);
    }
    assert_eq!(upstream.times(Udp, "slow.example.test.", RecordType::A), 1);

    let deadline = Instant::now() + 10 * AT_ONCE;
    let counted_down = loop {
        let got = ask("slow.example.test")();
        if got.answers[0].ttl < TTL || Instant::now() > deadline {
            break got.answers[0].ttl;
        }
        thread::sleep(AT_ONCE / 10);
    };
    assert!((TTL - 15..TTL).contains(&counted_down), "{counted_down}");
    assert_eq!(upstream.times(Udp, "slow.example.test.", RecordType::A), 1);
    for _ in 0..3 {
        let got = ask("none.example.test")();
        assert!(got.authorities[0].ttl <= 30);
    }
    assert_eq!(upstream.times(Udp, "none.example.test.", RecordType::A), 1);
}

#[test]
fn a_dead_upstream_is_passed_over_and_delays_nobody_else() {
    let upstream = Upstream::start();
    let (_socket, dead) = silent();
    let agent = agent(&[dead, upstream.address]);
    let (dns, start) = (agent.dns(), Instant::now());
    let waiting = thread::spawn(move || dns.ask(Udp, "dead.example.test", RecordType::A).unwrap());
    let dns = agent.dns();
    let followed = thread::spawn(move || dns.ask(Udp, "www.example.test", RecordType::A).unwrap());

    for transport in [Udp, Tcp] {
        let start = Instant::now();
        let got = ask(&agent, transport, "consul.service.consul", RecordType::A);
        assert_eq!(got.answers.len(), 1);
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    }
    // The first does not answer, the second does.
    assert_eq!(texts(&followed.join().unwrap().answers), ["www.example.test. A 192.0.2.1"]);
    // From now on the second is asked first.
    let again = Instant::now();
    let got = ask(&agent, Udp, "slow.example.test", RecordType::A);
    assert_eq!(got.answers.len(), 1);
    assert!((SLOW..SLOW + AT_ONCE).contains(&again.elapsed()), "{:?}", again.elapsed());
    // Neither answers.
    assert_eq!(waiting.join().unwrap().metadata.response_code, ResponseCode::ServFail);
    assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn a_connection_with_a_slow_question_answers_the_next_first() {
    use std::io::{Read, Write};
    // A question that came by TCP goes on by TCP.
    let (_listener, dead) = silent_by_tcp();
    let agent = agent(&[dead]);
    let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, agent.ports.dns)).unwrap();
    stream.set_read_timeout(Some(10 * AT_ONCE)).unwrap();
    for (id, name) in [(1, "www.example.test."), (2, "consul.service.consul.")] {
        let mut message = Message::query();
        message.metadata.id = id;
        message.metadata.recursion_desired = true;
        let name = hickory_proto::rr::Name::from_ascii(name).unwrap();
        message.add_query(hickory_proto::op::Query::query(name, RecordType::A));
        let packet = message.to_vec().unwrap();
        let length = u16::try_from(packet.len()).unwrap();
        stream.write_all(&[&length.to_be_bytes()[..], &packet].concat()).unwrap();
    }
    let mut next = || {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut packet).unwrap();
        let message = Message::from_vec(&packet).unwrap();
        (message.metadata.id, message.metadata.response_code)
    };
    assert_eq!(next(), (2, ResponseCode::NoError));
    assert_eq!(next(), (1, ResponseCode::ServFail));
}

#[test]
fn aliases_and_targets_outside_are_followed() {
    let upstream = Upstream::start();
    let agent = agent(&[upstream.address]);
    for (node, address) in [("ext", "www.example.test"), ("chain", "alias.example.test"), ("lost", "none.example.test")]
    {
        let service = json!({"Service": node, "Port": 443});
        let body = json!({"Node": node, "Address": address, "SkipNodeUpdate": false, "Service": service});
        agent.http().put("/v1/catalog/register", &body).unwrap();
    }
    let answers = |name: &str, kind| texts(&ask(&agent, Udp, name, kind).answers);
    assert_eq!(
        answers("ext.service.consul", RecordType::A),
        ["ext.service.consul. CNAME www.example.test.", "www.example.test. A 192.0.2.1"]
    );
    assert_eq!(answers("ext.node.consul", RecordType::A).len(), 2);
    assert_eq!(answers("ext.node.consul", RecordType::ANY).len(), 2);
    assert_eq!(answers("ext.service.consul", RecordType::AAAA), ["ext.service.consul. CNAME www.example.test."]);
    assert_eq!(
        answers("chain.service.consul", RecordType::A),
        [
            "chain.service.consul. CNAME alias.example.test.",
            "alias.example.test. CNAME www.example.test.",
            "www.example.test. A 192.0.2.1"
        ]
    );
    assert_eq!(answers("lost.service.consul", RecordType::A), ["lost.service.consul. CNAME none.example.test."]);
    let got = ask(&agent, Udp, "chain.service.consul", RecordType::SRV);
    assert_eq!(texts(&got.answers), ["chain.service.consul. SRV 1 1 443 alias.example.test."]);
    assert_eq!(texts(&got.additionals)[..2], texts(&ask(&agent, Udp, "alias.example.test", RecordType::A).answers));
}
