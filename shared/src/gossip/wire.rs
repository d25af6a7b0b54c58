//! What travels, and the one door through which it all passes.
//!
//! Every UDP packet and every frame on a stream is sealed by [`Envelope::seal`] and opened by [`Envelope::open`]:
//! `version (1 byte) | kind (1 byte) | pool label (4 bytes, a hash of it) | payload`. Encryption belongs into
//! these two functions ([`SEAL_BYTES`] reserves the room in packets), other kinds of packet beside [`Kind`].
//! A frame on a stream is the length (4 bytes, big-endian) and the sealed bytes; an exchange is one frame each way.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error, SeqAccess, Visitor},
};

use super::{limits::MAX_MEMBERS, member::Record};

/// The version of this protocol; packets and frames of another one are dropped.
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 6;
/// What sealing may add to a packet: the header, and the version, nonce and tag of AES-GCM.
pub(super) const SEAL_BYTES: usize = HEADER_BYTES + 1 + 12 + 16;

/// What a sealed payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A foca packet.
    Swim,
    /// A [`Request`] or [`Reply`].
    Exchange,
}

/// Seals and opens everything a pool sends.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    label: u32,
}

/// Why sealed bytes were not opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenError {
    #[error("it is not of the gossip protocol, version {VERSION}")]
    Foreign,
    #[error("it is of another pool")]
    OtherPool,
}

impl Envelope {
    pub fn new(label: &str) -> Self {
        // FNV-1a: only has to tell pools apart that were joined by mistake.
        let label =
            label.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self { label }
    }

    pub fn seal(&self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(payload.len() + SEAL_BYTES);
        sealed.extend_from_slice(&[VERSION, kind as u8]);
        sealed.extend_from_slice(&self.label.to_be_bytes());
        sealed.extend_from_slice(payload);
        sealed
    }

    pub fn open<'bytes>(&self, kind: Kind, sealed: &'bytes [u8]) -> Result<&'bytes [u8], OpenError> {
        let Some((header, payload)) = sealed.split_at_checked(HEADER_BYTES) else { return Err(OpenError::Foreign) };
        if header[..2] != [VERSION, kind as u8] {
            Err(OpenError::Foreign)
        } else if header[2..] != self.label.to_be_bytes() {
            Err(OpenError::OtherPool)
        } else {
            Ok(payload)
        }
    }
}

/// What the opener of a stream asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    /// Here is my table, my own record first; give me yours.
    PushPull(#[serde(deserialize_with = "bounded_records")] Vec<Record>),
    /// Describe yourself.
    Describe,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The answerer's table, or for [`Request::Describe`] its own record alone.
    Records(#[serde(deserialize_with = "bounded_records")] Vec<Record>),
    /// The request was not taken, and why, in words.
    Refused(String),
}

/// Why the payload of an exchange was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("the frame is damaged: {0}")]
    Format(#[from] postcard::Error),
    #[error(transparent)]
    Record(#[from] super::member::RecordError),
}

pub(super) fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    postcard::to_allocvec(message).expect("plain data in memory always encodes")
}

pub(super) fn decode<M: DeserializeOwned + HasRecords>(payload: &[u8]) -> Result<M, DecodeError> {
    let message: M = postcard::from_bytes(payload)?;
    for record in message.records() {
        record.check()?;
    }
    Ok(message)
}

/// Decodes records up to the number a table can hold; the frame's size alone would allow many times that.
fn bounded_records<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Record>, D::Error> {
    struct Bounded;
    impl<'de> Visitor<'de> for Bounded {
        type Value = Vec<Record>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "at most {MAX_MEMBERS} members")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<Record>, A::Error> {
            let mut records = Vec::new();
            while let Some(record) = sequence.next_element()? {
                if records.len() == MAX_MEMBERS {
                    return Err(A::Error::invalid_length(MAX_MEMBERS + 1, &self));
                }
                records.push(record);
            }
            Ok(records)
        }
    }
    deserializer.deserialize_seq(Bounded)
}

/// The records inside a message, to be checked before anyone sees them.
pub(super) trait HasRecords {
    fn records(&self) -> &[Record];
}

impl HasRecords for Request {
    fn records(&self) -> &[Record] {
        match self {
            Self::PushPull(records) => records,
            Self::Describe => &[],
        }
    }
}

impl HasRecords for Reply {
    fn records(&self) -> &[Record] {
        match self {
            Self::Records(records) => records,
            Self::Refused(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::{
        super::{identity::Identity, limits::MAX_TAGS, member::Facts},
        *,
    };

    #[test]
    fn only_our_version_kind_and_pool_are_opened() {
        let envelope = Envelope::new("lan dc1");
        let sealed = envelope.seal(Kind::Swim, b"payload");
        assert_eq!(envelope.open(Kind::Swim, &sealed), Ok(&b"payload"[..]));
        assert_eq!(envelope.open(Kind::Exchange, &sealed), Err(OpenError::Foreign));
        assert_eq!(Envelope::new("lan dc2").open(Kind::Swim, &sealed), Err(OpenError::OtherPool));
        for garbage in [&b""[..], b"\x01", b"GET / HTTP/1.1"] {
            assert_eq!(envelope.open(Kind::Swim, garbage), Err(OpenError::Foreign));
        }
    }

    fn record(port: u16) -> Record {
        let identity = Identity { address: SocketAddr::from(([127, 0, 0, 1], port)), generation: 5, renewal: 0 };
        let tags = [("role".to_owned(), "node".to_owned())].into();
        Record { name: format!("node-{port}"), identity, tags, revision: 1, facts: Facts::default(), age_s: 0 }
    }

    #[test]
    fn a_cut_frame_is_refused_at_every_length() {
        let bytes = encode(&Request::PushPull(vec![record(8301)]));
        for length in 0..bytes.len() {
            assert!(decode::<Request>(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(decode::<Request>(&bytes).is_ok());
    }

    #[test]
    fn frames_beyond_the_limits_are_refused_while_they_are_read() {
        let most = vec![record(8301); MAX_MEMBERS];
        assert!(decode::<Request>(&encode(&Request::PushPull(most.clone()))).is_ok());
        let mut more = most;
        more.push(record(8302));
        assert!(decode::<Request>(&encode(&Request::PushPull(more))).is_err());
        let tags = (0..=MAX_TAGS).map(|index| (index.to_string(), String::new())).collect();
        let many_tags = Record { tags, ..record(8301) };
        assert!(decode::<Reply>(&encode(&Reply::Records(vec![many_tags]))).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Reply>(&bytes);
            let _ = super::super::broadcast::Broadcast::decode(&bytes);
            let _ = super::super::identity::addresses_of(&bytes);
        }
    }
}
