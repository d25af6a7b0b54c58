//! What is done at each change: a program is run with the document on its stdin, or the document is sent to a server.
//!
//! One change is handled at a time; the watch goes on when the handler has ended.

use std::{collections::BTreeMap, env, process::ExitStatus, str::FromStr, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{CONTENT_TYPE, USER_AGENT},
};
use http_body_util::{BodyExt, Limited};
use smol_str::SmolStr;

use super::changes::Change;
use crate::{
    outbound::{Outbound, Trust},
    process::{self, Given},
};

/// The shell, where `SHELL` names none.
const DEFAULT_SHELL: &str = "/bin/sh";
/// How long a server may take to accept a change, where nothing else is said.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a server's refusal that are read.
const REFUSAL_BYTES_MAX: usize = 4096;
/// Bytes of a program's output that are kept for the log.
const OUTPUT_BYTES_MAX: usize = 4096;
const INDEX: HeaderName = HeaderName::from_static("x-consul-index");

/// What is done at each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Run this.
    Program(Vec<String>),
    /// Send it there.
    Server(Box<Post>),
}

/// Where a change is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    url: Uri,
    method: Method,
    headers: HeaderMap,
    limit: Duration,
    accept_any: bool,
}

/// Why a change is not handled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// The program cannot be run, or fails.
    #[error("Error executing handler: {0}")]
    Program(String),
    /// The server does not take it.
    #[error("Error posting the change with index {index}: {reason}")]
    Server {
        /// The change's.
        index: u64,
        /// Why.
        reason: String,
    },
}

/// The words that make the user's shell run a line.
#[must_use]
pub fn shell(line: String) -> Vec<String> {
    let shell = env::var("SHELL").ok().filter(|shell| !shell.is_empty());
    vec![shell.unwrap_or_else(|| DEFAULT_SHELL.into()), "-c".into(), line]
}

impl Handler {
    /// Handles one change; a program's output is logged at debug.
    ///
    /// # Errors
    /// See [`HandlerError`].
    pub async fn handle(&self, change: &Change, outbound: &Outbound) -> Result<(), HandlerError> {
        match self {
            Self::Program(words) => {
                let finished = process::run(words, given(change), OUTPUT_BYTES_MAX).await;
                let finished = finished.map_err(HandlerError::Program)?;
                tracing::debug!(program = ?words, output = %finished.output, "a watch's handler ended");
                judged(finished.status)
            }
            Self::Server(post) => post.send(change, outbound).await,
        }
    }

    /// Handles one change; a program's output is that of this process.
    ///
    /// # Errors
    /// See [`HandlerError`].
    pub async fn handle_in_terminal(&self, change: &Change, outbound: &Outbound) -> Result<(), HandlerError> {
        match self {
            Self::Program(words) => {
                let status = process::run_in_terminal(words, given(change)).await;
                judged(status.map_err(HandlerError::Program)?)
            }
            Self::Server(post) => post.send(change, outbound).await,
        }
    }
}

/// What a program gets: the document, and its index.
fn given(change: &Change) -> Given {
    let input = [&change.document[..], b"\n"].concat().into();
    Given { input, variables: vec![("CONSUL_INDEX", change.index.to_string())] }
}

/// How a program ended, in Go's words where it failed.
fn judged(status: ExitStatus) -> Result<(), HandlerError> {
    let words = || status.code().map_or_else(|| status.to_string(), |code| format!("exit status {code}"));
    if status.success() { Ok(()) } else { Err(HandlerError::Program(words())) }
}

impl Post {
    /// A POST to this URL.
    ///
    /// # Errors
    /// A sentence: it is no `http://` or `https://` URL.
    pub fn to(url: &str) -> Result<Self, String> {
        let parsed = Uri::from_str(url).ok().filter(|url| {
            matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
        });
        let wrong = || format!("{url:?} is no URL to send to (try http://127.0.0.1:9000/changes)");
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("Lictor Watch"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let url = parsed.ok_or_else(wrong)?;
        Ok(Self { url, method: Method::POST, headers, limit: SEND_LIMIT, accept_any: false })
    }

    /// With another method.
    ///
    /// # Errors
    /// It is none.
    pub fn with_method(self, method: &str) -> Result<Self, String> {
        let method = Method::from_str(method).map_err(|_| format!("{method:?} is no HTTP method"))?;
        Ok(Self { method, ..self })
    }

    /// With more headers.
    ///
    /// # Errors
    /// One of them is none.
    pub fn with_headers(mut self, headers: &BTreeMap<SmolStr, Vec<SmolStr>>) -> Result<Self, String> {
        for (name, values) in headers {
            let header = HeaderName::from_str(name).map_err(|_| format!("{name:?} is no header name"))?;
            self.headers.remove(&header);
            for value in values {
                let value =
                    HeaderValue::from_str(value).map_err(|_| format!("header {name}: {value:?} is no value"))?;
                self.headers.append(&header, value);
            }
        }
        Ok(self)
    }

    /// Given up after `limit`.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// To whoever answers, whatever its certificate.
    #[must_use]
    pub fn accepting_any(self) -> Self {
        Self { accept_any: true, ..self }
    }

    async fn send(&self, change: &Change, outbound: &Outbound) -> Result<(), HandlerError> {
        let sent = tokio::time::timeout(self.limit, self.exchange(change, outbound)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("{}: no answer within {:?}", self.url, self.limit)));
        sent.map_err(|reason| HandlerError::Server { index: change.index, reason })
    }

    async fn exchange(&self, change: &Change, outbound: &Outbound) -> Result<(), String> {
        let mut headers = self.headers.clone();
        headers.insert(INDEX, change.index.into());
        let trust = Trust { accept_any: self.accept_any, ..Trust::default() };
        let answer = outbound.request(&self.method, &self.url, &headers, change.document.clone(), trust).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let body = Limited::new(answer.into_body(), REFUSAL_BYTES_MAX).collect().await;
        let body = body.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
        let reason = String::from_utf8_lossy(&body);
        Err(format!("Unexpected response code: {} ({})", status.as_u16(), reason.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_gets_the_index_and_the_document() {
        let change = Change { index: 42, document: "111".into() };
        let script = r#"test "$CONSUL_INDEX" = 42 && test "$(cat)" = 111"#;
        let words = |words: &[&str]| Handler::Program(words.iter().map(ToString::to_string).collect());
        for (handler, expected) in [
            (Handler::Program(shell(script.into())), None),
            (words(&["/bin/sh", "-c", script]), None),
            (Handler::Program(shell("exit 3".into())), Some("Error executing handler: exit status 3")),
            (words(&["/nonexistent/program"]), Some("/nonexistent/program: No such file")),
        ] {
            for handled in [
                handler.handle(&change, &Outbound::default()).await,
                handler.handle_in_terminal(&change, &Outbound::default()).await,
            ] {
                let error = handled.err().map(|error| error.to_string());
                assert_eq!(error.is_some(), expected.is_some(), "{error:?}");
                assert!(
                    expected.is_none_or(|part| error.as_ref().is_some_and(|said| said.contains(part))),
                    "{error:?}"
                );
            }
        }
    }

    #[test]
    fn addresses_to_send_to() {
        for url in ["http://127.0.0.1:1/a/b?c", "http://127.0.0.1:1", "https://a/b"] {
            assert!(Post::to(url).is_ok(), "{url}");
        }
        for wrong in ["127.0.0.1:1", "unix:///a", "http:///b", "ftp://a/", "", "/a"] {
            assert!(Post::to(wrong).is_err(), "{wrong}");
        }
        let post = Post::to("http://a/").unwrap();
        assert!(post.clone().with_method("P UT").is_err());
        assert!(post.with_headers(&[("a b".into(), vec![])].into()).is_err());
    }
}
