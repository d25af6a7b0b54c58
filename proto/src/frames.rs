//! A state in a file: records in frames, under a checksum. One format under several names, for all who write states.
//!
//! Integers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | the name of the format |
//! | 4 | its version |
//! | frames | a length (4 bytes), then as many bytes. The first frame is the header, the owner's matter; every other one a record of the state |
//! | 4 | a length of 0: the end |
//! | 4 | CRC-32 of all before it |
//!
//! Whatever the bytes, a reader panics at nothing and keeps no more than one frame. Nothing that it has given may be
//! used before it has given all: only then is the checksum known to match.

use std::io::{self, BufReader, Read, Write};

use crc32fast::Hasher;
use lictor_shared::catalog::Record;

use crate::{decode_record, encode_record};

/// The largest frame that is written or believed, in bytes; a longer length is damage.
pub const MAX_FRAME_BYTES: u32 = 16 << 20;

/// What a file is called by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The name.
    pub magic: [u8; 8],
    /// The version that this build reads and writes.
    pub version: u32,
}

/// Why a state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// What the system says.
    #[error(transparent)]
    Io(io::Error),
    /// It ends too early.
    #[error("it is truncated")]
    Truncated,
    /// It is of another format.
    #[error("it does not begin as it should")]
    Foreign,
    /// It is of another version of the format.
    #[error("its format is {found}, this build reads {read}")]
    Version {
        /// The file's.
        found: u32,
        /// This build's.
        read: u32,
    },
    /// It is not what was written.
    #[error("{0}")]
    Damaged(String),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Truncated } else { Self::Io(error) }
    }
}

/// Writes a state: the header, then the records, in the order in which a loader takes them.
///
/// # Errors
/// What `output` says, or that a frame is empty or has more than [`MAX_FRAME_BYTES`].
pub fn write(
    output: impl Write,
    format: Format,
    header: &[u8],
    records: impl Iterator<Item = Record>,
) -> io::Result<()> {
    let mut output = Output { output, crc: Hasher::new() };
    output.put(&format.magic)?;
    output.put(&format.version.to_le_bytes())?;
    output.frame(header)?;
    for record in records {
        output.frame(&encode_record(&record))?;
    }
    output.put(&0_u32.to_le_bytes())?;
    let crc = output.crc.finalize();
    output.output.write_all(&crc.to_le_bytes())?;
    output.output.flush()
}

struct Output<W> {
    output: W,
    crc: Hasher,
}

impl<W: Write> Output<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.output.write_all(bytes)
    }

    fn frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| (1..=MAX_FRAME_BYTES).contains(length));
        let length = length.ok_or_else(|| io::Error::other(format!("a record of {} bytes", bytes.len())))?;
        self.put(&length.to_le_bytes())?;
        self.put(bytes)
    }
}

/// Reads a state.
pub struct Frames<R> {
    input: BufReader<R>,
    crc: Hasher,
    header: Vec<u8>,
    ended: bool,
}

impl<R: Read> Frames<R> {
    /// Reads up to the first record.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn open(input: R, format: Format) -> Result<Self, FrameError> {
        let mut frames = Self { input: BufReader::new(input), crc: Hasher::new(), header: Vec::new(), ended: false };
        if frames.take()? != format.magic {
            return Err(FrameError::Foreign);
        }
        let found = u32::from_le_bytes(frames.take()?);
        if found != format.version {
            return Err(FrameError::Version { found, read: format.version });
        }
        frames.header = frames.frame()?.ok_or_else(|| FrameError::Damaged("it has no header".into()))?;
        Ok(frames)
    }

    /// The header's bytes.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The next record and the length of its frame in bytes; none at the end, which is then known to be sound.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn next_sized(&mut self) -> Result<Option<(Record, usize)>, FrameError> {
        if self.ended {
            return Ok(None);
        }
        if let Some(frame) = self.frame()? {
            let record = decode_record(&frame).map_err(|error| FrameError::Damaged(error.to_string()))?;
            return Ok(Some((record, frame.len())));
        }
        let computed = self.crc.clone().finalize();
        if u32::from_le_bytes(self.take()?) != computed {
            return Err(FrameError::Damaged("the checksum does not match".into()));
        }
        if self.input.read(&mut [0])? != 0 {
            return Err(FrameError::Damaged("there is more after its end".into()));
        }
        self.ended = true;
        Ok(None)
    }

    /// The next record.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn next_record(&mut self) -> Result<Option<Record>, FrameError> {
        Ok(self.next_sized()?.map(|(record, _)| record))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.crc.update(&bytes);
        Ok(bytes)
    }

    /// The next frame; none at the end.
    fn frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let length = u32::from_le_bytes(self.take()?);
        if length == 0 {
            return Ok(None);
        }
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::Damaged("a record's length makes no sense".into()));
        }
        let mut bytes = Vec::new();
        (&mut self.input).take(length.into()).read_to_end(&mut bytes)?;
        if bytes.len() != length as usize {
            return Err(FrameError::Truncated);
        }
        self.crc.update(&bytes);
        Ok(Some(bytes))
    }
}
