//! Who a member is to the failure detector: an address and one life of the process behind it.
//!
//! Names and tags are not here: foca copies identities into every packet, so they stay at about twenty bytes. What
//! a life is called is in [`super::member`]; how identities and updates travel is in [`super::protocol`].

use std::{net::SocketAddr, time::Duration};

use bytes::{Buf, BufMut};
use foca::{Codec, Header, Message, PostcardCodec};
use serde::{Deserialize, Serialize};

/// The largest generation that is believed: 48 bits of milliseconds, the year 10889. A peer that claims more is
/// broken, and following it would leave no room for the next life.
pub(super) const MAX_GENERATION: u64 = (1 << 48) - 1;

/// One life of one process at one address.
///
/// `generation` is the wall clock in milliseconds when the process started its pool, so a restarted node beats its
/// former life without having kept anything. `renewal` grows each time a living process learns that it was declared
/// down: the SWIM paper (section 4.2) makes "down" final, so coming back takes a new identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Identity {
    pub address: SocketAddr,
    pub generation: u64,
    pub renewal: u32,
}

impl Identity {
    /// The order of identities that share an address: later lives, then later renewals, win.
    pub fn order(&self) -> (u64, u32) {
        (self.generation, self.renewal)
    }

    /// By how much the clock of this host, `now` after this life began, is behind that of `other`: nobody can have begun in
    /// the future. None where that is little, or not to be seen: the other has been there for long, or is behind itself.
    pub fn clock_behind(&self, now: Duration, other: Self) -> Option<Duration> {
        let here = Duration::from_millis(self.generation) + now;
        let ahead = Duration::from_millis(other.generation).checked_sub(here)?;
        (ahead >= TOLERATED_CLOCK_DIFFERENCE).then_some(ahead)
    }

    /// True when a packet could be sent to it and its generation leaves room for the next.
    pub fn is_plausible(&self) -> bool {
        self.generation <= MAX_GENERATION && is_reachable(self.address)
    }
}

/// Clocks that differ by less are not worth a word.
const TOLERATED_CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// True for an address that one member can have: neither unspecified nor multicast, with a port.
pub(super) fn is_reachable(address: SocketAddr) -> bool {
    !address.ip().is_unspecified() && !address.ip().is_multicast() && address.port() != 0
}

/// An address as foca compares it, with every member of its list for each update that it takes: as numbers, and not byte
/// by byte as the standard library does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint(SocketAddr);

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (SocketAddr::V4(one), SocketAddr::V4(other)) => {
                one.port() == other.port() && one.ip().to_bits() == other.ip().to_bits()
            }
            (one, other) => one == other,
        }
    }
}

impl foca::Identity for Identity {
    type Addr = Endpoint;

    fn renew(&self) -> Option<Self> {
        Some(Self { renewal: self.renewal.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> Endpoint {
        Endpoint(self.address)
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.order() > adversary.order()
    }
}

/// Foca's postcard codec that also refuses identities nobody can have, so that they never enter the member list.
#[derive(Debug)]
pub(super) struct CheckedCodec;

/// Why a packet's header or update was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    #[error("not a member update: {0}")]
    Format(#[from] postcard::Error),
    #[error("the member address {0} cannot be a member's")]
    Implausible(SocketAddr),
}

fn plausible(identity: &Identity) -> Result<(), CodecError> {
    if identity.is_plausible() { Ok(()) } else { Err(CodecError::Implausible(identity.address)) }
}

impl Codec<Identity> for CheckedCodec {
    type Error = CodecError;

    fn encode_header(&mut self, header: &Header<Identity>, buf: impl BufMut) -> Result<(), CodecError> {
        Ok(PostcardCodec.encode_header(header, buf)?)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, CodecError> {
        let header: Header<Identity> = PostcardCodec.decode_header(buf)?;
        plausible(&header.src)?;
        match &header.message {
            Message::PingReq { target: other, .. }
            | Message::IndirectPing { origin: other, .. }
            | Message::IndirectAck { target: other, .. }
            | Message::ForwardedAck { origin: other, .. } => plausible(other)?,
            Message::Ping(_)
            | Message::Ack(_)
            | Message::Announce
            | Message::Feed
            | Message::Gossip
            | Message::Broadcast
            | Message::TurnUndead => {}
        }
        Ok(header)
    }

    fn encode_member(&mut self, member: &foca::Member<Identity>, buf: impl BufMut) -> Result<(), CodecError> {
        Ok(PostcardCodec.encode_member(member, buf)?)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<foca::Member<Identity>, CodecError> {
        let member: foca::Member<Identity> = PostcardCodec.decode_member(buf)?;
        plausible(member.id())?;
        Ok(member)
    }
}

/// The addresses that a foca packet would make known: its sender's and those of its updates. None for a broken one.
pub(super) fn addresses_of(mut packet: &[u8]) -> Option<Vec<SocketAddr>> {
    let header = CheckedCodec.decode_header(&mut packet).ok()?;
    let mut addresses = vec![header.src.address];
    if header.message != Message::Broadcast && packet.len() >= 2 {
        for _ in 0..packet.get_u16() {
            addresses.push(CheckedCodec.decode_member(&mut packet).ok()?.id().address);
        }
    }
    Some(addresses)
}

#[cfg(test)]
mod tests {
    use foca::Identity as _;

    use super::*;

    #[test]
    fn a_later_life_and_a_renewal_win_the_address() {
        let first = Identity { address: "127.0.0.1:8301".parse().unwrap(), generation: 10, renewal: 7 };
        let renewed = first.renew().unwrap();
        let restarted = Identity { generation: 11, renewal: 0, ..first };
        assert!(renewed.win_addr_conflict(&first));
        assert!(restarted.win_addr_conflict(&renewed));
        assert!(!first.win_addr_conflict(&restarted));
    }

    #[test]
    fn a_life_that_began_in_the_future_tells_of_a_clock() {
        let own = Identity { address: "127.0.0.1:8301".parse().unwrap(), generation: 1_000_000, renewal: 0 };
        let began = |generation| Identity { generation, ..own };
        let minute = Duration::from_secs(60);
        for (now_s, generation, behind_s) in [
            (0, 1_000_000, None),
            (0, 1_059_999, None),
            (0, 1_060_000, Some(60)),
            (60, 1_060_000, None),
            (60, 8_260_000, Some(7200 - 60 + 60)),
            (60, 1, None),
        ] {
            let behind = own.clock_behind(Duration::from_secs(now_s), began(generation));
            assert_eq!(behind, behind_s.map(Duration::from_secs), "{generation} after {now_s} s");
        }
        assert!(own.clock_behind(minute, own).is_none());
    }

    #[test]
    fn addresses_nobody_has_are_refused() {
        for (address, plausible) in
            [("127.0.0.1:8301", true), ("127.0.0.1:0", false), ("0.0.0.0:8301", false), ("224.0.0.1:8301", false)]
        {
            let identity = Identity { address: address.parse().unwrap(), generation: 1, renewal: 0 };
            let mut bytes = Vec::new();
            CheckedCodec.encode_member(&foca::Member::alive(identity), &mut bytes).unwrap();
            assert_eq!(CheckedCodec.decode_member(&bytes[..]).is_ok(), plausible, "{address}");
        }
    }
}
