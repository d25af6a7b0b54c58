//! One child process: its output in files, its signals, its end.
//!
//! Dropping it kills it. If that happens because a test failed, the ends of its output and log go to the terminal.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// Lines of the output and of the log that a failed test prints of every process.
const TAIL_LINES: usize = 60;

/// A running (or ended) child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; its stdout is appended to `directory/NAME.out`, its stderr to `directory/NAME.log`.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start(name: &str, directory: &Path, command: &mut Command) -> Self {
        let output = directory.join(format!("{name}.out"));
        let log = directory.join(format!("{name}.log"));
        command.stdin(Stdio::null()).stdout(append(&output)).stderr(append(&log));
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {command:?}: {error}"));
        Self { name: name.into(), child, output, log }
    }

    /// Its process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written to stdout so far.
    #[must_use]
    pub fn output(&self) -> String {
        read(&self.output)
    }

    /// Everything it has written to stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// Sends a signal; to a child that has ended it does nothing.
    pub fn signal(&mut self, signal: Signal) {
        if let (None, Some(pid)) = (self.exit_status(), i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)) {
            kill_process(pid, signal).unwrap_or_else(|error| panic!("{}: signal {signal:?}: {error}", self.name));
        }
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("{}: wait: {error}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It has not ended within that time.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait::until(&format!("the end of {name}"), within, || self.exit_status().ok_or("still running"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            for file in [&self.output, &self.log] {
                let text = read(file);
                let lines: Vec<&str> = text.lines().collect();
                let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
                if !tail.is_empty() {
                    eprintln!("--- {} (of {} lines)\n{tail}", file.display(), lines.len());
                }
            }
        }
    }
}

fn append(path: &Path) -> File {
    let file = File::options().create(true).append(true).open(path);
    file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
