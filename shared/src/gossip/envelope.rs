//! The one door that all bytes of a pool pass: [`Envelope::seal`] on the way out, [`Envelope::open`] on the way in.
//!
//! ```text
//! plain:  1 (1 byte) | kind (1 byte) | pool (4 bytes, a hash of its label) | payload
//! sealed: 2 (1 byte) | kind (1 byte) | pool (4 bytes) | nonce (12 bytes) | AES-GCM of payload | tag (16 bytes)
//! ```
//!
//! The header, the pool's whole label and the context are authenticated with it. A reply on a stream has the nonce of
//! what it replies to as its context, so that an old reply does not pass for one to a new question.
//!
//! **Nonces** are NIST SP 800-38D's deterministic construction (8.2.1): 8 bytes that are drawn at random for each
//! process and again after 2^32 messages, and a count. Two messages under one key have the same nonce only when two of
//! those draws meet: with a million processes the odds are below one in 2^24, however much each of them says.
//!
//! **Replay.** [`Opened::nonce`] lets `replay` drop a packet that has come before. One from before the receiver's own
//! start, or from further back than it keeps in mind, passes: it says again what was once true. Identities, incarnations
//! and Lamport times order that behind what is known (`table`, `user_event`), and an answer to a probe counts only with
//! that probe's number. Changes of the keyring would not be harmless, so they need a fresh challenge (`key_rounds`).

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use ring::aead::{Aad, Nonce};

use super::keyring::Keyring;
use crate::metrics::GossipDrop;

/// The version of what is not sealed.
const PLAIN: u8 = 1;
/// The version of what is.
const SEALED: u8 = 2;
const HEADER_BYTES: usize = 6;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// What sealing may add to a packet.
pub(super) const SEAL_BYTES: usize = HEADER_BYTES + NONCE_BYTES + TAG_BYTES;

/// What a sealed payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A foca packet.
    Swim = 0,
    /// A [`super::wire::Request`].
    Exchange = 1,
    /// A [`super::round_trip::Trip`].
    Trip = 2,
    /// A [`super::wire::Reply`].
    Reply = 3,
    /// A [`super::key_rounds::KeyRequest`], or the hello before it.
    Keys = 4,
    /// A [`super::key_rounds::KeyReply`].
    KeysReply = 5,
}

impl Kind {
    /// What the bytes say they are, whether that is true or not.
    pub fn of(sealed: &[u8]) -> Option<Self> {
        [Self::Swim, Self::Exchange, Self::Trip, Self::Reply, Self::Keys, Self::KeysReply]
            .into_iter()
            .find(|kind| sealed.get(1) == Some(&(*kind as u8)))
    }

    /// Keys travel sealed, or not at all.
    fn is_secret(self) -> bool {
        matches!(self, Self::Keys | Self::KeysReply)
    }
}

/// Names one message among all that are sealed.
pub(super) type MessageNonce = [u8; NONCE_BYTES];

/// What was in an envelope.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened<'bytes> {
    pub payload: Cow<'bytes, [u8]>,
    /// None for what was not sealed.
    pub nonce: Option<MessageNonce>,
}

/// Why sealed bytes were not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenError {
    #[error("it is not of the gossip protocol, version {PLAIN} or {SEALED}")]
    Foreign,
    #[error("it is of another pool: both must have the same datacenter, and LAN goes with LAN, WAN with WAN")]
    OtherPool,
    #[error("it is not encrypted, and this pool is: give that node the pool's key (encrypt)")]
    Plain,
    #[error("it is encrypted, and this node has no key: give it the pool's key (encrypt)")]
    NoKey,
    #[error("no key of this node opens it: it was sealed with another key, or changed on its way")]
    Unopened,
}

impl OpenError {
    /// As it is counted.
    pub fn reason(self) -> GossipDrop {
        match self {
            Self::Foreign => GossipDrop::Foreign,
            Self::OtherPool => GossipDrop::OtherPool,
            Self::Plain => GossipDrop::Plain,
            Self::NoKey => GossipDrop::NoKey,
            Self::Unopened => GossipDrop::Unopened,
        }
    }
}

/// Seals and opens everything a pool sends. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    label: Arc<str>,
    hash: [u8; 4],
    pub keyring: Keyring,
    nonces: Arc<Mutex<Nonces>>,
}

#[derive(Debug)]
struct Nonces {
    drawn: [u8; 8],
    count: u32,
}

impl Nonces {
    fn next(&mut self) -> MessageNonce {
        let mut nonce = [0; NONCE_BYTES];
        nonce[..8].copy_from_slice(&self.drawn);
        nonce[8..].copy_from_slice(&self.count.to_be_bytes());
        self.count = self.count.wrapping_add(1);
        if self.count == 0 {
            self.drawn = rand::random();
        }
        nonce
    }
}

impl Envelope {
    pub fn new(label: &str, keyring: Keyring) -> Self {
        // FNV-1a: only has to tell pools apart that were joined by mistake.
        let hash = label.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let nonces = Nonces { drawn: rand::random(), count: 0 };
        Self { label: label.into(), hash: hash.to_be_bytes(), keyring, nonces: Arc::new(Mutex::new(nonces)) }
    }

    /// Seals a message of its own.
    pub fn seal(&self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        self.seal_as(kind, None, payload)
    }

    /// Seals a message that belongs to the one with the nonce `of`.
    pub fn seal_as(&self, kind: Kind, of: Option<MessageNonce>, payload: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(payload.len() + SEAL_BYTES);
        let keys = self.keyring.keys();
        let key = keys.first().filter(|_| self.keyring.seals() || kind.is_secret());
        sealed.extend_from_slice(&[if key.is_some() { SEALED } else { PLAIN }, kind as u8]);
        sealed.extend_from_slice(&self.hash);
        let Some(key) = key else {
            sealed.extend_from_slice(payload);
            return sealed;
        };
        let authenticated = self.authenticated(&sealed, of);
        let nonce = self.nonces.lock().unwrap_or_else(PoisonError::into_inner).next();
        sealed.extend_from_slice(&nonce);
        let start = sealed.len();
        sealed.extend_from_slice(payload);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(authenticated), &mut sealed[start..]);
        // Fails only beyond 64 GiB, and a frame has a limit. What could not be sealed must not leave.
        match tag {
            Ok(tag) => sealed.extend_from_slice(tag.as_ref()),
            Err(_) => sealed.clear(),
        }
        sealed
    }

    /// Opens a message of its own.
    pub fn open<'bytes>(&self, kind: Kind, sealed: &'bytes [u8]) -> Result<Opened<'bytes>, OpenError> {
        self.open_as(kind, None, sealed)
    }

    /// Opens a message that belongs to the one with the nonce `of`.
    pub fn open_as<'bytes>(
        &self,
        kind: Kind,
        of: Option<MessageNonce>,
        sealed: &'bytes [u8],
    ) -> Result<Opened<'bytes>, OpenError> {
        let (header, rest) = sealed.split_at_checked(HEADER_BYTES).ok_or(OpenError::Foreign)?;
        if header[1] != kind as u8 || !matches!(header[0], PLAIN | SEALED) {
            return Err(OpenError::Foreign);
        }
        if header[2..] != self.hash {
            return Err(OpenError::OtherPool);
        }
        let keys = self.keyring.keys();
        if header[0] == PLAIN {
            let secret = kind.is_secret() && self.keyring.is_encrypted();
            let taken = self.keyring.opens_plain() && !secret;
            return if taken { Ok(Opened { payload: rest.into(), nonce: None }) } else { Err(OpenError::Plain) };
        }
        if keys.all().is_empty() {
            return Err(OpenError::NoKey);
        }
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Unopened)?;
        let authenticated = self.authenticated(header, of);
        for key in keys.all() {
            let mut bytes = ciphertext.to_vec();
            let tried = Nonce::assume_unique_for_key(*nonce);
            if let Ok(payload) = key.open_in_place(tried, Aad::from(&authenticated), &mut bytes) {
                let length = payload.len();
                bytes.truncate(length);
                return Ok(Opened { payload: bytes.into(), nonce: Some(*nonce) });
            }
        }
        Err(OpenError::Unopened)
    }

    /// The nonce of a message that was sealed here; none of a plain one.
    pub fn nonce_of(sealed: &[u8]) -> Option<MessageNonce> {
        let nonce = sealed.get(HEADER_BYTES..)?.first_chunk::<NONCE_BYTES>()?;
        (sealed[0] == SEALED).then_some(*nonce)
    }

    fn authenticated(&self, header: &[u8], of: Option<MessageNonce>) -> Vec<u8> {
        [header, of.as_ref().map_or(&[][..], |nonce| nonce), self.label.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::keyring::GossipKey, *};

    fn key(byte: u8) -> GossipKey {
        GossipKey::parse(&base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [byte; 32])).unwrap()
    }

    fn keyed(label: &str, keys: &[u8]) -> Envelope {
        Envelope::new(label, Keyring::in_memory(keys.iter().map(|byte| key(*byte)).collect()))
    }

    fn lenient(keys: &[u8], opens_plain: bool, seals: bool) -> Envelope {
        let keyring = Keyring::in_memory(keys.iter().map(|byte| key(*byte)).collect());
        Envelope::new("lan dc1", keyring.lenient(opens_plain, seals))
    }

    fn verdict(receiver: &Envelope, kind: Kind, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        receiver.open(kind, sealed).map(|opened| opened.payload.into_owned())
    }

    #[test]
    fn who_opens_what_whom_sealed() {
        let plain = keyed("lan dc1", &[]);
        let table = [
            ("no keys at all", &plain, keyed("lan dc1", &[]), Ok(b"payload".to_vec())),
            ("another pool", &plain, keyed("wan", &[]), Err(OpenError::OtherPool)),
            ("the same key", &keyed("lan dc1", &[1]), keyed("lan dc1", &[1]), Ok(b"payload".to_vec())),
            ("an older key", &keyed("lan dc1", &[1]), keyed("lan dc1", &[2, 1]), Ok(b"payload".to_vec())),
            ("a key that is gone", &keyed("lan dc1", &[1]), keyed("lan dc1", &[2]), Err(OpenError::Unopened)),
            ("another pool's", &keyed("wan", &[1]), keyed("lan dc1", &[1]), Err(OpenError::OtherPool)),
            ("without a key", &keyed("lan dc1", &[1]), keyed("lan dc1", &[]), Err(OpenError::NoKey)),
            ("not sealed", &plain, keyed("lan dc1", &[1]), Err(OpenError::Plain)),
            ("not sealed, allowed", &plain, lenient(&[1], true, true), Ok(b"payload".to_vec())),
            ("sent plain", &lenient(&[1], true, false), keyed("lan dc1", &[]), Ok(b"payload".to_vec())),
        ];
        for (what, sender, receiver, expected) in table {
            assert_eq!(verdict(&receiver, Kind::Swim, &sender.seal(Kind::Swim, b"payload")), expected, "{what}");
        }
    }

    #[test]
    fn other_kinds_and_what_is_not_gossip_are_not_opened() {
        let envelope = keyed("lan dc1", &[]);
        let good = envelope.seal(Kind::Exchange, b"payload");
        for garbage in [&b""[..], b"\x01", b"\x02\x00", b"GET / HTTP/1.1", &good] {
            assert_eq!(verdict(&envelope, Kind::Swim, garbage), Err(OpenError::Foreign));
        }
    }

    #[test]
    fn keys_travel_sealed_even_where_little_else_is() {
        let careless = lenient(&[1], true, false);
        assert_eq!(verdict(&keyed("lan dc1", &[]), Kind::Keys, &careless.seal(Kind::Keys, b"")), Err(OpenError::NoKey));
        let plain = keyed("lan dc1", &[]).seal(Kind::Keys, b"");
        assert_eq!(verdict(&careless, Kind::Keys, &plain), Err(OpenError::Plain));
    }

    #[test]
    fn no_byte_of_a_sealed_message_can_be_changed_or_left_out() {
        let envelope = keyed("lan dc1", &[1]);
        let sealed = envelope.seal(Kind::Swim, b"payload");
        assert_eq!(sealed.len(), 7 + SEAL_BYTES);
        assert!(!sealed.windows(7).any(|window| window == b"payload"));
        for place in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[place] ^= 1 << bit;
                assert!(verdict(&envelope, Kind::Swim, &changed).is_err(), "bit {bit} of byte {place}");
            }
            assert!(verdict(&envelope, Kind::Swim, &sealed[..place]).is_err(), "{place} bytes");
        }
        // As another kind, with the header to match.
        let mut other = sealed;
        other[1] = Kind::Trip as u8;
        assert_eq!(verdict(&envelope, Kind::Trip, &other), Err(OpenError::Unopened));
    }

    #[test]
    fn a_reply_belongs_to_its_question_alone() {
        let envelope = keyed("lan dc1", &[1]);
        let nonce_of = |sealed: &[u8]| envelope.open(Kind::Exchange, sealed).unwrap().nonce;
        let first = nonce_of(&envelope.seal(Kind::Exchange, b"?"));
        let second = nonce_of(&envelope.seal(Kind::Exchange, b"?"));
        assert_ne!(first, second);
        let reply = envelope.seal_as(Kind::Reply, first, b"!");
        assert!(envelope.open_as(Kind::Reply, first, &reply).is_ok());
        assert_eq!(envelope.open_as(Kind::Reply, second, &reply), Err(OpenError::Unopened));
        assert_eq!(envelope.open_as(Kind::Reply, None, &reply), Err(OpenError::Unopened));
    }

    #[test]
    fn nonces_never_repeat_when_the_count_ends() {
        let mut nonces = Nonces { drawn: [7; 8], count: u32::MAX };
        let (last, next) = (nonces.next(), nonces.next());
        assert_eq!(last[8..], [255; 4]);
        assert_eq!(next[8..], [0; 4]);
        assert_ne!(last[..8], next[..8]);
    }
}
