//! One client: a thread that asks random agents about random keys and records what came of it.
//!
//! A request goes out once. If an agent cannot be reached, nothing was asked and nothing is recorded; everything else that
//! is not an answer is an unknown outcome. All clients share a few keys at a time and go on to new ones after a while, so
//! that the history of one key stays short enough to be checked.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use lictor_linear::history::{Action, Operation, Outcome, State, Value};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::http;

/// Longest wait for an answer. Short, so that a paused agent does not hold a client for long.
const ANSWER_LIMIT: Duration = Duration::from_millis(1500);
/// Keys that are used at the same time.
const KEYS_AT_ONCE: u64 = 3;
/// After so many operations of all clients they go on to the next keys.
const OPERATIONS_PER_KEYS: u64 = 600;

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    /// Set when they are to stop.
    pub stop: AtomicBool,
    /// The agents' HTTP interfaces.
    agents: Vec<http::Client>,
    started: Instant,
    count: AtomicU64,
}

impl Shared {
    /// For clients of these agents.
    #[must_use]
    pub fn new(agents: impl IntoIterator<Item = http::Client>) -> Self {
        let agents = agents.into_iter().map(|agent| agent.with_time_out(ANSWER_LIMIT)).collect();
        Self { stop: AtomicBool::new(false), agents, started: Instant::now(), count: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The keys that are used now, and those used just before.
    #[must_use]
    pub fn recent_keys(&self) -> std::ops::Range<u64> {
        let first = self.count.load(Ordering::Relaxed) / OPERATIONS_PER_KEYS * KEYS_AT_ONCE;
        first.saturating_sub(KEYS_AT_ONCE)..first + KEYS_AT_ONCE
    }
}

/// A client.
pub struct Client<'a> {
    number: usize,
    shared: &'a Shared,
    random: SmallRng,
    /// What it has read last of each key, and the index that a compare-and-set names.
    seen: HashMap<u64, (State, u64)>,
    values: Value,
    operations: Vec<Operation>,
}

impl<'a> Client<'a> {
    /// The client with this number; its requests come from `seed`.
    #[must_use]
    pub fn new(number: usize, seed: u64, shared: &'a Shared) -> Self {
        let random = SmallRng::seed_from_u64(seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self { number, shared, random, seen: HashMap::new(), values: 0, operations: Vec::new() }
    }

    /// Works until told to stop; what it has recorded.
    #[must_use]
    pub fn run(mut self) -> Vec<Operation> {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let count = self.shared.count.fetch_add(1, Ordering::Relaxed);
            let key = count / OPERATIONS_PER_KEYS * KEYS_AT_ONCE + self.random.random_range(0..KEYS_AT_ONCE);
            let agent = self.random.random_range(0..self.shared.agents.len());
            let action = self.choose(key);
            self.ask(agent, key, action);
        }
        self.operations
    }

    /// Reads every recent key at every agent; what it has recorded.
    #[must_use]
    pub fn read_all(mut self) -> Vec<Operation> {
        for key in self.shared.recent_keys() {
            for agent in 0..self.shared.agents.len() {
                self.ask(agent, key, Action::Get);
            }
        }
        self.operations
    }

    fn choose(&mut self, key: u64) -> Action {
        let value = ((self.number as u64 + 1) << 32) + self.values;
        let action = match (self.random.random_range(0..100), self.seen.get(&key)) {
            (0..20, _) => Action::Put(value),
            (20..23, _) => Action::Delete,
            (23..60, Some((state, _))) => Action::Cas(*state, value),
            (60..68, Some((Some(seen), _))) => Action::DeleteCas(*seen),
            _ => Action::Get,
        };
        if matches!(action, Action::Put(_) | Action::Cas(..)) {
            self.values += 1;
        }
        action
    }

    fn ask(&mut self, agent: usize, key: u64, action: Action) {
        let index = self.seen.get(&key).map_or(0, |(_, index)| *index);
        let path = format!("/v1/kv/linear/{key}");
        let (method, path, body) = match action {
            Action::Get => ("GET", format!("{path}?consistent"), None),
            Action::Put(value) => ("PUT", path, Some(value)),
            Action::Delete => ("DELETE", path, None),
            Action::Cas(_, value) => ("PUT", format!("{path}?cas={index}"), Some(value)),
            Action::DeleteCas(_) => ("DELETE", format!("{path}?cas={index}"), None),
        };
        let body = body.map(|value| value.to_string()).unwrap_or_default();
        let invoked = self.shared.now();
        let answer = match self.shared.agents[agent].attempt(method, &path, &[], body.as_bytes()) {
            Err(http::Failure::Unsent(_)) => return,
            Err(http::Failure::Unknown(_)) => None,
            Ok(answer) => Some(answer),
        };
        let returned = self.shared.now();
        let (outcome, index) = answer.map_or((Outcome::Unknown, None), |answer| understand(action, &answer));
        match outcome {
            Outcome::Read(state) => drop(self.seen.insert(key, (state, index.unwrap_or(0)))),
            // A read first: what it knows is old.
            Outcome::Refused | Outcome::Unknown => drop(self.seen.remove(&key)),
            Outcome::Done => {}
        }
        let returned = if outcome == Outcome::Unknown { u64::MAX } else { returned };
        let client = self.number;
        self.operations.push(Operation { client, agent, key, action, outcome, invoked, returned, index });
    }
}

/// What an answer says, and the index of what was read.
///
/// # Panics
/// It makes no sense: no failure of a server explains it.
fn understand(action: Action, answer: &http::Answer) -> (Outcome, Option<u64>) {
    let text = answer.text();
    match (answer.status, action) {
        (500.., _) => (Outcome::Unknown, None),
        (404, Action::Get) => (Outcome::Read(None), None),
        (200, Action::Get) => {
            let row = serde_json::from_slice::<serde_json::Value>(&answer.body).ok().and_then(|rows| {
                let row = rows.get(0)?;
                let value = decode(row["Value"].as_str()?)?;
                Some((value, row["ModifyIndex"].as_u64()?))
            });
            let (value, index) = row.unwrap_or_else(|| panic!("a row of a key: {text}"));
            (Outcome::Read(Some(value)), Some(index))
        }
        (200, _) if text.trim() == "true" => (Outcome::Done, None),
        (200, Action::Cas(..) | Action::DeleteCas(_)) if text.trim() == "false" => (Outcome::Refused, None),
        (status, _) => panic!("{action:?} was answered with {status} {text}"),
    }
}

/// A number from Base64 (RFC 4648), as values are in rows.
fn decode(text: &str) -> Option<Value> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.bytes().filter(|&letter| letter != b'=') {
        bits = bits << 6 | u32::try_from(DIGITS.iter().position(|&digit| digit == letter)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xFF).ok()?);
        }
    }
    String::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        for (text, expected) in
            [("MTI=", Some(12)), ("MTIz", Some(123)), ("NA==", Some(4)), ("*", None), ("YQ==", None)]
        {
            assert_eq!(decode(text), expected, "{text}");
        }
    }
}
