//! A DNS server that stands for the rest of the world: a small zone `example.test` with every kind of answer, and
//! behaviour good and bad, over UDP and TCP on loopback. It counts what it is asked.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, CNAME, NULL, PTR, SOA, TXT},
    },
};

use crate::dns::Transport;

/// How long `slow.example.test` takes.
pub const SLOW: Duration = Duration::from_millis(300);
/// The TTL of every record but the SOA's minimum, seconds.
pub const TTL: u32 = 60;
/// A record type that nobody has given a meaning.
pub const ODD_TYPE: u16 = 65_280;
/// The data of `odd.example.test` of that type.
pub const ODD_DATA: &[u8] = b"\x00\xc0\x0c\xff any bytes";
/// The texts of `big.example.test`, 200 bytes each.
pub const BIG_TEXTS: usize = 20;

/// The server, until the test program ends.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<(Transport, String, RecordType)>>>,
}

impl Upstream {
    /// A server on a port of its own.
    ///
    /// # Panics
    /// It cannot be bound.
    #[must_use]
    pub fn start() -> Self {
        let port = crate::ports::free();
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
        let udp = UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let tcp = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let upstream = Self { address, asked: Arc::default() };
        let server = upstream.clone();
        thread::spawn(move || server.datagrams(&udp));
        let server = upstream.clone();
        thread::spawn(move || server.connections(&tcp));
        upstream
    }

    /// How often it was asked that.
    #[must_use]
    pub fn times(&self, transport: Transport, name: &str, kind: RecordType) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|(by, of, with)| *by == transport && of == name && *with == kind).count()
    }

    fn note(&self, transport: Transport, message: &Message) -> String {
        let query = &message.queries[0];
        let name = query.name.to_string().to_ascii_lowercase();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push((transport, name.clone(), query.query_type));
        name
    }

    fn datagrams(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
            let name = self.note(Transport::Udp, &question);
            let send = |message: Vec<u8>| socket.send_to(&message, client).map(drop);
            let sent = match name.split('.').next() {
                Some("dead") => Ok(()),
                Some("slow") => {
                    let (socket, reply) = (socket.try_clone(), reply(&question, Transport::Udp));
                    thread::spawn(move || {
                        thread::sleep(SLOW);
                        socket.map(|socket| socket.send_to(&reply, client))
                    });
                    Ok(())
                }
                Some("lies") => lies(&question).into_iter().try_for_each(send),
                _ => send(reply(&question, Transport::Udp)),
            };
            sent.unwrap_or_else(|error| panic!("{client}: {error}"));
        }
    }

    fn connections(&self, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            let server = self.clone();
            // A client that goes away is none of our business.
            thread::spawn(move || server.connection(stream).unwrap_or_default());
        }
    }

    fn connection(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut packet)?;
            let question = Message::from_vec(&packet).map_err(std::io::Error::other)?;
            self.note(Transport::Tcp, &question);
            let reply = reply(&question, Transport::Tcp);
            let length = u16::try_from(reply.len()).map_err(std::io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes()[..], &reply].concat())?;
        }
    }
}

/// Wrong number, wrong name, wrong type, no answer at all, not even a message; and then the truth.
fn lies(question: &Message) -> Vec<Vec<u8>> {
    let forged = |change: &dyn Fn(&mut Message)| {
        let mut message = question.clone();
        message.metadata.message_type = MessageType::Response;
        let data = RData::A(A(Ipv4Addr::new(203, 0, 113, 66)));
        message.answers.push(Record::from_rdata(message.queries[0].name.clone(), TTL, data));
        change(&mut message);
        message.to_vec().unwrap_or_default()
    };
    vec![
        forged(&|message| message.metadata.id ^= 1),
        forged(&|message| message.queries[0].name = name("other.example.test.")),
        forged(&|message| message.queries[0].query_type = RecordType::NS),
        forged(&|message| message.metadata.message_type = MessageType::Query),
        forged(&|message| message.queries.clear()),
        b"lies".to_vec(),
        reply(question, Transport::Udp),
    ]
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn reply(question: &Message, transport: Transport) -> Vec<u8> {
    let mut message = question.clone();
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    let query = question.queries[0].clone();
    let asked = query.name.to_string().to_ascii_lowercase();
    let address = |of: &Name| Record::from_rdata(of.clone(), TTL, RData::A(A(Ipv4Addr::new(192, 0, 2, 1))));
    let is_address = query.query_type == RecordType::A;
    match asked.strip_suffix(".example.test.").unwrap_or(&asked) {
        "www" | "slow" | "lies" | "dead" if is_address => message.answers.push(address(&query.name)),
        "alias" if is_address => {
            let target = name("www.example.test.");
            message.answers.push(Record::from_rdata(query.name, TTL, RData::CNAME(CNAME(target.clone()))));
            message.answers.push(address(&target));
        }
        "big" if transport == Transport::Udp => message.metadata.truncation = true,
        "big" if query.query_type == RecordType::TXT => {
            let text = |number| TXT::new(vec![format!("{number:0>200}")]);
            let texts = (0..BIG_TEXTS).map(|number| RData::TXT(text(number)));
            message.answers.extend(texts.map(|data| Record::from_rdata(query.name.clone(), TTL, data)));
        }
        "odd" if u16::from(query.query_type) == ODD_TYPE => {
            let data = RData::Unknown { code: query.query_type, rdata: NULL::with(ODD_DATA.to_vec()) };
            message.answers.push(Record::from_rdata(query.name, TTL, data));
        }
        "1.2.0.192.in-addr.arpa." => {
            let target = RData::PTR(PTR(name("www.example.test.")));
            message.answers.push(Record::from_rdata(query.name, TTL, target));
        }
        "fails" => message.metadata.response_code = ResponseCode::ServFail,
        known => {
            if !["www", "slow", "lies", "alias", "odd", "big"].contains(&known) {
                message.metadata.response_code = ResponseCode::NXDomain;
            }
            let soa = SOA::new(name("ns.example.test."), name("admin.example.test."), 7, 3600, 600, 86_400, 30);
            message.authorities.push(Record::from_rdata(name("example.test."), TTL, RData::SOA(soa)));
        }
    }
    message.to_vec().unwrap_or_else(|error| panic!("{question:?}: {error}"))
}
