//! How much memory a process holds, and how large a binary is.

use std::{fs, path::Path, process::Command};

use tempfile::NamedTempFile;

const BYTES_OF_MIB: f64 = 1024.0 * 1024.0;
const BYTES_OF_MB: f64 = 1e6;

/// The memory of one process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// What is resident.
    pub resident_mib: f64,
    /// The same, pages shared with others counted in part.
    pub proportional_mib: f64,
}

/// The memory of a process, from `/proc/PID/smaps_rollup`.
///
/// # Panics
/// It cannot be read.
#[must_use]
pub fn memory(pid: u32) -> Memory {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kibibytes.unwrap_or_else(|| panic!("{path}: no {name}")) * 1024.0 / BYTES_OF_MIB
    };
    Memory { resident_mib: field("Rss:"), proportional_mib: field("Pss:") }
}

/// The size of a binary without symbols.
///
/// # Panics
/// It cannot be stripped.
#[must_use]
pub fn stripped_mb(binary: &Path) -> f64 {
    let stripped = NamedTempFile::new().unwrap_or_else(|error| panic!("a temporary file: {error}"));
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(stripped.path()).arg(binary);
    let status = strip.status().unwrap_or_else(|error| panic!("{strip:?}: {error}"));
    assert!(status.success(), "{strip:?}: {status}");
    let size = fs::metadata(stripped.path()).map(|found| found.len());
    size.unwrap_or_else(|error| panic!("{}: {error}", stripped.path().display())) as f64 / BYTES_OF_MB
}
