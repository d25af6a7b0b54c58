//! A file that gets a secret: readable by its owner alone, and there as a whole or as it was before.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rand::Rng;

/// Who may read and write it: its owner.
const MODE: u32 = 0o600;

/// The file beside it that takes its place. It is removed if it never does.
pub struct Sink {
    path: PathBuf,
    new: PathBuf,
    file: File,
}

impl Sink {
    /// Makes the file beside it, and the directory if there is none. What is at `path` stays as it is.
    ///
    /// # Errors
    /// The directory cannot be made or written to, or `path` names no file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is no file"));
        };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{:016x}", rand::rng().random::<u64>()));
        let new = directory.join(hidden);
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
        Ok(Self { path: path.into(), new, file })
    }

    /// Writes the secret and puts the file in its place.
    ///
    /// # Errors
    /// It cannot be written; what was at the path is as it was.
    pub fn write(mut self, secret: &str) -> io::Result<()> {
        self.file.write_all(secret.as_bytes())?;
        self.file.sync_all()?;
        fs::rename(&self.new, &self.path)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // After it took its place there is none.
        let _ = fs::remove_file(&self.new);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn files(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_secret_takes_the_place_of_the_old_one_and_is_nobody_elses() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/token");
        for secret in ["first", "second"] {
            Sink::open(&path).unwrap().write(secret).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), secret);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
            // Even if others could read the old one.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        assert_eq!(files(path.parent().unwrap()), ["token"]);
    }

    #[test]
    fn what_is_not_written_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "old").unwrap();
        drop(Sink::open(&path).unwrap());
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), files(directory.path()).len()), ("old", 1));
        assert!(Sink::open(directory.path()).is_err());
        assert!(Sink::open(&path.join("below")).is_err());
    }
}
