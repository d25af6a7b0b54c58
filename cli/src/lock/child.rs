//! The program that runs while the lock is held, and its end.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context;
use lictor_shared::watch::shell;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

/// How long it may take to end once it is asked to.
const END_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks whether it has.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A child. It has a process group of its own, so that what it has started ends with it, unless it reads the terminal.
pub struct Child {
    child: tokio::process::Child,
    id: Option<Pid>,
    has_group: bool,
}

impl Child {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(words: &[String], with_shell: bool, pass_stdin: bool) -> anyhow::Result<Self> {
        let words = if with_shell { shell(words.join(" ")) } else { words.to_vec() };
        let (program, arguments) = words.split_first().context("there is no program to run")?;
        let mut command = Command::new(program);
        command.args(arguments).env("CONSUL_LOCK_HELD", "true").kill_on_drop(true);
        if pass_stdin {
            command.stdin(Stdio::inherit());
        } else {
            command.stdin(Stdio::null()).process_group(0);
        }
        let child = command.spawn().with_context(|| format!("Error executing handler: {program}"))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, id, has_group: !pass_stdin })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What the system says.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Ends it, and waits until it has ended.
    ///
    /// # Errors
    /// What the system says.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM);
        let _ = timeout(END_LIMIT, self.has_ended()).await;
        // Also those of its group that have outlived it. It was not waited for yet, so its ID is still its own.
        self.signal(Signal::KILL);
        self.child.wait().await?;
        Ok(())
    }

    /// Returns when it has ended, and leaves it to be waited for.
    async fn has_ended(&self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while let Some(id) = self.id
            && matches!(waitid(WaitId::Pid(id), options), Ok(None))
        {
            sleep(LOOK_PAUSE).await;
        }
    }

    /// Fails only when there is nobody left to be told.
    fn signal(&self, signal: Signal) {
        let Some(id) = self.id else { return };
        let _ = if self.has_group { kill_process_group(id, signal) } else { kill_process(id, signal) };
    }
}
