//! What is kept of a run's output: its last bytes, up to the check's limit.

use std::collections::VecDeque;

use crate::{agent::local::OUTPUT_MAX, model::CheckDefinition};

/// The most that a check may ask to be kept, in bytes: outputs are rows of the registry.
const OUTPUT_MAX_SIZE: usize = 64 << 10;

/// The bytes of output that are kept for a check: its `output_max_size`, 4096 where it says nothing, 64 KiB at most.
pub(in crate::agent) fn limit(definition: Option<&CheckDefinition>) -> usize {
    match definition.map_or(0, |definition| definition.output_max_size) {
        0 => OUTPUT_MAX,
        size => usize::try_from(size).unwrap_or(OUTPUT_MAX_SIZE).min(OUTPUT_MAX_SIZE),
    }
}

/// The last bytes of a text that comes in pieces.
pub(super) struct Tail {
    kept: VecDeque<u8>,
    limit: usize,
}

impl Tail {
    /// Nothing yet; at most `limit` bytes ever.
    pub(super) fn new(limit: usize) -> Self {
        Self { kept: VecDeque::new(), limit }
    }

    /// Adds a piece and forgets what is too old.
    pub(super) fn push(&mut self, piece: &[u8]) {
        let piece = &piece[piece.len().saturating_sub(self.limit)..];
        let excess = (self.kept.len() + piece.len()).saturating_sub(self.limit);
        self.kept.drain(..excess);
        self.kept.extend(piece);
    }

    /// The text; bytes that are no UTF-8 become U+FFFD.
    pub(super) fn into_text(self) -> String {
        String::from_utf8_lossy(&Vec::from(self.kept)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        for (pieces, kept) in [
            (&[][..], ""),
            (&["abc"], "abc"),
            (&["abcdef"], "cdef"),
            (&["ab", "cd", "ef"], "cdef"),
            (&["abc", ""], "abc"),
            (&["a", "bcdefghij"], "ghij"),
        ] {
            let mut tail = Tail::new(4);
            pieces.iter().for_each(|piece| tail.push(piece.as_bytes()));
            assert_eq!(tail.into_text(), kept, "{pieces:?}");
        }
    }

    #[test]
    fn limits() {
        let sized = |output_max_size| CheckDefinition { output_max_size, ..CheckDefinition::default() };
        for (definition, expected) in
            [(None, 4096), (Some(sized(0)), 4096), (Some(sized(10)), 10), (Some(sized(u32::MAX)), 65_536)]
        {
            assert_eq!(limit(definition.as_ref()), expected);
        }
    }
}
