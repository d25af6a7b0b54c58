//! A server applies each entry of the log once and in order, in each of its lives; and where two servers, or two lives of
//! one, tell what they hold at an index, it is the same.

use std::collections::BTreeMap;

/// See the module.
pub(crate) struct Applied {
    /// The last index that each server has told of in this life.
    last: Vec<Option<u64>>,
    /// A digest of what the first to tell held at an index.
    held: BTreeMap<u64, (usize, u64)>,
}

impl Applied {
    pub fn new(servers: usize) -> Self {
        Self { last: vec![None; servers], held: BTreeMap::new() }
    }

    /// A server begins another life.
    pub fn restarted(&mut self, server: usize) {
        self.last[server] = None;
    }

    /// A server took a whole state at that index.
    pub fn replaced(&mut self, server: usize, index: u64, digest: u64) -> Result<(), String> {
        if let Some(last) = self.last[server].replace(index).filter(|last| *last > index) {
            return Err(format!("server {server} went back from index {last} to the snapshot at {index}"));
        }
        self.same(server, index, digest)
    }

    /// A server applied these entries and then holds what has that digest.
    pub fn applied(&mut self, server: usize, indexes: &[u64], digest: u64) -> Result<(), String> {
        for &index in indexes {
            // A life begins with the first entry, or with what follows its snapshot.
            let last = self.last[server].replace(index);
            if last.is_some_and(|last| index != last + 1) || (last.is_none() && index > 0) {
                return Err(format!("server {server} applied index {index} after {last:?}"));
            }
        }
        indexes.last().map_or(Ok(()), |index| self.same(server, *index, digest))
    }

    fn same(&mut self, server: usize, index: u64, digest: u64) -> Result<(), String> {
        let (first, held) = *self.held.entry(index).or_insert((server, digest));
        if held == digest {
            return Ok(());
        }
        Err(format!("at index {index} servers {first} and {server} (or two lives of one) hold different things"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_repetitions_and_differences_are_found() {
        let mut applied = Applied::new(2);
        applied.applied(0, &[0, 1, 2], 7).unwrap();
        applied.replaced(1, 2, 7).unwrap();
        applied.applied(1, &[3], 8).unwrap();
        assert!(applied.applied(0, &[3], 9).unwrap_err().contains("different"));
        assert!(applied.applied(0, &[5], 0).unwrap_err().contains("index 5 after Some(3)"));
        applied.restarted(1);
        assert!(applied.applied(1, &[4], 0).unwrap_err().contains("index 4 after None"));
        applied.replaced(1, 9, 1).unwrap();
        assert!(applied.applied(1, &[9], 1).unwrap_err().contains("index 9 after Some(9)"));
        assert!(applied.replaced(1, 3, 8).unwrap_err().contains("went back"));
    }
}
