//! The state machine: committed entries become the registry's state, and the state becomes the node's view.
//!
//! Applies a whole committed batch, then swaps the view **once**, then tells the change sink, then answers the
//! callers: whoever has an answer can read its write. Reads no clock and does no I/O while applying; snapshots are
//! built from a clone of the state (a few reference counts) on a blocking thread, and a former state goes on one.

use std::{io, sync::Arc};

use futures_util::{Stream, StreamExt};
use lictor_shared::{
    catalog::{Applied, Change, State, Touched},
    command::{Outcome, Written},
    model::Index,
    view,
};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine},
};

use super::{
    Entry, LogId, SnapshotMeta, StoredMembership, TypeConfig,
    snapshot::{Snapshot, SnapshotData, SnapshotStore},
    surroundings,
};

/// Entries applied between two view swaps, at most: bounds the delay of the first while a long log is replayed.
const BATCH_ENTRIES: usize = 1024;

/// Who is told what has changed: the fan-out to watchers. Called in the order of the log, right after the view shows
/// the change, on the thread that applies: it must not block.
pub trait ChangeSink: Send + Sync + 'static {
    /// These changes came, in order, one for each log index without holes; one that changed no row has none.
    fn applied(&self, changes: Vec<Change>);

    /// The state was replaced as a whole and is now at `index`: whoever follows must begin anew.
    fn replaced(&self, index: Index);
}

/// The state machine.
pub(super) struct Machine {
    state: State,
    applied: Option<LogId>,
    membership: StoredMembership,
    view: view::Writer,
    sink: Arc<dyn ChangeSink>,
    snapshots: Arc<SnapshotStore>,
}

/// What a batch leaves to be told once the view shows it.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    touched: Touched,
    /// The state was replaced as a whole, and what was changed before is of no interest.
    replaced: bool,
    answers: Vec<(ApplyResponder<TypeConfig>, Written)>,
}

impl Machine {
    /// One with an empty state; openraft then has it restore the latest snapshot and replay the log.
    pub fn new(view: view::Writer, sink: Arc<dyn ChangeSink>, snapshots: Arc<SnapshotStore>) -> Self {
        Self { state: State::default(), applied: None, membership: StoredMembership::default(), view, sink, snapshots }
    }

    fn apply_entry(
        &mut self,
        entry: Entry,
        responder: Option<ApplyResponder<TypeConfig>>,
        batch: &mut Batch,
    ) -> io::Result<()> {
        let index = self.state.next_index(entry.log_id.index);
        let outcome = match entry.payload {
            EntryPayload::Normal(proposal) => {
                let command = proposal.take_command().map_err(io::Error::other)?;
                let applied = self.state.apply(index, proposal.time(), &command);
                let Applied { change, touched, outcome, replaced } = applied;
                batch.replaced |= replaced;
                batch.changes.push(change);
                batch.touched.extend(touched);
                outcome
            }
            EntryPayload::Blank => self.skip(index, batch),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                self.skip(index, batch)
            }
        };
        self.applied = Some(entry.log_id);
        let written = Written { index: self.state.index(), outcome };
        batch.answers.extend(responder.map(|responder| (responder, written)));
        Ok(())
    }

    fn skip(&mut self, index: Index, batch: &mut Batch) -> Outcome {
        self.state.skip_to(index);
        batch.changes.push(Change { index, rows: Vec::new() });
        Outcome::Done
    }

    fn publish(&mut self, batch: Batch) {
        if batch.changes.is_empty() {
            return;
        }
        if batch.replaced {
            self.replace_view();
        } else {
            self.view.publish(self.state.clone(), &batch.touched);
            self.sink.applied(batch.changes);
        }
        for (responder, written) in batch.answers {
            responder.send(written);
        }
    }

    /// Shows a state that has nothing in common with the one before.
    fn replace_view(&mut self) {
        let former = self.view.state();
        self.view.replace(self.state.clone());
        self.sink.replaced(self.state.index());
        // Millions of rows take their time to go, and here they would hold up what is to be applied.
        surroundings::aside(move || drop(former));
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut batch = Batch::default();
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            self.apply_entry(entry, responder, &mut batch)?;
            if batch.changes.len() >= BATCH_ENTRIES {
                self.publish(std::mem::take(&mut batch));
            }
        }
        self.publish(batch);
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            meta: SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() },
            state: self.state.clone(),
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
        let (snapshots, expected) = (self.snapshots.clone(), meta.clone());
        let install = move || -> io::Result<State> {
            let (found, state) = SnapshotStore::load(&snapshot)?;
            if found != expected {
                return Err(io::Error::other(format!("snapshot: wanted {expected}, got {found}")));
            }
            snapshots.adopt(found, snapshot)?;
            Ok(state)
        };
        self.state = surroundings::blocking(install).await??;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.replace_view();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.snapshots.latest())
    }
}

/// Builds a snapshot of the state as it was when asked for.
pub(super) struct SnapshotBuilder {
    meta: SnapshotMeta,
    state: State,
    snapshots: Arc<SnapshotStore>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (meta, state, snapshots) = (self.meta.clone(), self.state.clone(), self.snapshots.clone());
        let build = move || snapshots.build(meta, &state);
        Ok(surroundings::blocking(build).await??)
    }
}
