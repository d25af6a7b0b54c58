//! Where certificates and keys are written, and how: never over a file that is there, keys for their owner alone.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;
/// More certificates of one kind in one directory are a mistake.
const MOST: usize = 100_000;

/// A CA's certificate and key.
pub fn of_authority(directory: &Path, domain: &str) -> [PathBuf; 2] {
    [directory.join(format!("{domain}-agent-ca.pem")), directory.join(format!("{domain}-agent-ca-key.pem"))]
}

/// The next free certificate and key of that kind.
pub fn next(directory: &Path, stem: &str) -> anyhow::Result<[PathBuf; 2]> {
    let numbered = |number: usize| {
        [directory.join(format!("{stem}-{number}.pem")), directory.join(format!("{stem}-{number}-key.pem"))]
    };
    let free = |paths: &[PathBuf; 2]| !paths.iter().any(|path| path.exists());
    (0..MOST).map(numbered).find(free).with_context(|| format!("{stem}-0.pem to {stem}-{}.pem are all there", MOST - 1))
}

/// Writes a certificate and its key, both or none.
pub fn write_pair([certificate, key]: [(&Path, &str); 2]) -> anyhow::Result<()> {
    for (path, _) in [certificate, key] {
        if path.exists() {
            bail!("{}: is there already (move it away, or run this in another directory)", path.display());
        }
    }
    write(key, KEY_MODE)?;
    write(certificate, CERTIFICATE_MODE).inspect_err(|_| {
        // It is ours: a file that was there had not been opened.
        let _ = fs::remove_file(key.0);
    })
}

fn write((path, text): (&Path, &str), mode: u32) -> anyhow::Result<()> {
    let made = File::options().write(true).create_new(true).mode(mode).open(path);
    let written = made.and_then(|mut file| -> io::Result<()> {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("{}: cannot be written", path.display()))
}

/// A path as a reader wants it who is in that directory.
pub fn shown(directory: &Path, path: &Path) -> String {
    path.strip_prefix(directory).unwrap_or(path).display().to_string()
}

/// Says what was written.
pub fn say_saved(out: &mut impl io::Write, directory: &Path, paths: [&Path; 2]) -> io::Result<()> {
    paths.into_iter().try_for_each(|path| writeln!(out, "==> Saved {}", shown(directory, path)))
}
