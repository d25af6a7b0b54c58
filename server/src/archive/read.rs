//! Reads an archive and checks all of it: form, sums, format, every record.

use std::io::{self, BufReader, Read};

use flate2::bufread::GzDecoder;
use lictor_proto::frames::Frames;
use lictor_shared::{
    catalog::{MAX_SAVED_INDEX, Record},
    model::Index,
};
use ring::digest::{Context, SHA256};

use super::{
    ArchiveError, FORMAT, FORMAT_NAME, FORMAT_VERSION, META, Manifest, STATE, SUMS, tar,
    write::{hex, sum_of},
};

/// The longest `meta.json` and `SHA256SUMS` that are read, in bytes.
const SMALL_BYTES: u64 = 1 << 20;
/// The first bytes of what gzip writes (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Reads an archive; `take` is given each record and its length in bytes. Nothing that it was given counts before this
/// returns.
///
/// # Errors
/// [`ArchiveError`], also what `take` says.
pub fn read(
    input: impl Read,
    mut take: impl FnMut(Record, usize) -> Result<(), ArchiveError>,
) -> Result<Manifest, ArchiveError> {
    let mut input = BufReader::new(input);
    if io::BufRead::fill_buf(&mut input)?.first_chunk() != Some(&GZIP_MAGIC) {
        return Err(ArchiveError::Foreign("it does not begin as what gzip writes".into()));
    }
    let mut archive = GzDecoder::new(input);
    let meta = small(&mut archive, META)?;
    let manifest = manifest(&meta)?;
    let state_sum = state(&mut archive, &manifest, &mut take)?;
    let sums = small(&mut archive, SUMS)?;
    for (name, sum) in [(META, sum_of(&meta)), (STATE, state_sum)] {
        if !String::from_utf8_lossy(&sums).lines().any(|line| line == format!("{sum}  {name}")) {
            return Err(ArchiveError::Damaged(format!("{name} is not what {SUMS} says")));
        }
    }
    // To the very end, where gzip has a checksum of its own.
    io::copy(&mut archive, &mut io::sink())?;
    if archive.into_inner().read(&mut [0])? != 0 {
        return Err(ArchiveError::Damaged("there is more after its end".into()));
    }
    Ok(manifest)
}

/// The size of the next file, which must be that one.
fn expect(archive: &mut impl Read, name: &str) -> Result<u64, ArchiveError> {
    match tar::next(archive)? {
        Some((found, size)) if found == name => Ok(size),
        Some((found, _)) => Err(ArchiveError::Foreign(format!("it has {found:?} where {name} should be"))),
        None => Err(ArchiveError::Foreign(format!("it has no {name}"))),
    }
}

fn small(archive: &mut impl Read, name: &str) -> Result<Vec<u8>, ArchiveError> {
    let size = expect(archive, name)?;
    if size > SMALL_BYTES {
        return Err(ArchiveError::Foreign(format!("its {name} has {size} bytes")));
    }
    let mut bytes = Vec::new();
    archive.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != size {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    tar::skip_padding(archive, size)?;
    Ok(bytes)
}

fn manifest(meta: &[u8]) -> Result<Manifest, ArchiveError> {
    let manifest: Manifest =
        serde_json::from_slice(meta).map_err(|error| ArchiveError::Foreign(format!("{META}: {error}")))?;
    if manifest.format != FORMAT_NAME {
        return Err(ArchiveError::OfAnother(format!("{META} does not say so")));
    }
    if manifest.format_version > FORMAT_VERSION {
        return Err(ArchiveError::TooNew { found: manifest.format_version });
    }
    if Index(manifest.index) > MAX_SAVED_INDEX {
        return Err(ArchiveError::Damaged(format!("{META}: the index {} makes no sense", manifest.index)));
    }
    Ok(manifest)
}

/// Reads the state; gives its sum.
fn state(
    archive: &mut impl Read,
    manifest: &Manifest,
    take: &mut impl FnMut(Record, usize) -> Result<(), ArchiveError>,
) -> Result<String, ArchiveError> {
    let damaged = |error| ArchiveError::damaged(STATE, error);
    let size = expect(archive, STATE)?;
    let mut summed = Summed { input: (&mut *archive).take(size), sum: Context::new(&SHA256) };
    let mut frames = Frames::open(&mut summed, FORMAT).map_err(damaged)?;
    let index: Index = serde_json::from_slice(frames.header())
        .map_err(|error| ArchiveError::Damaged(format!("{STATE}: its header: {error}")))?;
    if (index.0, size) != (manifest.index, manifest.size) {
        return Err(ArchiveError::Damaged(format!("{META} speaks of another {STATE}")));
    }
    while let Some((record, bytes)) = frames.next_sized().map_err(damaged)? {
        if matches!(record, Record::Restoring(..) | Record::Staged(_)) {
            return Err(ArchiveError::Damaged(format!("{STATE} holds what no saved state has")));
        }
        take(record, bytes)?;
    }
    drop(frames);
    let sum = hex(summed.sum);
    tar::skip_padding(archive, size)?;
    Ok(sum)
}

/// Sums up what is read.
struct Summed<R> {
    input: R,
    sum: Context,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.sum.update(&buffer[..read]);
        Ok(read)
    }
}
