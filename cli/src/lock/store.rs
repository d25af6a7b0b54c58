//! The keys of a lock, as the agent shows and writes them. Reads are confirmed by a quorum: two that hold the same lock
//! must never come of an old answer.

use std::time::Duration;

use crate::{
    client::Agent,
    kv::{entry::Entry, path},
    query::Query,
    target::HttpFlags,
};

/// How long a read waits for a change.
pub const WAIT: Duration = Duration::from_secs(15);
/// Between two tries to ask an agent that fails.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The way to the keys.
#[derive(Clone)]
pub struct Store {
    /// The agent.
    pub agent: Agent,
    /// Whose datacenter is asked.
    http: HttpFlags,
}

/// Rows, and the index to wait from.
pub struct Seen {
    /// What is there.
    pub rows: Vec<Entry>,
    /// Of the answer.
    pub index: u64,
}

impl Store {
    /// Keys at that agent.
    pub fn new(agent: Agent, http: &HttpFlags) -> Self {
        Self { agent, http: HttpFlags { stale: false, ..http.clone() } }
    }

    /// The path, with the datacenter.
    pub fn query(&self, query: Query) -> Query {
        query.in_datacenter(&self.http)
    }

    /// The key; waits for a change after `index` unless that is 0.
    pub async fn key(&self, key: &str, index: u64) -> anyhow::Result<Seen> {
        self.read(path(key), index).await
    }

    /// All keys below a prefix.
    pub async fn below(&self, prefix: &str, index: u64) -> anyhow::Result<Seen> {
        self.read(path(prefix).pair("recurse", ""), index).await
    }

    async fn read(&self, query: Query, index: u64) -> anyhow::Result<Seen> {
        let mut query = self.query(query).pair("consistent", "");
        if index > 0 {
            query = query.pair("index", &index.to_string()).pair("wait", &format!("{}s", WAIT.as_secs()));
        }
        let answer = self.agent.find(query.as_str()).await?;
        let rows = if answer.found { self.agent.decode(query.as_str(), &answer.body)? } else { Vec::new() };
        Ok(Seen { rows, index: answer.index.unwrap_or_default() })
    }

    /// Writes a key with these parameters; whether it was done.
    pub async fn put(&self, key: &str, parameters: &[(&str, &str)], value: Vec<u8>) -> anyhow::Result<bool> {
        let query = parameters.iter().fold(path(key), |query, (name, value)| query.pair(name, value));
        Ok(self.agent.put(self.query(query).as_str(), value).await?.trim_ascii() == b"true")
    }

    /// Deletes a key, if it is still what it was.
    pub async fn delete(&self, row: &Entry) -> anyhow::Result<bool> {
        let query = path(&row.key).pair("cas", &row.modify_index.to_string());
        Ok(self.agent.delete(self.query(query).as_str()).await?.trim_ascii() == b"true")
    }
}

/// Looks again and again until something is no longer held, or cannot be asked about: the reason. `look` is given the
/// index to wait from, and gives the next one, or a reason.
pub async fn watch(
    retries: u32,
    mut look: impl AsyncFnMut(u64) -> anyhow::Result<Result<u64, &'static str>>,
) -> String {
    let (mut index, mut failures) = (0, 0);
    loop {
        match look(index).await {
            Ok(Ok(next)) => (index, failures) = (next, 0),
            Ok(Err(reason)) => return reason.into(),
            Err(error) if failures >= retries => return format!("{error:#}"),
            Err(_) => {
                failures += 1;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}
