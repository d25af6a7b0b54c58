//! `lictor snapshot`: the whole registry in a file. What such a file is, is in `lictor_server::archive`.

mod inspect;
mod restore;
mod save;

use std::{
    fs::File,
    io::{self, BufReader},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::Subcommand;
use lictor_server::archive::{self, ArchiveError, Manifest};
use lictor_shared::catalog::Record;

/// How long the registry may be on its way, in either direction.
const TRANSFER_LIMIT: Duration = Duration::from_secs(60 * 60);

/// What to do.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Save the registry to a file
    Save(save::SaveFlags),
    /// Put what a file holds in the place of the registry
    Restore(restore::RestoreFlags),
    /// Check a file, and say what is in it
    Inspect(inspect::InspectFlags),
}

/// Does it.
///
/// # Errors
/// A file that cannot be used, or the agent could not be asked or refused.
pub async fn run(command: SnapshotCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        SnapshotCommand::Save(flags) => save::run(flags, out).await,
        SnapshotCommand::Restore(flags) => restore::run(flags, out).await,
        SnapshotCommand::Inspect(flags) => inspect::run(&flags, out),
    }
}

/// Reads and checks all of a file; `take` is given each record and its length in bytes.
fn read(path: &Path, mut take: impl FnMut(Record, usize)) -> Result<Manifest, ArchiveError> {
    archive::read(BufReader::new(File::open(path)?), |record, bytes| {
        take(record, bytes);
        Ok(())
    })
}
