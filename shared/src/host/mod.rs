//! What the kernel says of this host and of this process, from `/proc`. Nothing is kept; a file that is missing or
//! reads otherwise gives zeros and empty texts, since all of this is for people to look at.
//!
//! `parse` reads the texts, which are other systems' to choose, without trusting their form.

mod parse;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub use self::parse::{Cpu, Memory};

/// Ticks in a second of `/proc`'s times: the same on every Linux that programs see (`USER_HZ`).
const TICKS: f64 = 100.0;

fn read(path: impl AsRef<Path>) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The system and its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// The host's name.
    pub hostname: String,
    /// When it was booted, in seconds since 1970.
    pub booted_s: u64,
    /// For how long it has run, in seconds.
    pub uptime_s: u64,
    /// How many processes there are.
    pub processes: u64,
    /// The distribution (`debian`).
    pub distribution: String,
    /// What it is like (`debian`), where it says so.
    pub family: String,
    /// Its version.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// The machine's ID.
    pub machine_id: String,
}

/// Reads it.
#[must_use]
pub fn system() -> System {
    let release = read("/etc/os-release");
    let field = |name| parse::assignment(&release, name);
    let distribution = field("ID");
    let family = field("ID_LIKE");
    let uptime = read("/proc/uptime");
    let uptime = uptime.split('.').next().and_then(|seconds| seconds.parse().ok());
    System {
        hostname: read("/proc/sys/kernel/hostname").trim().into(),
        booted_s: parse::number_after(&read("/proc/stat"), "btime"),
        uptime_s: uptime.unwrap_or_default(),
        processes: processes(),
        family: if family.is_empty() { distribution.clone() } else { family },
        distribution,
        version: field("VERSION_ID"),
        kernel: read("/proc/sys/kernel/osrelease").trim().into(),
        machine_id: read("/etc/machine-id").trim().into(),
    }
}

fn processes() -> u64 {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    let is_process = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let found = entries.filter_map(Result::ok).filter(|entry| entry.file_name().to_str().is_some_and(is_process));
    found.map(|_| 1).sum()
}

/// The host's memory.
#[must_use]
pub fn memory() -> Memory {
    Memory::parse(&read("/proc/meminfo"))
}

/// Its processors.
#[must_use]
pub fn cpus() -> Vec<Cpu> {
    Cpu::parse_all(&read("/proc/cpuinfo"))
}

/// The file system that a path is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that anybody may still use.
    pub free: u64,
    /// Bytes in use.
    pub used: u64,
    /// Files that there can be.
    pub inodes_total: u64,
    /// Files that there can still be.
    pub inodes_free: u64,
}

/// Asks for it. May wait for the disk.
///
/// # Errors
/// What the system says of the path.
pub fn disk(path: &Path) -> std::io::Result<Disk> {
    let answer = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(answer.f_frsize);
    Ok(Disk {
        total: bytes(answer.f_blocks),
        free: bytes(answer.f_bavail),
        used: bytes(answer.f_blocks.saturating_sub(answer.f_bfree)),
        inodes_total: answer.f_files,
        inodes_free: answer.f_ffree,
    })
}

/// This process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Memory of it that is in RAM, in bytes.
    pub resident_bytes: u64,
    /// Its open file descriptors.
    pub open_files: usize,
    /// Its time on a processor.
    pub processor: Duration,
    /// When it started, since 1970.
    pub started: Duration,
}

impl Process {
    /// For how long it has run.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(self.started)
    }
}

/// Reads it.
#[must_use]
pub fn process() -> Process {
    let [processor, started] = parse::process_ticks(&read("/proc/self/stat"))
        .map(|ticks| Duration::try_from_secs_f64(crate::metrics::as_f64(ticks) / TICKS).unwrap_or_default());
    Process {
        resident_bytes: parse::number_after(&read("/proc/self/status"), "VmRSS:").saturating_mul(1024),
        open_files: fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or_default(),
        processor,
        started: started + Duration::from_secs(parse::number_after(&read("/proc/stat"), "btime")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_can_be_read() {
        let (system, memory, process) = (system(), memory(), process());
        assert!(!system.hostname.is_empty() && system.booted_s > 0 && system.processes > 0, "{system:?}");
        assert!(memory.total > memory.available && memory.available > 0, "{memory:?}");
        assert!(!cpus().is_empty());
        assert!(disk(Path::new("/")).unwrap().total > 0);
        assert!(disk(Path::new("/nothing/here")).is_err());
        assert!(process.resident_bytes > 0 && process.open_files > 0, "{process:?}");
        assert!(process.uptime() < Duration::from_secs(24 * 3600), "{process:?}");
    }
}
