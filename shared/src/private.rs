//! Files and directories for this process's user alone: what a node keeps has tokens, keys and values of others in it.
//!
//! Whoever makes a file of a node's makes it here, or with the same mode. What is there already keeps the mode that it
//! has: an operator may have given a group a look at it.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// How a file is made: its user reads and writes it, and nobody else.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// An empty file to be written; what it had is gone.
///
/// # Errors
/// As the system says.
pub fn create(path: &Path) -> io::Result<File> {
    options().write(true).create(true).truncate(true).open(path)
}

/// A file with those bytes.
///
/// # Errors
/// As the system says.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    create(path)?.write_all(bytes.as_ref())
}

/// A directory, and those above it that are missing.
///
/// # Errors
/// As the system says.
pub fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
