//! What travels on streams, inside the envelope (`envelope`).
//!
//! A frame on a stream is the length (4 bytes, big-endian) and the sealed bytes; an exchange is one frame each way.
//!
//! **Nothing is compressed.** The table of 1,000 members has 157 kB and would have 39 kB (deflate, 0.5 ms), and is sent
//! about every 90 s: that saves 1.3 kB a second of each node. It is not worth a second form of every frame, a limit on what
//! small frames may grow to, and lengths that tell of what is sealed.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error, SeqAccess, Visitor},
};

use super::{
    limits::{MAX_EVENTS, MAX_MEMBERS},
    member::Record,
    user_event::UserEvent,
};

/// What a node knows, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Knowledge {
    /// Members; of a whole table the sender's own record first.
    #[serde(deserialize_with = "bounded::<_, _, MAX_MEMBERS>")]
    pub records: Vec<Record>,
    /// The latest user events.
    #[serde(deserialize_with = "bounded::<_, _, MAX_EVENTS>")]
    pub events: Vec<UserEvent>,
    /// The Lamport time of user events.
    pub event_time: u64,
}

/// What the opener of a stream asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    /// Here is what I know; tell me what you do.
    PushPull(Knowledge),
    /// Describe yourself.
    Describe,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// What the answerer knows, or for [`Request::Describe`] its own record alone.
    Known(Knowledge),
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

pub(super) fn decode<M: DeserializeOwned + HasKnowledge>(payload: &[u8]) -> Result<M, DecodeError> {
    let message: M = postcard::from_bytes(payload)?;
    for record in message.knowledge().map_or(&[][..], |knowledge| &knowledge.records) {
        record.check()?;
    }
    Ok(message)
}

/// Decodes at most `MOST` items; the frame's size alone would allow many times that.
fn bounded<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Bounded<T, const MOST: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Bounded<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "at most {MOST} items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = sequence.next_element()? {
                if items.len() == MOST {
                    return Err(A::Error::invalid_length(MOST + 1, &self));
                }
                items.push(item);
            }
            Ok(items)
        }
    }
    deserializer.deserialize_seq(Bounded::<T, MOST>(PhantomData))
}

/// The knowledge inside a message, to be checked before anyone sees it. Events are checked where they are taken.
pub(super) trait HasKnowledge {
    fn knowledge(&self) -> Option<&Knowledge>;
}

impl HasKnowledge for Request {
    fn knowledge(&self) -> Option<&Knowledge> {
        match self {
            Self::PushPull(knowledge) => Some(knowledge),
            Self::Describe => None,
        }
    }
}

impl HasKnowledge for Reply {
    fn knowledge(&self) -> Option<&Knowledge> {
        match self {
            Self::Known(knowledge) => Some(knowledge),
            Self::Refused(_) => None,
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

    fn record(port: u16) -> Record {
        let identity = Identity { address: SocketAddr::from(([127, 0, 0, 1], port)), generation: 5, renewal: 0 };
        let tags = [("role".to_owned(), "node".to_owned())].into();
        Record { name: format!("node-{port}"), identity, tags, revision: 1, facts: Facts::default(), age_s: 0 }
    }

    fn knowing(records: Vec<Record>) -> Knowledge {
        Knowledge { records, ..Knowledge::default() }
    }

    #[test]
    fn a_cut_frame_is_refused_at_every_length() {
        let bytes = encode(&Request::PushPull(knowing(vec![record(8301)])));
        for length in 0..bytes.len() {
            assert!(decode::<Request>(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(decode::<Request>(&bytes).is_ok());
    }

    #[test]
    fn frames_beyond_the_limits_are_refused_while_they_are_read() {
        let most = vec![record(8301); MAX_MEMBERS];
        assert!(decode::<Request>(&encode(&Request::PushPull(knowing(most.clone())))).is_ok());
        let mut more = most;
        more.push(record(8302));
        assert!(decode::<Request>(&encode(&Request::PushPull(knowing(more)))).is_err());
        let events = vec![UserEvent { name: "deploy".into(), time: 1, ..UserEvent::default() }; MAX_EVENTS + 1];
        let eventful = Knowledge { events, ..Knowledge::default() };
        assert!(decode::<Request>(&encode(&Request::PushPull(eventful))).is_err());
        let tags = (0..=MAX_TAGS).map(|index| (index.to_string(), String::new())).collect();
        let many_tags = Record { tags, ..record(8301) };
        assert!(decode::<Reply>(&encode(&Reply::Known(knowing(vec![many_tags])))).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Reply>(&bytes);
            let _ = postcard::from_bytes::<super::super::round_trip::Trip>(&bytes);
            let _ = super::super::broadcast::Broadcast::decode(&bytes);
            let _ = super::super::identity::addresses_of(&bytes);
        }
    }
}
