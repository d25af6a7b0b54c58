//! `lictor snapshot save`: into a file under another name, which is checked before it takes its own. What was there
//! before stays until then.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use clap::Args;

use super::{TRANSFER_LIMIT, read};
use crate::{
    client::Exchange,
    query::Query,
    target::{self, HttpFlags},
};

const EXAMPLES: &str = "\
Examples:
  The registry as it is now:
    lictor snapshot save backup.snap
  As any server has it, also while there is no leader:
    lictor snapshot save -stale backup.snap";

/// Flags of `snapshot save`.
#[derive(Args, Debug, Default)]
#[command(after_long_help = EXAMPLES)]
pub struct SaveFlags {
    /// Where to; a file that is there is replaced
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    http: HttpFlags,
}

/// Saves it.
///
/// # Errors
/// The agent could not be asked or refused; the file could not be written, or is not what it should be.
pub async fn run(flags: SaveFlags, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let agent = target::agent(&flags.http)?.with_limit(TRANSFER_LIMIT);
    let query = Query::new("/v1/snapshot").read(&flags.http);
    let mut snapshot = agent.stream(query.as_str()).await.context("Error saving snapshot")?;
    let index = snapshot.index().unwrap_or_default();
    let unfinished = Unfinished(unfinished_name(&flags.file)?);
    write_all(&unfinished.0, &mut snapshot).await.context("Error writing snapshot file")?;
    let manifest =
        read(&unfinished.0, |_, _| {}).map_err(|error| anyhow!("Error verifying snapshot file: it {error}"))?;
    fs::rename(&unfinished.0, &flags.file)
        .and_then(|()| fs::File::open(directory(&flags.file))?.sync_all())
        .with_context(|| format!("Error writing snapshot file {}", flags.file.display()))?;
    writeln!(out, "Saved and verified snapshot to index {}", manifest.index.max(index))?;
    Ok(ExitCode::SUCCESS)
}

/// A file on its way: removed, unless it has another name by then.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has its name, or could not be made at all.
        let _ = fs::remove_file(&self.0);
    }
}

async fn write_all(path: &Path, snapshot: &mut Exchange) -> anyhow::Result<()> {
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| path.display().to_string())?;
    while let Some(piece) = snapshot.next().await.map_err(|reason| anyhow!("it broke off: {reason}"))? {
        file.write_all(&piece)?;
    }
    Ok(file.sync_all()?)
}

fn unfinished_name(file: &Path) -> anyhow::Result<PathBuf> {
    let name = file.file_name().ok_or_else(|| anyhow!("{}: not the name of a file", file.display()))?;
    let mut name = name.to_owned();
    name.push(format!(".{}.unfinished", std::process::id()));
    Ok(file.with_file_name(name))
}

fn directory(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
