//! A semaphore: a number of places. One key lists the sessions that have one, and is changed by compare and set; each
//! contender has a key of its own, acquired with its session, by which the others see that it is alive.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::{mutex::holder, store::Store};
use crate::kv::entry::Entry;

/// What the flags of a semaphore's keys say, as in Consul's client library.
const FLAGS: u64 = 0xe0f6_9a2b_aa41_4de0;

/// A place of a semaphore, held or not.
pub struct Semaphore {
    store: Store,
    prefix: String,
    session: String,
    limit: u32,
}

/// What the key of a semaphore holds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Places {
    limit: u32,
    holders: BTreeMap<String, bool>,
}

impl Semaphore {
    /// One with `limit` places below that prefix, for that session.
    pub fn new(store: Store, prefix: &str, session: &str, limit: u32) -> Self {
        Self { store, prefix: format!("{prefix}/"), session: session.into(), limit }
    }

    fn key(&self) -> String {
        format!("{}.lock", self.prefix)
    }

    fn contender(&self) -> String {
        format!("{}{}", self.prefix, self.session)
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// The agent could not be asked, or the keys are something else's, or of another number of places.
    pub async fn acquire(&self) -> anyhow::Result<()> {
        let parameters = [("acquire", self.session.as_str()), ("flags", &FLAGS.to_string())];
        if !self.store.put(&self.contender(), &parameters, Vec::new()).await? {
            bail!("failed to make contender entry");
        }
        let mut index = 0;
        loop {
            let seen = self.store.below(&self.prefix, index).await?;
            let (mut places, modified) = self.places(&seen.rows)?;
            if places.holders.contains_key(&self.session) {
                return Ok(());
            }
            if places.holders.len() >= self.limit as usize {
                index = seen.index;
                continue;
            }
            places.holders.insert(self.session.clone(), true);
            if self.write(&places, modified).await? {
                return Ok(());
            }
            index = 0;
        }
    }

    /// The places as they are, without holders that are gone, and the index of their key.
    fn places(&self, rows: &[Entry]) -> anyhow::Result<(Places, u64)> {
        let Some(row) = rows.iter().find(|row| row.key == self.key()) else {
            return Ok((Places { limit: self.limit, holders: BTreeMap::new() }, 0));
        };
        if row.flags != FLAGS {
            bail!("Existing key does not match semaphore use");
        }
        let mut places: Places = serde_json::from_slice(&row.value()?).with_context(|| row.key.clone())?;
        if places.limit != self.limit {
            bail!("semaphore limit conflict (lock: {}, local: {})", places.limit, self.limit);
        }
        let alive = |session: &String| rows.iter().any(|row| holder(Some(row)) == Some(session));
        places.holders.retain(|session, _| alive(session));
        Ok((places, row.modify_index))
    }

    async fn write(&self, places: &Places, modified: u64) -> anyhow::Result<bool> {
        let parameters = [("cas", modified.to_string()), ("flags", FLAGS.to_string())];
        let parameters = parameters.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.store.put(&self.key(), &parameters, serde_json::to_vec(places)?).await
    }

    /// Waits for a change after `index`: the index then, or why it is not held any more.
    pub async fn still_held(&self, index: u64) -> anyhow::Result<Result<u64, &'static str>> {
        let seen = self.store.below(&self.prefix, index).await?;
        let (places, _) = self.places(&seen.rows)?;
        let held = places.holders.contains_key(&self.session);
        Ok(if held { Ok(seen.index) } else { Err("its place is gone") })
    }

    /// Gives the place back.
    pub async fn release(&self) -> anyhow::Result<()> {
        let given_back = self.give_back().await;
        let own = self.store.key(&self.contender(), 0).await?;
        if let Some(row) = own.rows.first() {
            self.store.delete(row).await?;
        }
        given_back
    }

    async fn give_back(&self) -> anyhow::Result<()> {
        loop {
            let seen = self.store.below(&self.prefix, 0).await?;
            let (mut places, modified) = self.places(&seen.rows)?;
            if places.holders.remove(&self.session).is_none() || self.write(&places, modified).await? {
                return Ok(());
            }
        }
    }

    /// Deletes the key, if nobody has a place.
    pub async fn clean_up(&self) -> anyhow::Result<()> {
        let seen = self.store.below(&self.prefix, 0).await?;
        let (places, _) = self.places(&seen.rows)?;
        match seen.rows.iter().find(|row| row.key == self.key()) {
            Some(row) if places.holders.is_empty() => self.store.delete(row).await.map(drop),
            _ => Ok(()),
        }
    }
}
