//! One packet in, one packet out: the header's rules around [`answer`](super::answer()).
//!
//! Pure but for the order of records. No packet panics here or costs more than its size warrants: counts in a header
//! are never trusted before the records are read.

use hickory_proto::{
    op::Message,
    op::{Edns, Header, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::DNSClass,
    serialize::binary::{BinDecodable, BinDecoder},
};
use rand::Rng;

use super::{
    Settings,
    answer::{Answer, answer},
    limit::{Envelope, Limit, fit},
};
use crate::catalog::State;

/// What everybody takes by UDP (RFC 1035, section 4.2.1), in bytes.
const UDP_BYTES: u16 = 512;
/// The most that fits a UDP datagram over IPv4, in bytes.
const MAX_UDP_BYTES: u16 = 65_507;
/// What we take by UDP, in bytes; told to clients that use EDNS (RFC 6891).
pub(super) const QUESTION_BYTES: u16 = 4096;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As a datagram: the answer has the size the client takes.
    Udp,
    /// Over a connection: the answer has up to 65535 bytes.
    Tcp,
}

/// Answers a packet. `None`: it must not be answered (it is an answer itself, or too short to be a message).
#[must_use]
pub fn respond(
    packet: &[u8],
    transport: Transport,
    state: &State,
    settings: &Settings,
    random: &mut impl Rng,
) -> Option<Vec<u8>> {
    let mut decoder = BinDecoder::new(packet);
    let header = Header::read(&mut decoder).ok()?;
    if header.metadata.message_type == MessageType::Response {
        return None;
    }
    let metadata = Metadata::response_from_request(&header.metadata);
    let mut envelope =
        Envelope { metadata, query: None, edns: None, compress: true, mark_cut: settings.enable_truncate };
    envelope.compress = !settings.disable_compression;
    if header.metadata.op_code != OpCode::Query {
        return envelope.refuse(ResponseCode::NotImp);
    }
    let Some((query, edns)) = read(&mut decoder, &header) else {
        return envelope.refuse(ResponseCode::FormErr);
    };
    let said = match &edns {
        Some(edns) if edns.version() > 0 => Err(ResponseCode::BADVERS),
        _ if !matches!(query.query_class, DNSClass::IN | DNSClass::ANY) => Err(ResponseCode::Refused),
        _ => Ok(answer(state, settings, &query.name, query.query_type, random)),
    };
    let limit = limit(transport, edns.as_ref(), settings);
    envelope.query = Some(query);
    envelope.edns = edns.is_some().then(|| {
        let mut edns = Edns::new();
        edns.set_max_payload(QUESTION_BYTES);
        edns
    });
    match said {
        Ok(answer) => envelope.send(&answer, limit),
        Err(code) => envelope.refuse(code),
    }
}

/// The question and the EDNS record; `None` where the message is malformed or has not exactly one question.
fn read(decoder: &mut BinDecoder<'_>, header: &Header) -> Option<(Query, Option<Edns>)> {
    let (counts, operation) = (&header.counts, header.metadata.op_code);
    if counts.queries != 1 {
        return None;
    }
    let query = Query::read(decoder).ok()?;
    let mut records =
        |count: u16, additional: bool| Message::read_records(decoder, usize::from(count), additional, operation).ok();
    records(counts.answers, false)?;
    records(counts.authorities, false)?;
    let (_, edns, _) = records(counts.additionals, true)?;
    Some((query, edns))
}

fn limit(transport: Transport, edns: Option<&Edns>, settings: &Settings) -> Limit {
    let takes = edns.map_or(UDP_BYTES, Edns::max_payload).clamp(UDP_BYTES, MAX_UDP_BYTES);
    match transport {
        Transport::Tcp => Limit { answers: usize::MAX, bytes: u16::MAX },
        Transport::Udp if takes == UDP_BYTES => Limit { answers: settings.udp_answer_limit, bytes: takes },
        Transport::Udp => Limit { answers: usize::MAX, bytes: takes },
    }
}

impl Envelope {
    fn send(mut self, answer: &Answer, limit: Limit) -> Option<Vec<u8>> {
        self.metadata.response_code = answer.code;
        self.metadata.authoritative = answer.authoritative;
        self.metadata.recursion_available = answer.recursion_available;
        if answer.code == ResponseCode::Refused {
            // Who is refused is not told what we can do either.
            self.edns = None;
        }
        match fit(&self, answer, limit) {
            Ok(message) => Some(message),
            Err(error) => {
                let question = self.query.as_ref().map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%error, question, "DNS: an answer cannot be written");
                self.metadata.authoritative = false;
                self.refuse(ResponseCode::ServFail)
            }
        }
    }

    fn refuse(mut self, code: ResponseCode) -> Option<Vec<u8>> {
        self.metadata.response_code = code;
        let answer = Answer {
            code,
            authoritative: false,
            recursion_available: false,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
        };
        fit(&self, &answer, Limit { answers: 0, bytes: UDP_BYTES }).ok()
    }
}
