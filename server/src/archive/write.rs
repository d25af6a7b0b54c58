//! Writes an archive. The state is gone through twice: a tar header says how long a file is before the file comes, and
//! what a state takes when it is encoded is many times what it takes as it is.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};
use lictor_proto::frames;
use lictor_shared::{catalog::State, model::Time};
use ring::digest::{Context, SHA256};

use super::{FORMAT, FORMAT_NAME, FORMAT_VERSION, META, Manifest, STATE, SUMS, tar};

/// Writes the archive of a state. Of the manifest, what is known of the state is filled in here.
///
/// # Errors
/// What `output` says.
pub fn write(output: impl Write, manifest: Manifest, state: &State) -> io::Result<()> {
    let time = Time::now().0;
    let index = state.index().0;
    let mut measured = Measured { sum: Context::new(&SHA256), bytes: 0 };
    write_state(&mut measured, state)?;
    let manifest = Manifest {
        version: 1,
        id: format!("{}-{index}-{time}", manifest.term),
        index,
        size: measured.bytes,
        format: FORMAT_NAME.into(),
        format_version: FORMAT_VERSION,
        ..manifest
    };
    let meta = serde_json::to_vec(&manifest)?;
    let sums = format!("{}  {META}\n{}  {STATE}\n", sum_of(&meta), hex(measured.sum));
    let mut output = GzEncoder::new(output, Compression::fast());
    let seconds = time / 1000;
    put(&mut output, META, &meta, seconds)?;
    tar::begin(&mut output, STATE, measured.bytes, seconds)?;
    write_state(io::BufWriter::new(&mut output), state)?;
    tar::pad(&mut output, measured.bytes)?;
    put(&mut output, SUMS, sums.as_bytes(), seconds)?;
    tar::end(&mut output)?;
    output.finish()?.flush()
}

fn put(mut output: impl Write, name: &str, bytes: &[u8], seconds: u64) -> io::Result<()> {
    let size = bytes.len() as u64;
    tar::begin(&mut output, name, size, seconds)?;
    output.write_all(bytes)?;
    tar::pad(output, size)
}

fn write_state(output: impl Write, state: &State) -> io::Result<()> {
    let header = serde_json::to_vec(&state.index())?;
    frames::write(output, FORMAT, &header, state.saved_records())
}

/// Counts and sums up what is written, and keeps nothing.
struct Measured {
    sum: Context,
    bytes: u64,
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sum.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn hex(sum: Context) -> String {
    sum.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn sum_of(bytes: &[u8]) -> String {
    let mut sum = Context::new(&SHA256);
    sum.update(bytes);
    hex(sum)
}
