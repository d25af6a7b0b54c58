//! A large file that reaches the disk while it is written.
//!
//! Written at once and synced at the end, hundreds of megabytes would stand before the next fsync of the log, and every
//! write of the registry would wait for them. In pieces the log's fsync waits for one piece at most.

use std::{
    fs::File,
    io::{self, Write},
};

/// Bytes that may be written and not on the disk.
const PIECE_BYTES: usize = 2 << 20;

/// A file on its way to the disk.
#[derive(Debug)]
pub(super) struct PacedFile {
    file: File,
    unsynced: usize,
}

impl PacedFile {
    /// Writes into this one.
    pub fn new(file: File) -> Self {
        Self { file, unsynced: 0 }
    }

    /// All of it is on the disk when this returns.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Write for PacedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES - self.unsynced;
        let written = self.file.write(&bytes[..bytes.len().min(room)])?;
        self.unsynced += written;
        if self.unsynced == PIECE_BYTES {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_a_piece_is_ever_unsynced_and_nothing_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = PacedFile::new(File::create(&path).unwrap());
        let bytes: Vec<u8> = (0..2 * PIECE_BYTES + 77).map(|at| (at % 251) as u8).collect();
        for part in [&bytes[..100], &bytes[100..]] {
            file.write_all(part).unwrap();
            assert!(file.unsynced < PIECE_BYTES);
        }
        assert_eq!(file.unsynced, 77);
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
