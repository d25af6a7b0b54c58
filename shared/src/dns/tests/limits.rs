//! What fits: without EDNS, with EDNS, by TCP.

use super::*;

fn cut_answers_are_marked(enable_truncate: bool) {
    let state = many(100);
    let settings = Settings { enable_truncate, ..Settings::default() };
    let a = question("web.service.consul.", RecordType::A);
    let srv = question("web.service.consul.", RecordType::SRV);

    let (got, length) = ask(&state, &settings, &a, Transport::Udp);
    assert_eq!((got.answers.len(), got.metadata.truncation), (3, enable_truncate));
    assert!(length <= 512);
    assert!(got.edns.is_none());

    for (question, records) in [(&a, 70), (&srv, 10)] {
        let (got, length) = ask(&state, &settings, &with_edns(question.clone(), 1232), Transport::Udp);
        assert!(got.answers.len() >= records && got.answers.len() < 100, "{}", got.answers.len());
        assert!((1100..=1232).contains(&length), "{length}");
        assert_eq!(got.metadata.truncation, enable_truncate);
        assert!(got.edns.is_some());
        if question == &srv {
            assert_eq!(got.additionals.len(), got.answers.len());
        }

        let (got, _) = ask(&state, &settings, question, Transport::Tcp);
        assert_eq!((got.answers.len(), got.metadata.truncation), (100, false));
    }
}

#[test]
fn a_hundred_instances_by_every_way() {
    cut_answers_are_marked(false);
    cut_answers_are_marked(true);
}

#[test]
fn additionals_of_records_left_out_are_left_out() {
    let (got, _) =
        ask(&many(100), &Settings::default(), &question("web.service.consul.", RecordType::SRV), Transport::Udp);
    assert_eq!(got.answers.len(), 3);
    let mut targets: Vec<_> = got
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv.target.to_string()),
            _ => None,
        })
        .collect();
    let mut named: Vec<_> = got.additionals.iter().map(|record| record.name.to_string()).collect();
    targets.sort();
    named.sort();
    assert_eq!(targets, named);
}

#[test]
fn tcp_gives_no_more_than_64_kilobytes() {
    let settings = Settings { enable_truncate: true, ..Settings::default() };
    let question = question("web.service.consul.", RecordType::SRV);
    let (got, length) = ask(&many(2000), &settings, &question, Transport::Tcp);
    assert!(got.answers.len() > 500 && got.metadata.truncation);
    assert!((60_000..=65_535).contains(&length), "{length}");
}

#[test]
fn a_single_record_too_long_asks_for_tcp() {
    let mut catalog = Catalog::default();
    let meta = (0..4).map(|n| (format!("key-{n}").into(), "v".repeat(400).into())).collect();
    catalog.put(Registration {
        node: Node { name: "n".into(), address: "10.0.0.1".into(), meta, ..Node::default() },
        ..Registration::default()
    });
    let settings = Settings::default();
    let text = question("n.node.consul.", RecordType::TXT);
    let (got, length) = ask(&catalog.state, &settings, &text, Transport::Udp);
    assert_eq!((got.answers.len(), got.metadata.truncation), (1, false));
    assert!(length <= 512);
    // The meta is an addition here: the address matters more.
    let (got, _) = ask(&catalog.state, &settings, &question("n.node.consul.", RecordType::A), Transport::Udp);
    assert_eq!((texts(&got.answers), got.metadata.truncation), (vec!["n.node.consul. 0 A 10.0.0.1".into()], false));
    let meta = [("key".into(), "v".repeat(600).into())].into();
    catalog.put(Registration {
        node: Node { name: "n".into(), address: "10.0.0.1".into(), meta, ..Node::default() },
        ..Registration::default()
    });
    let (got, _) = ask(&catalog.state, &settings, &text, Transport::Udp);
    assert_eq!((got.answers.len(), got.metadata.truncation), (0, true));
    let (got, _) = ask(&catalog.state, &settings, &text, Transport::Tcp);
    assert_eq!((got.answers.len(), got.metadata.truncation), (1, false));
}

#[test]
fn settings_of_limits() {
    let state = many(20);
    let a = question("web.service.consul.", RecordType::A);
    let count = |settings: &Settings, message: &Message| ask(&state, settings, message, Transport::Udp).0.answers.len();
    let seven = Settings { udp_answer_limit: 7, ..Settings::default() };
    assert_eq!(count(&seven, &a), 7);
    assert_eq!(count(&seven, &with_edns(a.clone(), 512)), 7);
    assert_eq!(count(&seven, &with_edns(a.clone(), 4096)), 20);
    let two = Settings { a_record_limit: 2, ..Settings::default() };
    assert_eq!(count(&two, &with_edns(a.clone(), 4096)), 2);

    let (_, compressed) = ask(&state, &Settings::default(), &a, Transport::Tcp);
    let plain = Settings { disable_compression: true, ..Settings::default() };
    let (got, full) = ask(&state, &plain, &a, Transport::Tcp);
    assert_eq!(got.answers.len(), 20);
    assert_eq!(full - compressed, 20 * ("web.service.consul.".len() + 1 - 2));
}
