//! Programs of the operating system that a test needs: where they are, and what becomes of a test where they are not.
//!
//! On a developer's machine such a test says what is missing and ends; where nothing may be left out
//! (`LICTOR_TESTS_COMPLETE` is set, as `.ci/run` does) it fails.

use std::{env, path::PathBuf};

/// Set where a program that is missing is a failure.
const COMPLETE: &str = "LICTOR_TESTS_COMPLETE";
/// Where Debian puts daemons; not in every user's `PATH`.
const FOR_DAEMONS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The program's path; none where it is not installed.
///
/// # Panics
/// It is not installed, and nothing may be left out.
#[must_use]
pub fn find(program: &str, package: &str) -> Option<PathBuf> {
    find_or(program, &format!("Debian: apt-get install {package}"))
}

/// The same, where `advice` says how it is installed.
///
/// # Panics
/// As [`find`].
#[must_use]
pub fn find_or(program: &str, advice: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(FOR_DAEMONS.map(PathBuf::from));
    let found = directories.map(|directory| directory.join(program)).find(|path| path.is_file());
    if found.is_none() {
        let missing = format!("there is no `{program}` here ({advice})");
        assert!(env::var_os(COMPLETE).is_none(), "{missing}, and {COMPLETE} is set");
        eprintln!("not tested: {missing}");
    }
    found
}
