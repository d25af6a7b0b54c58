//! A temporary directory of this user alone, removed when it is dropped.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// The directory of one demo: data directories, files and logs.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it, in `TMPDIR` or `/tmp`.
    ///
    /// # Errors
    /// It cannot be made, or a directory of that name is there.
    pub fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("lictor-demo-{:08x}", rand::random::<u32>()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed stays in the system's temporary one.
        let _ = fs::remove_dir_all(&self.0);
    }
}
