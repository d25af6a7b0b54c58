//! Where segments lie: files of one directory, or memory. The one seam below the journal, so that a test can put a disk
//! under it that forgets, fails or is cut off.
//!
//! Knows nothing of what is in a segment; see `journal`.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lictor_shared::private;

use crate::raft::data_dir::sync_dir;

/// The extension of a segment's file; its name is its number in twenty digits, so that names sort by number.
const EXTENSION: &str = "log";

/// Numbered segments.
pub(in crate::raft) trait Disk: Debug + Send + Sync {
    /// The numbers of those that are there, in order.
    fn numbers(&self) -> io::Result<Vec<u64>>;

    /// Makes an empty one. That it is there is durable after [`Disk::sync_names`].
    fn create(&self, number: u64) -> io::Result<Arc<dyn Segment>>;

    /// Opens one that is there.
    fn open(&self, number: u64) -> io::Result<Arc<dyn Segment>>;

    /// Removes one. Who has it open can still read it.
    fn remove(&self, number: u64) -> io::Result<()>;

    /// Makes durable which segments there are.
    fn sync_names(&self) -> io::Result<()>;

    /// How a segment is called in an error.
    fn name(&self, number: u64) -> String;
}

/// One segment.
pub(in crate::raft) trait Segment: Debug + Send + Sync {
    /// Its bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads exactly as many as fit into `into`.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes`; the segment grows as it must.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts it off.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Makes durable what was written.
    fn sync(&self) -> io::Result<()>;
}

/// Files in a directory.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Takes the directory, which is made if it is not there.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        if !path.exists() {
            private::create_directory(&path)?;
            path.parent().map_or(Ok(()), sync_dir)?;
        }
        Ok(Self(path))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:020}.{EXTENSION}"))
    }
}

impl Disk for Directory {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            match number.filter(|_| path.extension().is_some_and(|extension| extension == EXTENSION)) {
                Some(number) => numbers.push(number),
                None => return Err(io::Error::other(format!("{}: not a file of the log", path.display()))),
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn create(&self, number: u64) -> io::Result<Arc<dyn Segment>> {
        let file = private::options().read(true).write(true).create_new(true).open(self.path(number))?;
        Ok(Arc::new(file))
    }

    fn open(&self, number: u64) -> io::Result<Arc<dyn Segment>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(self.path(number))?))
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        fs::remove_file(self.path(number))
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_dir(&self.0)
    }

    fn name(&self, number: u64) -> String {
        self.path(number).display().to_string()
    }
}

impl Segment for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Memory: for a node that keeps nothing.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<BTreeMap<u64, Arc<Mutex<Vec<u8>>>>>);

impl Disk for Memory {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        Ok(locked(&self.0).keys().copied().collect())
    }

    fn create(&self, number: u64) -> io::Result<Arc<dyn Segment>> {
        let segment = Arc::new(Mutex::new(Vec::new()));
        locked(&self.0).insert(number, segment.clone());
        Ok(segment)
    }

    fn open(&self, number: u64) -> io::Result<Arc<dyn Segment>> {
        match locked(&self.0).get(&number) {
            Some(segment) => Ok(segment.clone()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        locked(&self.0).remove(&number);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn name(&self, number: u64) -> String {
        format!("segment {number} in memory")
    }
}

impl Segment for Mutex<Vec<u8>> {
    fn size(&self) -> io::Result<u64> {
        Ok(locked(self).len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let bytes = locked(self);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let found = start.checked_add(into.len()).and_then(|end| bytes.get(start..end));
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, written: &[u8]) -> io::Result<()> {
        let mut bytes = locked(self);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + written.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(written);
        Ok(())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        locked(self).truncate(usize::try_from(size).map_err(io::Error::other)?);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Locks what nobody leaves half changed: a change that an error cuts short is the last of its store.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
