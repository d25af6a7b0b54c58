//! A log file that is exchanged for a new one when it is large or old.
//!
//! Lines go to the file of the configured name; when a new one is begun, the old one gets the time, in nanoseconds, in
//! its name (`consul.log`, `consul-1700000000000000000.log`), as Consul names them. A file is never exchanged inside a
//! line. Where the old one cannot be renamed, it is written to for another round: logging goes on.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{config::LogFile, private};

/// Why logs cannot be written to a file.
#[derive(Debug, thiserror::Error)]
#[error("-log-file: cannot write to {}: {reason} (give a directory that exists and this process may write to)", path.display())]
pub struct LogFileError {
    path: PathBuf,
    reason: io::Error,
}

/// The file that is written to. Each `write` is one or more whole lines.
#[derive(Debug)]
pub struct RotatingFile {
    settings: LogFile,
    file: File,
    bytes: u64,
    begun: SystemTime,
}

impl RotatingFile {
    /// Opens the file; what is in it stays.
    ///
    /// # Errors
    /// It cannot be written to.
    pub fn open(settings: LogFile) -> Result<Self, LogFileError> {
        let opened = open(&settings.path);
        let (file, bytes, begun) = opened.map_err(|reason| LogFileError { path: settings.path.clone(), reason })?;
        Ok(Self { settings, file, bytes, begun })
    }

    fn is_due(&self, more: usize) -> bool {
        let limit = self.settings.rotate_bytes;
        let full = limit > 0 && self.bytes > 0 && self.bytes.saturating_add(more as u64) > limit;
        // A clock that went back makes no file old.
        full || self.begun.elapsed().is_ok_and(|age| age >= self.settings.rotate_after)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.settings.path;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let (before, after) = name_parts(path);
        fs::rename(path, path.with_file_name(format!("{before}{now}{after}")))?;
        (self.file, self.bytes, self.begun) = open(path)?;
        match self.settings.keep {
            Some(keep) => remove_all_but(path, keep),
            None => Ok(()),
        }
    }
}

impl Write for RotatingFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.is_due(lines.len()) && self.rotate().is_err() {
            // Nobody can be told but by these lines; the file is tried again after another round.
            (self.bytes, self.begun) = (0, SystemTime::now());
        }
        let written = self.file.write(lines)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The file, how large it is, and since when it is written to.
fn open(path: &Path) -> io::Result<(File, u64, SystemTime)> {
    let file = private::options().append(true).create(true).open(path)?;
    let metadata = file.metadata()?;
    // Not every file system knows when a file was made.
    let begun = metadata.created().unwrap_or_else(|_| SystemTime::now());
    Ok((file, metadata.len(), begun))
}

/// What stands before and after the time in the name of an old file.
fn name_parts(path: &Path) -> (String, String) {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let ending = part(path.extension());
    let ending = if ending.is_empty() { ending } else { format!(".{ending}") };
    (format!("{}-", part(path.file_stem())), ending)
}

fn remove_all_but(path: &Path, keep: usize) -> io::Result<()> {
    let (before, after) = name_parts(path);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut old: Vec<(u128, PathBuf)> = Vec::new();
    for entry in fs::read_dir(directory)? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let time = name.strip_prefix(&before).and_then(|rest| rest.strip_suffix(&after)).and_then(|t| t.parse().ok());
        old.extend(time.map(|time| (time, file)));
    }
    old.sort();
    let surplus = old.len().saturating_sub(keep);
    old.iter().take(surplus).try_for_each(|(_, file)| fs::remove_file(file))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(path: PathBuf) -> LogFile {
        LogFile { path, rotate_bytes: 0, rotate_after: Duration::from_secs(3600), keep: None }
    }

    fn files(directory: &Path) -> Vec<(String, String)> {
        let read = |entry: io::Result<fs::DirEntry>| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_string(), fs::read_to_string(&path).unwrap())
        };
        let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(read).collect();
        files.sort();
        files
    }

    #[test]
    fn a_full_file_is_exchanged_between_lines() {
        let dir = tempfile::tempdir().unwrap();
        let mut file =
            RotatingFile::open(LogFile { rotate_bytes: 10, ..settings(dir.path().join("agent.log")) }).unwrap();
        for line in ["one\n", "two\n", "three\n", "a line that is longer than the limit\n", "end\n"] {
            file.write_all(line.as_bytes()).unwrap();
        }
        let texts: Vec<String> = files(dir.path()).into_iter().map(|(_, text)| text).collect();
        // By name, that is by time; the one that is written to comes last.
        assert_eq!(texts, ["one\ntwo\n", "three\n", "a line that is longer than the limit\n", "end\n"]);
        let names: Vec<String> = files(dir.path()).into_iter().map(|(name, _)| name).collect();
        assert!(names[0].starts_with("agent-") && names[0].ends_with(".log"), "{names:?}");
        assert_eq!(names[3], "agent.log");
    }

    #[test]
    fn no_more_old_files_are_kept_than_asked_for() {
        for (keep, expected) in [(0, 1), (2, 3)] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("agent-other.log"), "not ours").unwrap();
            let path = dir.path().join("agent.log");
            let mut file =
                RotatingFile::open(LogFile { rotate_bytes: 1, keep: Some(keep), ..settings(path.clone()) }).unwrap();
            for line in 0..6 {
                file.write_all(format!("{line}\n").as_bytes()).unwrap();
            }
            assert_eq!(files(dir.path()).len(), expected + 1, "{keep}: {:?}", files(dir.path()));
            assert_eq!(fs::read_to_string(path).unwrap(), "5\n");
        }
    }

    #[test]
    fn an_old_file_is_exchanged_and_a_restart_goes_on_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.log");
        fs::write(&path, "before\n").unwrap();
        let mut file = RotatingFile::open(settings(path.clone())).unwrap();
        file.write_all(b"after\n").unwrap();
        assert_eq!(files(dir.path()), [("agent.log".into(), "before\nafter\n".into())]);
        let mut file = RotatingFile::open(LogFile { rotate_after: Duration::ZERO, ..settings(path) }).unwrap();
        file.write_all(b"new\n").unwrap();
        assert_eq!(
            files(dir.path()).iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            ["before\nafter\n", "new\n"]
        );
    }

    #[test]
    fn a_file_that_cannot_be_renamed_is_written_to_further() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.log");
        let mut file = RotatingFile::open(LogFile { rotate_bytes: 4, ..settings(path.clone()) }).unwrap();
        file.write_all(b"one\n").unwrap();
        fs::remove_file(&path).unwrap();
        file.write_all(b"two\n").unwrap();
        file.write_all(b"three\n").unwrap();
        let error = RotatingFile::open(settings(dir.path().join("no/such.log"))).unwrap_err().to_string();
        assert!(error.starts_with("-log-file: cannot write to ") && error.contains("No such file"), "{error}");
    }
}
