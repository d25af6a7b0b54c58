//! Real sockets on loopback.

use crate::acl::Authority;
use hickory_proto::op::ResponseCode;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::*;
use crate::{backend::fake::Fake, tasks::Tasks, view};

const DEADLINE: Duration = Duration::from_secs(10);

/// Of a view that a leader vouches for.
fn fresh() -> Freshness {
    Freshness::new(Fake::new(), Duration::ZERO)
}

async fn started(state: State) -> (SocketAddr, Tasks) {
    let (mut writer, reader) = view::new();
    writer.replace(state);
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, tasks) = (bound.address(), Tasks::new());
    let authority = Arc::new(Authority::open(reader.clone()));
    serve(vec![bound], Settings::default(), reader, fresh(), None, authority, &tasks);
    (address, tasks)
}

async fn by_tcp(stream: &mut TcpStream, message: &Message) -> Message {
    let packet = message.to_vec().unwrap();
    stream.write_u16(u16::try_from(packet.len()).unwrap()).await.unwrap();
    stream.write_all(&packet).await.unwrap();
    let length = timeout(DEADLINE, stream.read_u16()).await.unwrap().unwrap();
    let mut reply = vec![0; usize::from(length)];
    timeout(DEADLINE, stream.read_exact(&mut reply)).await.unwrap().unwrap();
    Message::from_vec(&reply).unwrap()
}

#[tokio::test]
async fn udp_and_tcp_answer_until_shutdown_frees_the_port() {
    let (address, tasks) = started(many(100)).await;
    let message = question("web.service.consul.", RecordType::A);

    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(address).await.unwrap();
    client.send(b"junk").await.unwrap();
    client.send(&message.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 4096];
    let length = timeout(DEADLINE, client.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(Message::from_vec(&buffer[..length]).unwrap().answers.len(), 3);

    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        assert_eq!(by_tcp(&mut stream, &message).await.answers.len(), 100);
    }

    assert!(tasks.shutdown(DEADLINE).await);
    assert_eq!(timeout(DEADLINE, stream.read(&mut buffer)).await.unwrap().unwrap_or(0), 0);
    assert_eq!(bind(address).await.unwrap().address(), address);
}

/// An address of this host that is not loopback, at which it is a stranger to itself.
fn outside() -> Option<std::net::IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap();
    interfaces.into_iter().map(|interface| interface.ip()).find(|address| address.is_ipv4() && !address.is_loopback())
}

#[tokio::test]
async fn a_stranger_is_answered_so_often_by_udp_and_always_by_tcp_and_gets_no_names_of_the_world() {
    let Some(outside) = outside() else { return };
    let (mut writer, reader) = view::new();
    writer.replace(many(2));
    let bound = bind("0.0.0.0:0".parse().unwrap()).await.unwrap();
    let (port, tasks) = (bound.address().port(), Tasks::new());
    let settings = Settings {
        responses: crate::limits::Rate::per_second(0.001, 20),
        recursors: vec!["127.0.0.1:9".parse().unwrap()],
        recursion_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..Settings::default()
    };
    let authority = Arc::new(Authority::open(reader.clone()));
    serve(vec![bound], settings, reader, fresh(), None, authority, &tasks);
    let client = async |address: std::net::IpAddr| {
        let socket = UdpSocket::bind((address, 0)).await.unwrap();
        socket.connect((address, port)).await.unwrap();
        socket
    };
    let ours = question("web.service.consul.", RecordType::A);
    let (near, far) = (client([127, 0, 0, 1].into()).await, client(outside).await);
    let worlds = by_udp(&far, &[question("example.com.", RecordType::A)]).await.remove(0);
    assert_eq!((worlds.metadata.response_code, worlds.metadata.recursion_available), (ResponseCode::Refused, false));
    let answers = by_udp(&far, &vec![ours.clone(); 19]).await;
    assert!(answers.iter().all(|answer| answer.answers.len() == 2));
    // Of those above the limit every second one is told to come by TCP.
    for _ in 0..2 {
        far.send(&ours.to_vec().unwrap()).await.unwrap();
    }
    let mut buffer = [0; 4096];
    let length = timeout(DEADLINE, far.recv(&mut buffer)).await.unwrap().unwrap();
    let told = Message::from_vec(&buffer[..length]).unwrap();
    assert!(told.metadata.truncation && told.answers.is_empty() && told.queries == ours.queries);
    let mut stream = TcpStream::connect((outside, port)).await.unwrap();
    assert_eq!(by_tcp(&mut stream, &ours).await.answers.len(), 2);
    let answers = by_udp(&near, &vec![ours.clone(); 100]).await;
    assert!(answers.iter().all(|answer| answer.answers.len() == 2), "this host is not limited");
    assert!(tasks.shutdown(DEADLINE).await);
}

/// Questions at once, by one client: the answers, as they come.
async fn by_udp(client: &UdpSocket, questions: &[Message]) -> Vec<Message> {
    for question in questions {
        client.send(&question.to_vec().unwrap()).await.unwrap();
    }
    let mut answers = Vec::new();
    let mut buffer = [0; 4096];
    for _ in questions {
        let length = timeout(DEADLINE, client.recv(&mut buffer)).await.unwrap().unwrap();
        answers.push(Message::from_vec(&buffer[..length]).unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_answered_number_by_number_and_a_change_is_seen_at_once() {
    let mut catalog = Catalog { state: many(2) };
    let (mut writer, reader) = view::new();
    writer.replace(catalog.state.clone());
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, tasks) = (bound.address(), Tasks::new());
    let authority = Arc::new(Authority::open(reader.clone()));
    serve(vec![bound], Settings::default(), reader, fresh(), None, authority, &tasks);
    for client in 0..8_u16 {
        let client_socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client_socket.connect(address).await.unwrap();
        for round in 0..8_u32 {
            let questions: Vec<Message> = (0..40_u16)
                .map(|number| {
                    let mut message = question("web.service.consul.", RecordType::A);
                    message.metadata.id = client * 40 + number;
                    with_edns(message, 1232)
                })
                .collect();
            let answers = by_udp(&client_socket, &questions).await;
            let mut numbers: Vec<u16> = answers.iter().map(|answer| answer.metadata.id).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(questions.iter().map(|question| question.metadata.id)));
            let expected = catalog.state.instances("web").count();
            assert!(answers.iter().all(|answer| answer.answers.len() == expected), "round {round}: stale");

            let name = format!("more-{client}-{round}");
            catalog.instance(&name, &format!("10.9.{client}.{round}"), "web", Status::Passing);
            writer.replace(catalog.state.clone());
        }
    }
    assert!(tasks.shutdown(DEADLINE).await);
}

#[tokio::test]
async fn at_a_wildcard_each_is_answered_from_the_address_asked() {
    let bound = bind("0.0.0.0:0".parse().unwrap()).await.unwrap();
    let (port, tasks) = (bound.address().port(), Tasks::new());
    let (mut writer, reader) = view::new();
    writer.replace(many(1));
    let authority = Arc::new(Authority::open(reader.clone()));
    serve(vec![bound], Settings::default(), reader, fresh(), None, authority, &tasks);
    for asked in ["127.0.0.1", "127.0.0.2"] {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect((asked, port)).await.unwrap();
        let questions = vec![question("web.service.consul.", RecordType::A); 5];
        assert!(by_udp(&client, &questions).await.iter().all(|answer| answer.answers.len() == 1));
    }
    assert!(tasks.shutdown(DEADLINE).await);
}

#[tokio::test]
async fn a_port_that_another_shares_is_not_shared() {
    let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    rustix::net::sockopt::set_socket_reuseport(&other, true).unwrap();
    let error = bind(other.local_addr().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("(UDP)"), "{error}");
}

#[tokio::test]
async fn a_connection_that_sends_nonsense_is_closed() {
    let (address, _tasks) = started(many(1)).await;
    for nonsense in [&b"\xff\xffGET / HTTP/1.1\r\n\r\n"[..], b"\x00\x00", b"\x00\x05hello"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        // A reset is an end, too: what it sent was not read.
        let end = timeout(DEADLINE, stream.read(&mut [0; 16])).await.unwrap();
        assert_eq!(end.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_remedy() {
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = bind(bound.address()).await.unwrap_err().to_string();
    assert!(error.contains(&bound.address().to_string()) && error.contains("-dns-port"), "{error}");
}

#[test]
fn a_domain_that_is_none_is_named() {
    for bad in ["", ".", "a..b", &"x".repeat(64)] {
        let error = domain(bad).unwrap_err().to_string();
        assert!(error.contains(&format!("{bad:?}")), "{error}");
    }
    assert_eq!(domain("Consul").unwrap(), domain("consul.").unwrap());
}

#[tokio::test]
async fn a_view_that_is_too_old_is_not_answered_from() {
    let recursor = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings { recursors: vec![recursor.local_addr().unwrap()], ..Settings::default() };
    let (fake, tasks) = (Fake::new(), Tasks::new());
    let (mut writer, reader) = view::new();
    writer.replace(many(2));
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = bound.address();
    let authority = Arc::new(Authority::open(reader.clone()));
    serve(
        vec![bound],
        settings,
        reader,
        Freshness::new(fake.clone(), Duration::from_secs(60)),
        None,
        authority,
        &tasks,
    );
    let recursing = tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, from) = recursor.recv_from(&mut buffer).await.unwrap();
        let mut reply = Message::from_vec(&buffer[..length]).unwrap();
        reply.metadata.message_type = MessageType::Response;
        recursor.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
    });

    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(address).await.unwrap();
    // Asked so often that the answers are ready, those that say that there is none too.
    let names = ["web.service.consul.", "none.service.consul.", "host-1.node.consul."];
    let questions: Vec<Message> = names.iter().map(|name| question(name, RecordType::A)).collect();
    let mut expected = vec![ResponseCode::NoError, ResponseCode::NXDomain, ResponseCode::NoError];
    let last_s = async |last_s, expected: &[ResponseCode]| {
        if let Some(last_s) = last_s {
            fake.lose_leader(Duration::from_secs(last_s));
        }
        // A verdict is good for a moment.
        let found = async {
            loop {
                let mut codes = Vec::new();
                for question in &questions {
                    codes.push(by_udp(&client, &[question.clone(), question.clone(), question.clone()]).await);
                }
                let codes: Vec<_> = codes.iter().flatten().map(|answer| answer.metadata.response_code).collect();
                if codes.chunks(3).zip(expected).all(|(codes, code)| codes.iter().all(|given| given == code)) {
                    return;
                }
            }
        };
        timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("{last_s:?}: not {expected:?}"));
        let mut stream = TcpStream::connect(address).await.unwrap();
        for (question, code) in questions.iter().zip(expected) {
            assert_eq!(by_tcp(&mut stream, question).await.metadata.response_code, *code, "{last_s:?}");
        }
    };
    last_s(None, &expected).await;
    last_s(Some(59), &expected).await;
    expected.fill(ResponseCode::ServFail);
    last_s(Some(60), &expected).await;
    let outside = by_udp(&client, &[question("example.com.", RecordType::A)]).await;
    assert_eq!(outside[0].metadata.response_code, ResponseCode::NoError, "recursion goes on");
    recursing.await.unwrap();
    assert!(tasks.shutdown(DEADLINE).await);
}
