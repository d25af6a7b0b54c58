//! The file with the process's ID (`-pid-file`), for those who send it signals.
//!
//! It is refused while the process it names lives and is of this program: two agents would answer to one file. One that
//! a dead process left behind is taken over, also where another program has that ID by now.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// It is another agent's.
    #[error("-pid-file: {} names process {pid}, which is running (stop it, or give another file)", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// The process.
        pid: u32,
    },
    /// The system does not let us.
    #[error("-pid-file: cannot write {}: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
}

/// The file, written. Dropping it removes it, where it still names this process.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes this process's ID.
    ///
    /// # Errors
    /// [`PidFileError`].
    pub fn create(path: &Path) -> Result<Self, PidFileError> {
        if let Some(pid) = named(path).filter(|pid| *pid != std::process::id() && is_ours(*pid)) {
            return Err(PidFileError::InUse { path: path.into(), pid });
        }
        fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|reason| PidFileError::Unwritable { path: path.into(), reason })?;
        Ok(Self { path: path.into() })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if named(&self.path) == Some(std::process::id())
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, file = %self.path.display(), "the PID file cannot be removed");
        }
    }
}

fn named(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether the process lives and has this program's name.
fn is_ours(pid: u32) -> bool {
    let name = |process: &str| fs::read_to_string(format!("/proc/{process}/comm")).ok();
    let other = name(&pid.to_string());
    other.is_some() && other == name("self")
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn a_pid_file_lives_as_long_as_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.pid");
        fs::write(&path, "4194305\n").unwrap();
        let file = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());

        let file = PidFile::create(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists(), "another's file stays");
        let error = PidFile::create(&dir.path().join("no/such.pid")).unwrap_err().to_string();
        assert!(error.contains("no/such.pid: No such file"), "{error}");
    }

    /// A process has its program's name only shortly after it was started.
    fn wait_for_name(pid: u32, name: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim() != name {
            assert!(Instant::now() < deadline, "process {pid} never became {name}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_living_agents_pid_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.pid");
        let ours = fs::read_to_string("/proc/self/comm").unwrap();
        let twin = dir.path().join(ours.trim());
        fs::copy("/bin/sleep", &twin).unwrap();
        for (program, refused) in [(twin.as_path(), true), (Path::new("/bin/sleep"), false)] {
            let mut other = Command::new(program).arg("60").stdout(Stdio::null()).spawn().unwrap();
            let name = program.file_name().unwrap().to_str().unwrap();
            wait_for_name(other.id(), name);
            fs::write(&path, other.id().to_string()).unwrap();
            let created = PidFile::create(&path);
            other.kill().unwrap();
            other.wait().unwrap();
            assert_eq!(created.is_err(), refused, "{program:?}");
            if let Err(error) = created {
                assert!(error.to_string().contains("which is running (stop it, or give another file)"), "{error}");
                PidFile::create(&path).expect("it is dead now");
            }
        }
    }
}
