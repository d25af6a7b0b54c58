//! Whose data directory it is: one node's, in one datacenter, in one format, held by one process at a time.
//!
//! A server that finds the directory of another is refused and nothing is overwritten: an old log under a new name
//! would vote with what it does not know. The Raft ID is made here, at random, together with the directory, so that a
//! server whose directory was wiped comes back as a new member and never as the one who has forgotten its vote.
//! The file is `server.json`; the log and the snapshots lie beside it in `raft/` (see `log` and `snapshot`).

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use lictor_shared::{model::NodeName, private};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

/// The format that this build reads and writes.
pub const FORMAT: u32 = 2;

const IDENTITY: &str = "server.json";
const RAFT: &str = "raft";
const LOCK: &str = "lock";
/// What a directory without an identity may hold: what a start that was cut short leaves, what a file system
/// has, and what a sidecar keeps of gossip (its keys must outlive a change of its role).
const HARMLESS: [&str; 4] = [LOCK, "server.new", "lost+found", "gossip"];

/// What the directory says about its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The format of everything in the directory.
    pub format: u32,
    /// The node's ID.
    pub node_id: Uuid,
    /// The node's name.
    pub name: NodeName,
    /// The datacenter it is a server of.
    pub datacenter: SmolStr,
    /// Its ID in Raft: random, never used for another directory.
    pub raft_id: u64,
}

/// Who wants to use a directory.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The configured node ID; a new directory without one gets a random one.
    pub node_id: Option<Uuid>,
    /// The node's name.
    pub name: NodeName,
    /// Its datacenter.
    pub datacenter: SmolStr,
}

/// Why a directory cannot be used. The sentence names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A file or directory cannot be read or written.
    #[error("data directory: {path}: {reason}", path = path.display())]
    Io {
        /// What was used.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Another process has it.
    #[error("data directory {path} is in use by another process; stop it or set another -data-dir", path = .0.display())]
    InUse(PathBuf),
    /// It is the directory of something else.
    #[error("{path}: {what} is {found:?}, but this server's is {wanted:?}; set another -data-dir, or empty this one if nothing in it is needed", path = path.display())]
    NotOurs {
        /// The identity file.
        path: PathBuf,
        /// The field that differs.
        what: &'static str,
        /// What the directory says.
        found: String,
        /// What this server is.
        wanted: String,
    },
    /// The identity file says nothing that can be understood.
    #[error("{path}: not the identity of a server's data directory ({reason}); restore it, or set another -data-dir", path = path.display())]
    Unreadable {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is a Raft log, but not whose.
    #[error("{path}: holds Raft data, but there is no server.json beside it that says whose; restore it, or set another -data-dir", path = .0.display())]
    Nameless(PathBuf),
    /// It is not empty, and nothing says that it is a server's.
    #[error("data directory {path}: {entry:?} in it is none of a server's files; set another -data-dir", path = path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What is in it.
        entry: String,
    },
}

/// A data directory that this process holds until the value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Identity,
    _lock: File,
}

impl DataDir {
    /// Takes the directory for `owner`: makes it if it is not there, or checks that it is this server's.
    ///
    /// # Errors
    /// [`DataDirError`]; nothing was changed then, but for an empty directory and its lock file.
    pub fn open(path: &Path, owner: &Owner) -> Result<Self, DataDirError> {
        private::create_directory(path).map_err(|reason| io_error(path, reason))?;
        let file = path.join(IDENTITY);
        if !file.exists() {
            refuse_foreign(path)?;
        }
        let lock = lock(path)?;
        let identity = match fs::read(&file) {
            Ok(bytes) => check(&file, &bytes, owner)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(&file, owner)?,
            Err(reason) => return Err(io_error(&file, reason)),
        };
        Ok(Self { path: path.to_owned(), identity, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// A Raft ID for a server that keeps nothing, or for a new directory. Never 0.
#[must_use]
pub fn new_raft_id() -> u64 {
    rand::random_range(1..=u64::MAX)
}

/// Makes what was written to a directory's list of files durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Puts `bytes` into `path` so that after a crash there is all of it or nothing.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = private::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn lock(path: &Path) -> Result<File, DataDirError> {
    let file = path.join(LOCK);
    let opened = private::options().create(true).truncate(false).write(true).open(&file);
    let opened = opened.map_err(|reason| io_error(&file, reason))?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
        Err(TryLockError::Error(reason)) => Err(io_error(&file, reason)),
    }
}

/// A directory without an identity must be new: whatever else is in it belongs to somebody.
fn refuse_foreign(path: &Path) -> Result<(), DataDirError> {
    for entry in fs::read_dir(path).map_err(|source| io_error(path, source))? {
        let entry = entry.map_err(|source| io_error(path, source))?.file_name();
        if entry == RAFT {
            return Err(DataDirError::Nameless(path.join(RAFT)));
        }
        if !HARMLESS.iter().any(|harmless| entry == *harmless) {
            return Err(DataDirError::Foreign { path: path.to_owned(), entry: entry.to_string_lossy().into_owned() });
        }
    }
    Ok(())
}

fn create(file: &Path, owner: &Owner) -> Result<Identity, DataDirError> {
    let identity = Identity {
        format: FORMAT,
        node_id: owner.node_id.unwrap_or_else(Uuid::new_v4),
        name: owner.name.clone(),
        datacenter: owner.datacenter.clone(),
        raft_id: new_raft_id(),
    };
    let json = serde_json::to_vec_pretty(&identity).map_err(|error| io_error(file, error.into()))?;
    write_durably(file, &json).map_err(|reason| io_error(file, reason))?;
    Ok(identity)
}

fn check(file: &Path, bytes: &[u8], owner: &Owner) -> Result<Identity, DataDirError> {
    let unreadable =
        |error: serde_json::Error| DataDirError::Unreadable { path: file.into(), reason: error.to_string() };
    let differs =
        |what, found: String, wanted: String| DataDirError::NotOurs { path: file.into(), what, found, wanted };
    // Another format may have other fields: its number is looked at first.
    let json: serde_json::Value = serde_json::from_slice(bytes).map_err(unreadable)?;
    let format = json.get("format").and_then(serde_json::Value::as_u64);
    if let Some(format) = format.filter(|format| *format != u64::from(FORMAT)) {
        return Err(differs("format", format.to_string(), FORMAT.to_string()));
    }
    let found: Identity = serde_json::from_value(json).map_err(unreadable)?;
    if found.datacenter != owner.datacenter {
        return Err(differs("datacenter", found.datacenter.into(), owner.datacenter.clone().into()));
    }
    if found.name.key() != owner.name.key() {
        return Err(differs("name", found.name.to_string(), owner.name.to_string()));
    }
    match owner.node_id.filter(|id| *id != found.node_id) {
        Some(wanted) => Err(differs("node_id", found.node_id.to_string(), wanted.to_string())),
        None => Ok(found),
    }
}

fn io_error(path: &Path, reason: io::Error) -> DataDirError {
    DataDirError::Io { path: path.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner { node_id: None, name: "one".into(), datacenter: "dc1".into() }
    }

    #[test]
    fn a_directory_keeps_its_identity() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path(), &owner()).unwrap().identity().clone();
        let again = DataDir::open(dir.path(), &owner()).unwrap();
        assert_eq!(*again.identity(), first);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(DataDir::open(other.path(), &owner()).unwrap().identity().raft_id, first.raft_id);
    }

    #[test]
    fn only_one_process_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::open(dir.path(), &owner()).unwrap();
        assert!(matches!(DataDir::open(dir.path(), &owner()), Err(DataDirError::InUse(_))));
        drop(held);
        DataDir::open(dir.path(), &owner()).unwrap();
    }

    #[test]
    fn the_directory_of_another_is_refused_and_left_alone() {
        let cases = [
            ("name", Owner { name: "two".into(), ..owner() }),
            ("datacenter", Owner { datacenter: "dc2".into(), ..owner() }),
            ("node_id", Owner { node_id: Some(Uuid::from_u128(7)), ..owner() }),
        ];
        let dir = tempfile::tempdir().unwrap();
        let identity = DataDir::open(dir.path(), &owner()).unwrap().identity().clone();
        for (field, other) in cases {
            let error = DataDir::open(dir.path(), &other).unwrap_err().to_string();
            assert!(error.contains("server.json") && error.contains(field) && error.contains("-data-dir"), "{error}");
        }
        assert_eq!(*DataDir::open(dir.path(), &owner()).unwrap().identity(), identity);
    }

    #[test]
    fn another_version_and_damage_are_refused() {
        let cases = [
            (r#"{"format":1,"anything":[]}"#, r#"format is "1", but this server's is "2""#),
            (r#"{"format":2}"#, "not the identity of a server's data directory"),
            ("nonsense", "not the identity of a server's data directory"),
        ];
        for (content, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(IDENTITY), content).unwrap();
            let error = DataDir::open(dir.path(), &owner()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(fs::read_to_string(dir.path().join(IDENTITY)).unwrap(), content);
        }
    }

    #[test]
    fn raft_data_without_an_identity_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(RAFT)).unwrap();
        assert!(matches!(DataDir::open(dir.path(), &owner()), Err(DataDirError::Nameless(_))));
    }

    #[test]
    fn the_directory_of_something_else_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for harmless in HARMLESS {
            fs::write(dir.path().join(harmless), "").unwrap();
        }
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("letter.txt"), "").unwrap();
        DataDir::open(dir.path(), &owner()).unwrap();
        let error = DataDir::open(other.path(), &owner()).unwrap_err().to_string();
        assert!(error.contains("letter.txt") && error.contains("-data-dir"), "{error}");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    }
}
