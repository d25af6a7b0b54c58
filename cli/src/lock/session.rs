//! The session that a lock is held with: made, renewed, ended.

use std::time::Duration;

use anyhow::Context;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::store::Store;
use crate::{client::ClientError, query::Query};

/// How long it lives without being renewed.
const TTL: Duration = Duration::from_secs(15);
/// Between two tries to renew it with an agent that fails.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A session that this program has made.
pub struct Session {
    store: Store,
    /// Its ID.
    pub id: String,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "ID")]
    id: String,
}

impl Session {
    /// Makes one under that name.
    ///
    /// # Errors
    /// The agent could not be asked or refused.
    pub async fn create(store: Store, name: &str) -> anyhow::Result<Self> {
        let body = json!({"Name": name, "TTL": format!("{}s", TTL.as_secs())}).to_string();
        let query = store.query(Query::new("/v1/session/create"));
        let failed = "Lock setup failed: failed to create session";
        let answer = store.agent.put(query.as_str(), body).await.context(failed)?;
        let created: Created = store.agent.decode(query.as_str(), &answer).context(failed)?;
        Ok(Self { store, id: created.id })
    }

    /// Renews it in time, until it is gone or may be: the reason. It is then not to be counted on any more.
    pub async fn keep(&self) -> String {
        let query = self.store.query(Query::of("/v1/session/renew", &self.id));
        let mut renewed = Instant::now();
        let mut next = TTL / 2;
        loop {
            sleep(next).await;
            let asked = Instant::now();
            let left = TTL.saturating_sub(renewed.elapsed());
            match timeout(left, self.store.agent.put(query.as_str(), "")).await {
                Ok(Ok(_)) => (renewed, next) = (asked, TTL / 2),
                Ok(Err(ClientError::Status { status: StatusCode::NOT_FOUND, .. })) => {
                    return "its session has ended".into();
                }
                Ok(Err(error)) if renewed.elapsed() >= TTL => return format!("its session is not renewed: {error}"),
                Err(_) => return format!("its session is not renewed within {TTL:?}"),
                Ok(Err(_)) => next = RETRY_PAUSE,
            }
        }
    }

    /// Ends it. What it held ends with it; where that fails, its time to live does it.
    pub async fn end(self) {
        let query = self.store.query(Query::of("/v1/session/destroy", &self.id));
        let _ = self.store.agent.put(query.as_str(), "").await;
    }
}
