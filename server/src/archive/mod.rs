//! The whole registry as one file: for an operator to keep, and to restore.
//!
//! A gzip'd tar archive, as Consul's are, of three files in this order:
//!
//! | file | what |
//! |---|---|
//! | `meta.json` | the [`Manifest`]: which state it is, of whom, how large, in which format |
//! | `state.bin` | the state, in the format of `lictor_proto::frames`, called `LICTARCH`; its header is the state's index in JSON |
//! | `SHA256SUMS` | the SHA-256 of both |
//!
//! `write` makes one of a state, `read` checks one and gives its records; neither holds more of it than a piece. `desk`
//! is where a server saves and restores. What is inside of one of Consul's is not what is inside of ours: those are
//! refused by name.

mod desk;
mod read;
pub mod tar;
mod write;

use lictor_proto::frames::{Format, FrameError};
use serde::{Deserialize, Serialize};

pub use self::{desk::Archives, read::read, write::write};

const META: &str = "meta.json";
const STATE: &str = "state.bin";
const SUMS: &str = "SHA256SUMS";

const FORMAT: Format = Format { magic: *b"LICTARCH", version: 1 };
/// What [`Manifest::format`] says.
const FORMAT_NAME: &str = "lictor";
/// The version of the archive as a whole.
pub const FORMAT_VERSION: u32 = 1;

/// What an archive says of itself. The names are those of Consul's `meta.json`, as far as it has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Manifest {
    /// The version of these fields.
    pub version: u32,
    /// Term, index and the time in milliseconds since the Unix epoch.
    #[serde(rename = "ID")]
    pub id: String,
    /// The index of the state.
    pub index: u64,
    /// The Raft term in which it was saved.
    pub term: u64,
    /// The servers at that time.
    pub configuration: Configuration,
    /// The length of `state.bin`, in bytes.
    pub size: u64,
    /// `lictor`.
    pub format: String,
    /// [`FORMAT_VERSION`] of the build that wrote it.
    pub format_version: u32,
    /// The datacenter.
    pub datacenter: String,
}

/// A set of servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Configuration {
    /// All of them.
    pub servers: Vec<Server>,
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Server {
    /// 0: it votes; 1: it does not.
    pub suffrage: u32,
    /// Its node's ID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its RPC address.
    pub address: String,
}

/// Why an archive is not taken. The sentence begins after "the snapshot".
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read at all.
    #[error("cannot be read: {0}")]
    Io(std::io::Error),
    /// It is no archive of this kind.
    #[error("is no gzip'd tar archive of a registry ({0}); give the file that a snapshot was saved to")]
    Foreign(String),
    /// It is of another program.
    #[error("was not saved by Lictor ({0}); one of Consul's cannot be restored")]
    OfAnother(String),
    /// A later version wrote it.
    #[error(
        "is of format {found}, and this build reads {FORMAT_VERSION}; restore it with a version of Lictor as new as the one that saved it"
    )]
    TooNew {
        /// Its version.
        found: u32,
    },
    /// It is not what was written.
    #[error("is damaged ({0}); take another copy")]
    Damaged(String),
}

impl ArchiveError {
    fn damaged(what: &str, error: FrameError) -> Self {
        match error {
            FrameError::Io(error) => error.into(),
            FrameError::Foreign => Self::OfAnother(format!("{what} does not begin as ours do")),
            FrameError::Version { found, .. } => Self::TooNew { found },
            error @ (FrameError::Truncated | FrameError::Damaged(_)) => Self::Damaged(format!("{what}: {error}")),
        }
    }
}

impl From<std::io::Error> for ArchiveError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Damaged("it is truncated".into()),
            // What the decoder says of bytes that no encoder has written.
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => Self::Damaged(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

#[cfg(test)]
mod tests;
