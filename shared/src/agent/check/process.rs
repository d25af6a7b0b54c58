//! One run of a child process: in a process group of its own, so that a run that is given up takes its whole family
//! with it. What its result means is for `script` and `os_service` to say.

use std::{
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use smol_str::SmolStr;
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::{self, Receiver},
    process::Command,
};

use super::output::Tail;

/// Bytes read at once.
const READ_SIZE: usize = 4096;
/// Reads after the process has ended: others that it started may write to the same pipe for ever.
const LAST_READS_MAX: usize = 64;

/// A process that has ended.
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    /// The end of what it wrote to its standard output and error.
    pub(super) output: String,
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
pub(super) async fn run(command: &[SmolStr], limit: usize) -> Result<Finished, String> {
    let Some((program, arguments)) = command.split_first() else { return Err("no command to run".into()) };
    let failed = |error: std::io::Error| format!("{program}: {error}");
    let (sender, mut receiver) = pipe::pipe().map_err(failed)?;
    let standard_output = sender.into_blocking_fd().map_err(failed)?;
    let standard_error: OwnedFd = standard_output.try_clone().map_err(failed)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(standard_output)
        .stderr(standard_error)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let mut tail = Tail::new(limit);
    let mut buffer = vec![0; READ_SIZE];
    let mut open = true;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(failed)?,
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

/// Reads what is in the pipe, without waiting for more.
fn read_rest(receiver: &Receiver, buffer: &mut [u8], tail: &mut Tail) {
    for _ in 0..LAST_READS_MAX {
        match receiver.try_read(buffer) {
            Ok(length) if length > 0 => tail.push(&buffer[..length]),
            _ => return,
        }
    }
}
