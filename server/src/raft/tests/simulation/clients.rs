//! Clients: each asks random servers about a few keys, one thing after the other, and records what came of it.
//!
//! A write goes out once, and to another server only after one that said that nothing was done. What is no answer in time
//! is an unknown outcome. A read asks one server which index it must see, and another one for the key as of that index, as
//! a server does that does not lead. All share a few keys at a time and go on to new ones, so that histories stay short.

use std::{collections::HashMap, time::Duration};

use lictor_linear::history::{Action, Operation, Outcome, State, Value};
use lictor_shared::{
    command::{Command, KeyCommand, KeyEntry},
    model::Index,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;

use super::{
    server::{Answer, Ask, client_address, name, receive, send},
    world,
};
use crate::raft::tests::registration;

/// How many there are.
pub(super) const CLIENTS: usize = 5;
/// The longest wait for an answer.
const ANSWER: Duration = Duration::from_millis(1500);
/// The longest wait for a connection: without one, nothing was asked.
const CONNECT: Duration = Duration::from_millis(300);
/// Keys in use at once.
const KEYS_AT_ONCE: u64 = 2;
/// All go on to other keys after so many operations.
const OPERATIONS_PER_KEYS: u64 = 150;
/// The longest pause between two operations, in milliseconds.
const PAUSE_MS: u64 = 60;

/// A client.
pub(super) struct Client {
    number: usize,
    servers: usize,
    random: SmallRng,
    /// What it has last read of a key, and its index.
    seen: HashMap<u64, (State, u64)>,
    values: u64,
    /// Which server it takes for the leader.
    leader: Option<String>,
}

impl Client {
    pub fn new(number: usize, servers: usize) -> Self {
        let random = SmallRng::seed_from_u64(world::random_u64());
        Self { number, servers, random, seen: HashMap::new(), values: 0, leader: None }
    }

    /// Asks until the world says stop.
    pub async fn run(mut self) {
        while !world::with(|world| world.stop) {
            sleep(Duration::from_millis(self.random.random_range(0..PAUSE_MS))).await;
            if self.random.random_bool(0.15) {
                self.register().await;
                continue;
            }
            let (operations, _) = world::with(|world| world.oracles.linear.count());
            let first = operations as u64 / OPERATIONS_PER_KEYS * KEYS_AT_ONCE;
            let key = first + self.random.random_range(0..KEYS_AT_ONCE);
            let action = self.choose(key);
            self.operate(key, action).await;
        }
    }

    /// Reads what was used last, at every server.
    pub async fn read_all(mut self) {
        let (operations, _) = world::with(|world| world.oracles.linear.count());
        let end = (operations as u64 / OPERATIONS_PER_KEYS + 1) * KEYS_AT_ONCE;
        for key in end.saturating_sub(2 * KEYS_AT_ONCE)..end {
            for server in 0..self.servers {
                self.leader = None;
                self.operate_at(key, Action::Get, name(server)).await;
            }
        }
    }

    /// Writes something by way of one server. True when it is done.
    pub async fn write_at(&mut self, server: usize) -> bool {
        self.leader = None;
        self.register_at(name(server)).await
    }

    fn choose(&mut self, key: u64) -> Action {
        let value = ((self.number as u64 + 1) << 32) + self.values;
        let action = match (self.random.random_range(0..100), self.seen.get(&key)) {
            (0..20, _) => Action::Put(value),
            (20..23, _) => Action::Delete,
            (23..50, Some((state, _))) => Action::Cas(*state, value),
            (50..57, Some((Some(seen), _))) => Action::DeleteCas(*seen),
            _ => Action::Get,
        };
        if matches!(action, Action::Put(_) | Action::Cas(..)) {
            self.values += 1;
        }
        action
    }

    fn any_server(&mut self) -> String {
        name(self.random.random_range(0..self.servers))
    }

    async fn register(&mut self) {
        let server = self.any_server();
        self.register_at(server).await;
    }

    async fn register_at(&mut self, server: String) -> bool {
        self.values += 1;
        let node = format!("node-{}-{}", self.number, self.values);
        let Some((index, true)) = self.write(&server, &registration(&node)).await.answered() else { return false };
        world::note(|| format!("{node} acknowledged at {index}"));
        world::with(|world| {
            world.acknowledged += 1;
            world.oracles.lost.acknowledged(node, Index(index));
        });
        true
    }

    async fn operate(&mut self, key: u64, action: Action) {
        let server = self.any_server();
        self.operate_at(key, action, server).await;
    }

    async fn operate_at(&mut self, key: u64, action: Action, server: String) {
        let index = self.seen.get(&key).map_or(0, |(_, index)| *index);
        let invoked = nanoseconds();
        let (outcome, index) = match action {
            Action::Get => {
                let Some(read) = self.read(&server, key).await else { return };
                (Outcome::Read(read.map(|(value, _)| value)), read.map(|(_, index)| index))
            }
            _ => match self.write(&server, &command(key, action, index)).await {
                Written::Unsent => return,
                Written::Unknown => (Outcome::Unknown, None),
                Written::Answered(_, true) => (Outcome::Done, None),
                Written::Answered(_, false) => (Outcome::Refused, None),
            },
        };
        match outcome {
            Outcome::Read(state) => drop(self.seen.insert(key, (state, index.unwrap_or(0)))),
            Outcome::Refused | Outcome::Unknown => drop(self.seen.remove(&key)),
            Outcome::Done => world::with(|world| world.acknowledged += 1),
        }
        let returned = if outcome == Outcome::Unknown { u64::MAX } else { nanoseconds() };
        let agent = server.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let client = self.number;
        let operation = Operation { client, agent, key, action, outcome, invoked, returned, index };
        world::note(|| format!("{server}: {operation:?}"));
        world::with(|world| world.oracles.linear.record(operation));
    }

    /// None when there was no answer: a read that nobody saw.
    async fn read(&mut self, server: &str, key: u64) -> Option<Option<(Value, u64)>> {
        let quorum = self.random.random_bool(0.7);
        let mut at = self.leader.clone().unwrap_or_else(|| server.to_owned());
        let mut index = None;
        for _ in 0..2 {
            match ask(&at, &Ask::Barrier { quorum }).await {
                Some(Answer::Index(found)) => {
                    index = Some(found);
                    self.leader = Some(at);
                    break;
                }
                Some(Answer::Elsewhere(Some(leader))) => at = leader,
                _ => break,
            }
        }
        if index.is_none() {
            self.leader = None;
        }
        let ask_for = Ask::Get { key: path(key), index: index? };
        match ask(server, &ask_for).await? {
            Answer::Value(row) => {
                Some(row.map(|(value, index)| (String::from_utf8(value).unwrap().parse().unwrap(), index)))
            }
            _ => None,
        }
    }

    async fn write(&mut self, server: &str, command: &Command) -> Written {
        // Now and then somebody else than the leader is asked, to be sent on.
        let known = self.leader.clone().filter(|_| self.random.random_bool(0.7));
        let mut at = known.unwrap_or_else(|| server.to_owned());
        for _ in 0..2 {
            match ask(&at, &Ask::Write(lictor_proto::encode_command(command).to_vec())).await {
                Some(Answer::Written { index, done }) => {
                    self.leader = Some(at);
                    return Written::Answered(index, done);
                }
                Some(Answer::Elsewhere(Some(leader))) => at = leader,
                Some(Answer::Elsewhere(None)) => break,
                _ => {
                    self.leader = None;
                    return Written::Unknown;
                }
            }
        }
        self.leader = None;
        Written::Unsent
    }
}

/// What came of a write.
enum Written {
    /// Nothing was done.
    Unsent,
    /// It may have been.
    Unknown,
    /// At that index; whether the condition held.
    Answered(u64, bool),
}

impl Written {
    fn answered(self) -> Option<(u64, bool)> {
        match self {
            Self::Answered(index, done) => Some((index, done)),
            Self::Unsent | Self::Unknown => None,
        }
    }
}

/// The index that a server has applied.
pub(super) async fn applied(server: usize) -> Option<u64> {
    match ask(&name(server), &Ask::Applied).await? {
        Answer::Index(index) => Some(index),
        _ => None,
    }
}

async fn ask(server: &str, ask: &Ask) -> Option<Answer> {
    let connect = TcpStream::connect(client_address(server));
    let Ok(Ok(mut stream)) = timeout(CONNECT, connect).await else { return Some(Answer::Elsewhere(None)) };
    let answer = async {
        send(&mut stream, ask).await.ok()?;
        receive(&mut stream).await.ok()
    };
    timeout(ANSWER, answer).await.ok()?
}

fn nanoseconds() -> u64 {
    let elapsed = turmoil::sim_elapsed().unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

fn path(key: u64) -> String {
    format!("linear/{key}")
}

fn command(key: u64, action: Action, index: u64) -> Command {
    let key = path(key);
    let entry = |value: Value| KeyEntry { key: key.as_str().into(), value: value.to_string().into(), flags: 0 };
    Command::Key(match action {
        Action::Get | Action::Delete => KeyCommand::Delete(key.as_str().into()),
        Action::Put(value) => KeyCommand::Set(entry(value)),
        Action::Cas(_, value) => KeyCommand::Cas(entry(value), Index(index)),
        Action::DeleteCas(_) => KeyCommand::DeleteCas(key.as_str().into(), Index(index)),
    })
}
