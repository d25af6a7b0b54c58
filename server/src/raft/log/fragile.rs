//! A disk that remembers what a power cut would leave: what was synced, and any part of what was not. Only in tests.
//!
//! What is written is lost or kept by the sector; a new segment is there for certain once names are synced, and one that
//! was removed may come back until then. Who decides is the caller ([`Fragile::cut`]): the log's own tests, and the
//! simulation, whose disk (`raft/tests/simulation/disk.rs`) is this one with a power switch.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use super::disk::{Disk, Segment};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// See the module. Cheap to clone; all clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(in crate::raft) struct Fragile(Arc<Mutex<Medium>>);

#[derive(Debug, Default)]
struct Medium {
    segments: BTreeMap<u64, Arc<Mutex<Sectors>>>,
    /// Those whose names are durable, removed ones among them until that is durable too.
    named: BTreeMap<u64, Arc<Mutex<Sectors>>>,
    /// Fails every sync from now on.
    broken: bool,
}

#[derive(Debug, Default)]
struct Sectors {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync, by the sector.
    loose: Vec<(usize, Vec<u8>)>,
}

impl Sectors {
    fn after_cut(&self, survives: &mut impl FnMut() -> bool) -> Self {
        let mut now = self.synced.clone();
        for (offset, data) in &self.loose {
            if survives() {
                put(&mut now, *offset, data);
            }
        }
        Self { synced: now.clone(), now, loose: Vec::new() }
    }
}

impl Fragile {
    /// The disk after a power cut: of the loose sectors and of what became of names, that which `survives` says.
    pub fn cut(&self, mut survives: impl FnMut() -> bool) -> Self {
        let medium = self.0.lock().unwrap();
        let mut left = BTreeMap::new();
        let unnamed = medium.segments.iter().filter(|(number, _)| !medium.named.contains_key(*number));
        let removed = medium.named.iter().filter(|(number, _)| !medium.segments.contains_key(*number));
        let certain = medium.segments.iter().filter(|(number, _)| medium.named.contains_key(*number));
        let kept: Vec<_> = certain.chain(unnamed.chain(removed).filter(|_| survives())).collect();
        for (number, sectors) in kept {
            let sectors = sectors.lock().unwrap().after_cut(&mut survives);
            left.insert(*number, Arc::new(Mutex::new(sectors)));
        }
        Self(Arc::new(Mutex::new(Medium { named: left.clone(), segments: left, broken: false })))
    }

    /// Whether every sync fails.
    pub fn set_broken(&self, broken: bool) {
        self.0.lock().unwrap().broken = broken;
    }
}

fn put(bytes: &mut Vec<u8>, start: usize, data: &[u8]) {
    let end = start + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(data);
}

impl Disk for Fragile {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        Ok(self.0.lock().unwrap().segments.keys().copied().collect())
    }

    fn create(&self, number: u64) -> io::Result<Arc<dyn Segment>> {
        let sectors = Arc::default();
        assert!(self.0.lock().unwrap().segments.insert(number, Arc::clone(&sectors)).is_none());
        Ok(Arc::new((self.clone(), sectors)))
    }

    fn open(&self, number: u64) -> io::Result<Arc<dyn Segment>> {
        let sectors = self.0.lock().unwrap().segments[&number].clone();
        Ok(Arc::new((self.clone(), sectors)))
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        self.0.lock().unwrap().segments.remove(&number).unwrap();
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let medium = &mut *self.0.lock().unwrap();
        medium.named = medium.segments.clone();
        Ok(())
    }

    fn name(&self, number: u64) -> String {
        format!("segment {number}")
    }
}

impl Segment for (Fragile, Arc<Mutex<Sectors>>) {
    fn size(&self) -> io::Result<u64> {
        Ok(self.1.lock().unwrap().now.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        into.copy_from_slice(&self.1.lock().unwrap().now[start..start + into.len()]);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut sectors = self.1.lock().unwrap();
        put(&mut sectors.now, offset as usize, bytes);
        let (mut at, mut rest) = (offset as usize, bytes);
        while !rest.is_empty() {
            let (sector, others) = rest.split_at(rest.len().min(SECTOR_BYTES - at % SECTOR_BYTES));
            sectors.loose.push((at, sector.to_vec()));
            (at, rest) = (at + sector.len(), others);
        }
        Ok(())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let mut sectors = self.1.lock().unwrap();
        sectors.now.truncate(size as usize);
        sectors.synced.truncate(size as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.0.0.lock().unwrap().broken {
            return Err(io::Error::other("the disk is gone"));
        }
        let Sectors { synced, loose, .. } = &mut *self.1.lock().unwrap();
        loose.drain(..).for_each(|(offset, data)| put(synced, offset, &data));
        Ok(())
    }
}
