//! Snapshots of the state: one file each, written once, checked whenever it is read.
//!
//! The format is that of `lictor_proto::frames`, called `LICTSNAP`; its header is the log ID and the membership.
//!
//! A file is written under another name, synced, renamed, and the directory synced, so that a crash leaves the whole
//! file or none. The last two are kept, so that one that is being sent is not removed meanwhile. A file that is
//! truncated or altered is refused by name: the log before it is gone, so going on without it would lose writes.
//! Without a directory the same bytes are kept in memory.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use lictor_proto::frames::{self, Format, FrameError, Frames};
use lictor_shared::catalog::{Loader, State};
use openraft::Snapshot as RaftSnapshot;

use super::{SnapshotMeta, TypeConfig, data_dir::sync_dir, fail_point::FailPoint};

const FORMAT: Format = Format { magic: *b"LICTSNAP", version: 1 };
/// The largest snapshot that is taken from a leader, in bytes.
const MAX_SNAPSHOT_BYTES: u64 = 8 << 30;
/// Files kept.
const KEPT: usize = 2;
const EXTENSION: &str = "snapshot";
const UNFINISHED: &str = "unfinished";

/// A snapshot as openraft hands it around.
pub(super) type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotData>;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file or directory cannot be read or written.
    #[error("snapshot {path}: {reason}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The file is not what was written.
    #[error("snapshot {path} is damaged ({reason}); restore the file, or empty this server's data directory and let it join again", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A leader sends more than is taken.
    #[error("a snapshot of more than {MAX_SNAPSHOT_BYTES} bytes is not taken")]
    TooLarge,
}

impl From<SnapshotError> for io::Error {
    fn from(error: SnapshotError) -> Self {
        Self::other(error)
    }
}

/// Where the bytes of a snapshot are.
#[derive(Clone, Debug)]
pub(super) enum SnapshotData {
    /// A file that the store keeps.
    Kept(PathBuf),
    /// A file that came from the leader and is not the store's yet.
    Received(Arc<Unfinished>),
    /// In memory.
    Memory(Bytes),
}

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

impl SnapshotData {
    /// The bytes, from the beginning.
    pub fn open(&self) -> Result<Box<dyn Read + Send>, SnapshotError> {
        match self {
            Self::Memory(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
            Self::Kept(_) | Self::Received(_) => {
                let path = self.path();
                Ok(Box::new(File::open(path).map_err(|reason| io_error(path, reason))?))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Received(file) => &file.0,
            Self::Memory(_) => Path::new("in memory"),
        }
    }
}

/// The snapshots of this server. Every method blocks: never called on an async thread.
#[derive(Debug)]
pub(super) struct SnapshotStore {
    dir: Option<PathBuf>,
    latest: Mutex<Option<Snapshot>>,
    received: AtomicU64,
}

impl SnapshotStore {
    /// Opens the directory, or a store in memory. Removes what an earlier process has left unfinished.
    ///
    /// # Errors
    /// [`SnapshotError`] when the directory cannot be used or the latest snapshot's header is damaged.
    pub fn open(dir: Option<PathBuf>) -> Result<Self, SnapshotError> {
        let mut latest = None;
        if let Some(dir) = &dir {
            fs::create_dir_all(dir).map_err(|reason| io_error(dir, reason))?;
            for path in files(dir, UNFINISHED)? {
                fs::remove_file(&path).map_err(|reason| io_error(&path, reason))?;
            }
            if let Some(path) = files(dir, EXTENSION)?.pop() {
                let snapshot = SnapshotData::Kept(path);
                let (meta, _) = open(snapshot.open()?).map_err(|error| damaged(&snapshot, error))?;
                latest = Some(RaftSnapshot { meta, snapshot });
            }
        }
        Ok(Self { dir, latest: Mutex::new(latest), received: AtomicU64::new(0) })
    }

    /// The newest one.
    pub fn latest(&self) -> Option<Snapshot> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes a snapshot of `state`; durable on return.
    pub fn build(&self, meta: SnapshotMeta, state: &State) -> Result<Snapshot, SnapshotError> {
        let snapshot = match &self.dir {
            None => {
                let mut bytes = Vec::new();
                write(&mut bytes, &meta, state).map_err(|reason| io_error(Path::new("in memory"), reason))?;
                SnapshotData::Memory(bytes.into())
            }
            Some(dir) => {
                let path = dir.join(format!("{}.{UNFINISHED}", name(&meta)));
                write_file(&path, &meta, state).map_err(|reason| io_error(&path, reason))?;
                SnapshotData::Kept(keep(dir, &path, &meta)?)
            }
        };
        self.publish(RaftSnapshot { meta, snapshot })
    }

    /// The state that a snapshot holds.
    pub fn load(snapshot: &SnapshotData) -> Result<(SnapshotMeta, State), SnapshotError> {
        read(snapshot.open()?).map_err(|error| damaged(snapshot, error))
    }

    /// Makes a loaded snapshot the latest; durable on return.
    pub fn adopt(&self, meta: SnapshotMeta, snapshot: SnapshotData) -> Result<(), SnapshotError> {
        let snapshot = match (&self.dir, snapshot) {
            (Some(dir), SnapshotData::Received(file)) => SnapshotData::Kept(keep(dir, &file.0, &meta)?),
            (_, snapshot) => snapshot,
        };
        self.publish(RaftSnapshot { meta, snapshot }).map(drop)
    }

    /// Starts to take one from a leader.
    pub fn receive(&self) -> Result<Receiving, SnapshotError> {
        let into = match &self.dir {
            None => Target::Memory(Vec::new()),
            Some(dir) => {
                let number = self.received.fetch_add(1, Ordering::Relaxed);
                let path = dir.join(format!("received-{number}.{UNFINISHED}"));
                let file = File::create(&path).map_err(|reason| io_error(&path, reason))?;
                Target::File(Unfinished(path), file)
            }
        };
        Ok(Receiving { into, bytes: 0 })
    }

    fn publish(&self, snapshot: Snapshot) -> Result<Snapshot, SnapshotError> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.as_ref().is_none_or(|latest| latest.meta.last_log_id <= snapshot.meta.last_log_id) {
            *latest = Some(snapshot.clone());
        }
        drop(latest);
        if let Some(dir) = &self.dir {
            let mut kept = files(dir, EXTENSION)?;
            kept.truncate(kept.len().saturating_sub(KEPT));
            for path in kept {
                fs::remove_file(&path).map_err(|reason| io_error(&path, reason))?;
            }
        }
        Ok(snapshot)
    }
}

/// A snapshot on its way in.
#[derive(Debug)]
pub(super) struct Receiving {
    into: Target,
    bytes: u64,
}

#[derive(Debug)]
enum Target {
    File(Unfinished, File),
    Memory(Vec<u8>),
}

impl Receiving {
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

    /// All of it is there, and durable.
    pub fn finish(self) -> Result<SnapshotData, SnapshotError> {
        match self.into {
            Target::File(path, file) => {
                file.sync_all().map_err(|reason| io_error(&path.0, reason))?;
                Ok(SnapshotData::Received(Arc::new(path)))
            }
            Target::Memory(bytes) => Ok(SnapshotData::Memory(bytes.into())),
        }
    }
}

/// File names sort by log index.
fn name(meta: &SnapshotMeta) -> String {
    format!("{:020}", meta.last_log_id.map_or(0, |id| id.index))
}

fn keep(dir: &Path, path: &Path, meta: &SnapshotMeta) -> Result<PathBuf, SnapshotError> {
    FailPoint::SnapshotWritten.pass();
    let kept = dir.join(format!("{}.{EXTENSION}", name(meta)));
    fs::rename(path, &kept).and_then(|()| sync_dir(dir)).map_err(|reason| io_error(&kept, reason))?;
    FailPoint::SnapshotRenamed.pass();
    Ok(kept)
}

/// The files with that extension, by name.
fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>, SnapshotError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let paths = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
        Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
    };
    let mut files = list().map_err(|reason| io_error(dir, reason))?;
    files.sort();
    Ok(files)
}

fn write_file(path: &Path, meta: &SnapshotMeta, state: &State) -> io::Result<()> {
    let mut output = BufWriter::new(File::create(path)?);
    write(&mut output, meta, state)?;
    output.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn write(output: impl Write, meta: &SnapshotMeta, state: &State) -> io::Result<()> {
    let header = postcard::to_stdvec(meta).map_err(io::Error::other)?;
    frames::write(output, FORMAT, &header, state.records())
}

fn open<R: Read>(input: R) -> Result<(SnapshotMeta, Frames<R>), FrameError> {
    let frames = Frames::open(input, FORMAT)?;
    let meta = postcard::from_bytes(frames.header());
    Ok((meta.map_err(|error| FrameError::Damaged(format!("its header: {error}")))?, frames))
}

fn read(input: impl Read) -> Result<(SnapshotMeta, State), FrameError> {
    let (meta, mut frames) = open(input)?;
    let mut loader = Loader::default();
    while let Some(record) = frames.next_record()? {
        loader.push(record);
    }
    let state = loader.finish_at(meta.last_log_id.map_or(0, |id| id.index));
    Ok((meta, state))
}

fn io_error(path: &Path, reason: io::Error) -> SnapshotError {
    SnapshotError::Io { path: path.into(), reason }
}

fn damaged(snapshot: &SnapshotData, error: FrameError) -> SnapshotError {
    let path = snapshot.path();
    match error {
        FrameError::Io(reason) => io_error(path, reason),
        error => SnapshotError::Damaged { path: path.into(), reason: error.to_string() },
    }
}
