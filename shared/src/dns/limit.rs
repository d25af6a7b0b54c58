//! Makes an answer fit: the number of records and bytes that the client takes.
//!
//! Records are left out from the end of the answer section (their order is drawn anew for every question), with the
//! additional records that only they needed. TC says so only where the operator wants it, or where nothing was left.

use std::collections::HashSet;

use hickory_proto::{
    ProtoError,
    op::{Edns, Header, Metadata, Query, emit_message_parts},
    rr::{Name, RData, Record},
    serialize::binary::{BinEncoder, NameEncoding},
};

use super::answer::Answer;

/// An address record whose name was written before, in bytes.
const ADDRESS_BYTES: usize = 16;
/// Attempts around the first guess, before what is left to try is halved.
const GUESSES: u32 = 3;

/// What a message may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Records in the answer section.
    pub answers: usize,
    /// Bytes.
    pub bytes: u16,
}

impl Limit {
    /// The number of address or service records that no message exceeds: none of them is shorter than an A record.
    pub fn most_answers(&self) -> usize {
        self.answers.max(1).min(usize::from(self.bytes) / ADDRESS_BYTES)
    }
}

/// All of a message but its records.
#[derive(Debug)]
pub(super) struct Envelope {
    pub metadata: Metadata,
    pub query: Option<Query>,
    pub edns: Option<Edns>,
    pub compress: bool,
    /// Set TC where records of the answer were left out.
    pub mark_cut: bool,
}

/// What came of writing a message.
enum Attempt {
    /// All of it fitted.
    Whole(Vec<u8>),
    /// It was too long; so many of its answers fitted.
    Cut { written: usize },
}

/// The message, within the limit.
///
/// # Errors
/// Where a record cannot be written at all.
pub(super) fn fit(envelope: &Envelope, answer: &Answer, limit: Limit) -> Result<Vec<u8>, ProtoError> {
    let most = answer.answers.len().min(limit.answers.max(1));
    let written = match envelope.attempt(answer, most, limit.bytes)? {
        Attempt::Whole(message) => return Ok(message),
        Attempt::Cut { written } => written,
    };
    // More than were written there cannot fit, and less may where additional records need room, too: those are
    // addresses as a rule. So few attempts do, however many answers there are.
    let additional = ADDRESS_BYTES * answer.additional.len() / answer.answers.len().max(1);
    let guess = usize::from(limit.bytes) / (usize::from(limit.bytes) / written.max(1) + additional).max(1);
    let (mut fits, mut fails, mut best) = (0, most.min(written + 1), None);
    let mut next = guess;
    for attempt in 1.. {
        if fits + 1 >= fails {
            break;
        }
        let count = next.clamp(fits + 1, fails - 1);
        match envelope.attempt(answer, count, limit.bytes)? {
            Attempt::Whole(message) => (best, fits, next) = (Some(message), count, count + 1),
            Attempt::Cut { .. } => (fails, next) = (count, count - 1),
        }
        if attempt >= GUESSES {
            next = fits + (fails - fits) / 2;
        }
    }
    if let Some(message) = best {
        return Ok(message);
    }
    let bare = Answer { additional: Vec::new(), ..answer.clone() };
    match envelope.attempt(&bare, most.min(1), limit.bytes)? {
        Attempt::Whole(message) => Ok(message),
        Attempt::Cut { .. } => envelope.nothing(limit.bytes),
    }
}

impl Envelope {
    /// The message with the first `count` records of the answer, unless it is too long.
    fn attempt(&self, answer: &Answer, count: usize, bytes: u16) -> Result<Attempt, ProtoError> {
        let cut = count < answer.answers.len();
        let answers = &answer.answers[..count];
        let authority = if cut { &[][..] } else { &answer.authority };
        let needed = if cut { targets(answers) } else { HashSet::new() };
        let additional = answer.additional.iter().filter(|record| !cut || needed.contains(&record.name));
        let (mut message, header) = self.write(answers, authority, additional, bytes)?;
        // The encoder leaves out what is too much and says so by TC, which we never set before.
        if header.metadata.truncation {
            return Ok(Attempt::Cut { written: usize::from(header.counts.answers) });
        }
        if cut && self.mark_cut {
            mark(&mut message);
        }
        Ok(Attempt::Whole(message))
    }

    /// The message without records: the client has to ask by TCP.
    fn nothing(&self, bytes: u16) -> Result<Vec<u8>, ProtoError> {
        let (mut message, _) = self.write(&[], &[], [].iter(), bytes)?;
        mark(&mut message);
        Ok(message)
    }

    /// The message and its header, which says what of it fitted.
    fn write<'r>(
        &self,
        answers: &[Record],
        authority: &[Record],
        mut additional: impl Iterator<Item = &'r Record>,
        bytes: u16,
    ) -> Result<(Vec<u8>, Header), ProtoError> {
        let mut message = Vec::with_capacity(512);
        let mut encoder = BinEncoder::new(&mut message);
        encoder.set_max_size(bytes);
        if !self.compress {
            encoder.set_name_encoding(NameEncoding::Uncompressed);
        }
        let header = emit_message_parts(
            &self.metadata,
            &mut self.query.iter(),
            &mut answers.iter(),
            &mut authority.iter(),
            &mut additional,
            self.edns.as_ref(),
            None,
            &mut encoder,
        )?;
        Ok((message, header))
    }
}

/// Sets TC: the second bit of the third byte (RFC 1035, section 4.1.1).
fn mark(message: &mut [u8]) {
    if let Some(flags) = message.get_mut(2) {
        *flags |= 0b10;
    }
}

/// The names that records point to.
fn targets(records: &[Record]) -> HashSet<&Name> {
    records
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(data) => Some(&data.target),
            RData::NS(data) => Some(&data.0),
            _ => None,
        })
        .collect()
}
