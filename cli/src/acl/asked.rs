//! The agent that is asked about access control, with the datacenter that it is asked about.

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;

use super::row::Row;
use crate::{
    client::{Agent, ClientError},
    query::Query,
    target::{self, HttpFlags, TargetError},
};

/// An agent, and how it is asked.
pub struct Asked {
    agent: Agent,
    http: HttpFlags,
}

impl Asked {
    /// The agent that `flags` and the environment name. Nothing is sent yet.
    ///
    /// # Errors
    /// They name none that can be asked.
    pub fn new(flags: &HttpFlags) -> Result<Self, TargetError> {
        Ok(Self { agent: target::agent(flags)?, http: flags.clone() })
    }

    /// Reads, and gives the answer as it is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn read(&self, query: Query) -> Result<Bytes, ClientError> {
        Ok(self.agent.ask(query.read(&self.http).as_str()).await?.body)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn row(&self, query: Query) -> Result<Row, ClientError> {
        let path = query.read(&self.http);
        self.agent.get(path.as_str()).await
    }

    /// Reads the rows of a list.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rows(&self, query: Query) -> Result<Vec<Value>, ClientError> {
        let path = query.read(&self.http);
        Ok(self.agent.get::<Option<Vec<Value>>>(path.as_str()).await?.unwrap_or_default())
    }

    /// Puts a document, and gives the answer as it is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put(&self, query: Query, body: impl Into<Value>) -> Result<Bytes, ClientError> {
        self.agent.put(query.in_datacenter(&self.http).as_str(), body.into().to_string()).await
    }

    /// Puts nothing, which is all there is to say, and gives the answer as it is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put_nothing(&self, query: Query) -> Result<Bytes, ClientError> {
        self.agent.put(query.in_datacenter(&self.http).as_str(), "").await
    }

    /// Posts a document, and gives the answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post(&self, query: Query, body: impl Into<Value>) -> Result<Row, ClientError> {
        let path = query.in_datacenter(&self.http);
        let answer = self.agent.send(Method::POST, path.as_str(), body.into().to_string()).await?;
        self.agent.decode(path.as_str(), &answer)
    }

    /// Posts nothing, which is all there is to say.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post_nothing(&self, query: Query) -> Result<(), ClientError> {
        self.agent.post(query.in_datacenter(&self.http).as_str()).await.map(|_| ())
    }

    /// Deletes.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete(&self, query: Query) -> Result<(), ClientError> {
        self.agent.delete(query.in_datacenter(&self.http).as_str()).await.map(|_| ())
    }

    /// Whether a token is shown.
    pub fn shows_token(&self) -> bool {
        self.agent.token_origin().is_some()
    }

    /// Asks with another token.
    ///
    /// # Errors
    /// It cannot be sent.
    pub fn with_token(&self, token: &str) -> Result<Self, TargetError> {
        let agent = self.agent.clone().with_token(token, "the login").map_err(|_| TargetError::Token)?;
        Ok(Self { agent, http: self.http.clone() })
    }
}
