//! Probes by TCP, where packets are lost or not let through: a member that answers a stream is alive.
//!
//! Foca probes with packets, directly and through others. When the direct answer is late, the same member is asked for
//! its description by a stream, beside the indirect probes; if it is still the same life, foca is handed the answer that
//! it waits for. Nothing here decides that somebody failed.

use std::net::SocketAddr;

use foca::{Codec, Header, Message, ProbeNumber};

use super::{
    identity::{CheckedCodec, Identity},
    protocol::Protocol,
    wire::{Knowledge, Request},
};

/// The probe that is under way.
#[derive(Debug, Default)]
pub(super) struct Fallback {
    /// Sent, and not answered by a packet.
    unanswered: Option<(Identity, ProbeNumber)>,
    /// Asked by a stream.
    asked: Option<(Identity, ProbeNumber)>,
    probing: bool,
}

impl Fallback {
    /// Notes what foca sends. True for a probe.
    pub fn sent(&mut self, to: Identity, header: &Header<Identity>) -> bool {
        let Message::Ping(number) = header.message else { return false };
        self.unanswered = Some((to, number));
        self.probing = true;
        true
    }

    /// Notes what foca is given.
    pub fn heard(&mut self, mut packet: &[u8]) {
        let Ok(header) = CheckedCodec.decode_header(&mut packet) else { return };
        let answered = match header.message {
            Message::Ack(number) => Some((header.src, number)),
            Message::ForwardedAck { origin, probe_number } => Some((origin, probe_number)),
            _ => None,
        };
        if answered.is_some() && answered == self.unanswered {
            self.unanswered = None;
        }
    }

    /// The time of the probe is up: whether it was answered, if there was one.
    pub fn end(&mut self) -> Option<bool> {
        let probing = std::mem::take(&mut self.probing);
        probing.then(|| self.unanswered.take().is_none())
    }

    /// Whether the probe of `member` has had no answer yet.
    pub fn waits_for(&self, member: Identity) -> bool {
        self.unanswered.is_some_and(|(probed, _)| probed == member)
    }
}

impl Protocol {
    /// The direct answer is late: asks by a stream too.
    pub(super) fn probe_by_stream(&mut self, member: Identity) {
        self.fallback.asked = self.fallback.unanswered;
        self.start_exchange(member.address, Request::Describe);
    }

    /// A stream was answered: by the probed member, and in time, or not.
    pub(super) fn take_stream_answer(&mut self, address: SocketAddr, theirs: &Knowledge) {
        let asked = self.fallback.asked.take_if(|(probed, _)| probed.address == address);
        let Some((probed, number)) = asked.filter(|asked| self.fallback.unanswered == Some(*asked)) else { return };
        if theirs.records.first().is_none_or(|record| record.identity != probed) {
            return;
        }
        let held = self.foca.iter_membership_state().find(|member| *member.id() == probed);
        let Some(src_incarnation) = held.map(foca::Member::incarnation) else { return };
        let header = Header { src: probed, src_incarnation, dst: *self.foca.identity(), message: Message::Ack(number) };
        let mut packet = Vec::new();
        let given = CheckedCodec
            .encode_header(&header, &mut packet)
            .map_err(|error| error.to_string())
            .and_then(|()| self.foca.handle_data(&packet, &mut self.events).map_err(|error| error.to_string()));
        self.fallback.unanswered = None;
        if let Err(error) = given {
            tracing::debug!(%error, "the answer of a stream did not count as that of a probe");
        }
    }
}
