//! One DNS question over UDP, asked as `dig` asks: recursion desired, EDNS with room for 1232 bytes.

use std::{io, net::SocketAddr, time::Duration};

use hickory_proto::{
    op::{Edns, Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use tokio::{net::UdpSocket, time::timeout};

/// After this a question has failed.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read (DNS Flag Day 2020).
const PAYLOAD_BYTES: u16 = 1232;

/// Asks one server.
pub struct Asker {
    socket: UdpSocket,
}

impl Asker {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// No socket.
    pub async fn new(server: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(server).await?;
        Ok(Self { socket })
    }

    /// The answer, which has at least one record.
    ///
    /// # Errors
    /// No answer within [`ANSWER_LIMIT`], an answer that says no, or one without records; in words.
    pub async fn ask(&self, name: &str, kind: RecordType) -> Result<Message, String> {
        let mut question = Message::query();
        let name = Name::from_ascii(name).map_err(|error| error.to_string())?;
        question.add_query(Query::query(name, kind));
        question.metadata.recursion_desired = true;
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD_BYTES);
        question.set_edns(edns);
        let bytes = question.to_vec().map_err(|error| error.to_string())?;
        let answer = timeout(ANSWER_LIMIT, self.exchange(&bytes, question.metadata.id)).await;
        let answer = answer.map_err(|_| format!("no answer within {} s", ANSWER_LIMIT.as_secs()))?;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.metadata.response_code {
            ResponseCode::NoError if answer.answers.is_empty() => Err("NOERROR without a record".into()),
            ResponseCode::NoError => Ok(answer),
            code => Err(code.to_string()),
        }
    }

    /// Answers to questions that were given up may still come: they have another ID.
    async fn exchange(&self, question: &[u8], id: u16) -> io::Result<Message> {
        self.socket.send(question).await?;
        let mut buffer = vec![0; PAYLOAD_BYTES.into()];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            let answer = Message::from_vec(&buffer[..length]).map_err(io::Error::other)?;
            if answer.metadata.id == id {
                return Ok(answer);
            }
        }
    }
}

/// The ports of an answer's SRV records, sorted.
pub fn srv_ports(answer: &Message) -> Vec<u16> {
    let mut ports: Vec<u16> = answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(service) => Some(service.port),
            _ => None,
        })
        .collect();
    ports.sort_unstable();
    ports
}

/// The records as `dig` prints them: answers, then the additional addresses.
pub fn lines(answer: &Message) -> String {
    let records = answer.answers.iter().chain(&answer.additionals);
    let records = records.filter(|record| matches!(record.data, RData::A(_) | RData::SRV(_)));
    records.map(|record| format!("{record}\n")).collect()
}
