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
use lictor_shared::{
    catalog::{Loader, State},
    private,
};
use openraft::Snapshot as RaftSnapshot;

use super::{
    SnapshotMeta, TypeConfig,
    data_dir::sync_dir,
    fail_point::FailPoint,
    incoming::{MAX_SNAPSHOT_BYTES, Place, Received, Receiving},
    paced_file::PacedFile,
};

const FORMAT: Format = Format { magic: *b"LICTSNAP", version: 1 };
/// Bytes that are encoded before they are written.
const BUFFER_BYTES: usize = 64 << 10;
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
    /// What came from the leader and is not the store's yet.
    Received(Arc<Received>),
    /// In memory.
    Memory(Bytes),
}

impl SnapshotData {
    /// The bytes, from the beginning.
    pub fn open(&self) -> Result<Box<dyn Read + Send>, SnapshotError> {
        match self {
            Self::Memory(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
            Self::Received(received) => match &received.place {
                Place::Memory(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
                Place::File(_) => open_file(received.place.path()),
            },
            Self::Kept(path) => open_file(path),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Received(received) => received.place.path(),
            Self::Memory(_) => Path::new("in memory"),
        }
    }
}

fn open_file(path: &Path) -> Result<Box<dyn Read + Send>, SnapshotError> {
    Ok(Box::new(File::open(path).map_err(|reason| io_error(path, reason))?))
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
            private::create_directory(dir).map_err(|reason| io_error(dir, reason))?;
            for path in files(dir, UNFINISHED)? {
                fs::remove_file(&path).map_err(|reason| io_error(&path, reason))?;
            }
            if let Some(path) = files(dir, EXTENSION)?.pop() {
                let snapshot = SnapshotData::Kept(path);
                let (meta, _) = open(snapshot.open()?).map_err(|error| damaged(snapshot.path(), error))?;
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

    /// The state that a snapshot holds; of one that was received, without reading it again.
    pub fn load(snapshot: &SnapshotData) -> Result<(SnapshotMeta, State), SnapshotError> {
        match snapshot {
            SnapshotData::Received(received) => Ok((received.meta.clone(), received.state.clone())),
            kept => read(kept.open()?).map_err(|error| damaged(kept.path(), error)),
        }
    }

    /// Makes a loaded snapshot the latest; durable on return.
    pub fn adopt(&self, meta: SnapshotMeta, snapshot: SnapshotData) -> Result<(), SnapshotError> {
        let snapshot = match (&self.dir, snapshot) {
            (_, snapshot @ (SnapshotData::Kept(_) | SnapshotData::Memory(_))) => snapshot,
            (dir, SnapshotData::Received(received)) => match (dir, &received.place) {
                (_, Place::Memory(bytes)) => SnapshotData::Memory(bytes.clone()),
                (Some(dir), Place::File(_)) => SnapshotData::Kept(keep(dir, received.place.path(), &meta)?),
                (None, Place::File(_)) => SnapshotData::Received(received),
            },
        };
        self.publish(RaftSnapshot { meta, snapshot }).map(drop)
    }

    /// Starts to take one from a leader.
    pub fn receive(&self) -> Result<Receiving, SnapshotError> {
        let path = self.dir.as_ref().map(|dir| {
            let number = self.received.fetch_add(1, Ordering::Relaxed);
            dir.join(format!("received-{number}.{UNFINISHED}"))
        });
        Receiving::new(path)
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
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, PacedFile::new(private::create(path)?));
    write(&mut output, meta, state)?;
    output.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
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

pub(super) fn read(input: impl Read) -> Result<(SnapshotMeta, State), FrameError> {
    let (meta, mut frames) = open(input)?;
    let mut loader = Loader::default();
    while let Some(record) = frames.next_record()? {
        loader.push(record);
    }
    let state = loader.finish_at(meta.last_log_id.map_or(0, |id| id.index));
    Ok((meta, state))
}

pub(super) fn io_error(path: &Path, reason: io::Error) -> SnapshotError {
    SnapshotError::Io { path: path.into(), reason }
}

pub(super) fn damaged(path: &Path, error: FrameError) -> SnapshotError {
    match error {
        FrameError::Io(reason) => io_error(path, reason),
        error => SnapshotError::Damaged { path: path.into(), reason: error.to_string() },
    }
}
