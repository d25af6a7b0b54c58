//! Runs each section in a process of its own, so that one that fails neither ends the others nor leaves anything.
//!
//! The child leads a process group, which has all the agents and load generators that it starts, and its temporary
//! files are in one directory. When it ends, fails or takes too long, the group is killed and the directory removed.
//! When this process ends, however that is, the child's stdin closes, and the child does the same.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, getpid, kill_process_group};
use tempfile::TempDir;

use crate::{
    figure::Figure,
    sections::{Effort, Section},
};

/// Programs that sections need, and Debian's packages that have them.
const PACKAGES: [(&str, &str); 4] =
    [("dnsperf", "dnsperf"), ("wrk", "wrk"), ("unbound", "unbound"), ("strip", "binutils")];
/// Where some systems keep programs that are not in everybody's path.
const OTHER_DIRECTORY: &str = "/usr/sbin";

const DIRECTORY_PREFIX: &str = "lictor-bench-";

/// Whether everything that the sections need is there.
///
/// # Errors
/// What is missing, and how to get it.
pub fn can_run(sections: &[&Section]) -> Result<(), String> {
    if cfg!(debug_assertions) {
        return Err("a debug build says nothing of speed: cargo run --release -p lictor-bench".into());
    }
    let needed = PACKAGES.iter().filter(|(name, _)| sections.iter().any(|section| section.programs.contains(name)));
    let missing: Vec<&str> = needed.filter(|(name, _)| program(name).is_none()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("not installed: {0}; on Debian: apt-get install {0}", missing.join(" ")))
}

/// Where a program is.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain([OTHER_DIRECTORY.into()]);
    directories.map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Runs a section, and gives each figure as it comes.
///
/// # Errors
/// Why it did not come to its end.
pub fn run(section: &Section, effort: Effort, mut take: impl FnMut(Figure)) -> Result<(), String> {
    let directory = tempfile::Builder::new().prefix(DIRECTORY_PREFIX).tempdir();
    let directory = directory.map_err(|error| format!("a temporary directory: {error}"))?;
    let mut child = start(section, effort, directory.path()).map_err(|error| format!("{}: {error}", section.name))?;
    let (sender, lines) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).try_for_each(|l| sender.send(l)));
    }
    let deadline = Instant::now() + section.limit;
    let ended = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => match serde_json::from_str(&line) {
                Ok(figure) => take(figure),
                Err(error) => break Err(format!("{line:?} is no figure: {error}")),
            },
            Err(mpsc::RecvTimeoutError::Disconnected) => break Ok(()),
            Err(mpsc::RecvTimeoutError::Timeout) => break Err(format!("not done within {:?}", section.limit)),
        }
    };
    let status = end(&mut child, ended.is_ok());
    close(directory);
    ended?;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("it failed ({status}); what it said is above")),
        Err(error) => Err(error.to_string()),
    }
}

fn start(section: &Section, effort: Effort, directory: &Path) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--section", section.name]).args(effort.is_quick.then_some("--quick"));
    command.env("TMPDIR", directory).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

/// Waits for a child that is at its end or kills it, and kills whatever is left of its group.
fn end(child: &mut Child, has_ended: bool) -> io::Result<ExitStatus> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let kill = || group.map(|group| kill_process_group(group, Signal::KILL));
    if !has_ended {
        // It fails only if nothing of the group is left.
        let _ = kill();
    }
    let status = child.wait();
    // Until its last member is gone, the group's number is not given to anybody else.
    let _ = kill();
    status
}

fn close(directory: TempDir) {
    // What an agent of a section that failed still wrote when it was killed may be in the way once.
    let path = directory.path().to_owned();
    if directory.close().is_err() {
        let _ = std::fs::remove_dir_all(path);
    }
}

/// Runs a section in this process, a child of [`run`].
///
/// # Panics
/// Something it needs went wrong: there is nothing to be measured then.
pub fn run_supervised(section: &Section, effort: Effort) {
    thread::spawn(end_with_parent);
    (section.run)(effort, &mut |figure| {
        let line = serde_json::to_string(&figure).unwrap_or_else(|error| panic!("{figure:?}: {error}"));
        let mut output = io::stdout().lock();
        let written = writeln!(output, "{line}").and_then(|()| output.flush());
        written.unwrap_or_else(|error| panic!("stdout: {error}"));
    });
}

/// When the parent is gone, stdin ends: removes what is in the temporary directory and ends this process's group.
fn end_with_parent() {
    // Whatever else comes of reading means the same.
    let _ = io::stdin().read(&mut [0]);
    let directory = env::temp_dir();
    // Nothing else is ever removed, whoever started this.
    if directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DIRECTORY_PREFIX)) {
        let _ = std::fs::remove_dir_all(directory);
    }
    let _ = kill_process_group(getpid(), Signal::KILL);
}
