//! A simulated disk under the log: what was synced survives a loss of power; of what was only written, the seed decides.
//!
//! Power goes as a process is killed with its machine: each sector written since the last sync is kept or lost, and so
//! is each change of the names (see `raft/log/fragile.rs`). It can also go in the middle of a commit, after so many
//! operations ([`PoweredDisk::cut_after`]). A handle from before a loss of power fails for ever, so that nothing that a
//! dying process still does reaches the disk.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::Rng;

use super::world;
use crate::raft::log::{
    disk::{Disk, Segment},
    fragile::Fragile,
};

/// The share of what was not synced that is there all the same.
const KEPT: f64 = 0.5;

/// A disk, as the world has it: it outlives its server's process.
#[derive(Clone, Debug)]
pub(crate) struct PoweredDisk {
    server: usize,
    supply: Arc<Mutex<Supply>>,
}

#[derive(Debug, Default)]
struct Supply {
    medium: Fragile,
    /// Losses of power so far: a handle is of one life.
    life: u64,
    /// Operations until the power goes.
    left: Option<u64>,
    off: bool,
}

impl PoweredDisk {
    /// An empty one, in that server.
    pub fn new(server: usize) -> Self {
        Self { server, supply: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Supply> {
        self.supply.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle for one life of its server.
    pub(in crate::raft) fn attach(&self) -> Handle {
        let supply = self.lock();
        Handle { disk: self.clone(), life: supply.life, medium: supply.medium.clone() }
    }

    /// A disk with what would be here after a loss of power now.
    pub(in crate::raft) fn durable_copy(&self) -> Fragile {
        self.lock().medium.cut(|| false)
    }

    /// The power goes, and comes back.
    pub fn lose_power(&self, random: &mut impl Rng) {
        let mut supply = self.lock();
        // Now and then all of it is lost, or kept.
        let kept = [0.0, KEPT, KEPT, 1.0][random.random_range(0..4)];
        supply.medium = supply.medium.cut(|| random.random_bool(kept));
        supply.life += 1;
        (supply.left, supply.off) = (None, false);
    }

    /// The power will go after so many writes and syncs. The driver sees that by [`PoweredDisk::is_off`].
    pub fn cut_after(&self, operations: u64) {
        self.lock().left = Some(operations);
    }

    /// Whether the power has gone in the middle of something.
    pub fn is_off(&self) -> bool {
        self.lock().off
    }

    /// Waits as long as a commit takes until it begins to reach the disk.
    pub async fn delay(&self) {
        self.wait(world::disk_delay()).await;
    }

    /// Waits as long as it takes until the process learns that it has.
    pub async fn delay_after(&self) {
        self.wait(world::short_delay()).await;
    }

    async fn wait(&self, delay: Duration) {
        tokio::time::sleep(delay).await;
        while world::is_frozen(self.server) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The disk, for one life of its server.
#[derive(Clone, Debug)]
pub(in crate::raft) struct Handle {
    disk: PoweredDisk,
    life: u64,
    medium: Fragile,
}

impl Handle {
    fn supply(&self) -> io::Result<MutexGuard<'_, Supply>> {
        let supply = self.disk.lock();
        let lives = supply.life == self.life && !supply.off;
        if lives { Ok(supply) } else { Err(io::Error::other("the power is gone")) }
    }

    /// To read.
    fn read(&self) -> io::Result<&Fragile> {
        self.supply().map(|_| &self.medium)
    }

    /// To change it: that counts towards a loss of power.
    fn change(&self) -> io::Result<&Fragile> {
        let mut supply = self.supply()?;
        if let Some(left) = supply.left {
            supply.left = left.checked_sub(1);
            if left == 0 {
                supply.off = true;
                return Err(io::Error::other("the power is gone"));
            }
        }
        Ok(&self.medium)
    }

    fn powered(&self, segment: Arc<dyn Segment>) -> Arc<dyn Segment> {
        Arc::new(PoweredSegment { handle: self.clone(), segment })
    }
}

impl Disk for Handle {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        self.read()?.numbers()
    }

    fn create(&self, number: u64) -> io::Result<Arc<dyn Segment>> {
        Ok(self.powered(self.change()?.create(number)?))
    }

    fn open(&self, number: u64) -> io::Result<Arc<dyn Segment>> {
        Ok(self.powered(self.read()?.open(number)?))
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        self.change()?.remove(number)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.change()?.sync_names()
    }

    fn name(&self, number: u64) -> String {
        format!("segment {number} of server {}", self.disk.server)
    }
}

#[derive(Debug)]
struct PoweredSegment {
    handle: Handle,
    segment: Arc<dyn Segment>,
}

impl Segment for PoweredSegment {
    fn size(&self) -> io::Result<u64> {
        self.handle.read()?;
        self.segment.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.handle.read()?;
        self.segment.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.handle.change()?;
        self.segment.write_at(offset, bytes)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.handle.change()?;
        self.segment.truncate(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.change()?;
        self.segment.sync()
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn what_was_synced_survives_and_old_handles_are_dead() {
        let (disk, mut random) = (PoweredDisk::new(0), SmallRng::seed_from_u64(1));
        let first = disk.attach();
        let old = first.create(0).unwrap();
        old.write_at(0, &[7; 1000]).unwrap();
        old.sync().unwrap();
        first.sync_names().unwrap();
        let (mut lost, mut unnamed) = (0, 0);
        for round in 0..40 {
            let handle = disk.attach();
            let segment = handle.open(0).unwrap();
            segment.write_at(1024, &[round + 1; 4]).unwrap();
            handle.create(1).unwrap();
            disk.lose_power(&mut random);
            assert!(segment.write_at(0, b"late").is_err());
            let now = disk.attach();
            let (segment, mut synced, mut written) = (now.open(0).unwrap(), [0; 1000], [0; 4]);
            segment.read_at(0, &mut synced).unwrap();
            assert_eq!(synced, [7; 1000]);
            let is_there = segment.size().unwrap() == 1028 && segment.read_at(1024, &mut written).is_ok();
            lost += usize::from(!is_there || written != [round + 1; 4]);
            if now.numbers().unwrap() == [0] {
                unnamed += 1;
            } else {
                now.remove(1).unwrap();
                now.sync_names().unwrap();
            }
        }
        assert!(old.sync().is_err());
        assert!((1..40).contains(&lost) && (1..40).contains(&unnamed), "{lost} and {unnamed} of 40 were lost");
    }

    #[test]
    fn power_goes_after_so_many_operations() {
        let disk = PoweredDisk::new(0);
        let segment = disk.attach().create(0).unwrap();
        disk.cut_after(1);
        segment.write_at(0, b"a").unwrap();
        assert!(!disk.is_off());
        assert!(segment.sync().is_err() && disk.is_off());
    }
}
