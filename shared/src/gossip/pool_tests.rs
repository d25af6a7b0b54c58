//! Pools with real sockets on loopback.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::*;

const DEADLINE: Duration = Duration::from_secs(30);

fn config(name: &str, bind: SocketAddr) -> PoolConfig {
    let tags = [("role".to_owned(), name.to_owned())].into();
    PoolConfig { timing: Timing::local(), tags, ..PoolConfig::new(name, bind) }
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn start(name: &str, bind: SocketAddr) -> (Pool, Tasks) {
    let tasks = Tasks::new();
    (Pool::start(config(name, bind), &tasks).await.unwrap(), tasks)
}

/// Waits until `holds` of the members of `pool`, woken by its changes alone.
async fn until(pool: &Pool, what: &str, holds: impl Fn(&[Member]) -> bool) {
    let mut changes = pool.changes();
    let waited = tokio::time::timeout(DEADLINE, async {
        while !holds(&pool.members()) {
            changes.changed().await.unwrap();
        }
    });
    assert!(waited.await.is_ok(), "{what}: {:?}", pool.members());
}

async fn until_status(pool: &Pool, name: &str, status: MemberStatus) {
    let is = |members: &[Member]| members.iter().any(|member| member.name == name && member.status == status);
    until(pool, &format!("{name} {status}"), is).await;
}

#[tokio::test]
async fn members_join_fail_return_and_leave() {
    let (one, _tasks) = start("one", anywhere()).await;
    let (two, _tasks) = start("two", anywhere()).await;
    let (three, three_tasks) = start("three", anywhere()).await;
    assert_eq!(two.join(&[one.local_address()]).await.unwrap(), 1);
    assert_eq!(three.join(&[one.local_address(), two.local_address()]).await.unwrap(), 2);
    for pool in [&one, &two, &three] {
        let whole = |members: &[Member]| {
            members.len() == 3 && members.iter().all(|member| member.tags.get("role") == Some(&member.name))
        };
        until(pool, "three with tags", whole).await;
    }
    two.set_tags([("role".to_owned(), "changed".to_owned())].into()).unwrap();
    until(&three, "changed tags", |members| members[2].tags["role"] == "changed").await;

    let address = three.local_address();
    assert!(three_tasks.shutdown(DEADLINE).await);
    until_status(&one, "three", MemberStatus::Failed).await;
    until_status(&two, "three", MemberStatus::Failed).await;

    let (again, _tasks) = start("three", address).await;
    assert!(again.own().incarnation > three.own().incarnation);
    again.join(&[two.local_address()]).await.unwrap();
    until_status(&one, "three", MemberStatus::Alive).await;
    until_status(&two, "three", MemberStatus::Alive).await;

    again.leave().await;
    until_status(&one, "three", MemberStatus::Left).await;
    until_status(&two, "three", MemberStatus::Left).await;
    assert!(again.join(&[one.local_address()]).await.is_err(), "it has left for good");
    assert_eq!(again.own().status, MemberStatus::Left);
}

#[tokio::test]
async fn a_failed_member_that_is_back_is_found_without_joining() {
    let (one, _tasks) = start("one", anywhere()).await;
    let (two, tasks) = start("two", anywhere()).await;
    two.join(&[one.local_address()]).await.unwrap();
    until_status(&one, "two", MemberStatus::Alive).await;
    let address = two.local_address();
    assert!(tasks.shutdown(DEADLINE).await);
    until_status(&one, "two", MemberStatus::Failed).await;
    // It joins nobody: the reconnection of `one` finds it.
    let (_again, _tasks) = start("two", address).await;
    until_status(&one, "two", MemberStatus::Alive).await;
    assert!(matches!(one.force_leave("absent", false), Err(UnknownMember(name)) if name == "absent"));
}

#[tokio::test]
async fn former_peers_are_rejoined() {
    let (one, _tasks) = start("one", anywhere()).await;
    let tasks = Tasks::new();
    let rejoin = vec![one.local_address()];
    let two = Pool::start(PoolConfig { rejoin, ..config("two", anywhere()) }, &tasks).await.unwrap();
    until_status(&two, "one", MemberStatus::Alive).await;
    until_status(&one, "two", MemberStatus::Alive).await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let (one, _tasks) = start("one", anywhere()).await;
    let address = one.local_address();
    let error = Pool::start(config("two", address), &Tasks::new()).await.unwrap_err().to_string();
    assert!(error.contains(&format!("tcp {address}")) && error.contains("in use"), "{error}");

    let udp = UdpSocket::bind(anywhere()).await.unwrap();
    let address = udp.local_addr().unwrap();
    let error = Pool::start(config("two", address), &Tasks::new()).await.unwrap_err().to_string();
    assert!(error.contains(&format!("udp {address}")) && error.contains("in use"), "{error}");

    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let error = Pool::start(config("two", unspecified), &Tasks::new()).await.unwrap_err();
    assert!(matches!(error, PoolError::Advertise(_)), "{error}");
    let error = Pool::start(config("a name", anywhere()), &Tasks::new()).await.unwrap_err();
    assert!(matches!(error, PoolError::Own(_)), "{error}");
}

#[tokio::test]
async fn a_port_is_free_again_after_shutdown_while_handles_are_kept() {
    let (one, tasks) = start("one", anywhere()).await;
    assert!(tasks.shutdown(DEADLINE).await);
    let (again, _tasks) = start("one", one.local_address()).await;
    assert_eq!(again.local_address(), one.local_address());
}

#[tokio::test]
async fn failed_joins_name_each_address_and_cause() {
    let (one, _tasks) = start("one", anywhere()).await;
    let closed = TcpListener::bind(anywhere()).await.unwrap().local_addr().unwrap();
    let error = one.join(&[closed]).await.unwrap_err().to_string();
    let cause = format!("\t* Failed to join {closed}: dial tcp {closed}: connect: connection refused\n\n");
    assert_eq!(error, format!("1 error occurred:\n{cause}"));

    let (two, _tasks) = start("two", anywhere()).await;
    assert_eq!(one.join(&[closed, two.local_address()]).await.unwrap(), 1);
    assert_eq!(one.join(&[one.local_address()]).await.unwrap(), 1, "ourselves");

    let tasks = Tasks::new();
    let other = PoolConfig { label: "another pool".into(), ..config("three", anywhere()) };
    let three = Pool::start(other, &tasks).await.unwrap();
    let error = three.join(&[one.local_address()]).await.unwrap_err().to_string();
    assert!(error.contains("another pool"), "{error}");

    assert!(error.contains(&one.local_address().to_string()) && error.contains("datacenter"), "{error}");

    let (double, _tasks) = start("two", anywhere()).await;
    let error = double.join(&[one.local_address()]).await.unwrap_err().to_string();
    let named =
        [two.local_address(), double.local_address()].iter().all(|address| error.contains(&address.to_string()));
    assert!(named && error.contains("in use"), "{error}");
}

#[tokio::test]
async fn a_node_id_belongs_to_one_member() {
    let tagged = |name: &str| {
        let tags = [("id".to_owned(), "11111111-2222-3333-4444-555555555555".to_owned())].into();
        PoolConfig { tags, ..config(name, anywhere()) }
    };
    let tasks = Tasks::new();
    let one = Pool::start(tagged("one"), &tasks).await.unwrap();
    let copied = Pool::start(tagged("copied"), &tasks).await.unwrap();
    let (third, _tasks) = start("third", anywhere()).await;
    third.join(&[one.local_address()]).await.unwrap();
    let error = copied.join(&[third.local_address()]).await.unwrap_err().to_string();
    for named in [one.local_address().to_string(), copied.local_address().to_string(), "node ID".into()] {
        assert!(error.contains(&named), "{named}: {error}");
    }
    assert!(third.members().iter().all(|member| member.name != "copied"));
    // The holder leaves, and the ID is free.
    one.leave().await;
    until_status(&third, "one", MemberStatus::Left).await;
    copied.join(&[third.local_address()]).await.unwrap();
    until_status(&third, "copied", MemberStatus::Alive).await;
}

#[tokio::test]
async fn a_pool_of_ipv6_addresses() {
    let loopback = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0));
    if std::net::UdpSocket::bind(loopback).is_err() {
        return eprintln!("there is no IPv6 here");
    }
    let (one, _tasks) = start("one", loopback).await;
    let (two, tasks) = start("two", loopback).await;
    two.join(&[one.local_address()]).await.unwrap();
    until_status(&one, "two", MemberStatus::Alive).await;
    assert!(one.members().iter().all(|member| member.address.is_ipv6()));
    assert!(tasks.shutdown(DEADLINE).await);
    until_status(&one, "two", MemberStatus::Failed).await;
}

#[tokio::test]
async fn a_member_is_reached_at_the_address_that_it_advertises() {
    // All of 127/8 is this host: as behind a translation of addresses, it is reached at another than it listens on.
    let outside = SocketAddr::from(([127, 0, 0, 3], 0));
    let tasks = Tasks::new();
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let behind = PoolConfig { advertise: Some(outside), ..config("behind", everywhere) };
    let behind = Pool::start(behind, &tasks).await.unwrap();
    let (one, _tasks) = start("one", anywhere()).await;
    behind.join(&[one.local_address()]).await.unwrap();
    let advertised = SocketAddr::new(outside.ip(), behind.local_address().port());
    until(&one, "its address", |members| members.iter().any(|member| member.address == advertised)).await;
    // Its tags come by a stream to that address when packets do not bring them.
    until(&one, "its tags", |members| members[0].tags.get("role").is_some_and(|role| role == "behind")).await;
    // Many probe periods: it answers there.
    let looks = tokio::time::timeout(
        Duration::from_secs(2),
        until(&one, "a failure", |members| members.iter().any(|member| member.status == MemberStatus::Failed)),
    );
    assert!(looks.await.is_err(), "it was called failed: {:?}", one.members());
    assert!(tasks.shutdown(DEADLINE).await);
    until_status(&one, "behind", MemberStatus::Failed).await;
}

#[tokio::test]
async fn garbage_is_dropped_and_silent_streams_hold_nobody_up() {
    let (one, _tasks) = start("one", anywhere()).await;
    let address = one.local_address();
    let udp = UdpSocket::bind(anywhere()).await.unwrap();
    for length in [0, 1, 6, 7, 300, 1400, 1401, 9000] {
        udp.send_to(&vec![1; length], address).await.unwrap();
    }
    // More that say nothing than are served at once; then one that announces too much, one that speaks HTTP.
    let mut silent = Vec::new();
    for _ in 0..limits::MAX_INCOMING_STREAMS + 4 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    for bytes in [&u32::MAX.to_be_bytes()[..], b"\0\0\0\x05hello", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end as a clean one.
        let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "the stream was not ended");
    }
    let (two, _tasks) = start("two", anywhere()).await;
    assert_eq!(two.join(&[address]).await.unwrap(), 1);
    until_status(&one, "two", MemberStatus::Alive).await;
    assert_eq!(one.members().len(), 2);
}

fn key() -> GossipKey {
    GossipKey::generate().unwrap()
}

async fn start_with(name: &str, keys: &[&GossipKey]) -> (Pool, Tasks) {
    let tasks = Tasks::new();
    let keyring = Keyring::in_memory(keys.iter().copied().cloned().collect());
    (Pool::start(PoolConfig { keyring, ..config(name, anywhere()) }, &tasks).await.unwrap(), tasks)
}

fn all_alive(members: &[Member]) -> bool {
    members.iter().all(|member| member.status == MemberStatus::Alive)
}

#[tokio::test]
async fn a_node_with_another_key_or_none_does_not_get_in() {
    let (inside, outside) = (key(), key());
    let (one, _tasks) = start_with("one", &[&inside]).await;
    let (two, _tasks) = start_with("two", &[&inside]).await;
    two.join(&[one.local_address()]).await.unwrap();
    until(&one, "two members", |members| members.len() == 2).await;
    for (keys, problem) in [(&[&outside][..], "no key of this node opens it"), (&[], "this node has no key")] {
        let (stranger, _tasks) = start_with("stranger", keys).await;
        let error = stranger.join(&[one.local_address()]).await.unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
        let error = one.join(&[stranger.local_address()]).await.unwrap_err().to_string();
        assert!(error.contains("not understood"), "{error}");
        assert_eq!(stranger.members().len(), 1);
        let report = stranger.keys(false).await;
        assert_eq!(report.members, 1);
    }
    assert_eq!((one.members().len(), two.members().len()), (2, 2));
}

#[tokio::test]
async fn keys_are_rotated_without_a_gap() {
    let (old, new) = (key(), key());
    let mut pools = Vec::new();
    for name in ["one", "two", "three"] {
        let (pool, tasks) = start_with(name, &[&old]).await;
        if let Some((first, _)) = pools.first() {
            let first: &Pool = first;
            pool.join(&[first.local_address()]).await.unwrap();
        }
        pools.push((pool, tasks));
    }
    let one = &pools[0].0;
    for (pool, _) in &pools {
        until(pool, "three members", |members| members.len() == 3).await;
    }
    let counted = |key: &GossipKey| BTreeMap::from([(key.reveal(), 3)]);
    assert_eq!(one.keys(false).await.keys, counted(&old));
    let early = one.change_keys(KeyringChange::Use(new.clone())).await;
    assert_eq!((early.members, early.errors.len()), (3, 3), "{early:?}");
    assert_eq!(early.errors["two"], "requested key is not in the keyring");
    for change in [KeyringChange::Install, KeyringChange::Use, |_| KeyringChange::Remove(key())] {
        assert_eq!(one.change_keys(change(new.clone())).await.errors, BTreeMap::new());
        assert!(pools.iter().all(|(pool, _)| all_alive(&pool.members())));
    }
    let both = pools[2].0.keys(false).await;
    assert_eq!((both.keys.len(), both.primary), (2, counted(&new)));
    assert_eq!(one.change_keys(KeyringChange::Remove(old.clone())).await.errors, BTreeMap::new());
    assert_eq!(one.keys(false).await.keys, counted(&new));
    let refused = one.change_keys(KeyringChange::Remove(new.clone())).await;
    assert_eq!(refused.errors["three"], "removing the primary key is not allowed");
    // And they still hear each other.
    pools[1].0.set_tags([("role".to_owned(), "rotated".to_owned())].into()).unwrap();
    until(&pools[2].0, "changed tags", |members| members[2].tags["role"] == "rotated").await;
    let (late, _tasks) = start_with("late", &[&old]).await;
    assert!(late.join(&[one.local_address()]).await.is_err(), "the old key opens nothing any more");
}

#[tokio::test]
async fn one_member_that_is_not_ready_keeps_all_as_they_are() {
    let (old, new) = (key(), key());
    let (one, _tasks) = start_with("one", &[&old, &new]).await;
    let (two, _tasks) = start_with("two", &[&old]).await;
    two.join(&[one.local_address()]).await.unwrap();
    until(&one, "two members", |members| members.len() == 2).await;
    let report = one.change_keys(KeyringChange::Use(new.clone())).await;
    assert_eq!(report.errors.keys().collect::<Vec<_>>(), ["two"]);
    assert_eq!(one.keys(true).await.primary, BTreeMap::from([(old.reveal(), 1)]), "it seals as before");
    one.shared.envelope.keyring.use_key(&new).unwrap();
    let report = one.change_keys(KeyringChange::Remove(old.clone())).await;
    assert_eq!(report.errors.len(), 1, "two does not hear one any more: {report:?}");
    assert_eq!(one.keys(true).await.keys.len(), 2);
}

#[tokio::test]
async fn a_recorded_exchange_about_keys_is_worthless() {
    let (old, new) = (key(), key());
    let (one, _tasks) = start_with("one", &[&old]).await;
    // What was said to another member under the same key, word for word.
    let listener = TcpListener::bind(anywhere()).await.unwrap();
    let envelope = &one.shared.envelope;
    let recorded = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let hello = transport::read_frame(&mut stream, 4096).await.unwrap();
        let challenge = envelope.seal_as(envelope::Kind::KeysReply, envelope::Envelope::nonce_of(&hello), &[]);
        transport::write_frame(&mut stream, challenge).await.unwrap();
        (hello, transport::read_frame(&mut stream, 4096).await.unwrap())
    };
    let request = key_rounds::KeyRequest::Install(new.reveal());
    let address = listener.local_addr().unwrap();
    let (said, (hello, install)) = tokio::join!(key_rounds::ask(address, envelope, &request), recorded);
    assert!(said.is_err());
    let mut stream = TcpStream::connect(one.local_address()).await.unwrap();
    transport::write_frame(&mut stream, hello).await.unwrap();
    transport::read_frame(&mut stream, 4096).await.unwrap();
    transport::write_frame(&mut stream, install).await.unwrap();
    assert!(transport::read_frame(&mut stream, 4096).await.is_err(), "no answer");
    assert_eq!(one.keys(true).await.keys.len(), 1);
}

#[tokio::test]
async fn replayed_and_garbled_packets_are_dropped_and_counted() {
    let inside = key();
    let (one, _tasks) = start_with("one", &[&inside]).await;
    let count = |reason: crate::metrics::GossipDrop| {
        let read = crate::metrics::GOSSIP_DROPPED.read();
        let crate::metrics::Reading::Counter(count) = read[reason as usize].reading else { return 0.0 };
        count
    };
    let sender = envelope::Envelope::new("", Keyring::in_memory(vec![inside]));
    let good = sender.seal(envelope::Kind::Trip, b"nothing");
    let mut garbled = good.clone();
    garbled[30] ^= 1;
    let udp = UdpSocket::bind(anywhere()).await.unwrap();
    for (packet, reason) in [
        (&garbled, crate::metrics::GossipDrop::Unopened),
        (&good, crate::metrics::GossipDrop::Replayed),
        (
            &envelope::Envelope::new("", Keyring::default()).seal(envelope::Kind::Trip, b""),
            crate::metrics::GossipDrop::Plain,
        ),
    ] {
        let before = count(reason);
        for _ in 0..2 {
            udp.send_to(packet, one.local_address()).await.unwrap();
        }
        let counted = tokio::time::timeout(DEADLINE, async {
            while count(reason) <= before {
                tokio::task::yield_now().await;
            }
        });
        assert!(counted.await.is_ok(), "{reason:?}");
    }
}
