//! A small DNS client over UDP and TCP, every step bounded by a time-out. It asks once: a lost answer is a finding.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};

/// Longest time to wait for an answer.
const TIME_OUT: Duration = Duration::from_secs(5);
/// The payload size that questions with EDNS offer, bytes.
const PAYLOAD_BYTES: u16 = 4096;

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP with EDNS.
    Udp,
    /// UDP without EDNS.
    UdpPlain,
    /// TCP with EDNS.
    Tcp,
}

/// Asks one agent.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
}

impl Client {
    /// A client of the agent whose DNS port on 127.0.0.1 is `port`.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, port).into())
    }

    /// A client of the agent that answers DNS there.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Asks for the records of `kind` of `name`, which is taken as absolute.
    ///
    /// # Errors
    /// No answer in time, or one that is malformed or not to this question.
    pub fn ask(&self, transport: Transport, name: &str, kind: RecordType) -> Result<Message, String> {
        self.exchange(transport, name, kind).map_err(|error| format!("{name} {kind} at {}: {error}", self.address))
    }

    fn exchange(&self, transport: Transport, name: &str, kind: RecordType) -> io::Result<Message> {
        static NEXT_ID: AtomicU16 = AtomicU16::new(1);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let mut question = Message::new(id, MessageType::Query, OpCode::Query);
        question.metadata.recursion_desired = true;
        let mut absolute = Name::from_ascii(name).map_err(io::Error::other)?;
        absolute.set_fqdn(true);
        question.add_query(Query::query(absolute, kind));
        if transport != Transport::UdpPlain {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD_BYTES);
            question.set_edns(edns);
        }
        let question = question.to_vec().map_err(io::Error::other)?;
        let bytes = if transport == Transport::Tcp { self.by_tcp(&question)? } else { self.by_udp(&question)? };
        let answer = Message::from_vec(&bytes).map_err(io::Error::other)?;
        if answer.metadata.id != id || answer.metadata.message_type != MessageType::Response {
            return Err(io::Error::other(format!("not the answer to question {id}: {:?}", answer.metadata)));
        }
        Ok(answer)
    }

    fn by_udp(&self, question: &[u8]) -> io::Result<Vec<u8>> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(self.address)?;
        socket.set_read_timeout(Some(TIME_OUT))?;
        socket.send(question)?;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        let length = loop {
            match socket.recv(&mut buffer) {
                // A signal for this process: the answer is still to come.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => break received?,
            }
        };
        buffer.truncate(length);
        Ok(buffer)
    }

    fn by_tcp(&self, question: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.address, TIME_OUT)?;
        stream.set_read_timeout(Some(TIME_OUT))?;
        let length = u16::try_from(question.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), question].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    /// The IPv4 addresses of `name`, sorted. An unknown name has none.
    ///
    /// # Errors
    /// As [`Client::ask`], and any response code other than NOERROR and NXDOMAIN.
    pub fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let mut addresses: Vec<IpAddr> =
            self.found(name, RecordType::A)?.iter().filter_map(|data| data.ip_addr()).collect();
        addresses.sort_unstable();
        Ok(addresses)
    }

    /// The ports in the SRV records of `name`, sorted. An unknown name has none.
    ///
    /// # Errors
    /// As [`Client::addresses`].
    pub fn ports(&self, name: &str) -> Result<Vec<u16>, String> {
        let ports = self.found(name, RecordType::SRV)?.into_iter().filter_map(|data| match data {
            RData::SRV(record) => Some(record.port),
            _ => None,
        });
        let mut ports: Vec<u16> = ports.collect();
        ports.sort_unstable();
        Ok(ports)
    }

    fn found(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, String> {
        let answer = self.ask(Transport::Udp, name, kind)?;
        match answer.metadata.response_code {
            ResponseCode::NoError => Ok(answer.answers.into_iter().map(|record| record.data).collect()),
            ResponseCode::NXDomain => Ok(Vec::new()),
            code => Err(format!("{name} {kind} at {}: {code}", self.address)),
        }
    }
}
