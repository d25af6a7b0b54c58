//! The changes of a subject: one blocking request after another.
//!
//! The first answer is a change too. A failure is told and the request made again, after a pause that grows with the
//! square of the failures in a row, as Consul's does.

use std::time::Duration;

use bytes::Bytes;

use super::subject::Subject;

/// How long a request may be held that nothing happens for, in minutes.
pub const WAIT_MINUTES: u64 = 5;
/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(180);

/// Who answers.
pub trait Source: Send + Sync {
    /// Gets the answer to a path with its parameters; it bounds the time that this takes.
    ///
    /// # Errors
    /// A sentence that says why there is none, or none with success. That nothing is there (404) is an answer.
    fn get(&self, path: &str) -> impl Future<Output = Result<Seen, String>> + Send;
}

impl<S: Source> Source for std::sync::Arc<S> {
    fn get(&self, path: &str) -> impl Future<Output = Result<Seen, String>> + Send {
        S::get(self, path)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whether what was asked for is there.
    pub found: bool,
    /// Its index, where it has one.
    pub index: Option<u64>,
    /// The whole body.
    pub body: Bytes,
}

/// A state that differs from the one before it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its index.
    pub index: u64,
    /// What the source said, in JSON.
    pub document: Bytes,
}

/// A subject followed.
pub struct Changes<S> {
    source: S,
    subject: Subject,
    index: u64,
    last: Option<Bytes>,
}

impl<S: Source> Changes<S> {
    /// Nothing is asked yet.
    pub fn new(source: S, subject: Subject) -> Self {
        Self { source, subject, index: 0, last: None }
    }

    /// Waits for the next change. `complain` is told of each failure: a sentence.
    pub async fn next(&mut self, mut complain: impl FnMut(String)) -> Change {
        let mut failures: u32 = 0;
        loop {
            match self.ask().await {
                Ok(Some(change)) => return change,
                Ok(None) => failures = 0,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let pause = FIRST_PAUSE.saturating_mul(failures.saturating_mul(failures)).min(PAUSE_MAX);
                    complain(format!("Watch (type: {}) errored: {error}, retry in {pause:?}", self.subject.kind));
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// One request; nothing if all is as it was.
    async fn ask(&mut self) -> Result<Option<Change>, String> {
        let path = match self.index {
            0 => self.subject.path.clone(),
            index => {
                let joint = if self.subject.path.contains('?') { '&' } else { '?' };
                format!("{}{joint}index={index}&wait={WAIT_MINUTES}m", self.subject.path)
            }
        };
        let seen = self.source.get(&path).await?;
        if !seen.found && !self.subject.may_be_absent() {
            let reason = String::from_utf8_lossy(&seen.body);
            return Err(format!("Unexpected response code: 404 ({})", reason.trim()));
        }
        // An index of zero would not hold the next request.
        let index = seen.index.filter(|index| *index != 0).ok_or("the answer has no X-Consul-Index")?;
        if index == self.index {
            return Ok(None);
        }
        let document = self.subject.news(seen.body, self.index).map_err(|error| error.to_string())?;
        // An index that went back is that of a cluster that began anew: the next request does not wait on the old one.
        self.index = if index < self.index && !self.subject.is_event { 0 } else { index };
        if self.last.as_ref() == Some(&document) {
            return Ok(None);
        }
        self.last = Some(document.clone());
        Ok(Some(Change { index, document }))
    }
}
