//! Makes an answer fit: the number of records and bytes that the client takes.
//!
//! Records are left out from the end of the answer section (their order is drawn anew for every question), with the
//! additional records that only they needed. TC says so only where the operator wants it, or where nothing was left.

use std::collections::HashSet;

use hickory_proto::{
    ProtoError,
    op::{Edns, Metadata, Query, emit_message_parts},
    rr::{Name, RData, Record},
    serialize::binary::{BinEncoder, NameEncoding},
};

use super::answer::Answer;

/// What a message may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// Records in the answer section.
    pub answers: usize,
    /// Bytes.
    pub bytes: u16,
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

/// The message, within the limit.
///
/// # Errors
/// Where a record cannot be written at all.
pub(super) fn fit(envelope: &Envelope, answer: &Answer, limit: Limit) -> Result<Vec<u8>, ProtoError> {
    let all = answer.answers.len();
    let most = all.min(limit.answers.max(1));
    if let Some(message) = envelope.attempt(answer, most, limit.bytes)? {
        return Ok(message);
    }
    let (mut low, mut high, mut best) = (1, most, None);
    while low < high {
        let middle = low + (high - low) / 2;
        match envelope.attempt(answer, middle, limit.bytes)? {
            Some(message) => (best, low) = (Some(message), middle + 1),
            None => high = middle,
        }
    }
    if let Some(message) = best {
        return Ok(message);
    }
    let bare = Answer { additional: Vec::new(), ..answer.clone() };
    match envelope.attempt(&bare, most.min(1), limit.bytes)? {
        Some(message) => Ok(message),
        None => envelope.nothing(limit.bytes),
    }
}

impl Envelope {
    /// The message with the first `count` records of the answer, unless it is too long.
    fn attempt(&self, answer: &Answer, count: usize, bytes: u16) -> Result<Option<Vec<u8>>, ProtoError> {
        let cut = count < answer.answers.len();
        let answers = &answer.answers[..count];
        let authority = if cut { &[][..] } else { &answer.authority };
        let needed = if cut { targets(answers) } else { HashSet::new() };
        let additional = answer.additional.iter().filter(|record| !cut || needed.contains(&record.name));
        let (mut message, complete) = self.write(answers, authority, additional, bytes)?;
        if cut && self.mark_cut {
            mark(&mut message);
        }
        Ok(complete.then_some(message))
    }

    /// The message without records: the client has to ask by TCP.
    fn nothing(&self, bytes: u16) -> Result<Vec<u8>, ProtoError> {
        let (mut message, _) = self.write(&[], &[], [].iter(), bytes)?;
        mark(&mut message);
        Ok(message)
    }

    /// The message and whether all of it fitted.
    fn write<'r>(
        &self,
        answers: &[Record],
        authority: &[Record],
        mut additional: impl Iterator<Item = &'r Record>,
        bytes: u16,
    ) -> Result<(Vec<u8>, bool), ProtoError> {
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
        // The encoder leaves out what is too much and says so by TC, which we never set before.
        let complete = !header.metadata.truncation;
        Ok((message, complete))
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
