//! As much of the tar format (POSIX ustar) as an archive of a few plain files needs. Never opens a file.

use std::io::{self, Read, Write};

const BLOCK: usize = 512;
/// An archive ends with two empty blocks.
const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
const NAME: std::ops::Range<usize> = 0..100;
const MODE: usize = 100;
const SIZE: std::ops::Range<usize> = 124..136;
const TIME: usize = 136;
const SUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const MAGIC: usize = 257;

/// Begins a file of `size` bytes, which follow, and then [`pad`]. `time` is in seconds since the Unix epoch.
///
/// # Errors
/// `output` cannot be written, or the name has more than 100 bytes.
pub fn begin(mut output: impl Write, name: &str, size: u64, time: u64) -> io::Result<()> {
    let mut header = [0_u8; BLOCK];
    if name.len() > NAME.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is too long a name in a tar archive"),
        ));
    }
    put(&mut header, 0, name.as_bytes());
    put(&mut header, MODE, b"0000600\0");
    // Owner and group: 0.
    put(&mut header, MODE + 8, b"0000000\0");
    put(&mut header, MODE + 16, b"0000000\0");
    put(&mut header, SIZE.start, format!("{size:011o}\0").as_bytes());
    put(&mut header, TIME, format!("{time:011o}\0").as_bytes());
    put(&mut header, MAGIC, b"ustar\x0000");
    header[KIND] = b'0';
    let sum = format!("{:06o}\0 ", checksum(&header));
    put(&mut header, SUM.start, sum.as_bytes());
    output.write_all(&header)
}

/// What follows a file of `size` bytes.
///
/// # Errors
/// `output` cannot be written.
pub fn pad(mut output: impl Write, size: u64) -> io::Result<()> {
    output.write_all(&END[..padding(size)])
}

/// What follows the last file.
///
/// # Errors
/// `output` cannot be written.
pub fn end(mut output: impl Write) -> io::Result<()> {
    output.write_all(&END)
}

/// The name and size of the next file; none at the end.
pub(super) fn next(mut input: impl Read) -> io::Result<Option<(String, u64)>> {
    let mut header = [0; BLOCK];
    input.read_exact(&mut header)?;
    if header == END[..BLOCK] {
        return Ok(None);
    }
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("its tar header has {what}"));
    if octal(&header[SUM]) != Some(checksum(&header)) {
        return Err(wrong("a wrong checksum"));
    }
    if !matches!(header[KIND], b'0' | 0) {
        return Err(wrong("no plain file"));
    }
    let name = header[NAME].split(|byte| *byte == 0).next().unwrap_or_default();
    let name = std::str::from_utf8(name).map_err(|_| wrong("a name that is no text"))?;
    let size = octal(&header[SIZE]).ok_or_else(|| wrong("no size"))?;
    Ok(Some((name.trim_start_matches("./").to_owned(), size)))
}

/// Passes over what follows a file of `size` bytes.
pub(super) fn skip_padding(mut input: impl Read, size: u64) -> io::Result<()> {
    let mut ignored = [0; BLOCK];
    input.read_exact(&mut ignored[..padding(size)])
}

fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    (BLOCK - over) % BLOCK
}

fn put(header: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The sum of a header's bytes, with spaces in the place of the sum.
fn checksum(header: &[u8; BLOCK]) -> u64 {
    let others = header.iter().enumerate().filter(|(at, _)| !SUM.contains(at));
    others.map(|(_, byte)| u64::from(*byte)).sum::<u64>() + 8 * u64::from(b' ')
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}
