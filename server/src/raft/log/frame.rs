//! How one commit lies in a segment: a frame with a number and a checksum, and the records in it.
//!
//! ```text
//! segment   magic "LICTLOG1", salt u64, frames, zeros
//! frame     mark u32 (from the salt), length of the body u32, sequence u64, CRC-32 u32, body, zeros to a multiple of 8
//! body      records: kind u8, length u32, content
//! ```
//!
//! Integers are little-endian. The checksum begins with the segment's salt, a random number, and covers length, sequence
//! and body. Sequences grow by one from frame to frame, across segments. A frame is written while nothing after it is, so
//! one that is not whole is the last, unacknowledged commit of a process that was cut short, *if* no frame follows:
//! [`Frames`] tells that from damage to what was acknowledged. The salt is there because a frame that somebody has put into
//! a value could otherwise pass for one that follows, or a million beginnings of frames take hours to look at.

/// What a segment begins with.
const MAGIC: &[u8; 8] = b"LICTLOG1";
/// Bytes before the first frame.
pub(super) const SEGMENT_HEAD: usize = MAGIC.len() + size_of::<u64>();
/// Bytes before a frame's body.
const FRAME_HEAD: usize = 20;
/// Frames begin at multiples of this.
const ALIGNMENT: usize = 8;
/// Bytes before a record's content.
const RECORD_HEAD: usize = 5;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Log index u64, then the entry.
    Entry = 1,
    /// The vote.
    Vote = 2,
    /// The commit mark.
    Committed = 3,
    /// The entries from this log index, u64, on are gone.
    Truncated = 4,
    /// The entries up to this log ID are gone.
    Purged = 5,
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        [Self::Entry, Self::Vote, Self::Committed, Self::Truncated, Self::Purged]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// The head of a segment.
pub(super) fn segment_head(salt: u64) -> [u8; SEGMENT_HEAD] {
    let mut head = [0; SEGMENT_HEAD];
    head[..MAGIC.len()].copy_from_slice(MAGIC);
    head[MAGIC.len()..].copy_from_slice(&salt.to_le_bytes());
    head
}

/// Opens a frame at the end of `buffer`; records follow, then [`close`] with what this returned.
pub(super) fn open(buffer: &mut Vec<u8>) -> usize {
    let start = buffer.len();
    buffer.resize(start + FRAME_HEAD, 0);
    start
}

/// Adds a record whose content `write` appends; where the content begins in the buffer.
pub(super) fn record<E>(
    buffer: &mut Vec<u8>,
    kind: Kind,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<usize, E> {
    let head = buffer.len();
    buffer.push(kind as u8);
    buffer.extend_from_slice(&[0; 4]);
    let content = buffer.len();
    write(buffer)?;
    // What may be on its way at once is bounded far below 4 GiB.
    let length = u32::try_from(buffer.len() - content).unwrap_or(u32::MAX);
    buffer[head + 1..content].copy_from_slice(&length.to_le_bytes());
    Ok(content)
}

/// Closes the frame that begins at `start`.
pub(super) fn close(buffer: &mut Vec<u8>, start: usize, salt: u64, sequence: u64) {
    let body = buffer.len() - start - FRAME_HEAD;
    let length = u32::try_from(body).unwrap_or(u32::MAX);
    let (head, body) = buffer[start..].split_at_mut(FRAME_HEAD);
    head[..4].copy_from_slice(&mark(salt));
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head[8..16].copy_from_slice(&sequence.to_le_bytes());
    let checksum = checksum(salt, &head[4..16], body);
    head[16..].copy_from_slice(&checksum.to_le_bytes());
    buffer.resize(start + (buffer.len() - start).next_multiple_of(ALIGNMENT), 0);
}

/// What the frames of a segment begin with: never zeros.
fn mark(salt: u64) -> [u8; 4] {
    let [.., first, second, third, fourth] = salt.to_le_bytes();
    [first | 1, second, third, fourth]
}

fn checksum(salt: u64, head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(head);
    hasher.update(body);
    hasher.finalize()
}

/// Why a segment cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("it does not begin as a segment of the log")]
    Head,
    #[error("the commit at byte {at} is damaged, though others follow")]
    Frame { at: usize },
    #[error("commit {found} follows where {expected} is due, at byte {at}")]
    Sequence { at: usize, expected: u64, found: u64 },
    #[error("a record at byte {at} makes no sense")]
    Record { at: usize },
}

/// The frames of a segment that was read as a whole.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    segment: &'a [u8],
    salt: u64,
    at: usize,
}

/// A whole frame.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub sequence: u64,
    /// Where its body begins in the segment.
    pub base: usize,
    pub body: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Reads the head.
    pub fn new(segment: &'a [u8]) -> Result<Self, Damage> {
        let rest = segment.strip_prefix(MAGIC).ok_or(Damage::Head)?;
        let salt = rest.first_chunk().ok_or(Damage::Head)?;
        Ok(Self { segment, salt: u64::from_le_bytes(*salt), at: SEGMENT_HEAD })
    }

    /// Where the next frame begins, or what is left of one that was never finished.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next frame. None: the rest was never acknowledged.
    pub fn next(&mut self, expected: Option<u64>) -> Result<Option<Frame<'a>>, Damage> {
        let at = self.at;
        match self.look(at) {
            Some(Frame { sequence, .. }) if expected.is_some_and(|expected| expected != sequence) => {
                Err(Damage::Sequence { at, expected: expected.unwrap_or_default(), found: sequence })
            }
            Some(frame) => {
                self.at += (FRAME_HEAD + frame.body.len()).next_multiple_of(ALIGNMENT);
                Ok(Some(frame))
            }
            None if self.follows() => Err(Damage::Frame { at }),
            None => Ok(None),
        }
    }

    /// Whether a whole frame begins anywhere behind the place.
    fn follows(&self) -> bool {
        let mut places = (self.at..self.segment.len()).step_by(ALIGNMENT).skip(1);
        places.any(|at| self.look(at).is_some())
    }

    /// The whole frame that begins there.
    fn look(&self, at: usize) -> Option<Frame<'a>> {
        let rest = self.segment.get(at..)?;
        let head = rest.first_chunk::<FRAME_HEAD>().filter(|head| head.starts_with(&mark(self.salt)))?;
        let body = rest.get(FRAME_HEAD..)?.get(..u32_at(head, 4) as usize)?;
        let sequence = (u64::from(u32_at(head, 12)) << 32) | u64::from(u32_at(head, 8));
        let is_whole = checksum(self.salt, &head[4..16], body) == u32_at(head, 16);
        is_whole.then_some(Frame { sequence, base: at + FRAME_HEAD, body })
    }
}

impl<'a> Frame<'a> {
    /// Its records: kind, where the content begins in the segment, content.
    pub fn records(&self) -> impl Iterator<Item = Result<(Kind, usize, &'a [u8]), Damage>> + use<'a> {
        records(self.base, self.body)
    }
}

fn records(base: usize, body: &[u8]) -> impl Iterator<Item = Result<(Kind, usize, &[u8]), Damage>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = body.get(at..).filter(|rest| !rest.is_empty())?;
        let damage = Damage::Record { at: base + at };
        let Some(head) = rest.first_chunk::<RECORD_HEAD>() else {
            at = body.len();
            return Some(Err(damage));
        };
        let length = u32_at(head, 1) as usize;
        let content = rest.get(RECORD_HEAD..).and_then(|rest| rest.get(..length));
        let (Some(kind), Some(content)) = (Kind::of(head[0]), content) else {
            at = body.len();
            return Some(Err(damage));
        };
        let place = base + at + RECORD_HEAD;
        at += RECORD_HEAD + length;
        Some(Ok((kind, place, content)))
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: u64 = 77;

    fn segment(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = segment_head(SALT).to_vec();
        for (sequence, body) in (10..).zip(bodies) {
            let start = open(&mut bytes);
            let write = |buffer: &mut Vec<u8>| -> Result<(), ()> {
                buffer.extend_from_slice(body);
                Ok(())
            };
            record(&mut bytes, Kind::Entry, write).unwrap();
            close(&mut bytes, start, SALT, sequence);
        }
        bytes
    }

    /// The contents of the records, and where the frames end; or the damage.
    fn read(bytes: &[u8]) -> Result<(Vec<Vec<u8>>, usize), Damage> {
        let (mut frames, mut expected, mut found) = (Frames::new(bytes)?, None, Vec::new());
        while let Some(frame) = frames.next(expected)? {
            expected = Some(frame.sequence + 1);
            for record in frame.records() {
                let (_, place, content) = record?;
                assert_eq!(&bytes[place..place + content.len()], content);
                found.push(content.to_vec());
            }
        }
        Ok((found, frames.at()))
    }

    #[test]
    fn an_unfinished_end_is_told_from_damage() {
        let bodies = [vec![1; 3], vec![2; 40], vec![3; 9]];
        let whole = segment(&bodies);
        let two = segment(&bodies[..2]);
        // Cut off anywhere in the last frame, with or without the zeros that were there before.
        for end in two.len()..whole.len() {
            for zeros in [0, 100] {
                let mut cut = whole[..end].to_vec();
                cut.resize(end + zeros, 0);
                let expected = if cut.starts_with(&whole) || whole[end..].iter().all(|byte| *byte == 0) && zeros > 0 {
                    3
                } else {
                    2
                };
                let (found, at) = read(&cut).unwrap();
                // The last bytes of a frame may be padding only: then it is whole without them.
                assert!(found.len() == expected || found.len() == 3 && at > end - 8, "{end} {zeros}: {found:?}");
            }
        }
        let mut damaged = whole.clone();
        damaged[two.len() - 12] ^= 1;
        let first = segment(&bodies[..1]).len();
        assert_eq!(read(&damaged), Err(Damage::Frame { at: first }));
        assert_eq!(read(&whole[1..]), Err(Damage::Head));
    }

    #[test]
    fn a_frame_in_a_value_passes_for_none() {
        let mut forged = Vec::new();
        let start = open(&mut forged);
        close(&mut forged, start, 0, 99);
        let mut bytes = segment(&[vec![1; 3], forged]);
        let end = bytes.len();
        bytes[end - 1] ^= 1;
        bytes[end - 30] ^= 1;
        assert_eq!(read(&bytes).unwrap().0, [vec![1; 3]]);
    }

    #[test]
    fn a_missing_frame_is_seen() {
        let all = segment(&[vec![1; 3], vec![2; 3], vec![3; 3]]);
        let (one, two) = (segment(&[vec![1; 3]]).len(), segment(&[vec![1; 3], vec![2; 3]]).len());
        let without = [&all[..one], &all[two..]].concat();
        assert_eq!(read(&without), Err(Damage::Sequence { at: one, expected: 11, found: 12 }));
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), flip in 0_usize..400) {
            let mut framed = segment(std::slice::from_ref(&bytes));
            prop_assert_eq!(read(&framed).unwrap().0, vec![bytes.clone()]);
            let at = flip % framed.len();
            framed[at] ^= 0x10;
            let padding = at >= SEGMENT_HEAD + FRAME_HEAD + RECORD_HEAD + bytes.len();
            prop_assert!(read(&framed).is_err() || padding || read(&framed).unwrap().0.is_empty());
            let _ = read(&[segment_head(SALT).as_slice(), &bytes].concat());
            for record in records(0, &bytes) {
                let _ = record;
            }
        }
    }
}
