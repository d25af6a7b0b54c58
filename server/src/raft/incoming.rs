//! A snapshot on its way in from a leader: into a file beside those that are kept, and then read once.
//!
//! What was read is kept with it until it is installed: the state is large, and nobody shall decode it twice. Every method
//! blocks: never called on an async thread. What becomes of it is in `snapshot`.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use lictor_shared::{catalog::State, private};

use super::{
    SnapshotMeta,
    paced_file::PacedFile,
    snapshot::{SnapshotError, damaged, io_error, read},
};

/// The largest snapshot that is taken from a leader, in bytes.
pub(super) const MAX_SNAPSHOT_BYTES: u64 = 8 << 30;

/// A file on its way in: removed when the last handle goes, unless the store has kept (renamed) it.
#[derive(Debug)]
pub(super) struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "an unfinished snapshot cannot be removed");
        }
    }
}

/// A snapshot that is still coming in.
#[derive(Debug)]
pub(super) struct Receiving {
    into: Target,
    bytes: u64,
}

#[derive(Debug)]
enum Target {
    File(Unfinished, PacedFile),
    Memory(Vec<u8>),
}

impl Receiving {
    /// Into this file, or into memory.
    pub fn new(path: Option<PathBuf>) -> Result<Self, SnapshotError> {
        let into = match path {
            None => Target::Memory(Vec::new()),
            Some(path) => {
                let file = private::create(&path).map_err(|reason| io_error(&path, reason))?;
                Target::File(Unfinished(path), PacedFile::new(file))
            }
        };
        Ok(Self { into, bytes: 0 })
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        self.bytes += piece.len() as u64;
        if self.bytes > MAX_SNAPSHOT_BYTES {
            return Err(SnapshotError::TooLarge);
        }
        match &mut self.into {
            Target::File(path, file) => file.write_all(piece).map_err(|reason| io_error(&path.0, reason)),
            Target::Memory(bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    /// All of it is there, durable, and sound.
    pub fn finish(self) -> Result<Received, SnapshotError> {
        let place = match self.into {
            Target::File(path, file) => {
                file.finish().map_err(|reason| io_error(&path.0, reason))?;
                Place::File(path)
            }
            Target::Memory(bytes) => Place::Memory(bytes.into()),
        };
        let path = place.path();
        let (meta, state) = match &place {
            Place::File(_) => read(File::open(path).map_err(|reason| io_error(path, reason))?),
            Place::Memory(bytes) => read(&bytes[..]),
        }
        .map_err(|error| damaged(path, error))?;
        Ok(Received { place, meta, state })
    }
}

/// A snapshot that is there as a whole and was read.
pub(super) struct Received {
    /// Where its bytes are.
    pub place: Place,
    /// What it says of itself.
    pub meta: SnapshotMeta,
    /// The state that it holds.
    pub state: State,
}

impl fmt::Debug for Received {
    /// Without the state.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("place", &self.place.path()).field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// Where the bytes of a received snapshot are.
pub(super) enum Place {
    /// In a file that goes with this, unless the store keeps it.
    File(Unfinished),
    /// In memory.
    Memory(Bytes),
}

impl Place {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(file) => &file.0,
            Self::Memory(_) => Path::new("in memory"),
        }
    }
}
