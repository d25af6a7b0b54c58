//! One heavy test at a time: a file lock that holds across the threads of one test program and across programs.
//!
//! A cluster is five processes; two clusters at once on a small machine would measure each other. Light tests (one
//! process, no timing) do not take a turn.

use std::fs::File;

use crate::binary;

/// The right to run a cluster, until dropped.
#[derive(Debug)]
pub struct Turn {
    /// The kernel releases the lock when the file is closed, also when the test program is killed.
    _lock: File,
}

/// Waits for the turn.
///
/// # Panics
/// The lock file cannot be made or locked.
#[must_use]
pub fn take() -> Turn {
    let path = binary::directory().join("lictor-tests.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    lock.lock().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Turn { _lock: lock }
}
