//! Where a server saves the registry and restores it.
//!
//! **Saving** is a matter of the view: a state does not change, so it is written from a thread of its own while others go
//! on. By default only the leader does it, after a majority has confirmed that it leads.
//!
//! **Restoring** is the leader's. What comes in goes to an unnamed file on the disk first and is checked there, as a
//! whole; only then is anything proposed. The state then goes through the log in parts of [`PART_BYTES`], none of which
//! has an effect before the last step (see `lictor_shared::catalog`, `restore`): whatever ends in between, a server, the
//! leader, this process, leaves the registry as it was.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use lictor_shared::{
    backend::{Archive, BackendError, Consistency, Contact, Pieces},
    catalog::{Record, State},
    command::{Command, Outcome, RestoreCommand},
    forward::AskError,
    model::Index,
    private,
    view::Reader,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::{ArchiveError, Configuration, Manifest, Server, read, write};
use crate::consensus::Consensus;

/// The most archives that are being saved at the same time; each has a thread.
const MAX_SAVES: usize = 4;
/// The largest archive that is taken, in bytes.
const MAX_ARCHIVE_BYTES: u64 = 8 << 30;
/// The bytes of an archive that are sent at once.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces, or parts, that are made ahead of who takes them.
const AHEAD: usize = 2;
/// A part is full when its records have so many bytes: well below what an entry of the log may have.
const PART_BYTES: usize = 512 << 10;
/// How long the next piece may be waited for.
const PIECE_LIMIT: Duration = Duration::from_secs(60);

/// Saves and restores at one server.
pub struct Archives {
    consensus: Arc<dyn Consensus>,
    reader: Reader,
    datacenter: String,
    /// Where files lie while they are checked; the system's place for such where there is none.
    dir: Option<PathBuf>,
    saves: Arc<Semaphore>,
    restores: Semaphore,
}

impl Archives {
    /// Those of the server of `datacenter` whose view `reader` sees.
    #[must_use]
    pub fn new(consensus: Arc<dyn Consensus>, reader: Reader, datacenter: &str, dir: Option<PathBuf>) -> Arc<Self> {
        let (saves, restores) = (Arc::new(Semaphore::new(MAX_SAVES)), Semaphore::new(1));
        Arc::new(Self { consensus, reader, datacenter: datacenter.to_owned(), dir, saves, restores })
    }

    /// The registry as a file; `any`: as this server has it, whoever leads.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn save(&self, any: bool) -> Result<Archive, AskError> {
        let busy = |_| AskError::Rejected(format!("this server is saving {MAX_SAVES} snapshots already"));
        let place = self.saves.clone().try_acquire_owned().map_err(busy)?;
        if !any {
            let index = self.consensus.read_index(Consistency::Quorum).await?;
            self.reader.reach(index).await;
        }
        let (known_leader, last) = self.consensus.contact();
        let contact = Contact { known_leader, last: last.unwrap_or(Duration::MAX) };
        let (state, manifest) = (self.reader.base(), self.manifest());
        let (sender, pieces) = mpsc::channel(AHEAD);
        let index = state.index();
        tokio::task::spawn_blocking(move || save(&sender, manifest, &state, place));
        Ok(Archive { index, contact, pieces: Pieces::new(ReceiverStream::new(pieces)) })
    }

    fn manifest(&self) -> Manifest {
        let servers = self.consensus.report(true).map(|report| report.servers).unwrap_or_default();
        let servers = servers.into_iter().map(|server| Server {
            suffrage: u32::from(!server.voter),
            id: server.node_id.to_string(),
            address: server.address,
        });
        Manifest {
            term: self.consensus.term(),
            configuration: Configuration { servers: servers.collect() },
            datacenter: self.datacenter.clone(),
            ..Manifest::default()
        }
    }

    /// Puts what an archive holds in the place of the registry; gives the registry's index then.
    ///
    /// # Errors
    /// [`AskError`]; only `Unknown` leaves the outcome open.
    pub async fn restore(&self, pieces: Pieces) -> Result<Index, AskError> {
        let busy = |_| AskError::Rejected("another snapshot is being restored: wait for it".into());
        let _one_at_a_time = self.restores.try_acquire().map_err(busy)?;
        // Nobody shall send gigabytes to a server that cannot use them.
        self.consensus.read_index(Consistency::Quorum).await?;
        let file = self.receive(pieces).await?;
        let (file, manifest) = blocking(move || check(file)).await?;
        let (sender, parts) = mpsc::channel(AHEAD);
        let reading = tokio::task::spawn_blocking(move || read_parts(file, &sender));
        let id = Uuid::new_v4();
        let restored = self.propose_all(id, parts, Index(manifest.index)).await;
        if let Err(error) = &restored
            && !matches!(error, AskError::Unknown(_))
        {
            // It would be forgotten by itself.
            drop(self.consensus.propose(Command::Restore(RestoreCommand::Abandon(id))).await);
        }
        drop(reading.await);
        let index = restored?;
        tracing::info!(snapshot = %manifest.id, index = index.0, "restored a snapshot");
        Ok(index)
    }

    async fn propose_all(
        &self,
        id: Uuid,
        mut parts: mpsc::Receiver<Result<Arc<[Record]>, ArchiveError>>,
        saved: Index,
    ) -> Result<Index, AskError> {
        self.step(RestoreCommand::Begin(id)).await?;
        let mut number = 0;
        while let Some(records) = parts.recv().await {
            let records = records.map_err(|error| refused(&error))?;
            self.step(RestoreCommand::Records { id, number, records }).await.map_err(unchanged)?;
            number += 1;
        }
        self.step(RestoreCommand::Commit { id, parts: number, saved }).await
    }

    async fn step(&self, step: RestoreCommand) -> Result<Index, AskError> {
        let written = self.consensus.propose(Command::Restore(step)).await?;
        match written.outcome {
            Outcome::Refused(refusal) => Err(AskError::Rejected(format!("{refusal}; nothing was changed"))),
            _ => Ok(written.index),
        }
    }

    /// The whole archive, in a file that is gone when it is closed.
    async fn receive(&self, mut pieces: Pieces) -> Result<File, AskError> {
        let dir = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let failed =
            |error: io::Error| AskError::Rejected(format!("the snapshot cannot be kept to be checked: {error}"));
        let mut file = blocking(move || unnamed(&dir).map_err(failed)).await?;
        let mut bytes = 0;
        loop {
            let piece = tokio::time::timeout(PIECE_LIMIT, pieces.next()).await;
            let piece = piece.map_err(|_| AskError::Rejected("the snapshot did not come in time".into()))?;
            let Some(piece) = piece else { return Ok(file) };
            let piece =
                piece.map_err(|error| AskError::Rejected(format!("the snapshot did not come whole: {error}")))?;
            bytes += piece.len() as u64;
            if bytes > MAX_ARCHIVE_BYTES {
                let reason = format!("the snapshot has more than {MAX_ARCHIVE_BYTES} bytes, which is not taken");
                return Err(AskError::Rejected(reason));
            }
            file = blocking(move || file.write_all(&piece).map(|()| file).map_err(failed)).await?;
        }
    }
}

/// A failure before the last step: whatever was proposed is never seen.
fn unchanged(error: AskError) -> AskError {
    AskError::Rejected(format!("the restore was cut short, and nothing was changed: {error}"))
}

fn refused(error: &ArchiveError) -> AskError {
    AskError::Rejected(format!("the snapshot {error}"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AskError> + Send + 'static,
) -> Result<T, AskError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| AskError::Rejected(error.to_string()))?
}

fn unnamed(dir: &std::path::Path) -> io::Result<File> {
    let path = dir.join(format!("restore-{}.unfinished", Uuid::new_v4().simple()));
    let file = private::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn check(mut file: File) -> Result<(File, Manifest), AskError> {
    let rewind = |file: &mut File| file.rewind().map_err(|error| refused(&error.into()));
    rewind(&mut file)?;
    let manifest = read(&file, |_, _| Ok(())).map_err(|error| refused(&error))?;
    rewind(&mut file)?;
    Ok((file, manifest))
}

/// Reads a checked archive once more, part by part. Returns early when nobody takes them any more.
fn read_parts(file: impl Read, sender: &mpsc::Sender<Result<Arc<[Record]>, ArchiveError>>) {
    let (mut part, mut part_bytes) = (Vec::new(), 0);
    let gone = || ArchiveError::Io(io::ErrorKind::BrokenPipe.into());
    let all = read(file, |record, bytes| {
        part.push(record);
        part_bytes += bytes;
        if part_bytes < PART_BYTES {
            return Ok(());
        }
        part_bytes = 0;
        sender.blocking_send(Ok(std::mem::take(&mut part).into())).map_err(|_| gone())
    });
    let last = all.map(|_| part.into());
    drop(sender.blocking_send(last));
}

/// Writes the archive into the channel; an error is the last that comes out of it.
fn save(
    sender: &mpsc::Sender<Result<Bytes, BackendError>>,
    manifest: Manifest,
    state: &State,
    _place: OwnedSemaphorePermit,
) {
    let output = io::BufWriter::with_capacity(PIECE_BYTES, Channel(sender));
    if let Err(error) = write(output, manifest, state) {
        drop(sender.blocking_send(Err(BackendError::Failed(format!("the snapshot could not be written: {error}")))));
    }
}

/// Bytes that are written go into the channel; whoever takes them sets the pace.
struct Channel<'a>(&'a mpsc::Sender<Result<Bytes, BackendError>>);

impl Write for Channel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
