//! Whether servers hold the same to the byte, without an answer of hundreds of megabytes: the state that a server saves
//! of itself (`/v1/snapshot?stale`) is read to its end, and only a digest of it is kept.

use std::{
    hash::{DefaultHasher, Hasher},
    io::{self, Read},
};

use flate2::read::GzDecoder;

use super::steps::STEP_LIMIT;
use crate::agent::Agent;

/// The size of a block of a tar archive.
const BLOCK: usize = 512;
/// The file of the archive that has the state.
const STATE: &str = "state.bin";

/// What stands for a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Its length in bytes.
    pub bytes: u64,
    /// A hash of them.
    pub hash: u64,
}

/// Takes it of the state that the server has at the moment; and the length of the archive.
///
/// # Errors
/// The server does not answer so, or it is no archive.
pub fn of(server: &Agent) -> Result<(Digest, usize), String> {
    let answer = server.http().with_time_out(STEP_LIMIT).get("/v1/snapshot?stale")?;
    if answer.status != 200 {
        return Err(format!("{}: {} {}", server.name, answer.status, answer.text()));
    }
    let digest = read(&answer.body[..]).map_err(|error| format!("{}: {error}", server.name))?;
    Ok((digest, answer.body.len()))
}

fn read(archive: impl Read) -> io::Result<Digest> {
    let mut tar = GzDecoder::new(archive);
    loop {
        let mut header = [0; BLOCK];
        tar.read_exact(&mut header)?;
        let name = header[..100].split(|&byte| byte == 0).next().unwrap_or_default();
        let size = std::str::from_utf8(&header[124..135]).ok().and_then(|digits| u64::from_str_radix(digits, 8).ok());
        let bytes = size.ok_or_else(|| io::Error::other("a file of the archive has no size"))?;
        let padding = bytes.next_multiple_of(BLOCK as u64) - bytes;
        let mut hash = DefaultHasher::new();
        let mut file = (&mut tar).take(bytes);
        let mut piece = vec![0; 64 << 10];
        loop {
            let length = file.read(&mut piece)?;
            if length == 0 {
                break;
            }
            hash.write(&piece[..length]);
        }
        io::copy(&mut (&mut tar).take(padding), &mut io::sink())?;
        if name == STATE.as_bytes() {
            return Ok(Digest { bytes, hash: hash.finish() });
        }
    }
}
