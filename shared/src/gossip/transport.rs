//! Sockets: binding both protocols to one port, and frames on streams with limits on size and time.
//!
//! Everything here is sealed or opened by [`Envelope`]; what the bytes mean is not known here.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

use super::{
    envelope::{Envelope, Kind},
    error::{ExchangeError, PoolError},
    key_rounds,
    limits::{CONNECT_LIMIT, FIRST_BYTES_LIMIT, MAX_FRAME_BYTES, STREAM_LIMIT},
    wire::{self, Knowledge, Reply, Request},
};
use crate::metrics::GOSSIP_DROPPED;

/// How often a free port is looked for, when any will do, until one is free for both protocols.
const PORT_ATTEMPTS: usize = 32;

/// Binds UDP and TCP to the same port.
pub(super) async fn bind(address: SocketAddr) -> Result<(UdpSocket, TcpListener), PoolError> {
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        let listener = TcpListener::bind(address).await.map_err(|error| listen_error("tcp", address, error))?;
        let bound = listener.local_addr().map_err(|error| listen_error("tcp", address, error))?;
        attempts -= 1;
        match UdpSocket::bind(bound).await {
            Ok(socket) => return Ok((socket, listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            Err(error) => return Err(listen_error("udp", bound, error)),
        }
    }
}

fn listen_error(protocol: &'static str, address: SocketAddr, reason: io::Error) -> PoolError {
    if reason.kind() == io::ErrorKind::AddrInUse {
        PoolError::AddressInUse { protocol, address }
    } else {
        PoolError::Listen { protocol, address, reason }
    }
}

/// Asks the peer at `address`; what it knows, or why that is not told.
pub(super) async fn ask(
    address: SocketAddr,
    envelope: &Envelope,
    request: &Request,
) -> Result<Knowledge, ExchangeError> {
    let connected = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let mut stream = connected.map_err(|reason| ExchangeError::Connect { address, reason })?;
    let question = envelope.seal(Kind::Exchange, &wire::encode(request));
    let nonce = Envelope::nonce_of(&question);
    let exchange = async {
        write_frame(&mut stream, question).await?;
        read_frame(&mut stream, MAX_FRAME_BYTES).await
    };
    let frame = match timeout(STREAM_LIMIT, exchange).await {
        Ok(frame) => frame.map_err(|reason| ExchangeError::Stream { address, reason })?,
        Err(_) => return Err(ExchangeError::TimedOut { address, limit: STREAM_LIMIT }),
    };
    let protocol = |reason: String| ExchangeError::Protocol { address, reason };
    let opened = envelope.open_as(Kind::Reply, nonce, &frame).map_err(|error| protocol(error.to_string()))?;
    match wire::decode(&opened.payload).map_err(|error| protocol(error.to_string()))? {
        Reply::Known(knowledge) => Ok(knowledge),
        Reply::Refused(reason) => Err(ExchangeError::Refused { address, reason }),
    }
}

/// Reads one request from an accepted stream and answers it with what `answer` returns. Ends after one exchange, a
/// broken frame or the time limits.
pub(super) async fn serve(
    mut stream: TcpStream,
    envelope: &Envelope,
    answer: impl FnOnce(Request) -> Reply,
) -> io::Result<()> {
    let exchange = async {
        let frame = read_frame(&mut stream, MAX_FRAME_BYTES).await?;
        if Kind::of(&frame) == Some(Kind::Keys) {
            return key_rounds::serve(&mut stream, envelope, &frame).await;
        }
        let (request, nonce) = match envelope.open(Kind::Exchange, &frame) {
            Ok(opened) => (wire::decode(&opened.payload).map_err(|error| error.to_string()), opened.nonce),
            Err(error) => {
                GOSSIP_DROPPED.count(error.reason() as usize);
                (Err(error.to_string()), None)
            }
        };
        drop(frame);
        let reply = request.map_or_else(Reply::Refused, answer);
        write_frame(&mut stream, envelope.seal_as(Kind::Reply, nonce, &wire::encode(&reply))).await
    };
    timeout(STREAM_LIMIT, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

pub(super) async fn write_frame(stream: &mut TcpStream, sealed: Vec<u8>) -> io::Result<()> {
    let length = u32::try_from(sealed.len()).map_err(|_| io::Error::other("the frame is too large"))?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&sealed).await
}

/// The sealed bytes of one frame. Memory grows with what has arrived, not with what was announced.
pub(super) async fn read_frame(stream: &mut TcpStream, limit: usize) -> io::Result<Vec<u8>> {
    let length = timeout(FIRST_BYTES_LIMIT, stream.read_u32()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > limit {
        return Err(io::Error::other(format!("a frame of {length} bytes was announced, more than {limit}")));
    }
    let mut sealed = Vec::new();
    stream.take(length as u64).read_to_end(&mut sealed).await?;
    if sealed.len() == length { Ok(sealed) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
