//! What is done at each change: a program is run with the document on its stdin, or the document is posted.
//!
//! One change is handled at a time; the watch goes on when the handler has ended.

use std::{
    env,
    io::{self, Write},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use hyper::header::{self, HeaderName, HeaderValue};
use tokio::{io::AsyncWriteExt, process::Command};

use super::{WatchFlags, changes::Change};
use crate::client::Agent;

/// The shell, where `SHELL` names none.
const DEFAULT_SHELL: &str = "/bin/sh";
/// How long a server may take to accept a change.
const POST_LIMIT: Duration = Duration::from_secs(10);

/// What is done at each change.
#[derive(Debug)]
pub enum Handler {
    /// Run this.
    Program(Vec<String>),
    /// Post to that path of that server.
    Server {
        /// The server.
        server: Agent,
        /// Path and query, beginning with `/`.
        path: String,
    },
}

impl Handler {
    /// What the flags say; nothing if they name no handler.
    ///
    /// # Errors
    /// The address to post to cannot be used.
    pub fn of(flags: &WatchFlags) -> anyhow::Result<Option<Self>> {
        if let Some(url) = &flags.http_handler {
            return Self::server(url).map(Some).with_context(|| format!("-http-handler={url}"));
        }
        match flags.program.as_slice() {
            [] => Ok(None),
            words if flags.shell => {
                let shell = env::var("SHELL").ok().filter(|shell| !shell.is_empty());
                let shell = shell.unwrap_or_else(|| DEFAULT_SHELL.into());
                Ok(Some(Self::Program(vec![shell, "-c".into(), words.join(" ")])))
            }
            words => Ok(Some(Self::Program(words.to_vec()))),
        }
    }

    fn server(url: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = url.split_once("://").context("not a URL (try http://127.0.0.1:9000/changes)")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if scheme == "unix" {
            bail!("only http is posted to");
        }
        let server = Agent::new(&format!("{scheme}://{authority}"))?.with_limit(POST_LIMIT);
        let server = server.with_header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self::Server { server, path: path.into() })
    }

    /// Handles one change. A server that does not take it is named on stderr, and gets the next one.
    ///
    /// # Errors
    /// The program cannot be run, or fails.
    pub async fn handle(&self, change: &Change) -> anyhow::Result<()> {
        match self {
            Self::Program(words) => run(words, change).await.context("Error executing handler"),
            Self::Server { server, path } => {
                let index = HeaderName::from_static("x-consul-index");
                let posted = server.clone().with_header(index, change.index.into());
                if let Err(error) = posted.post(path, change.document.clone()).await {
                    writeln!(io::stderr(), "Error posting the change with index {}: {error}", change.index)?;
                }
                Ok(())
            }
        }
    }
}

async fn run(words: &[String], change: &Change) -> anyhow::Result<()> {
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).env("CONSUL_INDEX", change.index.to_string()).stdin(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("{program:?}"))?;
    let stdin = child.stdin.take();
    // A program need not read all that it is given, nor any of it.
    let feeding = async {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(&change.document).await;
            let _ = stdin.write_all(b"\n").await;
        }
        // Closed here: the program sees the end of its input.
    };
    tokio::pin!(feeding);
    let status = tokio::select! {
        status = child.wait() => status?,
        () = &mut feeding => child.wait().await?,
    };
    if status.success() { Ok(()) } else { bail!(said(status)) }
}

/// How a program ended, in Go's words.
fn said(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit status {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(shell: bool, words: &[&str]) -> Handler {
        let program = words.iter().map(ToString::to_string).collect();
        Handler::of(&WatchFlags { shell, program, ..WatchFlags::default() }).unwrap().unwrap()
    }

    async fn handled(handler: Handler, length: usize) -> Result<(), String> {
        let change = Change { index: 42, document: vec![b'1'; length].into() };
        handler.handle(&change).await.map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn a_program_gets_the_index_and_the_document() {
        let script = r#"test "$CONSUL_INDEX" = 42 && test "$(cat)" = 111"#;
        assert_eq!(handled(handler(true, &[script]), 3).await, Ok(()));
        assert_eq!(handled(handler(false, &["/bin/sh", "-c", script]), 3).await, Ok(()));
        let error = handled(handler(true, &["exit", "3"]), 3).await;
        assert_eq!(error, Err("Error executing handler: exit status 3".into()));
        assert!(
            handled(handler(false, &["/nonexistent/program"]), 3).await.unwrap_err().contains("/nonexistent/program")
        );
    }

    #[tokio::test]
    async fn a_program_need_not_read() {
        assert_eq!(handled(handler(false, &["/bin/true"]), 10_000_000).await, Ok(()));
    }

    #[test]
    fn addresses_to_post_to() {
        for (url, expected) in [("http://127.0.0.1:1/a/b?c", "/a/b?c"), ("http://127.0.0.1:1", "/")] {
            let Ok(Handler::Server { path, .. }) = Handler::server(url) else { panic!("{url}") };
            assert_eq!(path, expected);
        }
        for wrong in ["127.0.0.1:1", "https://a/b", "unix:///a", "http:///b"] {
            assert!(Handler::server(wrong).is_err(), "{wrong}");
        }
    }
}
