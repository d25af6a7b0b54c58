//! How well this node itself is doing, so that it does not blame others for its own trouble (Dadgar, Phillips, Currey:
//! "Lifeguard: Local Health Awareness for More Accurate Failure Detection", section IV A). Pure, but for the reception
//! of receipts.
//!
//! The *score* is 0 in good health. What says that something is wrong here raises it: a timer that came late (this
//! process got no processor), helpers of a probe that do not even acknowledge the request, a suspicion of this node that
//! it had to refute. Each answered probe lowers it. Probes take `1 + score` times as long, and wait as much longer for an
//! answer, so that a node in trouble judges slowly.
//!
//! The paper's helpers say "not reached" when the target's time is up. Here they send a *receipt* at once, which tells
//! as much of the way to them and needs no timer there. A probe that fails although all helpers gave one says nothing
//! against this node.

use std::{net::SocketAddr, time::Duration};

use foca::{Codec, Header, Incarnation, Message};

use super::{
    identity::{CheckedCodec, Identity},
    protocol::Protocol,
    round_trip::Trip,
};
use crate::metrics::Gauge;

/// The paper's `S`: the greatest score.
const MAX_SCORE: u32 = 8;

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Health {
    score: u32,
    /// Where the score is shown, if it is.
    shown: Option<&'static Gauge>,
    /// Requests for help with the present probe that have no receipt yet.
    unreceipted: Vec<SocketAddr>,
    /// The incarnation of the last packet we sent: a greater one refutes a suspicion.
    pub incarnation: Incarnation,
}

impl Health {
    /// In good health, and shown there.
    pub fn shown_in(shown: Option<&'static Gauge>) -> Self {
        Self { shown, ..Self::default() }
    }

    #[cfg(test)]
    pub fn points(&self) -> u32 {
        self.score
    }

    /// How long something takes that takes `interval` in good health.
    pub fn stretched(&self, interval: Duration) -> Duration {
        interval * (1 + self.score)
    }

    fn worsen(&mut self, points: u32) {
        self.set(self.score.saturating_add(points).min(MAX_SCORE));
    }

    fn set(&mut self, score: u32) {
        self.score = score;
        if let Some(gauge) = self.shown {
            gauge.reach(score.into());
        }
    }

    /// A timer came so late: each `round_trip` of it is a point. True when that is late at all.
    pub fn take_lateness(&mut self, late: Duration, round_trip: Duration) -> bool {
        let points = late.as_micros() / round_trip.as_micros().max(1);
        self.worsen(u32::try_from(points).unwrap_or(MAX_SCORE));
        points > 0
    }

    /// A probe is over: it was answered, or not, by the help of those that gave no receipt.
    pub fn end_probe(&mut self, answered: bool) {
        if answered {
            self.set(self.score.saturating_sub(1));
        } else {
            self.worsen(u32::try_from(self.unreceipted.len()).unwrap_or(MAX_SCORE));
        }
        self.unreceipted.clear();
    }

    /// Notes what foca sends.
    pub fn sent(&mut self, to: SocketAddr, header: &Header<Identity>) {
        if header.src_incarnation > self.incarnation {
            self.worsen(1);
        }
        self.incarnation = header.src_incarnation;
        if matches!(header.message, Message::PingReq { .. }) {
            self.unreceipted.push(to);
        }
    }

    /// Others took this node for down: it took a new identity.
    pub fn was_declared_down(&mut self) {
        self.worsen(1);
    }

    /// `from` has our request.
    pub fn receipt(&mut self, from: SocketAddr) {
        self.unreceipted.retain(|helper| *helper != from);
    }
}

impl Protocol {
    /// Tells whoever asks for help with a probe that the request is here.
    pub(super) fn acknowledge_request(&mut self, mut packet: &[u8]) {
        if let Ok(Header { message: Message::PingReq { .. }, src, .. }) = CheckedCodec.decode_header(&mut packet)
            && self.table.is_at(src)
        {
            self.send_trip(src.address, Trip::Receipt { from: *self.foca.identity() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(250);

    #[test]
    fn late_timers_raise_the_score_and_answered_probes_lower_it() {
        let mut health = Health::default();
        for (late_ms, late, score) in
            [(0, false, 0), (249, false, 0), (250, true, 1), (600, true, 3), (60_000, true, 8)]
        {
            assert_eq!(health.take_lateness(Duration::from_millis(late_ms), ROUND_TRIP), late, "{late_ms}");
            assert_eq!(health.score, score, "{late_ms}");
        }
        assert_eq!(health.stretched(ROUND_TRIP), 9 * ROUND_TRIP);
        for score in (0..8).rev().chain([0]) {
            health.end_probe(true);
            assert_eq!(health.score, score);
        }
        assert_eq!(health.stretched(ROUND_TRIP), ROUND_TRIP);
    }

    #[test]
    fn helpers_without_a_receipt_raise_it_and_those_with_one_do_not() {
        let own = Identity { address: SocketAddr::from(([10, 0, 0, 1], 1)), generation: 1, renewal: 0 };
        let request = Message::PingReq { target: own, probe_number: 1 };
        let header = Header { src: own, src_incarnation: 0, dst: own, message: request };
        let helpers: Vec<_> = (2..5).map(|port| SocketAddr::from(([10, 0, 0, 1], port))).collect();
        for (receipts, score) in [(3, 0), (2, 1), (0, 3)] {
            let mut health = Health::default();
            helpers.iter().for_each(|helper| health.sent(*helper, &header));
            helpers[..receipts].iter().for_each(|helper| health.receipt(*helper));
            health.end_probe(false);
            assert_eq!(health.score, score, "{receipts} receipts");
            health.end_probe(false);
            assert_eq!(health.score, score, "they count once");
        }
    }

    #[test]
    fn a_refuted_suspicion_raises_it() {
        let own = Identity { address: SocketAddr::from(([10, 0, 0, 1], 1)), generation: 1, renewal: 0 };
        let mut health = Health::default();
        for (incarnation, score) in [(0, 0), (1, 1), (1, 1), (2, 2), (0, 2)] {
            let header = Header { src: own, src_incarnation: incarnation, dst: own, message: Message::Gossip };
            health.sent(own.address, &header);
            assert_eq!(health.score, score, "incarnation {incarnation}");
        }
    }
}
