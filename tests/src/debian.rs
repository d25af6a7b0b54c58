//! A clean Debian with systemd as its first process, in a container: where a package is tried as a user would.
//!
//! Its files are made once, by `debootstrap`, in `target/tmp` (two minutes, and 300 MB), and never written to again: what a
//! test does to them is in memory and gone with it. It has no network but its loopback. It takes a Linux that lets root
//! start `systemd-nspawn`; elsewhere a test says what is missing and ends.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::{binary, containers::attempt, installed, process::Process, wait};

/// The release that is tried.
const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
/// What a container needs beyond the smallest system: systemd, and what a page of the book is run with in there.
const PACKAGES: &str = "--include=systemd-sysv,dbus,systemd-resolved,libnss-resolve,iproute2,bind9-dnsutils";
/// Where its files are, by what is in it.
const FILES: &str = "tmp/bookworm-resolved";
/// What a test starts itself: nothing listens in it but what is tried.
const NOT_STARTED: &str = "etc/systemd/system/sysinit.target.wants/systemd-resolved.service";
/// Longest time in which the files are fetched and unpacked, in seconds.
const MAKING_LIMIT: &str = "600";
/// Longest time until systemd has started everything.
const BOOT_LIMIT: Duration = Duration::from_secs(30);
/// Longest time in which it ends by itself.
const HALT_LIMIT: Duration = Duration::from_secs(10);
/// Where the container sees the directory that was given to it.
pub const SHARED: &str = "/shared";

/// One that runs, until dropped.
#[derive(Debug)]
pub struct Debian {
    container: Process,
    /// Its first process, as this host numbers it.
    init: u32,
    _directory: TempDir,
}

impl Debian {
    /// Starts one that sees `shared` at [`SHARED`]; none where that cannot be, and why is told.
    ///
    /// # Panics
    /// A program is missing, and nothing may be left out ([`installed`]).
    #[must_use]
    pub fn started(shared: &Path) -> Option<Self> {
        if !geteuid().is_root() {
            eprintln!("not tested: only root can start a container with systemd in it");
            return None;
        }
        let nspawn = installed::find("systemd-nspawn", "systemd-container")?;
        let files = files().inspect_err(|error| eprintln!("not tested: no Debian to be had: {error}")).ok()?;
        let directory = TempDir::new().unwrap_or_else(|error| panic!("a temporary directory: {error}"));
        let mut command = Command::new(nspawn);
        command.args(["--quiet", "--register=no", "--keep-unit", "--boot", "--volatile=overlay", "--private-network"]);
        command.args(["--console=pipe", "--machine=lictor-test"]).arg("--directory").arg(files);
        command.arg(format!("--bind-ro={}:{SHARED}", shared.display()));
        let mut container = Process::start("debian", directory.path(), &mut command);
        let init = wait::attempt(BOOT_LIMIT, || match container.exit_status() {
            Some(status) => Ok(Err(format!("{status}: {}", container.log()))),
            None => running(container.id()).map(Ok),
        });
        match init.unwrap_or_else(Err) {
            Ok(init) => Some(Self { container, init, _directory: directory }),
            Err(error) => {
                eprintln!("not tested: systemd does not start in a container here: {error}");
                None
            }
        }
    }

    /// Runs a script of the shell in it.
    ///
    /// # Panics
    /// It cannot be run.
    #[must_use]
    pub fn run(&self, script: &str) -> Output {
        inside(self.init, script).output().unwrap_or_else(|error| panic!("nsenter: {error}"))
    }

    /// What a script printed, which must succeed.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn printed(&self, script: &str) -> String {
        attempt(&mut inside(self.init, script)).unwrap_or_else(|error| panic!("{script}: {error}"))
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        self.container.signal(Signal::TERM);
        // Whatever still runs then is killed.
        let _ = wait::attempt(HALT_LIMIT, || self.container.exit_status().ok_or("still running"));
    }
}

/// The process ID of systemd in the container, as soon as everything was started.
fn running(container: u32) -> Result<u32, String> {
    let path = format!("/proc/{container}/task/{container}/children");
    let children = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let init = children.split_whitespace().next().and_then(|child| child.parse().ok());
    let init = init.ok_or_else(|| "it has no process yet".to_owned())?;
    let state = inside(init, "systemctl is-system-running").output().map_err(|error| error.to_string())?;
    let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
    wait::ensure(["running", "degraded"].contains(&state.as_str()), || format!("systemd is {state:?}"))?;
    Ok(init)
}

fn inside(init: u32, script: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--all", "--root", "--wd=/"]).arg(format!("--target={init}"));
    command.args(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "/bin/sh", "-c"]);
    command.arg(format!("cd /; {script}"));
    command
}

/// Its files; made if there are none yet.
fn files() -> Result<PathBuf, String> {
    let target = binary::directory().parent().map(Path::to_owned).unwrap_or_default();
    let (made, unfinished) = (target.join(FILES), target.join(format!("{FILES}.unfinished")));
    if made.is_dir() {
        return Ok(made);
    }
    let debootstrap = installed::find("debootstrap", "debootstrap").ok_or("debootstrap is not installed")?;
    // One that was left by a test that was killed.
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir_all(target.join("tmp")).map_err(|error| error.to_string())?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", MAKING_LIMIT]).arg(debootstrap).args(["--variant=minbase", PACKAGES, SUITE]);
    attempt(command.arg(&unfinished).arg(MIRROR))?;
    fs::remove_file(unfinished.join(NOT_STARTED)).map_err(|error| format!("{NOT_STARTED}: {error}"))?;
    fs::rename(&unfinished, &made).map_err(|error| error.to_string())?;
    Ok(made)
}
