//! The log on a disk: segments that are only ever written at their end, and what lies where in them.
//!
//! A commit is one frame (see `frame`) at the end of the newest segment and one sync: no pages to be rewritten, nothing
//! to be read first. Vote, marks and the removal of entries are records like entries are, and count in their order. A
//! segment begins with a frame of all marks as they are, so older ones can go as soon as the entries in them are purged.
//! Segments grow by [`GROWTH`] zeros at a time, so that most syncs have no new size to write.
//!
//! A start reads all segments. It ends a frame that was not finished, which nobody was told of, by cutting it off; any
//! other damage, a missing segment or a hole is an error that names the file. It goes on in a new segment.
//!
//! Where entries lie is in memory, 16 bytes for each. One thread writes; readers take the places and read by themselves.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Arc, Mutex},
};

use openraft::entry::RaftEntry;
use serde::Serialize;

use super::{
    LogId, Vote, Work, decode,
    disk::{Disk, Segment, locked},
    frame::{self, Frames, Kind},
};
use crate::raft::Entry;

/// A segment with so many bytes is followed by a new one.
pub(super) const SEGMENT_BYTES: u64 = 8 << 20;
/// Zeros that are written ahead, in bytes.
const GROWTH: u64 = 256 << 10;
/// A buffer that has grown larger is not kept.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// What the log says of itself beside its entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
}

/// The journal, for the one who writes it.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    places: Arc<Mutex<Places>>,
    marks: Marks,
    /// The sequence of the next frame.
    sequence: u64,
    newest: Newest,
    buffer: Vec<u8>,
}

/// The segment that is written.
#[derive(Debug)]
struct Newest {
    number: u64,
    salt: u64,
    /// Where the next frame begins.
    end: u64,
    /// How many bytes there are, zeros with them.
    size: u64,
}

/// Where entries lie. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Lookup(Arc<Mutex<Places>>);

#[derive(Debug, Default)]
struct Places {
    segments: VecDeque<Kept>,
    /// The index of the first entry.
    first: u64,
    entries: VecDeque<Place>,
}

/// A segment and the highest index of an entry that was ever written in it.
#[derive(Debug)]
struct Kept {
    number: u64,
    segment: Arc<dyn Segment>,
    highest: Option<u64>,
}

/// Where one entry lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u64,
    offset: u32,
    length: u32,
}

/// What a frame does to the places, once it is durable.
enum Effect {
    Entry { index: u64, offset: usize, length: usize },
    Truncated(u64),
    Purged(u64),
}

impl Journal {
    /// Takes up what is on the disk.
    ///
    /// # Errors
    /// When it cannot be read or written, or is damaged.
    pub fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let mut recovery = Recovery { places: Places::default(), marks: Marks::default(), sequence: None };
        let numbers = disk.numbers()?;
        for (position, number) in numbers.iter().enumerate() {
            if position > 0 && numbers[position - 1] + 1 != *number {
                return Err(damaged(&*disk, *number - 1, "it is missing"));
            }
            recovery.read(&*disk, *number, position + 1 == numbers.len())?;
        }
        let Recovery { places, marks, sequence } = recovery;
        let number = places.segments.back().map_or(0, |last| last.number + 1);
        let due = marks.purged.map_or(0, |id| id.index() + 1);
        if !places.entries.is_empty() && places.first > due {
            let oldest = places.segments.front().map_or(0, |oldest| oldest.number);
            return Err(damaged(&*disk, oldest, format!("the entries before {} are missing", places.first)));
        }
        let mut journal = Self {
            newest: Newest { number, salt: 0, end: 0, size: 0 },
            places: Arc::new(Mutex::new(places)),
            disk,
            marks,
            sequence: sequence.map_or(0, |last| last + 1),
            buffer: Vec::new(),
        };
        journal.begin_segment(number)?;
        journal.flush(Vec::new())?;
        Ok(journal)
    }

    /// The marks as they are on the disk.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The end of the log: the last entry, or what was purged last where there is none.
    ///
    /// # Errors
    /// When the last entry cannot be read.
    pub fn last(&self) -> io::Result<Option<LogId>> {
        let places = locked(&self.places);
        match places.entries.back() {
            Some(place) => Ok(Some(places.read_entry(*place)?.log_id())),
            None => Ok(self.marks.purged),
        }
    }

    /// For readers.
    pub fn lookup(&self) -> Lookup {
        Lookup(self.places.clone())
    }

    /// Writes one commit, durable on return. After an error nothing may be written any more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn commit<'a>(&mut self, works: impl Iterator<Item = &'a Work>, committed: Option<LogId>) -> io::Result<()> {
        if self.newest.end >= SEGMENT_BYTES {
            self.begin_segment(self.newest.number + 1)?;
        }
        let start = frame::open(&mut self.buffer);
        let mut effects = Vec::new();
        for work in works {
            self.record(work, &mut effects)?;
        }
        if committed.is_some() {
            self.marks.committed = committed;
            encode(&mut self.buffer, Kind::Committed, &committed)?;
        }
        frame::close(&mut self.buffer, start, self.newest.salt, self.sequence);
        self.sequence += 1;
        self.flush(effects)?;
        self.remove_dead()
    }

    fn record(&mut self, work: &Work, effects: &mut Vec<Effect>) -> io::Result<()> {
        let buffer = &mut self.buffer;
        match work {
            Work::Append(entries) => {
                for entry in entries {
                    let index = entry.index();
                    let offset = frame::record(buffer, Kind::Entry, |buffer| {
                        buffer.extend_from_slice(&index.to_le_bytes());
                        serialize(buffer, entry)
                    })?;
                    effects.push(Effect::Entry { index, offset, length: buffer.len() - offset });
                }
            }
            Work::Vote(vote) => {
                self.marks.vote = Some(*vote);
                encode(buffer, Kind::Vote, &self.marks.vote)?;
            }
            Work::Truncate(from) => {
                frame::record(buffer, Kind::Truncated, |buffer| {
                    buffer.extend_from_slice(&from.to_le_bytes());
                    Ok::<_, io::Error>(())
                })?;
                effects.push(Effect::Truncated(*from));
            }
            Work::Purge(upto) => {
                self.marks.purged = self.marks.purged.max(Some(*upto));
                encode(buffer, Kind::Purged, &self.marks.purged)?;
                effects.push(Effect::Purged(upto.index()));
            }
        }
        Ok(())
    }

    /// Puts the head of a new segment and a frame with all marks into the buffer, which is empty.
    fn begin_segment(&mut self, number: u64) -> io::Result<()> {
        let segment = self.disk.create(number)?;
        let salt = rand::random();
        self.newest = Newest { number, salt, end: 0, size: 0 };
        locked(&self.places).segments.push_back(Kept { number, segment, highest: None });
        self.buffer.extend_from_slice(&frame::segment_head(salt));
        let start = frame::open(&mut self.buffer);
        encode(&mut self.buffer, Kind::Vote, &self.marks.vote)?;
        encode(&mut self.buffer, Kind::Committed, &self.marks.committed)?;
        encode(&mut self.buffer, Kind::Purged, &self.marks.purged)?;
        frame::close(&mut self.buffer, start, salt, self.sequence);
        self.sequence += 1;
        Ok(())
    }

    /// Writes the buffer and syncs; then readers may find what is in it.
    fn flush(&mut self, effects: Vec<Effect>) -> io::Result<()> {
        let (written, is_new) = (self.buffer.len(), self.newest.size == 0);
        let end = self.newest.end + written as u64;
        if end > self.newest.size {
            self.newest.size = end.next_multiple_of(GROWTH);
            let missing = usize::try_from(self.newest.size - self.newest.end).map_err(io::Error::other)?;
            self.buffer.resize(missing, 0);
        }
        let segment = locked(&self.places).newest()?;
        segment.write_at(self.newest.end, &self.buffer)?;
        segment.sync()?;
        if is_new {
            self.disk.sync_names()?;
        }
        let base = std::mem::replace(&mut self.newest.end, end);
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BUFFER_BYTES);
        locked(&self.places).take_all(self.newest.number, base, effects)
    }

    /// Removes the oldest segment if all entries in it are purged: that is durable by now. One with each commit: after a
    /// snapshot there may be many, and whoever waits for this commit shall not wait for all of them.
    fn remove_dead(&mut self) -> io::Result<()> {
        let upto = self.marks.purged.map(|id| id.index());
        let dead = {
            let mut places = locked(&self.places);
            let oldest = places.segments.front();
            let dead = oldest.is_some_and(|kept| kept.number != self.newest.number && kept.highest <= upto);
            if dead { places.segments.pop_front() } else { None }
        };
        match dead {
            // In their order: they must not come back with a hole between them.
            Some(dead) => self.disk.remove(dead.number).and_then(|()| self.disk.sync_names()),
            None => Ok(()),
        }
    }
}

/// What a start has found so far.
struct Recovery {
    places: Places,
    marks: Marks,
    /// Of the last frame.
    sequence: Option<u64>,
}

impl Recovery {
    fn read(&mut self, disk: &dyn Disk, number: u64, is_last: bool) -> io::Result<()> {
        let segment = disk.open(number)?;
        let mut bytes = vec![0; usize::try_from(segment.size()?).map_err(io::Error::other)?];
        segment.read_at(0, &mut bytes)?;
        let mut frames = match Frames::new(&bytes) {
            Ok(frames) => frames,
            // Its head was not written, so nothing in it was ever acknowledged.
            Err(_) if is_last && bytes.iter().take(frame::SEGMENT_HEAD).all(|byte| *byte == 0) => {
                return disk.remove(number).and_then(|()| disk.sync_names());
            }
            Err(error) => return Err(damaged(disk, number, error)),
        };
        self.places.segments.push_back(Kept { number, segment: segment.clone(), highest: None });
        let expected = |sequence: Option<u64>| sequence.map(|last| last + 1);
        while let Some(frame) = frames.next(expected(self.sequence)).map_err(|error| damaged(disk, number, error))? {
            self.sequence = Some(frame.sequence);
            let mut effects = Vec::new();
            for record in frame.records() {
                let (kind, offset, content) = record.map_err(|error| damaged(disk, number, error))?;
                self.take(kind, offset, content, &mut effects).map_err(|error| damaged(disk, number, error))?;
            }
            self.places.take_all(number, 0, effects).map_err(|error| damaged(disk, number, error))?;
        }
        let end = frames.at().min(bytes.len());
        if bytes[end..].iter().any(|byte| *byte != 0) {
            if !is_last {
                return Err(damaged(disk, number, "its end is damaged, though another follows"));
            }
            segment.truncate(end as u64)?;
            segment.sync()?;
        }
        Ok(())
    }

    fn take(&mut self, kind: Kind, offset: usize, content: &[u8], effects: &mut Vec<Effect>) -> io::Result<()> {
        match kind {
            Kind::Entry => effects.push(Effect::Entry { index: number(content)?, offset, length: content.len() }),
            Kind::Vote => self.marks.vote = decode(content)?,
            Kind::Committed => self.marks.committed = decode(content)?,
            Kind::Truncated => effects.push(Effect::Truncated(number(content)?)),
            Kind::Purged => {
                self.marks.purged = decode(content)?;
                effects.extend(self.marks.purged.map(|id| Effect::Purged(id.index())));
            }
        }
        Ok(())
    }
}

impl Places {
    fn newest(&self) -> io::Result<Arc<dyn Segment>> {
        let newest = self.segments.back().map(|kept| kept.segment.clone());
        newest.ok_or_else(|| io::Error::other("the log has no segment"))
    }

    /// What a frame of the newest segment does; offsets count from `base`.
    fn take_all(&mut self, segment: u64, base: u64, effects: Vec<Effect>) -> io::Result<()> {
        for effect in effects {
            match effect {
                Effect::Entry { index, offset, length } => {
                    let offset = u32::try_from(base + offset as u64).map_err(io::Error::other)?;
                    let length = u32::try_from(length).map_err(io::Error::other)?;
                    self.push(index, Place { segment, offset, length })?;
                }
                Effect::Truncated(from) => self.truncate(from),
                Effect::Purged(upto) => self.purge(upto),
            }
        }
        Ok(())
    }

    fn push(&mut self, index: u64, place: Place) -> io::Result<()> {
        self.truncate(index);
        if self.entries.is_empty() {
            self.first = index;
        }
        let due = self.first + self.entries.len() as u64;
        if index != due {
            return Err(io::Error::other(format!("entry {index} follows where {due} is due")));
        }
        self.entries.push_back(place);
        if let Some(kept) = self.segments.back_mut() {
            kept.highest = kept.highest.max(Some(index));
        }
        Ok(())
    }

    fn truncate(&mut self, from: u64) {
        let kept = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.entries.truncate(kept);
    }

    fn purge(&mut self, upto: u64) {
        while self.first <= upto && self.entries.pop_front().is_some() {
            self.first += 1;
        }
    }

    fn segment(&self, number: u64) -> io::Result<Arc<dyn Segment>> {
        let oldest = self.segments.front().map_or(0, |kept| kept.number);
        let position = number.checked_sub(oldest).and_then(|position| usize::try_from(position).ok());
        let kept = position.and_then(|position| self.segments.get(position));
        kept.map(|kept| kept.segment.clone())
            .ok_or_else(|| io::Error::other(format!("the log has no segment {number}")))
    }

    fn read_entry(&self, place: Place) -> io::Result<Entry> {
        read(&*self.segment(place.segment)?, place)
    }
}

impl Lookup {
    /// The entries of `range` that are on the disk, in order, one after the other as they are asked for. What is purged
    /// meanwhile can still be read.
    ///
    /// # Errors
    /// When the log is damaged.
    pub fn entries(&self, range: Range<u64>) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
        let places = locked(&self.0);
        let position = |index: u64| usize::try_from(index.saturating_sub(places.first)).unwrap_or(usize::MAX);
        let end = position(range.end).min(places.entries.len());
        let mut found = Vec::new();
        for place in places.entries.range(position(range.start).min(end)..end) {
            match found.last_mut() {
                Some((number, _, run)) if *number == place.segment => Vec::push(run, *place),
                _ => found.push((place.segment, places.segment(place.segment)?, vec![*place])),
            }
        }
        drop(places);
        Ok(found.into_iter().flat_map(|(_, segment, run)| run.into_iter().map(move |place| read(&*segment, place))))
    }
}

fn read(segment: &dyn Segment, place: Place) -> io::Result<Entry> {
    let mut bytes = vec![0; place.length as usize];
    segment.read_at(u64::from(place.offset), &mut bytes)?;
    decode(bytes.get(size_of::<u64>()..).unwrap_or_default())
}

fn encode<T: Serialize>(buffer: &mut Vec<u8>, kind: Kind, value: &T) -> io::Result<()> {
    frame::record(buffer, kind, |buffer| serialize(buffer, value)).map(drop)
}

fn serialize<T: Serialize>(buffer: &mut Vec<u8>, value: &T) -> io::Result<()> {
    postcard::to_io(value, buffer).map(drop).map_err(io::Error::other)
}

fn number(content: &[u8]) -> io::Result<u64> {
    let bytes = content.first_chunk().ok_or_else(|| io::Error::other("a record that is too short"))?;
    Ok(u64::from_le_bytes(*bytes))
}

fn damaged(disk: &dyn Disk, number: u64, reason: impl std::fmt::Display) -> io::Error {
    let reason = format!(
        "{} is damaged: {reason}; restore the directory as it was, or empty this server's data directory and let it join again",
        disk.name(number)
    );
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
