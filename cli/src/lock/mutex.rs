//! A lock: one key that a session has acquired.

use std::time::Duration;

use anyhow::bail;

use super::store::Store;
use crate::kv::entry::Entry;

/// What the flags of a lock's key say, as in Consul's client library.
const FLAGS: u64 = 0x2ddc_cbc0_58a5_0c18;
/// How long a lock that is free, but cannot be acquired yet (its delay), is left alone.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A lock, held or not.
pub struct Mutex {
    store: Store,
    key: String,
    session: String,
}

impl Mutex {
    /// The lock below that prefix, for that session.
    pub fn new(store: Store, prefix: &str, session: &str) -> Self {
        Self { store, key: format!("{prefix}/.lock"), session: session.into() }
    }

    /// Waits until it is held.
    ///
    /// # Errors
    /// The agent could not be asked, or the key is something else's.
    pub async fn acquire(&self) -> anyhow::Result<()> {
        let mut index = 0;
        loop {
            let seen = self.store.key(&self.key, index).await?;
            let row = seen.rows.first();
            if row.is_some_and(|row| row.flags != FLAGS) {
                bail!("Existing key does not match lock use");
            }
            match holder(row) {
                Some(holder) if holder == self.session => return Ok(()),
                Some(_) => index = seen.index,
                None if self.take().await? => return Ok(()),
                None => {
                    // Another was quicker, or it may not be taken yet.
                    let seen = self.store.key(&self.key, 0).await?;
                    if holder(seen.rows.first()).is_none() {
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                    index = 0;
                }
            }
        }
    }

    async fn take(&self) -> anyhow::Result<bool> {
        self.store.put(&self.key, &[("acquire", &self.session), ("flags", &FLAGS.to_string())], Vec::new()).await
    }

    /// Waits for a change after `index`: the index then, or why it is not held any more.
    pub async fn still_held(&self, index: u64) -> anyhow::Result<Result<u64, &'static str>> {
        let seen = self.store.key(&self.key, index).await?;
        let held = holder(seen.rows.first()).is_some_and(|holder| holder == self.session);
        Ok(if held { Ok(seen.index) } else { Err("another session has it, or none") })
    }

    /// Gives it back.
    pub async fn release(&self) -> anyhow::Result<()> {
        let parameters = [("release", self.session.as_str()), ("flags", &FLAGS.to_string())];
        self.store.put(&self.key, &parameters, Vec::new()).await.map(drop)
    }

    /// Deletes the key, if nobody holds it.
    pub async fn clean_up(&self) -> anyhow::Result<()> {
        let seen = self.store.key(&self.key, 0).await?;
        match seen.rows.first() {
            Some(row) if row.flags == FLAGS && holder(Some(row)).is_none() => self.store.delete(row).await.map(drop),
            _ => Ok(()),
        }
    }
}

/// The session that holds a key.
pub fn holder(row: Option<&Entry>) -> Option<&str> {
    row?.session.as_deref().filter(|session| !session.is_empty())
}
