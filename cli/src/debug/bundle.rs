//! Where what is captured is kept: a directory, which becomes an archive (tar, gzip) at the end.
//!
//! Only its owner may read it. What was there before is never written over. A bundle that is not finished, because the
//! disk is full or the process was killed, stays as a directory. Who is asked what is in [`super::capture`].

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, anyhow, bail};
use flate2::{Compression, write::GzEncoder};
use lictor_server::archive::tar;
use lictor_shared::private;
use serde::Serialize;
use time::OffsetDateTime;

use super::capture::Capture;
use crate::format;

/// Longest name of a bundle, in bytes: a tar header has 100 for it and a file's name.
pub const NAME_MAX_BYTES: usize = 72;
const INDEX: &str = "index.json";
/// The version of the index's fields.
const INDEX_VERSION: u32 = 1;

/// What is said of the bundle as a whole. The first names are those of Consul's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// The version of the program that captures.
    pub version: &'static str,
    /// How often the metrics were looked at.
    pub interval: String,
    /// How long it was to take.
    pub duration: String,
    /// What was to be captured.
    pub targets: Vec<&'static str>,
    /// Who was asked.
    pub agent: String,
    /// When it began.
    pub begun: String,
    /// Whether it was ended early.
    pub interrupted: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    format: u32,
    #[serde(flatten)]
    head: &'a Head,
    ended: String,
    captured: &'a [Entry],
    refused: Vec<Refused<'a>>,
}

/// A file of the bundle.
#[derive(Debug, Serialize)]
struct Entry {
    capture: &'static str,
    path: String,
    file: &'static str,
    bytes: u64,
    /// Why it is not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct Refused<'a> {
    capture: &'static str,
    path: &'a str,
    reason: String,
}

/// A directory that is being filled.
#[derive(Debug)]
pub struct Bundle {
    directory: PathBuf,
    captured: Vec<Entry>,
    refused: Vec<(Capture, String, Error)>,
}

/// A file that is being written.
#[derive(Debug)]
pub struct Recording {
    capture: Capture,
    path: String,
    file: &'static str,
    output: File,
    is_begun: bool,
    bytes: u64,
    problem: Option<Error>,
}

impl Recording {
    /// What is asked for it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The agent has agreed: what is in it from now on is what there was, even if that is nothing.
    pub fn begun(&mut self) {
        self.is_begun = true;
    }

    /// Adds to it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.begun();
        self.output.write_all(bytes).with_context(|| format!("cannot write {}", self.file))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// It is not whole.
    pub fn lacks(&mut self, problem: impl Into<Error>) {
        self.problem = Some(problem.into());
    }
}

impl Bundle {
    /// An empty one at `directory`.
    ///
    /// # Errors
    /// It, or the archive that it would become, is there already; or it cannot be made.
    pub fn create(directory: &Path) -> anyhow::Result<Self> {
        let archive = archive_name(directory);
        if fs::exists(directory)? || fs::exists(&archive)? {
            bail!("-output: {} or {} is there already: name another", directory.display(), archive.display());
        }
        private::create_directory(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { directory: directory.into(), captured: Vec::new(), refused: Vec::new() })
    }

    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin(&self, capture: Capture, path: String, file: &'static str) -> anyhow::Result<Recording> {
        let output = private::create(&self.directory.join(file)).with_context(|| format!("cannot make {file}"))?;
        Ok(Recording { capture, path, file, output, is_begun: false, bytes: 0, problem: None })
    }

    /// Takes a file as it is. One that was never begun is none: it was refused, or there was no time for it.
    ///
    /// # Errors
    /// Such a file cannot be removed.
    pub fn add(&mut self, recording: Recording) -> anyhow::Result<()> {
        let Recording { capture, path, file, is_begun, bytes, problem, .. } = recording;
        if is_begun {
            let problem = problem.map(|problem| format!("{problem:#}"));
            self.captured.push(Entry { capture: capture.name(), path, file, bytes, problem });
            return Ok(());
        }
        fs::remove_file(self.directory.join(file)).with_context(|| format!("cannot remove {file}"))?;
        if let Some(reason) = problem {
            self.refuse(capture, path, reason);
        }
        Ok(())
    }

    /// Something is not in it.
    pub fn refuse(&mut self, capture: Capture, path: String, reason: impl Into<Error>) {
        self.refused.push((capture, path, reason.into()));
    }

    /// Whether there is nothing in it yet.
    pub fn is_empty(&self) -> bool {
        self.captured.is_empty()
    }

    /// What is not in it, or not whole.
    pub fn lacking(&self) -> usize {
        self.refused.len() + self.captured.iter().filter(|entry| entry.problem.is_some()).count()
    }

    /// Leaves it as it is, or removes it if there is nothing in it. Gives the reason, or else why there is nothing.
    pub fn abandon(mut self, reason: Option<Error>) -> Error {
        if !self.is_empty() {
            let reason = reason.unwrap_or_else(|| anyhow!("it was left"));
            return reason.context(format!("what was captured is in {}", self.directory.display()));
        }
        // The reason is worth more than a directory that could not be removed.
        let _ = fs::remove_dir_all(&self.directory);
        let refusal = if self.refused.is_empty() { None } else { Some(self.refused.swap_remove(0).2) };
        reason.or(refusal).unwrap_or_else(|| anyhow!("it ended before anything came"))
    }

    /// Writes the index, and makes an archive of it all if `archived`; gives the path of what there is then.
    ///
    /// # Errors
    /// A file cannot be written. The directory stays.
    pub fn finish(self, head: &Head, archived: bool) -> anyhow::Result<PathBuf> {
        let refused = self.refused.iter();
        let refused = refused.map(|(capture, path, reason)| Refused {
            capture: capture.name(),
            path,
            reason: format!("{reason:#}"),
        });
        let index =
            Index { format: INDEX_VERSION, head, ended: now(), captured: &self.captured, refused: refused.collect() };
        private::write(&self.directory.join(INDEX), format::json(&index)?).context("cannot write index.json")?;
        if !archived {
            return Ok(self.directory);
        }
        let path = archive_name(&self.directory);
        let made = self.archive(&path).with_context(|| format!("cannot write {}", path.display()));
        if let Err(error) = made {
            // What was captured is in the directory; half an archive is of no use.
            let _ = fs::remove_file(&path);
            return Err(error.context(format!("what was captured is in {}", self.directory.display())));
        }
        fs::remove_dir_all(&self.directory).with_context(|| format!("cannot remove {}", self.directory.display()))?;
        Ok(path)
    }

    fn archive(&self, path: &Path) -> anyhow::Result<()> {
        let name = self.directory.file_name().unwrap_or_default().to_string_lossy();
        let time = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or_default();
        let output = private::options().write(true).create_new(true).open(path)?;
        let mut output = GzEncoder::new(io::BufWriter::new(output), Compression::default());
        for file in std::iter::once(INDEX).chain(self.captured.iter().map(|entry| entry.file)) {
            let input = File::open(self.directory.join(file))?;
            let bytes = input.metadata()?.len();
            tar::begin(&mut output, &format!("{name}/{file}"), bytes, time)?;
            io::copy(&mut io::Read::take(input, bytes), &mut output)?;
            tar::pad(&mut output, bytes)?;
        }
        tar::end(&mut output)?;
        let output = output.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(output.sync_all()?)
    }
}

/// The archive that a directory becomes.
fn archive_name(directory: &Path) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(".tar.gz");
    name.into()
}

/// The present moment (RFC 3339).
pub fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let (hour, minute, second) = now.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", now.date())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn head() -> Head {
        Head {
            version: "0",
            interval: "1s".into(),
            duration: "2s".into(),
            targets: vec!["agent", "logs"],
            agent: "http://a:1".into(),
            begun: now(),
            interrupted: false,
        }
    }

    fn filled(directory: &Path) -> Bundle {
        let mut bundle = Bundle::create(directory).unwrap();
        for (capture, file, text, problem) in [
            (Capture::Agent, "agent.json", Some("{}"), None),
            (Capture::Logs, "logs.txt", Some(""), Some("it broke off")),
            (Capture::Metrics, "metrics.json", None, Some("refused")),
            (Capture::Host, "host.json", None, None),
        ] {
            let mut recording = bundle.begin(capture, "/v1/x".into(), file).unwrap();
            if let Some(text) = text {
                recording.write(text.as_bytes()).unwrap();
            }
            if let Some(problem) = problem {
                recording.lacks(Error::msg(problem));
            }
            bundle.add(recording).unwrap();
        }
        bundle
    }

    #[test]
    fn what_is_kept_and_what_was_refused_is_in_the_index() {
        let place = tempfile::tempdir().unwrap();
        let bundle = filled(&place.path().join("a"));
        assert_eq!((bundle.is_empty(), bundle.lacking()), (false, 2));
        let directory = bundle.finish(&head(), false).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!directory.join("metrics.json").exists() && !directory.join("host.json").exists());
        let index: serde_json::Value =
            serde_json::from_slice(&fs::read(directory.join("index.json")).unwrap()).unwrap();
        for (pointer, expected) in [
            ("/targets/1", "logs"),
            ("/captured/0/file", "agent.json"),
            ("/captured/1/problem", "it broke off"),
            ("/refused/0/capture", "metrics"),
            ("/refused/0/reason", "refused"),
        ] {
            assert_eq!(index.pointer(pointer).and_then(|value| value.as_str()), Some(expected), "{pointer}");
        }
    }

    #[test]
    fn an_archive_takes_the_place_of_the_directory_and_of_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("a.b");
        let archive = filled(&directory).finish(&head(), true).unwrap();
        assert_eq!(archive, place.path().join("a.b.tar.gz"));
        assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!directory.exists());
        assert!(Bundle::create(&directory).unwrap_err().to_string().contains("is there already"));
        fs::remove_file(&archive).unwrap();
        let reason = Bundle::create(&directory).unwrap().abandon(None);
        assert!(!directory.exists() && reason.to_string().contains("before anything came"));
    }
}
