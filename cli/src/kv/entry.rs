//! A key as the agent shows it, and as `export` and `import` move it.

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use crate::{client::Agent, query::Query};

/// A key as the agent shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Kept for the client.
    pub flags: u64,
    /// The session that holds its lock.
    pub session: Option<String>,
    /// How often the lock was taken.
    pub lock_index: u64,
    /// When it was first written.
    pub create_index: u64,
    /// When it last changed.
    pub modify_index: u64,
    value: Option<String>,
}

impl Entry {
    /// The value in Base64.
    pub fn encoded(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }

    /// The value.
    ///
    /// # Errors
    /// It is no Base64.
    pub fn value(&self) -> anyhow::Result<Vec<u8>> {
        BASE64_STANDARD.decode(self.encoded()).with_context(|| format!("the value of {:?} is no Base64", self.key))
    }
}

/// The keys that a path shows; none where nothing is there.
///
/// # Errors
/// The agent could not be asked or refused.
pub async fn entries(agent: &Agent, query: &Query) -> anyhow::Result<Vec<Entry>> {
    let answer = agent.find(query.as_str()).await.context("Error querying Consul agent")?;
    if !answer.found {
        return Ok(Vec::new());
    }
    Ok(agent.decode(query.as_str(), &answer.body)?)
}

/// A key as it is exported.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub struct Exported {
    /// The key.
    pub key: String,
    /// Kept for the client.
    #[serde(default)]
    pub flags: u64,
    /// The value in Base64.
    pub value: String,
}
