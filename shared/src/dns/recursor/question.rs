//! A question for a recursor: what of the client's packet matters to the answer. Pure.

use hickory_proto::{
    op::{Edns, Metadata},
    rr::{Name, RecordType},
};

/// What we take by UDP from a recursor, in bytes: what passes every path unfragmented (DNS flag day 2020).
const PAYLOAD_BYTES: u16 = 1232;
/// Where the question begins in a message (RFC 1035, section 4.1.1).
pub(super) const HEADER_BYTES: usize = 12;
/// Type and class, after the name.
const FIXED_BYTES: usize = 4;
/// The longest name on the wire (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 255;

const RD: u16 = 1 << 8;
const AD: u16 = 1 << 5;
const CD: u16 = 1 << 4;
/// DNSSEC OK, in the EDNS record's flags (RFC 3225).
const DO: u16 = 1 << 15;

/// A client's question as a recursor is asked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dns) struct Asked {
    /// The client's own number for it.
    pub(super) id: u16,
    /// Name, type and class, with the client's letter case.
    pub(super) question: Vec<u8>,
    /// RD, AD and CD.
    pub(super) flags: u16,
    /// The flags of its EDNS record, if it has one. Options (client subnet, cookies) concern us two alone.
    edns: Option<u16>,
}

/// What answers are kept and shared by: everything of a question but its number and letter case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    question: Vec<u8>,
    flags: u16,
    edns: Option<u16>,
}

impl Asked {
    /// The question in `packet`, whose header and EDNS record have been read. `None` where its name is not written
    /// out in full.
    pub(in crate::dns) fn read(packet: &[u8], metadata: &Metadata, edns: Option<&Edns>) -> Option<Self> {
        let end = plain_name_end(packet)? + FIXED_BYTES;
        let bit = |set: bool, bit: u16| if set { bit } else { 0 };
        Some(Self {
            id: metadata.id,
            question: packet.get(HEADER_BYTES..end)?.to_vec(),
            flags: bit(metadata.recursion_desired, RD)
                | bit(metadata.authentic_data, AD)
                | bit(metadata.checking_disabled, CD),
            edns: edns.map(|edns| bit(edns.flags().dnssec_ok, DO)),
        })
    }

    /// A question of our own, for a name and type that an answer of ours leads to.
    pub(in crate::dns) fn ours(name: &Name, kind: RecordType) -> Self {
        let mut question = Vec::with_capacity(NAME_BYTES_MAX + FIXED_BYTES);
        for label in name.iter() {
            // A label of a name has at most 63 bytes.
            question.push(u8::try_from(label.len()).unwrap_or(0));
            question.extend(label);
        }
        question.push(0);
        question.extend(u16::from(kind).to_be_bytes());
        question.extend(1_u16.to_be_bytes());
        Self { id: 0, question, flags: RD, edns: None }
    }

    pub(super) fn key(&self) -> Key {
        let mut question = self.question.clone();
        let name = question.len() - FIXED_BYTES;
        // Lengths of labels are below the letters; type and class are not text.
        question[..name].make_ascii_lowercase();
        Key { question, flags: self.flags, edns: self.edns }
    }

    pub(super) fn has_edns(&self) -> bool {
        self.edns.is_some()
    }

    /// The message to a recursor.
    pub(super) fn packet(&self, id: u16) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER_BYTES + self.question.len() + 11);
        let counts = [1, 0, 0, u16::from(self.has_edns())];
        for word in [id, self.flags].into_iter().chain(counts) {
            packet.extend(word.to_be_bytes());
        }
        packet.extend(&self.question);
        if let Some(flags) = self.edns {
            // RFC 6891, section 6.1.2: the root's name, OPT, our payload size, code and version 0, flags, no options.
            packet.push(0);
            for word in [41, PAYLOAD_BYTES, 0, flags, 0] {
                packet.extend(word.to_be_bytes());
            }
        }
        packet
    }

    /// Whether a message with the number `id` repeats this question, in whatever letter case.
    pub(super) fn is_asked_in(&self, id: u16, message: &[u8]) -> bool {
        let name = self.question.len() - FIXED_BYTES;
        let Some(repeated) = message.get(HEADER_BYTES..HEADER_BYTES + self.question.len()) else { return false };
        // One question, QR set, operation QUERY.
        message[..2] == id.to_be_bytes()
            && message[2] & 0xf8 == 0x80
            && message[4..6] == [0, 1]
            && repeated[..name].eq_ignore_ascii_case(&self.question[..name])
            && repeated[name..] == self.question[name..]
    }
}

impl Key {
    /// Memory beside its own, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.question.capacity()
    }
}

/// Where the first name after the header ends, if it has no pointers.
fn plain_name_end(packet: &[u8]) -> Option<usize> {
    let mut at = HEADER_BYTES;
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}
