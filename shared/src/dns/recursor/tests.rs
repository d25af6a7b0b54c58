//! Messages of recursors as bytes, and how long they are kept. Sockets: `tests/tests/dns_recursors.rs`.

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, SOA},
    },
};
use proptest::prelude::*;

use super::{received::Received, *};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn message(edns: bool) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name("WWW.example.test."), RecordType::A));
    message.edns = edns.then(Edns::new);
    message
}

fn asked(message: &Message) -> Asked {
    Asked::read(&message.to_vec().unwrap(), &message.metadata, message.edns.as_ref()).unwrap()
}

/// An answer with that many addresses, with these TTLs.
fn answer(question: &Message, ttls: &[u32]) -> Message {
    let mut answer = question.clone();
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.authoritative = true;
    let record = |ttl: &u32| Record::from_rdata(name("www.example.test."), *ttl, RData::A(A::new(192, 0, 2, 1)));
    answer.answers.extend(ttls.iter().map(record));
    answer
}

fn with_soa(mut answer: Message, ttl: u32, minimum: u32) -> Message {
    let soa = SOA::new(name("ns.test."), name("admin.test."), 1, 2, 3, 4, minimum);
    answer.authorities.push(Record::from_rdata(name("test."), ttl, RData::SOA(soa)));
    answer
}

fn received(answer: &Message, asked: &Asked) -> Received {
    Received::read(answer.to_vec().unwrap(), asked).unwrap()
}

#[test]
fn how_long_answers_are_kept() {
    let question = message(false);
    let asked = asked(&question);
    let no_such_name = |mut answer: Message| {
        answer.metadata.response_code = ResponseCode::NXDomain;
        answer
    };
    let table = [
        ("the shortest TTL", answer(&question, &[60, 5, 90]), 5),
        ("no longer than a day", answer(&question, &[1_000_000]), 86_400),
        ("the highest bit", answer(&question, &[0x8000_0001]), 0),
        ("the SOA's minimum", no_such_name(with_soa(answer(&question, &[]), 60, 30)), 30),
        ("the SOA's TTL", with_soa(answer(&question, &[]), 20, 30), 20),
        ("no longer than three hours", with_soa(answer(&question, &[]), 1_000_000, 1_000_000), 10_800),
        ("without a SOA", no_such_name(answer(&question, &[])), 0),
        ("nothing", answer(&question, &[]), 0),
    ];
    for (what, answer, lifetime) in table {
        assert_eq!(received(&answer, &asked).lifetime, lifetime, "{what}");
    }
}

#[test]
fn what_a_client_gets() {
    for edns in [false, true] {
        let question = message(edns);
        let asked = asked(&question);
        let mut other = asked.clone();
        other.id = 99;
        other.question[1..4].copy_from_slice(b"wWw");
        let received = received(&answer(&question, &[60; 40]), &asked);
        let got = Message::from_vec(&received.reply(&other, 7, u16::MAX)).unwrap();
        assert_eq!((got.metadata.id, got.answers.len(), got.edns.is_some()), (99, 40, edns));
        assert!(got.metadata.recursion_available && !got.metadata.authoritative && !got.metadata.truncation);
        assert_eq!(got.queries[0].name.to_string(), "wWw.example.test.");
        assert!(got.answers.iter().all(|record| record.ttl == 53));
        let cut = received.reply(&asked, 0, 512);
        let got = Message::from_vec(&cut).unwrap();
        assert!(got.metadata.truncation && cut.len() <= 512 && cut.len() > 480, "{}", cut.len());
        assert_eq!(got.edns.is_some(), edns);
    }
    // An EDNS record that the client cannot take.
    let (with, without) = (message(true), message(false));
    let received = received(&answer(&with, &[60]), &asked(&with));
    let got = Message::from_vec(&received.reply(&asked(&without), 0, 512)).unwrap();
    assert_eq!((got.answers.len(), got.edns.is_some()), (1, false));
}

#[test]
fn additional_records_go_before_the_answer_is_cut() {
    let question = message(true);
    let mut answer = answer(&question, &[60; 5]);
    let glue = Record::from_rdata(name("glue.example.test."), 60, RData::A(A::new(192, 0, 2, 2)));
    answer.additionals = vec![glue; 60];
    let asked = asked(&question);
    let reply = received(&answer, &asked).reply(&asked, 0, 512);
    let got = Message::from_vec(&reply).unwrap();
    assert_eq!((got.answers.len(), got.additionals.len(), got.metadata.truncation), (5, 0, false));
    assert!(got.edns.is_some());
}

#[test]
fn an_answer_to_another_question_is_none() {
    let question = message(false);
    let asked = asked(&question);
    let good = answer(&question, &[60]);
    let changed = |change: &dyn Fn(&mut Message)| {
        let mut message = good.clone();
        change(&mut message);
        asked.is_asked_in(7, &message.to_vec().unwrap())
    };
    assert!(changed(&|_| {}));
    assert!(changed(&|message| message.queries[0].name = name("www.EXAMPLE.test.")));
    assert!(!changed(&|message| message.metadata.id = 8));
    assert!(!changed(&|message| message.metadata.message_type = MessageType::Query));
    assert!(!changed(&|message| message.metadata.op_code = OpCode::Notify));
    assert!(!changed(&|message| message.queries[0].name = name("ww.example.test.")));
    // 65 and 97 are the same letter in two cases, but not the same type.
    assert!(!changed(&|message| message.queries[0].query_type = RecordType::Unknown(0x21)));
    assert!(!asked.is_asked_in(7, &[]));
}

#[test]
fn the_cache_is_bounded_and_forgets() {
    let (question, start) = (message(false), Instant::now());
    let asked = asked(&question);
    let mut cache = Cache::default();
    let kept = |ttl: u32, since| Kept { answer: Arc::new(received(&answer(&question, &[ttl]), &asked)), since };
    cache.put(asked.key(), kept(0, start));
    assert!(cache.get(&asked.key(), start).is_none());
    cache.put(asked.key(), kept(60, start));
    assert!(cache.get(&asked.key(), start + Duration::from_secs(59)).is_some());
    assert!(cache.get(&asked.key(), start + Duration::from_secs(60)).is_none());

    let key = |number: u32| Asked::ours(&name(&format!("host-{number}.test.")), RecordType::A).key();
    let entry = kept(600, start);
    for number in 0..cache::ENTRIES_MAX as u32 {
        cache.put(key(number), entry.clone());
    }
    // The first to end had to go.
    assert!(cache.get(&asked.key(), start).is_none());
    assert!(cache.get(&key(0), start).is_some());
    cache.put(key(u32::MAX), kept(600, start + Duration::from_secs(600)));
    assert_eq!(cache.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_do_no_harm(
        damage in prop::collection::vec(any::<(u16, u8)>(), 0..6), edns in any::<bool>(), length in 0..300_usize,
        limit in 512..2000_u16, age in any::<u32>(),
    ) {
        let question = message(edns);
        let asked = asked(&question);
        let mut wire = with_soa(answer(&question, &[60; 30]), 60, 60).to_vec().unwrap();
        wire.truncate(wire.len() - length);
        for (place, byte) in damage {
            let place = usize::from(place) % wire.len();
            wire[place] = byte;
        }
        if asked.is_asked_in(7, &wire) && let Some(received) = Received::read(wire, &asked) {
            let reply = received.reply(&asked, age, limit);
            prop_assert!(reply.len() <= usize::from(limit));
            prop_assert_eq!(&reply[..2], &[0, 7]);
        }
    }
}
