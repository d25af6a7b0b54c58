//! One question to one recursor: a socket of its own with a port of its own, a number drawn at random, and an answer
//! that is taken only from that address, with that number, to that question.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout, timeout_at},
};

use super::{question::Asked, received::Received};
use crate::dns::Transport;

/// Datagrams to one recursor for one question: the first, and one more should that be lost.
const DATAGRAMS: u32 = 2;

/// Asks, and asks again by TCP what was cut. Takes at most `limit`; what was cut is the answer where TCP fails.
pub(super) async fn ask(
    recursor: SocketAddr,
    asked: &Asked,
    transport: Transport,
    limit: Duration,
) -> io::Result<Received> {
    let deadline = Instant::now() + limit;
    if transport == Transport::Udp {
        let received = by_udp(recursor, asked, limit).await?;
        if !received.is_cut() {
            return Ok(received);
        }
        return Ok(timeout_at(deadline, by_tcp(recursor, asked)).await.ok().and_then(Result::ok).unwrap_or(received));
    }
    timeout_at(deadline, by_tcp(recursor, asked)).await?
}

async fn by_udp(recursor: SocketAddr, asked: &Asked, limit: Duration) -> io::Result<Received> {
    let any: IpAddr = match recursor {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Port 0: the kernel draws one at random. Connected: it drops what others send.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(recursor).await?;
    let id = rand::random();
    for _ in 0..DATAGRAMS {
        socket.send(&asked.packet(id)).await?;
        if let Ok(received) = timeout(limit / DATAGRAMS, answer(&socket, asked, id)).await {
            return received;
        }
    }
    Err(ErrorKind::TimedOut.into())
}

/// The first datagram that answers; others may be forged or late.
async fn answer(socket: &UdpSocket, asked: &Asked, id: u16) -> io::Result<Received> {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let packet = &buffer[..length];
        if asked.is_asked_in(id, packet)
            && let Some(received) = Received::read(packet.to_vec(), asked)
        {
            return Ok(received);
        }
        tracing::debug!(recursor = ?socket.peer_addr(), length, "DNS: a datagram that is no answer to what was asked");
    }
}

/// RFC 1035, section 4.2.2.
async fn by_tcp(recursor: SocketAddr, asked: &Asked) -> io::Result<Received> {
    let mut stream = TcpStream::connect(recursor).await?;
    let id = rand::random();
    let packet = asked.packet(id);
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &packet].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    let repeated = asked.is_asked_in(id, &answer);
    let received = repeated.then(|| Received::read(answer, asked)).flatten();
    received.ok_or_else(|| io::Error::other("what came by TCP is no answer to what was asked"))
}
