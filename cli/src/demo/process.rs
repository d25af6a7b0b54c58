//! The processes of the demo: started with their output in a file each, ended and waited for by their handles.
//!
//! Each is in a process group of its own, so that Ctrl-C reaches the demo alone, which then ends them in order. A
//! process whose handle is dropped is killed: a panic leaves no orphan.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use tokio::process::{Child, Command};

use super::failure::Failure;

/// The processes that run.
pub struct Processes {
    program: PathBuf,
    logs: PathBuf,
    running: BTreeMap<String, Child>,
}

impl Processes {
    /// None yet. All will be of `program`, with their logs in the directory `logs`.
    pub fn new(program: PathBuf, logs: &Path) -> Self {
        Self { program, logs: logs.into(), running: BTreeMap::new() }
    }

    /// Starts one. A process of that name that ran before has its log continued.
    ///
    /// # Errors
    /// The program or the log cannot be opened.
    pub fn start(&mut self, name: &str, arguments: &[String]) -> Result<(), Failure> {
        let start = || {
            let log = File::options().create(true).append(true).open(self.log(name))?;
            let errors = log.try_clone()?;
            let mut command = Command::new(&self.program);
            command.args(arguments).stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0).kill_on_drop(true);
            command.spawn()
        };
        let child = start().map_err(|source| Failure::Process { process: name.into(), source })?;
        self.running.insert(name.into(), child);
        Ok(())
    }

    /// Kills one (SIGKILL: it gets no time to say goodbye) and waits for its end.
    ///
    /// # Errors
    /// It does not run, or cannot be waited for.
    pub async fn kill(&mut self, name: &str) -> Result<(), Failure> {
        let failure = |source| Failure::Process { process: name.into(), source };
        let mut child = self.running.remove(name).ok_or_else(|| failure(io::Error::other("it does not run")))?;
        child.kill().await.map_err(failure)
    }

    /// The first process that has ended by itself.
    ///
    /// # Errors
    /// A process cannot be asked about.
    pub fn ended(&mut self) -> io::Result<Option<(String, ExitStatus)>> {
        for (name, child) in &mut self.running {
            if let Some(status) = child.try_wait()? {
                return Ok(Some((name.clone(), status)));
            }
        }
        Ok(None)
    }

    /// The ID of one that runs.
    pub fn id(&self, name: &str) -> Option<u32> {
        self.running.get(name)?.id()
    }

    /// The last `lines` lines of a process's output.
    pub fn log_tail(&self, name: &str, lines: usize) -> String {
        let text = fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Kills all and waits for their ends.
    pub async fn kill_all(&mut self) {
        for child in self.running.values_mut() {
            // One that has ended needs no signal.
            let _ = child.start_kill();
        }
        for (_, mut child) in std::mem::take(&mut self.running) {
            let _ = child.wait().await;
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }
}
