//! Answers that are kept: encoded once for each question and each state of what they are made of.
//!
//! A *question* is an endpoint, its parameter, the rights of whoever asks, and those query parameters that shape the answer ([`NOT_SHAPING`] are all
//! others). Its [`Slot`] keeps the last answer with the index of every topic that the answer is made of. An index grows
//! with every change of its topic, so the answer is right as long as all are the same, and there is nothing to
//! invalidate. Who finds it outdated encodes it while holding the slot's lock: others who want the same answer would
//! otherwise do the same work at the same time.
//!
//! A *target* is the text of a request's path and query. One that was answered from a slot is known from then on, and
//! answered from there without being taken apart again ([`Repeat`]).
//!
//! What is kept has limits of entries and bytes (`bounded`), and what nobody asks for any more is forgotten ([`keep_small`]). What a question is made of is its handler's matter:
//! [`super::read::Question`].

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    answer::Answer,
    bounded::{Bounded, Limits},
    params::Mode,
    route::Request,
};
use crate::{
    acl::Rights,
    catalog::{State, Topic},
    metrics::HTTP_READS,
    model::Index,
    view::Reader,
};

/// The parameters that say who asks, how fresh the answer must be, and whether to wait. Whatever else there is may shape
/// the answer.
const NOT_SHAPING: [&str; 8] = ["index", "wait", "stale", "consistent", "cached", "max_stale", "token", "dc"];
/// The largest answer that is kept, in bytes, room for its compressed form included.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// What a slot takes besides its answer's body: itself, headers, topics. In bytes, about.
const SLOT_BYTES: usize = 1024;
/// What is kept of answers.
const ANSWERS: Limits = Limits { entries: 8 * 1024, bytes: 32 * 1024 * 1024, key_bytes: 2 * 1024 };
/// What is known of targets.
const TARGETS: Limits = Limits { entries: 4 * 1024, bytes: 2 * 1024 * 1024, key_bytes: 1024 };

/// How long an answer that nobody asks for is kept: between two and three times this.
const UNUSED: Duration = Duration::from_secs(20);
/// From so many bytes on that were forgotten at once, free memory is given back to the system.
const WORTH_GIVING_BACK: usize = 256 * 1024;

/// Places in the labels of [`HTTP_READS`].
const KEPT: usize = 0;
const ENCODED: usize = 1;

/// All answers that a node keeps.
pub struct Answers {
    slots: Bounded<Arc<Slot>>,
    targets: Bounded<Target>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            slots: Bounded::of_used(ANSWERS, |slot: &Arc<Slot>| slot.used.swap(false, Relaxed)),
            targets: Bounded::new(TARGETS),
        }
    }
}

/// How an answer can be given again: from this slot, by a caller that wants it this fresh.
#[derive(Clone, Debug)]
pub(super) struct Repeat {
    /// Where it is kept, as long as that is.
    pub slot: Weak<Slot>,
    /// `Stale` or `Cached`: the others ask the leader first.
    pub mode: Mode,
    /// What those may do who are given it.
    pub rights: Arc<Rights>,
}

/// What is known of a target.
#[derive(Clone)]
pub(super) struct Target {
    /// Its endpoint's place in the table.
    pub endpoint: usize,
    /// How it is answered again.
    pub repeat: Repeat,
}

impl Answers {
    /// What is known of that path and query, of a caller with those rights.
    pub(super) fn target(&self, rights: &[u8], text: &str) -> Option<Target> {
        if rights.is_empty() {
            return self.targets.get(text.as_bytes());
        }
        self.targets.get(&[rights, text.as_bytes()].concat())
    }

    /// From now on that path and query is known.
    pub(super) fn remember(&self, rights: &[u8], text: &str, endpoint: usize, repeat: &Repeat) {
        let target = Target { endpoint, repeat: repeat.clone() };
        self.targets.insert(&[rights, text.as_bytes()].concat(), target, size_of::<Target>());
    }

    /// The answer to a question: the kept one where that is current, else as `encode` makes it. With it the slot that
    /// it is kept in, unless the question is too long to be kept.
    pub(super) fn answer(
        &self,
        question: &[u8],
        reader: &Reader,
        made_of: impl Iterator<Item = Topic>,
        encode: impl FnOnce(&State) -> Answer,
    ) -> (Answer, Option<Weak<Slot>>) {
        let Some(slot) = self.slots.get_or_insert(question, Arc::default) else {
            HTTP_READS.count(ENCODED);
            return (encode(&reader.load_full()), None);
        };
        let (answer, weight_bytes) = slot.answer(reader, made_of, encode);
        if let Some(weight_bytes) = weight_bytes {
            self.slots.weigh(question, weight_bytes);
        }
        (answer, Some(Arc::downgrade(&slot)))
    }
}

/// Forgets what nobody asks for any more, until the node stops: one that was flooded with questions is as small as before
/// soon after. To be run as a long-lived task.
///
/// # Errors
/// None.
pub async fn keep_small(answers: Arc<Answers>, stopping: CancellationToken) -> io::Result<()> {
    while stopping.run_until_cancelled(tokio::time::sleep(UNUSED)).await.is_some() {
        let forgotten = answers.slots.forget_unused() + answers.targets.forget_unused();
        if forgotten >= WORTH_GIVING_BACK {
            // It may take some milliseconds. A panic is the process's end as everywhere.
            let _ = tokio::task::spawn_blocking(lictor_heap::give_back).await;
        }
    }
    Ok(())
}

#[cfg(test)]
impl Answers {
    /// How many entries and bytes there are.
    pub(super) fn size(&self) -> (usize, usize) {
        let (slots, targets) = (self.slots.size(), self.targets.size());
        (slots.0 + targets.0, slots.1 + targets.1)
    }
}

/// The text that tells one question from all others. `near=_agent` is another place for callers of other datacenters.
pub(super) fn question_key(request: &Request, rights: &Rights) -> Vec<u8> {
    let mut key = Vec::with_capacity(128);
    key.extend(rights.fingerprint());
    key.push(request.origin as u8);
    key.extend(request.endpoint.to_le_bytes());
    let mut push = |text: &str| {
        key.extend(text.len().to_le_bytes());
        key.extend(text.as_bytes());
    };
    push(&request.parameter);
    for (name, value) in request.query.pairs().filter(|(name, _)| !NOT_SHAPING.contains(name)) {
        push(name);
        push(value);
    }
    key
}

/// Where the answer to one question is kept.
#[derive(Debug, Default)]
pub(super) struct Slot {
    kept: Mutex<Option<Kept>>,
    /// Since it was last asked so: whoever knows its target does not ask the map for it.
    used: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    made_of: Box<[(Topic, Index)]>,
}

impl Kept {
    /// The answer, if it is that of this state too.
    fn current(&self, state: &State) -> Option<Answer> {
        let same = self.made_of.iter().all(|(topic, index)| state.index_of(topic) == *index);
        if same { self.answer.again() } else { None }
    }
}

impl Slot {
    /// The kept answer, if it is current.
    pub fn current(&self, reader: &Reader) -> Option<Answer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = kept.as_ref()?.current(&reader.load())?;
        self.used.store(true, Relaxed);
        HTTP_READS.count(KEPT);
        Some(answer)
    }

    /// The kept answer or a new one; how many bytes are kept now, where that has changed.
    fn answer(
        &self,
        reader: &Reader,
        made_of: impl Iterator<Item = Topic>,
        encode: impl FnOnce(&State) -> Answer,
    ) -> (Answer, Option<usize>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Loaded under the lock, so that what is kept never goes back.
        let state = reader.load_full();
        if let Some(answer) = kept.as_ref().and_then(|kept| kept.current(&state)) {
            HTTP_READS.count(KEPT);
            return (answer, None);
        }
        HTTP_READS.count(ENCODED);
        let answer = encode(&state);
        let weight_bytes = answer.weight_bytes();
        *kept = answer.again().filter(|_| weight_bytes <= ANSWER_BYTES).map(|answer| {
            let with_index = |topic| {
                let index = state.index_of(&topic);
                (topic, index)
            };
            Kept { answer, made_of: made_of.map(with_index).collect() }
        });
        (answer, Some(SLOT_BYTES + kept.as_ref().map_or(0, |_| weight_bytes)))
    }
}
