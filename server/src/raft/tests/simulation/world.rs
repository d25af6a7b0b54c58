//! What all servers and clients of one simulation share: the one source of randomness, the disks, the oracles, the trace.
//!
//! A simulation runs on one thread, and so its world is that thread's. Everything here is called from within it, or
//! answers "no" on other threads ([`is_active`]). Nothing here waits while it holds the world.

use std::{cell::RefCell, collections::BTreeSet, path::Path, time::Duration};

use lictor_shared::{model::Time, view::Reader};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tempfile::TempDir;

use super::{disk::PoweredDisk, oracles::Oracles};

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// The share of commits that hit a stall of the disk.
const STALL: f64 = 0.02;

/// See the module.
pub(crate) struct World {
    random: SmallRng,
    disks: Vec<PoweredDisk>,
    dir: TempDir,
    /// Servers that do nothing that anybody sees: their links are held, their disks stand still.
    pub frozen: BTreeSet<usize>,
    /// Disks take far longer for a commit.
    pub slow_disks: bool,
    /// What each server shows, in its present life.
    pub readers: Vec<Option<Reader>>,
    /// What must never happen.
    pub oracles: Oracles,
    /// What has happened, in order.
    pub trace: Vec<String>,
    /// Writes that clients know to be done.
    pub acknowledged: u64,
    /// Servers that were seen to become leader.
    pub elections: u64,
    /// The clients are to stop: nothing fails from then on.
    pub stop: bool,
}

/// Begins a simulation on this thread; it ends with what is returned.
pub(super) fn begin(seed: u64, servers: usize) -> Ended {
    let world = World {
        random: SmallRng::seed_from_u64(seed),
        disks: (0..servers).map(PoweredDisk::new).collect(),
        dir: tempfile::tempdir().unwrap(),
        frozen: BTreeSet::new(),
        slow_disks: false,
        readers: vec![None; servers],
        oracles: Oracles::new(servers),
        trace: Vec::new(),
        acknowledged: 0,
        elections: 0,
        stop: false,
    };
    WORLD.with(|place| assert!(place.borrow_mut().replace(world).is_none(), "one simulation at a time on a thread"));
    Ended
}

/// Ends the simulation of this thread when it goes.
pub(super) struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        WORLD.with(|place| drop(place.borrow_mut().take()));
    }
}

/// Whether a simulation runs on this thread.
pub(crate) fn is_active() -> bool {
    WORLD.with(|place| place.borrow().is_some())
}

/// Looks at the world, or changes it.
pub(super) fn with<T>(look: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with(|place| look(place.borrow_mut().as_mut().expect("a simulation runs on this thread")))
}

/// Notes what has happened.
pub(super) fn note(what: impl FnOnce() -> String) {
    let elapsed = turmoil::sim_elapsed();
    with(|world| {
        let at = elapsed.map_or_else(String::new, |elapsed| format!("{:.3} ", elapsed.as_secs_f64()));
        world.trace.push(at + &what());
    });
}

/// The seed's next number.
pub(crate) fn random_u64() -> u64 {
    with(|world| world.random.random())
}

/// Where the files of a server are.
pub(super) fn data_dir(server: usize) -> std::path::PathBuf {
    with(|world| world.dir.path().join(server.to_string()))
}

/// The disk of the server in whose data directory that path is.
pub(crate) fn disk(path: &Path) -> PoweredDisk {
    with(|world| {
        let inside = path.strip_prefix(world.dir.path()).expect("a path in the simulation's directory");
        let server: usize = inside.iter().next().and_then(|name| name.to_str()).unwrap().parse().unwrap();
        world.disks[server].clone()
    })
}

/// The disk of a server.
pub(super) fn disk_of(server: usize) -> PoweredDisk {
    with(|world| world.disks[server].clone())
}

/// The power of a server's disk goes, and comes back.
pub(super) fn lose_power(server: usize) {
    with(|world| world.disks[server].lose_power(&mut world.random));
}

/// Whether a server is frozen.
pub(crate) fn is_frozen(server: usize) -> bool {
    with(|world| world.frozen.contains(&server))
}

/// How long a commit takes.
pub(crate) fn disk_delay() -> Duration {
    with(|world| {
        let ms = match () {
            () if world.slow_disks => world.random.random_range(20..300),
            () if world.random.random_bool(STALL) => world.random.random_range(20..200),
            () => world.random.random_range(1..5),
        };
        Duration::from_millis(ms)
    })
}

/// How long it takes until somebody learns of what is done.
pub(crate) fn short_delay() -> Duration {
    with(|world| Duration::from_micros(world.random.random_range(10..2000)))
}

/// Work that blocks: takes the time that the seed gives it before, and again before anybody learns that it is done. So
/// a crash finds it not begun, or done and unknown.
pub(crate) async fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::time::sleep(short_delay()).await;
    let done = work();
    tokio::time::sleep(short_delay()).await;
    done
}

/// The wall clock of whoever asks: no two agree.
pub(crate) fn now() -> Time {
    let elapsed = turmoil::sim_elapsed().unwrap_or_default();
    let skew_ms = with(|world| world.random.random_range(0..500));
    Time(1_700_000_000_000 + u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX) + skew_ms)
}
