//! One packet in, one packet out: the header's rules around [`answer`](super::answer()).
//!
//! Pure but for the order of records. No packet panics here or costs more than its size warrants: counts in a header
//! are never trusted before the records are read.

use std::net::IpAddr;

use hickory_proto::{
    op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, RecordType,
        rdata::opt::{ClientSubnet, EdnsCode, EdnsOption},
    },
    serialize::binary::{BinDecodable, BinDecoder},
};
use rand::Rng;

use super::{
    Settings,
    answer::{Answer, Basis, Order, answer_in, answer_query},
    far::{Far, FarSubject},
    limit::{Envelope, Limit, fit},
    recursor::Asked,
};
use crate::{catalog::State, http::json::far::Told};

/// What everybody takes by UDP (RFC 1035, section 4.2.1), in bytes.
const UDP_BYTES: u16 = 512;
/// The most that fits a UDP datagram over IPv4, in bytes.
const MAX_UDP_BYTES: u16 = 65_507;
/// What we take by UDP, in bytes; told to clients that use EDNS (RFC 6891).
pub(super) const QUESTION_BYTES: u16 = 4096;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// As a datagram: the answer has the size the client takes.
    Udp,
    /// Over a connection: the answer has up to 65535 bytes.
    Tcp,
}

/// What is to be done about a packet.
#[derive(Debug)]
pub(super) enum Step {
    /// Send this.
    Reply(Reply),
    /// Ask the recursors first.
    Wait(Wait),
}

/// A message, and what one who keeps it has to know.
#[derive(Debug)]
pub(super) struct Reply {
    pub message: Vec<u8>,
    /// What it rests on; none: it is not to be kept.
    pub basis: Option<Basis>,
    /// How many things an order was drawn for.
    pub ordered: usize,
}

/// What the recursors are to be asked.
#[derive(Debug)]
pub(super) enum Wait {
    /// The question itself.
    Forward(Box<Forward>),
    /// The names that the answer leads to.
    Follow(Box<Follow>),
    /// Another datacenter.
    Far(Box<FarQuestion>),
}

/// A question for another datacenter.
#[derive(Debug)]
pub(super) struct FarQuestion {
    pub far: Far,
    envelope: Envelope,
    /// What is said where that one has no such name.
    answer: Answer,
    limit: Limit,
    asker: Option<IpAddr>,
}

/// A question for the recursors.
#[derive(Debug)]
pub(super) struct Forward {
    pub asked: Asked,
    /// How many bytes the client takes.
    pub limit: u16,
    envelope: Envelope,
}

/// An answer of ours that leads to names outside our domains.
#[derive(Debug)]
pub(super) struct Follow {
    envelope: Envelope,
    answer: Answer,
    limit: Limit,
}

/// Answers a packet without recursors: what they would be asked fails, what they could add is left out. `None`: it
/// must not be answered (it is an answer itself, or too short to be a message).
#[must_use]
pub fn respond(
    packet: &[u8],
    transport: Transport,
    state: &State,
    settings: &Settings,
    random: &mut impl Rng,
) -> Option<Vec<u8>> {
    match consider(packet, transport, state, settings, &mut Order::new(random, None))? {
        Step::Reply(reply) => Some(reply.message),
        Step::Wait(wait) => wait.give_up(),
    }
}

/// As [`respond`], with instances in that order; says what the recursors are to be asked.
pub(super) fn consider(
    packet: &[u8],
    transport: Transport,
    state: &State,
    settings: &Settings,
    order: &mut Order<impl Rng>,
) -> Option<Step> {
    let mut decoder = BinDecoder::new(packet);
    let header = Header::read(&mut decoder).ok()?;
    if header.metadata.message_type == MessageType::Response {
        return None;
    }
    let mut metadata = Metadata::response_from_request(&header.metadata);
    metadata.recursion_available = !settings.recursors.is_empty();
    let (compress, mark_cut) = (!settings.disable_compression, settings.enable_truncate);
    let mut envelope = Envelope { metadata, query: None, edns: None, compress, mark_cut };
    if header.metadata.op_code != OpCode::Query {
        return envelope.refuse(ResponseCode::NotImp).map(Reply::once);
    }
    let Some((query, edns)) = read(&mut decoder, &header) else {
        return envelope.refuse(ResponseCode::FormErr).map(Reply::once);
    };
    let limit = limit(transport, edns.as_ref(), settings);
    order.most = limit.most_answers() + 1;
    let subnet = edns.as_ref().and_then(client_subnet);
    order.asker = subnet.map(|subnet| subnet.addr());
    let said = match &edns {
        Some(edns) if edns.version() > 0 => Err(ResponseCode::BADVERS),
        _ if !matches!(query.query_class, DNSClass::IN | DNSClass::ANY) => Err(ResponseCode::Refused),
        _ => Ok(answer_in(state, settings, &query.name, query.query_type, order)),
    };
    envelope.query = Some(query);
    envelope.edns = edns.is_some().then(|| {
        let mut edns = Edns::new();
        edns.set_max_payload(QUESTION_BYTES);
        edns
    });
    if let (Some(edns), Some(subnet), Ok(Answer { is_for_asker: true, .. })) = (&mut envelope.edns, subnet, &said) {
        let answered = ClientSubnet::new(subnet.addr(), subnet.source_prefix(), subnet.source_prefix());
        edns.options_mut().insert(EdnsOption::Subnet(answered));
    }
    match said {
        Ok(answer) if answer.is_elsewhere && envelope.metadata.recursion_available => {
            match Asked::read(packet, &header.metadata, edns.as_ref()) {
                Some(asked) => {
                    Some(Step::Wait(Wait::Forward(Box::new(Forward { asked, limit: limit.bytes, envelope }))))
                }
                None => envelope.refuse(ResponseCode::FormErr).map(Reply::once),
            }
        }
        Ok(answer) if !answer.outside.is_empty() && envelope.metadata.recursion_available => {
            Some(Step::Wait(Wait::Follow(Box::new(Follow { envelope, answer, limit }))))
        }
        Ok(mut answer) => {
            if let Some(far) = answer.far.take() {
                let asker = order.asker;
                return Some(Step::Wait(Wait::Far(Box::new(FarQuestion { far, envelope, answer, limit, asker }))));
            }
            let message = envelope.send(&answer, limit)?;
            let is_certain = matches!(answer.code, ResponseCode::NoError | ResponseCode::NXDomain);
            let basis = (is_certain && code(&message) == u16::from(answer.code)).then_some(answer.basis);
            Some(Step::Reply(Reply { message, basis, ordered: answer.ordered }))
        }
        Err(code) => envelope.refuse(code).map(Reply::once),
    }
}

impl Reply {
    /// A message that is not to be kept.
    fn once(message: Vec<u8>) -> Step {
        Step::Reply(Self { message, basis: None, ordered: 0 })
    }
}

/// The response code in a message's header (RFC 1035, section 4.1.1).
fn code(message: &[u8]) -> u16 {
    message.get(3).map_or(0, |flags| u16::from(flags & 0x0f))
}

impl Wait {
    /// The message without the recursors.
    pub(super) fn give_up(self) -> Option<Vec<u8>> {
        match self {
            Self::Forward(forward) => forward.fail(),
            Self::Follow(follow) => follow.finish(&[]),
            Self::Far(question) => question.give_up(),
        }
    }
}

impl Wait {
    /// The message for one for whom recursors are not asked.
    pub(super) fn refuse(self) -> Option<Vec<u8>> {
        match self {
            Self::Forward(mut forward) => {
                forward.envelope.metadata.recursion_available = false;
                forward.envelope.edns = None;
                forward.envelope.refuse(ResponseCode::Refused)
            }
            other => other.give_up(),
        }
    }
}

impl Forward {
    /// The message that says that nobody could tell.
    pub(super) fn fail(self) -> Option<Vec<u8>> {
        self.envelope.refuse(ResponseCode::ServFail)
    }
}

impl FarQuestion {
    /// The message that says that there is no such name.
    pub(super) fn give_up(self) -> Option<Vec<u8>> {
        self.envelope.send(&self.answer, self.limit)
    }

    /// The message that says that nobody could tell.
    pub(super) fn fail(self) -> Option<Vec<u8>> {
        self.envelope.refuse(ResponseCode::ServFail)
    }

    /// The message from what that datacenter has told. Names in it are of that datacenter.
    pub(super) fn finish(self, told: &Told, settings: &Settings) -> Option<Vec<u8>> {
        let datacenter = if told.datacenter.is_empty() { &self.far.datacenter } else { &told.datacenter };
        // Since when a node is gone is not told: whom to go on serving is that datacenter's own business.
        let settings = Settings { datacenter: datacenter.clone(), protection: None, ..settings.clone() };
        let Some(query) = self.envelope.query.as_ref() else { return self.fail() };
        let mut order = Order::new(rand::rng(), None);
        (order.most, order.asker) = (self.limit.most_answers() + 1, self.asker);
        let answer = match &self.far {
            // The name asked for has no datacenter in it, or that of another one.
            Far { subject: FarSubject::Query(name), .. } => {
                answer_query(&told.state, &settings, query, name, &mut order)
            }
            _ => answer_in(&told.state, &settings, &query.name, query.query_type, &mut order),
        };
        self.envelope.send(&answer, self.limit)
    }
}

impl Follow {
    /// What the recursors are to be asked, an address record type for clients that want any.
    pub(super) fn questions(&self) -> Vec<Asked> {
        let asked = self.envelope.query.as_ref().map_or(RecordType::A, |query| query.query_type);
        let kind = if matches!(asked, RecordType::SRV | RecordType::ANY) { RecordType::A } else { asked };
        self.answer.outside.iter().map(|name| Asked::ours(name, kind)).collect()
    }

    /// The message with what they said: after an alias in the answer, for a target beside it.
    pub(super) fn finish(mut self, said: &[Vec<u8>]) -> Option<Vec<u8>> {
        let is_service = self.envelope.query.as_ref().is_some_and(|query| query.query_type == RecordType::SRV);
        let to = if is_service { &mut self.answer.additional } else { &mut self.answer.answers };
        let messages = said.iter().filter_map(|message| Message::from_vec(message).ok());
        to.extend(messages.flat_map(|message| message.answers).filter(|record| record.dns_class == DNSClass::IN));
        self.envelope.send(&self.answer, self.limit)
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

/// From where the client of a resolver asks, as that says (RFC 7871).
fn client_subnet(edns: &Edns) -> Option<ClientSubnet> {
    match edns.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) if subnet.source_prefix() > 0 => Some(*subnet),
        _ => None,
    }
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
        self.metadata.recursion_available |= answer.recursion_available;
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
        fit(&self, &Answer::not_ours(code), Limit { answers: 0, bytes: UDP_BYTES }).ok()
    }
}
