//! Certificates and keys in PEM files (RFC 7468), and how a change of a file is noticed.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::settings::{Interface, Source};

/// The largest file that is read; a bundle of all public CAs has a quarter of a megabyte.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The permission bits that let others read or write a key.
const OTHERS: u32 = 0o077;

/// Why TLS cannot be set up: which setting, which file, and what is wrong there.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {}: {problem}", path.display())]
pub struct TlsError {
    key: String,
    path: PathBuf,
    problem: String,
}

impl TlsError {
    pub(super) fn new(source: &Source, problem: impl Into<String>) -> Self {
        Self { key: source.key.clone(), path: source.path.clone(), problem: problem.into() }
    }
}

/// The certificates of a file, at least one.
pub fn certificates(source: &Source) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = certificates_in(&read(source, &source.path)?).map_err(|problem| TlsError::new(source, problem))?;
    if found.is_empty() {
        return Err(TlsError::new(source, "has no certificate (a PEM file has lines -----BEGIN CERTIFICATE-----)"));
    }
    Ok(found)
}

/// The private key of a file.
pub fn key(source: &Source) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(source, &source.path)?;
    if fs::metadata(&source.path).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0) {
        let path = source.path.display();
        tracing::warn!(setting = source.key, %path, "others can read this private key (chmod 600 it)");
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        TlsError::new(source, format!("has no private key that can be read: {error} (PEM, without a password)"))
    })
}

/// A certificate authority, and where its certificate is.
pub type Authority = (CertificateDer<'static>, PathBuf);

/// Those who are trusted, by file and by directory.
pub fn authorities(interface: &Interface) -> Result<(RootCertStore, Vec<Authority>), TlsError> {
    let (mut roots, mut found) = (RootCertStore::empty(), Vec::new());
    let mut add = |source: &Source, certificate: CertificateDer<'static>, path: &Path| {
        let unusable = |error| TlsError::new(source, format!("{}: is no certificate of a CA: {error}", path.display()));
        roots.add(certificate.clone()).map_err(unusable)?;
        found.push((certificate, path.to_owned()));
        Ok(())
    };
    if let Some(source) = &interface.ca_file {
        for certificate in certificates(source)? {
            add(source, certificate, &source.path)?;
        }
    }
    if let Some(source) = &interface.ca_path {
        let mut any = false;
        for path in files_in(source)? {
            // Other files may lie beside them.
            for certificate in certificates_in(&read(source, &path)?).unwrap_or_default() {
                any = true;
                add(source, certificate, &path)?;
            }
        }
        if !any {
            return Err(TlsError::new(source, "no file in it has a certificate"));
        }
    }
    Ok((roots, found))
}

fn certificates_in(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    found.map_err(|error| format!("is no PEM file: {error}"))
}

fn files_in(source: &Source) -> Result<Vec<PathBuf>, TlsError> {
    let unreadable = |error: io::Error| TlsError::new(source, format!("cannot be read: {error}"));
    let entries = fs::read_dir(&source.path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn read(source: &Source, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error: io::Error| {
        let place = if path == source.path { String::new() } else { format!("{}: ", path.display()) };
        TlsError::new(source, format!("{place}cannot be read: {error}"))
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(TlsError::new(source, format!("is no file of at most {} MiB", FILE_BYTES_MAX >> 20)));
    }
    fs::read(path).map_err(unreadable)
}

/// What changes when a file does; none where it is gone.
pub type Stamp = (PathBuf, Option<(i64, i64, u64, u64)>);

/// The stamps of all files of an interface.
pub fn stamps(interface: &Interface) -> Vec<Stamp> {
    let pair = interface.pair.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
    let single = pair.chain(&interface.ca_file).map(|source| source.path.clone());
    let several = interface.ca_path.iter().flat_map(|source| files_in(source).unwrap_or_default());
    let stamped = single.chain(several).map(|path| {
        let stamp = stamp(&path);
        (path, stamp)
    });
    stamped.collect()
}

fn stamp(path: &Path) -> Option<(i64, i64, u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec(), metadata.len(), metadata.ino()))
}
