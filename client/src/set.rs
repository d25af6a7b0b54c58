//! From the messages of a watch to the set that they tell of. Pure: knows no connection.

use std::{collections::BTreeMap, sync::Arc};

use lictor_proto::v1::{
    Instance, InstanceId, Position, ServiceState, WatchServiceResponse, watch_service_response::Event,
};

use crate::endpoints::InstanceKey;

/// The most instances that are taken of one service: far above what one has, and a bound.
const MAX_INSTANCES: usize = 1_000_000;

/// Why a stream cannot be followed any further.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// A delta before the whole set.
    #[error("the agent told a difference before it told the whole")]
    OutOfPlace,
    /// The index went back.
    #[error("the agent's index went back from {had} to {found}")]
    WentBack { had: u64, found: u64 },
    /// More instances than are taken.
    #[error("the service has more than {MAX_INSTANCES} instances")]
    TooLarge,
}

/// What a message did.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// The set is another.
    Changed,
    /// The set is as it was, and up to date.
    Same,
    /// A part of something.
    Part,
}

/// A set that is kept up to date, from stream to stream.
#[derive(Debug, Default)]
pub struct Set {
    instances: BTreeMap<InstanceKey, Arc<Instance>>,
    state: ServiceState,
    position: Option<Position>,
    /// The parts of a whole set or of a delta that is being told.
    pending: Pending,
    /// The index of the last message of this stream.
    heard: u64,
    /// Whether this stream has told of the whole set, or that it is known.
    begun: bool,
}

#[derive(Debug, Default)]
struct Pending {
    upserted: Vec<Instance>,
    removed: Vec<InstanceId>,
}

impl Set {
    /// Another stream begins: what an earlier one left unfinished is dropped.
    pub fn begin(&mut self) {
        (self.pending, self.heard, self.begun) = (Pending::default(), 0, false);
    }

    /// Where to go on from; none where nothing is known.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The instances, by key.
    pub fn instances(&self) -> impl Iterator<Item = (&InstanceKey, &Arc<Instance>)> {
        self.instances.iter()
    }

    /// What there is of the service.
    pub fn state(&self) -> ServiceState {
        self.state
    }

    /// Takes the next message of a stream.
    ///
    /// # Errors
    /// [`SetError`]; the set is as it was before.
    pub fn take(&mut self, message: WatchServiceResponse) -> Result<Taken, SetError> {
        let position = message.position.unwrap_or_default();
        if position.index < self.heard {
            return Err(SetError::WentBack { had: self.heard, found: position.index });
        }
        self.heard = position.index;
        let taken = match message.event {
            Some(Event::Whole(part)) => {
                let state = part.state();
                self.add(part.instances, Vec::new())?;
                self.finish(part.complete, state, true)
            }
            Some(Event::Delta(_)) if !self.begun => return Err(SetError::OutOfPlace),
            Some(Event::Delta(part)) => {
                let state = part.state();
                self.add(part.upserted, part.removed)?;
                self.finish(part.complete, state, false)
            }
            Some(Event::Resumed(_)) => {
                self.begun = true;
                Taken::Same
            }
            Some(Event::Heartbeat(_)) if self.begun => Taken::Same,
            // The first one comes before the set; what is none of these is of a later version.
            Some(Event::Heartbeat(_)) | None => Taken::Part,
        };
        // Without a digest, nothing was told yet, or only a part.
        if position.digest != 0 {
            self.position = Some(position);
        }
        Ok(taken)
    }

    fn add(&mut self, upserted: Vec<Instance>, removed: Vec<InstanceId>) -> Result<(), SetError> {
        self.pending.upserted.extend(upserted);
        self.pending.removed.extend(removed);
        let told = self.pending.upserted.len().max(self.pending.removed.len());
        if told > MAX_INSTANCES { Err(SetError::TooLarge) } else { Ok(()) }
    }

    fn finish(&mut self, is_complete: bool, state: ServiceState, is_whole: bool) -> Taken {
        if !is_complete {
            return Taken::Part;
        }
        let Pending { upserted, removed } = std::mem::take(&mut self.pending);
        if is_whole {
            self.instances.clear();
        }
        for id in &removed {
            self.instances.remove(&id.into());
        }
        self.instances.extend(upserted.into_iter().map(|one| (InstanceKey::of(&one), Arc::new(one))));
        self.state = state;
        self.begun = true;
        Taken::Changed
    }
}

#[cfg(test)]
mod tests {
    use lictor_proto::v1::{Heartbeat, Resumed, ServiceDelta, ServiceInstances};

    use super::*;

    fn message(index: u64, digest: u64, event: Event) -> WatchServiceResponse {
        WatchServiceResponse { position: Some(Position { index, digest }), event: Some(event) }
    }

    fn instance(id: &str) -> Instance {
        Instance { id: Some(id_of(id)), ..Instance::default() }
    }

    fn id_of(id: &str) -> InstanceId {
        InstanceId { node: "N".into(), instance: id.into() }
    }

    fn whole(ids: &[&str], complete: bool) -> Event {
        let state = if complete { ServiceState::Available } else { ServiceState::Unspecified };
        let instances = ids.iter().map(|id| instance(id)).collect();
        Event::Whole(ServiceInstances { instances, state: state.into(), complete })
    }

    fn delta(upserted: &[&str], removed: &[&str]) -> Event {
        Event::Delta(ServiceDelta {
            upserted: upserted.iter().map(|id| instance(id)).collect(),
            removed: removed.iter().map(|id| id_of(id)).collect(),
            state: ServiceState::Available.into(),
            complete: true,
        })
    }

    fn ids(set: &Set) -> Vec<&str> {
        set.instances().map(|(key, _)| key.instance.as_str()).collect()
    }

    #[test]
    fn a_set_is_swapped_in_whole_and_then_changed() {
        let mut set = Set::default();
        set.begin();
        assert_eq!(set.take(message(0, 0, Event::Heartbeat(Heartbeat::default()))), Ok(Taken::Part));
        assert_eq!(set.position(), None);
        assert_eq!(set.take(message(5, 0, whole(&["B", "a"], false))), Ok(Taken::Part));
        assert!(ids(&set).is_empty());
        assert_eq!(set.take(message(5, 7, whole(&["c"], true))), Ok(Taken::Changed));
        assert_eq!(ids(&set), ["a", "b", "c"]);
        assert_eq!(set.take(message(6, 8, delta(&["d"], &["A"]))), Ok(Taken::Changed));
        assert_eq!(ids(&set), ["b", "c", "d"]);
        assert_eq!(set.position(), Some(Position { index: 6, digest: 8 }));
    }

    #[test]
    fn a_stream_that_broke_off_leaves_the_set_as_it_was() {
        let mut set = Set::default();
        set.begin();
        set.take(message(5, 7, whole(&["a"], true))).unwrap();
        set.take(message(6, 0, whole(&["b"], false))).unwrap();
        set.begin();
        assert_eq!((ids(&set), set.position()), (vec!["a"], Some(Position { index: 5, digest: 7 })));
        set.take(message(9, 7, Event::Resumed(Resumed {}))).unwrap();
        set.take(message(10, 9, delta(&["c"], &[]))).unwrap();
        assert_eq!(ids(&set), ["a", "c"]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut set = Set::default();
        set.begin();
        assert_eq!(set.take(message(5, 7, delta(&["a"], &[]))), Err(SetError::OutOfPlace));
        set.take(message(6, 7, whole(&[], true))).unwrap();
        let back = set.take(message(5, 7, whole(&["a"], true)));
        assert_eq!(back, Err(SetError::WentBack { had: 6, found: 5 }));
        assert!(ids(&set).is_empty());
    }
}
