//! The changes of a subject: one blocking request after another.
//!
//! The first answer is a change too. A failure is written to stderr and the request made again, after a pause that
//! grows with the square of the failures in a row, as Consul's does.

use std::{
    io::{self, Write},
    time::Duration,
};

use bytes::Bytes;

use super::subject::Subject;
use crate::client::Agent;

/// How long the agent may hold a request that nothing happens for.
const WAIT_MINUTES: u64 = 5;
/// How long an answer may take: the wait, a sixteenth of it (which agents add by chance), and some time to travel.
const ANSWER_LIMIT: Duration = Duration::from_secs(WAIT_MINUTES * 60 + 60);
/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(180);

/// A state that differs from the one before it.
#[derive(Debug)]
pub struct Change {
    /// Its index.
    pub index: u64,
    /// What the agent said, in JSON.
    pub document: Bytes,
}

/// A subject followed.
pub struct Changes {
    agent: Agent,
    subject: Subject,
    index: u64,
    last: Option<Bytes>,
}

impl Changes {
    /// Nothing is asked yet.
    pub fn new(agent: Agent, subject: Subject) -> Self {
        Self { agent: agent.with_limit(ANSWER_LIMIT), subject, index: 0, last: None }
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// Stderr cannot be written to.
    pub async fn next(&mut self) -> io::Result<Change> {
        let mut failures: u32 = 0;
        loop {
            match self.ask().await {
                Ok(Some(change)) => return Ok(change),
                Ok(None) => failures = 0,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let pause = FIRST_PAUSE.saturating_mul(failures.saturating_mul(failures)).min(PAUSE_MAX);
                    writeln!(
                        io::stderr(),
                        "Watch (type: {}) errored: {error:#}, retry in {pause:?}",
                        self.subject.kind
                    )?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// One request; nothing if all is as it was.
    async fn ask(&mut self) -> anyhow::Result<Option<Change>> {
        let mut query = self.subject.query.clone();
        if self.index != 0 {
            query = query.pair("index", &self.index.to_string()).pair("wait", &format!("{WAIT_MINUTES}m"));
        }
        let answer = self.agent.ask(query.as_str()).await?;
        // An index of zero would not hold the next request.
        let Some(index) = answer.index.filter(|index| *index != 0) else {
            anyhow::bail!("the answer has no X-Consul-Index")
        };
        if index == self.index {
            return Ok(None);
        }
        let document = self.subject.news(answer.body, self.index)?;
        // An index that went back is that of a cluster that began anew: the next request does not wait on the old one.
        self.index = if index < self.index && !self.subject.is_event { 0 } else { index };
        if self.last.as_ref() == Some(&document) {
            return Ok(None);
        }
        self.last = Some(document.clone());
        Ok(Some(Change { index, document }))
    }
}
