//! Who may ask how much. Nothing of it is about this host itself.
//!
//! A question by UDP may have a forged address, so that its answer hits someone who did not ask. Answers to a network are
//! therefore limited (`dns_config.response_rate_limit`, in the manner of BIND's response rate limiting): of those above the
//! limit, one in two is a bare header that says "ask by TCP" (TC), no longer than its question, and the others are
//! dropped. A client that really asks so gets its answer; what cannot be forged is not limited.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Instant,
};

use super::Settings;
use crate::{
    http::Network,
    limits::{Buckets, masked},
    metrics::Refusal,
};

/// The bits of addresses whose answers count together: what a forger may choose from is as a rule a whole network.
const V4_BITS: u32 = 24;
const V6_BITS: u32 = 56;
/// A message's header (RFC 1035, section 4.1.1), in bytes.
const HEADER_BYTES: usize = 12;

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    buckets: Option<Buckets>,
    /// Whether the last one above the limit was told to ask by TCP.
    has_slipped: AtomicBool,
    networks: Vec<Network>,
}

/// What is done about a question by UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passes {
    /// It is answered.
    Yes,
    /// Its client is told to ask by TCP.
    ByTcp,
    /// Nothing.
    No,
}

impl Gate {
    /// What the settings say.
    pub fn new(settings: &Settings) -> Self {
        Self {
            buckets: settings.responses.map(Buckets::new),
            has_slipped: AtomicBool::new(false),
            networks: settings.recursion_networks.clone(),
        }
    }

    /// Whether a socket at that address has anybody to limit.
    pub fn limits(&self, local: IpAddr) -> bool {
        self.buckets.is_some() && !local.to_canonical().is_loopback()
    }

    /// What is done about a question by UDP.
    pub fn datagram(&self, asker: IpAddr, now: Instant) -> Passes {
        let Some(buckets) = self.buckets.as_ref().filter(|_| !asker.to_canonical().is_loopback()) else {
            return Passes::Yes;
        };
        if buckets.take(&masked(asker, V4_BITS, V6_BITS), now).is_ok() {
            return Passes::Yes;
        }
        Refusal::DnsResponses.count();
        if self.has_slipped.fetch_xor(true, Relaxed) { Passes::No } else { Passes::ByTcp }
    }

    /// Whether recursors are asked for this one. Whoever has no address is on this host.
    pub fn recurses_for(&self, asker: Option<IpAddr>) -> bool {
        asker.is_none_or(|asker| self.networks.iter().any(|network| network.contains(asker)))
    }
}

/// Writes the message that says "ask by TCP": the question's header and the question itself. Nothing is written where the
/// packet is none that has one question in plain letters, which is all that clients send.
pub(super) fn ask_by_tcp(packet: &[u8], answer: &mut Vec<u8>) {
    if let Some(question) = question(packet) {
        answer.extend_from_slice(&packet[..question]);
        // A response, cut, of the same operation; recursion as desired. No error, and nothing but the question.
        answer[2] = 0x80 | (packet[2] & 0x79) | 0x02;
        answer[3] = 0;
        answer[6..HEADER_BYTES].fill(0);
    }
}

/// Where the only question of a packet ends.
fn question(packet: &[u8]) -> Option<usize> {
    let is_question = packet.get(2)? & 0x80 == 0 && packet.get(4..6)? == [0, 1];
    let mut at = HEADER_BYTES;
    loop {
        match usize::from(*packet.get(at)?) {
            0 => break,
            label @ 1..64 => at += 1 + label,
            _ => return None,
        }
    }
    let end = at + 5;
    (is_question && end <= packet.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use hickory_proto::{
        op::{Message, MessageType, Query},
        rr::{Name, RecordType},
    };

    use super::*;
    use crate::limits::Rate;

    #[test]
    fn a_network_is_answered_so_often_and_then_asked_to_come_by_tcp() {
        let settings = Settings { responses: Rate::per_second(10.0, 10), ..Settings::default() };
        let gate = Gate::new(&settings);
        let now = Instant::now();
        let ask = |text: &str| gate.datagram(text.parse().unwrap(), now);
        let passes: Vec<Passes> = (0..14).map(|host| ask(&format!("192.0.2.{host}"))).collect();
        assert_eq!(passes[..10], [Passes::Yes; 10]);
        assert_eq!(passes[10..], [Passes::ByTcp, Passes::No, Passes::ByTcp, Passes::No]);
        assert_eq!(ask("198.51.100.1"), Passes::Yes, "another network");
        for _ in 0..100 {
            assert_eq!(
                (ask("127.0.0.1"), ask("::1"), ask("::ffff:127.0.0.1")),
                (Passes::Yes, Passes::Yes, Passes::Yes)
            );
        }
        assert!(gate.limits([0, 0, 0, 0].into()) && !gate.limits([127, 0, 0, 1].into()));
        assert!(!Gate::new(&Settings::default()).limits([0, 0, 0, 0].into()));
    }

    #[test]
    fn who_is_asked_to_come_by_tcp_gets_its_question_back() {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii("web.service.consul.").unwrap(), RecordType::SRV));
        let packet = message.to_vec().unwrap();
        let mut answer = Vec::new();
        ask_by_tcp(&packet, &mut answer);
        let read = Message::from_vec(&answer).unwrap();
        assert_eq!((read.metadata.message_type, read.metadata.truncation), (MessageType::Response, true));
        assert_eq!((read.queries, read.metadata.id), (message.queries, message.metadata.id));
        assert!(answer.len() <= packet.len());
        for broken in [&packet[..packet.len() - 1], &packet[..12], &answer, &[][..], &[0xff; 600][..]] {
            let mut nothing = Vec::new();
            ask_by_tcp(broken, &mut nothing);
            assert!(nothing.is_empty());
        }
    }
}
