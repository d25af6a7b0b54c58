//! The last good state on disk: what a sidecar answers from when it starts and no server can be reached.
//!
//! One file in the data directory, [`FILE_NAME`], written whole under another name, synced and renamed, so that a crash
//! leaves the old one or the new one. The format is that of `lictor_proto::frames`, called `LICTLAST`, with the [`Header`]
//! in JSON.
//!
//! Nothing depends on it: a file that is damaged, of a later version, or another node's is as good as none. Functions
//! here block; `keeper` calls them off the async threads.

use std::{
    fs::{self, File},
    io::{self, BufWriter},
    path::Path,
};

use lictor_proto::frames::{self, Format, FrameError, Frames};
use lictor_shared::{
    catalog::{Loader, State},
    model::{Index, Time},
    private,
};
use serde::{Deserialize, Serialize};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "last-good.state";
const UNFINISHED_NAME: &str = "last-good.unfinished";
const FORMAT: Format = Format { magic: *b"LICTLAST", version: 1 };

/// Whose state it is, and how old.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The node that wrote it.
    pub node: String,
    /// Its datacenter.
    pub datacenter: String,
    /// The Raft IDs of the servers that the state is from.
    pub server_ids: Vec<u64>,
    /// The state's index.
    pub index: Index,
    /// When a leader was last known to stand behind it.
    pub led_at: Time,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is none.
    #[error("there is none")]
    Absent,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(io::Error),
    /// It is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A later version wrote it.
    #[error("its format is {0}, this build reads {read}", read = FORMAT.version)]
    Version(u32),
    /// It is not this node's.
    #[error("it is that of node {node} in datacenter {datacenter}")]
    Foreign {
        /// Whose it is.
        node: String,
        /// And where.
        datacenter: String,
    },
}

impl From<FrameError> for LoadError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(error) => Self::Io(error),
            FrameError::Version { found, .. } => Self::Version(found),
            damage => Self::Damaged(damage.to_string()),
        }
    }
}

/// Writes the file; durable on return.
///
/// # Errors
/// What the system says; an earlier file is then as it was.
pub fn save(directory: &Path, header: &Header, state: &State) -> io::Result<()> {
    private::create_directory(directory)?;
    let unfinished = directory.join(UNFINISHED_NAME);
    // Definitions of checks may hold secrets.
    let file = private::create(&unfinished)?;
    let mut output = BufWriter::new(file);
    frames::write(&mut output, FORMAT, &serde_json::to_vec(header)?, state.records())?;
    output.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&unfinished, directory.join(FILE_NAME))?;
    File::open(directory)?.sync_all()
}

/// Reads the file of that node.
///
/// # Errors
/// [`LoadError`].
pub fn load(directory: &Path, node: &str, datacenter: &str) -> Result<(Header, State), LoadError> {
    let file = File::open(directory.join(FILE_NAME)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => LoadError::Absent,
        _ => LoadError::Io(error),
    })?;
    let mut frames = Frames::open(file, FORMAT)?;
    let header: Header =
        serde_json::from_slice(frames.header()).map_err(|error| LoadError::Damaged(error.to_string()))?;
    if !header.node.eq_ignore_ascii_case(node) || header.datacenter != datacenter {
        return Err(LoadError::Foreign { node: header.node, datacenter: header.datacenter });
    }
    let mut loader = Loader::default();
    while let Some(record) = frames.next_record()? {
        loader.push(record);
    }
    let state = loader.finish(header.index);
    Ok((header, state))
}

#[cfg(test)]
mod tests {
    use lictor_shared::{
        command::{Command, Registration},
        model::{Check, Node, Service},
    };

    use super::*;

    fn state() -> State {
        let mut state = State::default();
        for n in 0..50_u64 {
            let node = Node { name: format!("n{n}").as_str().into(), address: "10.0.0.1".into(), ..Node::default() };
            let service = Some(Service { id: "web".into(), name: "web".into(), ..Service::default() });
            let checks = vec![Check { id: "c".into(), service_id: "web".into(), ..Check::default() }];
            let registration = Registration { node, skip_node_update: false, service, checks };
            state.apply(Index(n + 1), Time(n), &Command::Register(Box::new(registration)));
        }
        state
    }

    fn header() -> Header {
        Header {
            node: "here".into(),
            datacenter: "dc1".into(),
            server_ids: vec![1, u64::MAX],
            index: Index(50),
            led_at: Time(1_700_000_000_000),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let nested = directory.path().join("data");
        assert!(matches!(load(&nested, "here", "dc1"), Err(LoadError::Absent)));
        for _ in 0..2 {
            save(&nested, &header(), &state()).unwrap();
        }
        let (read, loaded) = load(&nested, "HERE", "dc1").unwrap();
        assert_eq!(read, header());
        assert_eq!(loaded.index(), Index(50));
        assert_eq!(loaded.records().collect::<Vec<_>>(), state().records().collect::<Vec<_>>());
        assert_eq!(fs::read_dir(&nested).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn what_is_damaged_or_anothers_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        save(directory, &header(), &state()).unwrap();
        for (node, datacenter) in [("there", "dc1"), ("here", "dc2")] {
            assert!(matches!(load(directory, node, datacenter), Err(LoadError::Foreign { .. })), "{node} {datacenter}");
        }
        let path = directory.join(FILE_NAME);
        let whole = fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(7) {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(load(directory, "here", "dc1"), Err(LoadError::Damaged(_))), "cut at {length}");
        }
        for position in (0..whole.len()).step_by(3) {
            let mut altered = whole.clone();
            altered[position] ^= 0x40;
            fs::write(&path, &altered).unwrap();
            assert!(load(directory, "here", "dc1").is_err(), "altered at {position}");
        }
        let mut later = whole;
        later[8] = 2;
        fs::write(&path, &later).unwrap();
        assert!(matches!(load(directory, "here", "dc1"), Err(LoadError::Version(2))));
    }
}
