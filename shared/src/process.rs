//! One run of a child process, of a check or a watch. What its result means is for its caller to say.
//!
//! Where its output is kept, the process has a group of its own, so that a run that is given up takes its whole family
//! with it.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
};

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::{self, Receiver},
    process::Command,
};

/// Bytes read at once.
const READ_SIZE: usize = 4096;
/// Reads after the process has ended: others that it started may write to the same pipe for ever.
const LAST_READS_MAX: usize = 64;

/// A process that has ended.
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// The end of what it wrote to its standard output and error, where that was to be kept.
    pub output: String,
}

/// What a process is given.
#[derive(Debug, Default)]
pub struct Given {
    /// What it reads from its standard input; it need not read any of it.
    pub input: Bytes,
    /// Variables beside those of this process.
    pub variables: Vec<(&'static str, String)>,
}

/// Kills the group unless it is told that the process has ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Only fails when nobody is left in it.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs a command to its end, keeping `limit` bytes of its output. Dropping the future kills the process and all that
/// it started, but those that made themselves a group of their own.
///
/// # Errors
/// A sentence, when it cannot be started.
pub async fn run(command: &[impl AsRef<OsStr>], given: Given, limit: usize) -> Result<Finished, String> {
    let (name, mut command) = prepared(command, &given)?;
    let failed = |error: std::io::Error| format!("{name}: {error}");
    let (sender, mut receiver) = pipe::pipe().map_err(failed)?;
    let standard_output = sender.into_blocking_fd().map_err(failed)?;
    let standard_error: OwnedFd = standard_output.try_clone().map_err(failed)?;
    let mut child = command.stdout(standard_output).stderr(standard_error).process_group(0).spawn().map_err(failed)?;
    // It holds the pipe's other end, which must close with the process.
    drop(command);
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let feeding = feed(child.stdin.take(), given.input);
    tokio::pin!(feeding);
    let mut tail = Tail::new(limit);
    let mut buffer = vec![0; READ_SIZE];
    let (mut open, mut hungry) = (true, true);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(failed)?,
            () = &mut feeding, if hungry => hungry = false,
            read = receiver.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(length) => tail.push(&buffer[..length]),
            },
        }
    };
    // The ID of a process that was waited for may belong to another one already.
    group.0 = None;
    read_rest(&receiver, &mut buffer, &mut tail);
    Ok(Finished { status, output: tail.into_text() })
}

/// Runs a command to its end, with the output of this process and in its group: Ctrl-C reaches both. Dropping the
/// future kills it.
///
/// # Errors
/// A sentence, when it cannot be started.
pub async fn run_in_terminal(command: &[impl AsRef<OsStr>], given: Given) -> Result<ExitStatus, String> {
    let (name, mut command) = prepared(command, &given)?;
    let failed = |error: std::io::Error| format!("{name}: {error}");
    let mut child = command.spawn().map_err(failed)?;
    let feeding = feed(child.stdin.take(), given.input);
    tokio::pin!(feeding);
    let status = tokio::select! {
        status = child.wait() => status,
        () = &mut feeding => child.wait().await,
    };
    status.map_err(failed)
}

/// The command, ready to be started, and its program's name.
fn prepared(command: &[impl AsRef<OsStr>], given: &Given) -> Result<(String, Command), String> {
    let (program, arguments) = command.split_first().ok_or("no command to run")?;
    let mut prepared = Command::new(program);
    let input = if given.input.is_empty() { Stdio::null() } else { Stdio::piped() };
    prepared.args(arguments).stdin(input).kill_on_drop(true);
    prepared.envs(given.variables.iter().map(|(name, value)| (name, value)));
    Ok((program.as_ref().to_string_lossy().into_owned(), prepared))
}

/// Writes the input and closes it. A process that does not read it is none of our business.
async fn feed(standard_input: Option<tokio::process::ChildStdin>, input: Bytes) {
    if let Some(mut standard_input) = standard_input {
        let _ = standard_input.write_all(&input).await;
    }
}

/// Reads what is in the pipe, without waiting for more.
fn read_rest(receiver: &Receiver, buffer: &mut [u8], tail: &mut Tail) {
    for _ in 0..LAST_READS_MAX {
        match receiver.try_read(buffer) {
            Ok(length) if length > 0 => tail.push(&buffer[..length]),
            _ => return,
        }
    }
}

/// The last bytes of a text that comes in pieces.
pub struct Tail {
    kept: VecDeque<u8>,
    limit: usize,
}

impl Tail {
    /// Nothing yet; at most `limit` bytes ever.
    pub fn new(limit: usize) -> Self {
        Self { kept: VecDeque::new(), limit }
    }

    /// Adds a piece and forgets what is too old.
    pub fn push(&mut self, piece: &[u8]) {
        let piece = &piece[piece.len().saturating_sub(self.limit)..];
        let excess = (self.kept.len() + piece.len()).saturating_sub(self.limit);
        self.kept.drain(..excess);
        self.kept.extend(piece);
    }

    /// The text; bytes that are no UTF-8 become U+FFFD.
    pub fn into_text(self) -> String {
        String::from_utf8_lossy(&Vec::from(self.kept)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        for (pieces, kept) in [
            (&[][..], ""),
            (&["abc"], "abc"),
            (&["abcdef"], "cdef"),
            (&["ab", "cd", "ef"], "cdef"),
            (&["abc", ""], "abc"),
            (&["a", "bcdefghij"], "ghij"),
        ] {
            let mut tail = Tail::new(4);
            pieces.iter().for_each(|piece| tail.push(piece.as_bytes()));
            assert_eq!(tail.into_text(), kept, "{pieces:?}");
        }
    }

    #[tokio::test]
    async fn a_process_gets_its_input_and_variables() {
        let given = Given { input: "in".into(), variables: vec![("A_NUMBER", "42".into())] };
        let finished = run(&["sh", "-c", "cat; echo $A_NUMBER; exit 3"], given, 100).await.unwrap();
        assert_eq!((finished.status.code(), finished.output.as_str()), (Some(3), "in42\n"));
        let none: [&str; 0] = [];
        assert!(run(&none, Given::default(), 1).await.is_err());
    }

    #[tokio::test]
    async fn a_process_need_not_read() {
        let given = || Given { input: vec![b'1'; 10_000_000].into(), ..Given::default() };
        assert!(run(&["true"], given(), 1).await.unwrap().status.success());
        assert!(run_in_terminal(&["true"], given()).await.unwrap().success());
    }
}
