//! Packets and streams of the gossip pools, to a pool of one member that runs. The first byte chooses between the two; the
//! header that says whose pool it is stands before what the fuzzer gives, for it would guess that very rarely.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::LazyLock,
    time::Duration,
};

use lictor_shared::{
    gossip::{Pool, PoolConfig},
    tasks::Tasks,
};
use tokio::runtime::Runtime;

const LABEL: &str = "lan dc1";
/// How long a stream may take to be ended; what waits for more is left.
const PATIENCE: Duration = Duration::from_millis(20);
/// Longer ones are cut.
const PACKET_BYTES: usize = 1400;

struct Member {
    pool: Pool,
    packets: UdpSocket,
    _tasks: Tasks,
    _runtime: Runtime,
}

static MEMBER: LazyLock<Member> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let tasks = Tasks::new();
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = PoolConfig { label: LABEL.into(), ..PoolConfig::new("member", bind) };
    let pool = runtime.block_on(Pool::start(config, &tasks)).unwrap();
    let packets = UdpSocket::bind(bind).unwrap();
    packets.connect(pool.local_address()).unwrap();
    Member { pool, packets, _tasks: tasks, _runtime: runtime }
});

/// Sends it.
pub fn run(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let Some((kind, payload)) = rest.split_first() else { return };
    // As `gossip/envelope.rs` has it: version 1, which is not sealed, the kind, and a hash of the label.
    let hash = LABEL.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let message = [&[1, *kind % 6][..], &hash.to_be_bytes(), payload].concat();
    let member = &*MEMBER;
    if choice % 4 > 0 {
        member.packets.send(&message[..message.len().min(PACKET_BYTES)]).unwrap();
    } else {
        let mut stream = TcpStream::connect(member.pool.local_address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        // It may hang up before it has everything.
        let _ = stream.write_all(&[&length[..], &message].concat());
        let _ = stream.read(&mut [0; 1024]);
    }
    assert!(member.pool.members().len() < 10_000, "the table grows");
}
