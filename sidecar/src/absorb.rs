//! The messages of a watch stream become states of the view.
//!
//! A whole state is buffered and swapped in when it is whole; changes are absorbed into a copy (a few reference
//! counts) that is swapped in once per message. What the view has already is passed over, a hole is an error: then
//! the stream must begin anew with the whole state. The index of the view never goes back, whatever a server sends,
//! unless its cluster is another one.

use lictor_proto::{
    DecodeError, decode_change, decode_record,
    internal::{Changes, Heartbeat, Records, WatchEvent, watch_event::Event},
};
use lictor_shared::{
    catalog::{Loader, State, Touched},
    model::Index,
    view::Writer,
};

/// The most records of one whole state that are taken: far above what a registry holds, and a bound.
const MAX_RECORDS: usize = 20_000_000;

/// Why a stream cannot be followed any further.
#[derive(Debug, thiserror::Error)]
pub enum AbsorbError {
    /// A change or record cannot be read.
    #[error("the server sent what this version cannot read: {0}")]
    Decode(#[from] DecodeError),
    /// Changes are missing: the whole state is needed.
    #[error("the server sent index {found} after {had}: changes are missing")]
    Hole {
        /// What the view has.
        had: Index,
        /// What came.
        found: Index,
    },
    /// A whole state that is older than the view.
    #[error("the server's whole state is of index {found}, older than this node's, {had}")]
    Older {
        /// What the view has.
        had: Index,
        /// What came.
        found: Index,
    },
    /// A message that cannot come now.
    #[error("the server sent {0} out of place")]
    OutOfPlace(&'static str),
    /// More records than are taken.
    #[error("the server's state has more than {MAX_RECORDS} records")]
    TooLarge,
}

/// What a message was.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// Proof of life.
    Heartbeat(Heartbeat),
    /// The end of a whole state, which the view now shows.
    State,
    /// Something that was absorbed, or kept for the end of a whole state.
    Part,
}

/// Takes the messages of one stream after another.
pub struct Absorber {
    writer: Writer,
    /// The whole state that is being sent, and its number of records.
    loading: Option<(Loader, usize)>,
}

impl Absorber {
    /// One that changes the view of `writer`.
    #[must_use]
    pub fn new(writer: Writer) -> Self {
        Self { writer, loading: None }
    }

    /// The index of the view.
    #[must_use]
    pub fn index(&self) -> Index {
        self.writer.state().index()
    }

    /// Another stream begins: what an earlier one left unfinished is dropped.
    pub fn begin(&mut self) {
        self.loading = None;
    }

    /// Takes a message; `of_another`: the cluster that sent it is not the one that the view is from.
    ///
    /// # Errors
    /// [`AbsorbError`]; the view is as it was before this message.
    pub fn take(&mut self, event: WatchEvent, of_another: bool) -> Result<Taken, AbsorbError> {
        match event.event {
            Some(Event::Heartbeat(heartbeat)) => return Ok(Taken::Heartbeat(heartbeat)),
            Some(Event::InitBegin(_)) => self.loading = Some((Loader::default(), 0)),
            Some(Event::Records(records)) => self.load(&records)?,
            Some(Event::InitDone(done)) => {
                self.finish(Index(done.index), of_another)?;
                return Ok(Taken::State);
            }
            Some(Event::Changes(changes)) => self.absorb(&changes)?,
            None => return Err(DecodeError::Missing { field: "WatchEvent.event" }.into()),
        }
        Ok(Taken::Part)
    }

    fn load(&mut self, records: &Records) -> Result<(), AbsorbError> {
        let (loader, count) = self.loading.as_mut().ok_or(AbsorbError::OutOfPlace("records"))?;
        *count += records.records.len();
        if *count > MAX_RECORDS {
            return Err(AbsorbError::TooLarge);
        }
        for record in &records.records {
            loader.push(decode_record(record)?);
        }
        Ok(())
    }

    fn finish(&mut self, index: Index, of_another: bool) -> Result<(), AbsorbError> {
        let (loader, _) = self.loading.take().ok_or(AbsorbError::OutOfPlace("the end of a state"))?;
        if of_another {
            self.writer.begin_anew(loader.finish(index));
            return Ok(());
        }
        let had = self.index();
        if index < had {
            return Err(AbsorbError::Older { had, found: index });
        }
        self.writer.replace(loader.finish(index));
        Ok(())
    }

    fn absorb(&mut self, changes: &Changes) -> Result<(), AbsorbError> {
        if self.loading.is_some() {
            return Err(AbsorbError::OutOfPlace("changes"));
        }
        let had = self.index();
        let (mut state, mut touched) = (State::clone(&self.writer.state()), Touched::new());
        for encoded in &changes.changes {
            let change = decode_change(encoded)?;
            if change.index <= state.index() {
                continue;
            }
            if change.index.0 != state.index().0 + 1 {
                return Err(AbsorbError::Hole { had: state.index(), found: change.index });
            }
            touched.extend(state.absorb(&change));
        }
        if state.index() > had {
            self.writer.publish(state, &touched);
        }
        Ok(())
    }
}
