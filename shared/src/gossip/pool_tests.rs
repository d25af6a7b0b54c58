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

    let (double, _tasks) = start("two", anywhere()).await;
    let error = double.join(&[one.local_address()]).await.unwrap_err().to_string();
    let named =
        [two.local_address(), double.local_address()].iter().all(|address| error.contains(&address.to_string()));
    assert!(named && error.contains("in use"), "{error}");
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
