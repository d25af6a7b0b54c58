//! A recursor's answer, kept as the bytes it came in: types nobody has heard of, CNAME chains and signatures go to the
//! client as they are. Pure. Only what must differ from client to client is written anew: number, flags, the letter
//! case of the question, times to live, and where the message ends when the client takes less.

use std::ops::Range;

use super::question::{Asked, HEADER_BYTES};

const SOA: u16 = 6;
const OPT: u16 = 41;
/// Longest time that an answer is kept.
const LIFETIME_MAX: u32 = 24 * 3600;
/// Longest time that a negative answer is kept (RFC 2308, section 5, suggests one to three hours).
const NEGATIVE_LIFETIME_MAX: u32 = 3 * 3600;
/// Type, class, TTL and the length of the data, after a record's name.
const RECORD_FIXED_BYTES: usize = 10;

const QR: u8 = 1 << 7;
const TC: u8 = 1 << 1;
const RA: u8 = 1 << 7;
const CD: u8 = 1 << 4;
const NO_ERROR: u8 = 0;
const NX_DOMAIN: u8 = 3;

/// An answer, checked as far as we have to rely on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dns) struct Received {
    wire: Vec<u8>,
    records: Vec<Place>,
    /// The EDNS record.
    opt: Option<Range<usize>>,
    /// How long it may be kept; 0: not at all.
    pub(super) lifetime: u32,
    negative: bool,
}

/// Where a record is, all but OPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// 0: answer, 1: authority, 2: additional.
    section: usize,
    ttl_at: usize,
    end: usize,
}

impl Received {
    /// Reads a message that [`Asked::is_asked_in`]; `None` where it is malformed. One that was cut (TC) may end
    /// anywhere; nothing of it but its header is kept.
    pub(super) fn read(mut wire: Vec<u8>, asked: &Asked) -> Option<Self> {
        let question_end = HEADER_BYTES + asked.question.len();
        if wire.get(2)? & TC != 0 {
            wire.truncate(question_end);
            wire[6..HEADER_BYTES].fill(0);
            return Some(Self { wire, records: Vec::new(), opt: None, lifetime: 0, negative: false });
        }
        let mut received = Self { wire, records: Vec::new(), opt: None, lifetime: 0, negative: false };
        let (mut at, mut minimum) = (question_end, None);
        for section in 0..3 {
            for _ in 0..received.number(6 + 2 * section)? {
                at = received.record(section, at, &mut minimum)?;
            }
        }
        received.wire.truncate(at);
        received.limit_lifetime(minimum);
        Some(received)
    }

    /// Reads one record and says where the next begins.
    fn record(&mut self, section: usize, start: usize, minimum: &mut Option<u32>) -> Option<usize> {
        let fixed = name_end(&self.wire, start)?;
        let kind = self.number(fixed)?;
        let end = fixed + RECORD_FIXED_BYTES + usize::from(self.number(fixed + 8)?);
        self.wire.get(..end)?;
        if kind == OPT {
            // More than one, or one elsewhere, is malformed (RFC 6891, section 6.1.1).
            return (section == 2 && self.opt.replace(start..end).is_none()).then_some(end);
        }
        if kind == SOA && section == 1 && end >= fixed + RECORD_FIXED_BYTES + 4 {
            *minimum = Some(self.long(end - 4)?);
        }
        self.records.push(Place { section, ttl_at: fixed + 4, end });
        Some(end)
    }

    fn number(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(self.wire.get(at..at + 2)?.try_into().ok()?))
    }

    fn long(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(self.wire.get(at..at + 4)?.try_into().ok()?))
    }

    /// RFC 2181, section 8: a TTL with the highest bit set counts as 0.
    fn ttl(&self, place: Place) -> u32 {
        self.long(place.ttl_at).filter(|ttl| *ttl <= i32::MAX as u32).unwrap_or(0)
    }

    /// RFC 2308, section 5: a negative answer lives as long as its SOA says, and not at all without one.
    fn limit_lifetime(&mut self, minimum: Option<u32>) {
        let has_answer = self.records.iter().any(|place| place.section == 0);
        let shortest = self.records.iter().map(|place| self.ttl(*place)).min().unwrap_or(0);
        self.negative = self.code() == NX_DOMAIN || minimum.is_some();
        self.lifetime = match minimum {
            Some(minimum) => shortest.min(minimum).min(NEGATIVE_LIFETIME_MAX),
            None if has_answer && self.code() == NO_ERROR => shortest.min(LIFETIME_MAX),
            None => 0,
        };
    }

    fn code(&self) -> u8 {
        self.wire[3] & 0xf
    }

    /// Whether it tells something about the name, rather than that its sender could not.
    pub(super) fn is_conclusive(&self) -> bool {
        matches!(self.code(), NO_ERROR | NX_DOMAIN)
    }

    /// Whether the rest of it has to be asked for by TCP.
    pub(super) fn is_cut(&self) -> bool {
        self.wire[2] & TC != 0
    }

    /// How much memory it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.wire.capacity() + self.records.capacity() * size_of::<Place>()
    }

    /// The message for a client that takes `limit` bytes, `age` seconds after it came. What does not fit is left out
    /// record by record from the end; TC says so if it was more than additional records.
    pub(in crate::dns) fn reply(&self, asked: &Asked, age: u32, limit: u16) -> Vec<u8> {
        let (kept, cut) = self.fitting(asked, usize::from(limit));
        let whole = kept == self.records.len() && (asked.has_edns() || self.opt.is_none());
        let mut message = if whole { self.wire.clone() } else { self.wire[..self.end(kept, asked)].to_vec() };
        message[..2].copy_from_slice(&asked.id.to_be_bytes());
        let flags = asked.flags.to_be_bytes();
        // We are no authority for it (AA).
        message[2] = QR | flags[0];
        if cut || self.is_cut() {
            message[2] |= TC;
        }
        message[3] = (message[3] & !CD) | (flags[1] & CD) | RA;
        message[HEADER_BYTES..HEADER_BYTES + asked.question.len()].copy_from_slice(&asked.question);
        for place in &self.records[..kept] {
            let longest = if self.negative { self.lifetime } else { u32::MAX };
            let ttl = self.ttl(*place).min(longest).saturating_sub(age);
            message[place.ttl_at..place.ttl_at + 4].copy_from_slice(&ttl.to_be_bytes());
        }
        if !whole {
            self.count(&mut message, kept, asked, usize::from(limit));
        }
        message
    }

    /// How many records fit, and whether those left out are missed.
    fn fitting(&self, asked: &Asked, limit: usize) -> (usize, bool) {
        if self.wire.len() <= limit {
            return (self.before_opt(asked), false);
        }
        let opt = if asked.has_edns() { self.opt.clone().map_or(0, |opt| opt.len()) } else { 0 };
        let wanted = self.records.iter().take_while(|place| place.section < 2).count();
        let fits = |kept: &usize| self.end(*kept, asked) + opt <= limit;
        if fits(&wanted) {
            return (wanted, false);
        }
        let answers = self.records.iter().take_while(|place| place.section == 0).count();
        ((0..=answers).rev().find(fits).unwrap_or(0), true)
    }

    /// An EDNS record that the client cannot take ends the message; as a rule it is the last record anyway.
    fn before_opt(&self, asked: &Asked) -> usize {
        match &self.opt {
            Some(opt) if !asked.has_edns() => self.records.iter().filter(|place| place.end <= opt.start).count(),
            _ => self.records.len(),
        }
    }

    fn end(&self, kept: usize, asked: &Asked) -> usize {
        match kept.checked_sub(1) {
            Some(last) => self.records[last].end,
            None => HEADER_BYTES + asked.question.len(),
        }
    }

    /// Writes how many records were kept, and the EDNS record after them. Records point only backwards.
    fn count(&self, message: &mut Vec<u8>, kept: usize, asked: &Asked, limit: usize) {
        let has_room = |opt: &Range<usize>| asked.has_edns() && message.len() + opt.len() <= limit;
        let opt = self.opt.clone().filter(has_room);
        let mut counts = [0_u16; 3];
        self.records[..kept].iter().for_each(|place| counts[place.section] += 1);
        if let Some(opt) = opt {
            counts[2] += 1;
            message.extend(&self.wire[opt]);
        }
        for (section, count) in counts.into_iter().enumerate() {
            message[6 + 2 * section..8 + 2 * section].copy_from_slice(&count.to_be_bytes());
        }
    }
}

/// Where a name that begins at `at` ends; it may end in a pointer (RFC 1035, section 4.1.4) to something before it.
fn name_end(wire: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let length = *wire.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            0xc0.. => {
                let low = *wire.get(at + 1)?;
                let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                return (target < start).then_some(at + 2);
            }
            _ => return None,
        }
    }
}
