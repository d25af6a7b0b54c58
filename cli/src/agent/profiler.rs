//! What this process's processor time goes into.
//!
//! A timer of the kernel (`ITIMER_PROF`) interrupts whichever thread computes, [`FREQUENCY_HZ`] times for each second of
//! processor time. The handler (crate `pprof`) walks that thread's stack by the tables that the program has for unwinding
//! (`framehop`), of which there are copies: it takes no memory, and reads no address that is not there. Where a function begins
//! it asks libgcc, which with glibc before 2.35 takes the loader's lock; a thread may have that twice. What it has seen it
//! counts in a table of 18 MB, which stays, as the copies do; what that has no room for, a kilobyte for each stack, goes to
//! a file in [`Workplace`]. Addresses become names when it is over. The form is that of [`super::profile`].
//!
//! A thread that waits is not seen. Stacks end after 128 functions. On ARM the innermost function is often wrong: `pprof`
//! takes the register of the return address for it.

use std::{
    env,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    ptr,
    sync::{
        OnceLock,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use backtrace::Symbol;
use nix::sys::signal::{Signal, raise};
use pprof::{ProfilerGuard, UnresolvedReport};

use super::profile::{Builder, Place};

/// How often a second of processor time is interrupted: not 100, which would keep step with what is done so often.
const FREQUENCY_HZ: i32 = 99;
/// So often that the time between two is nothing to the kernel: there is no timer.
const WITHOUT_TIMER_HZ: i32 = 2_000_000;

/// Samples this process for some time, or until it is told to end, and gives the profile: as
/// [`TakeProfile`](lictor_shared::node::TakeProfile) has it.
///
/// # Errors
/// Why there is none.
pub fn take(span: Duration, end: &Receiver<()>) -> Result<Vec<u8>, String> {
    profile(span, end).map_err(|error| format!("{error:#}"))
}

fn profile(span: Duration, end: &Receiver<()>) -> anyhow::Result<Vec<u8>> {
    let _workplace = Workplace::make().context("no directory for a file of samples")?;
    prepare().context("the handler cannot be prepared")?;
    let sampling = ProfilerGuard::new(FREQUENCY_HZ)?;
    if end.recv_timeout(span) == Err(RecvTimeoutError::Disconnected) {
        bail!("nobody waits for it any more");
    }
    let report = sampling.report().build_unresolved()?;
    drop(sampling);
    let profile = named(&report)?;
    backtrace::clear_symbol_cache();
    Ok(profile)
}

/// Runs the handler once, here, where nothing is under way: the first time it reads the tables of the program, which takes
/// memory and locks that an interrupted thread may hold.
fn prepare() -> anyhow::Result<()> {
    // It begins with an empty table and a new file, once it has ended: none is left from the last profile.
    let _handler = ProfilerGuard::new(WITHOUT_TIMER_HZ)?;
    Ok(raise(Signal::SIGPROF)?)
}

/// Finds the names of all addresses.
fn named(report: &UnresolvedReport) -> io::Result<Vec<u8>> {
    let program = env::current_exe().unwrap_or_default();
    let timing = &report.timing;
    let mut builder =
        Builder::new(&program.to_string_lossy(), FREQUENCY_HZ.unsigned_abs(), timing.start_time, timing.duration);
    for (stack, count) in &report.data {
        // Where a function returns to is behind the call: that is the place that is meant.
        let addresses = stack
            .frames
            .iter()
            .enumerate()
            .map(|(depth, frame)| (frame.ip as u64).saturating_sub(u64::from(depth > 0)));
        let thread = &stack.thread_name[..stack.thread_name_length];
        builder.add(addresses, &String::from_utf8_lossy(thread), i64::try_from(*count).unwrap_or(0), places);
    }
    builder.finish()
}

/// What is at an address; where nothing says it, the address.
fn places(address: u64) -> Vec<Place> {
    let mut places = Vec::new();
    // It takes every address for one that a function returns to.
    let returned_to = usize::try_from(address).unwrap_or(0).saturating_add(1);
    backtrace::resolve(ptr::without_provenance_mut(returned_to), |symbol| places.extend(place(symbol)));
    if places.is_empty() {
        let address = format!("{address:#x}");
        places.push(Place { function: address.clone(), symbol: address, file: String::new(), line: 0 });
    }
    places
}

fn place(symbol: &Symbol) -> Option<Place> {
    let name = symbol.name()?;
    let file = symbol.filename().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
    Some(Place {
        // Without its hash.
        function: format!("{name:#}"),
        symbol: name.as_str().unwrap_or_default().into(),
        file,
        line: symbol.lineno().unwrap_or(0),
    })
}

/// A directory for the file of `pprof`, which is always there while it samples and would stay behind elsewhere.
struct Workplace(&'static Path);

impl Workplace {
    /// The same one each time: what its place is can be said once.
    fn make() -> io::Result<Self> {
        static PLACE: OnceLock<PathBuf> = OnceLock::new();
        if let Some(path) = PLACE.get() {
            // One of our own that could not be removed does as well as a new one; nobody else's does.
            let is_own = || {
                fs::symlink_metadata(path).is_ok_and(|found| {
                    found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0
                })
            };
            return match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !is_own() => Err(error),
                _ => Ok(Self(path)),
            };
        }
        let prefix = "lictor-profile-";
        let make = |parent: &Path| tempfile::Builder::new().prefix(prefix).tempdir_in(parent);
        // A container may have no directory for temporary files.
        let made = make(&env::temp_dir()).or_else(|_| make(Path::new("/dev/shm")))?;
        let path = PLACE.get_or_init(|| made.keep());
        tempfile::env::override_temp_dir(path)
            .map_err(|other| io::Error::other(format!("it is in {}", other.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // What is left is an empty file for the system to clean up.
        let _ = fs::remove_dir_all(self.0);
    }
}
