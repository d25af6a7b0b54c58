//! Writes one after another at each server, and when each was acknowledged.
//!
//! Every writer has keys of its own and gives each the number of the write: so what a key must hold at least at the end
//! is known, and the keys do not become more.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{connection::Connection, steps::STEP_LIMIT};
use crate::agent::Agent;

/// From one write to the next, where the first has not taken longer.
const PACE: Duration = Duration::from_millis(1);
/// A pause where a write failed.
const FAILED_PAUSE: Duration = Duration::from_millis(5);
/// The keys of each writer.
const KEYS: u64 = 1000;

/// What a writer did.
#[derive(Debug, Default)]
pub struct Written {
    /// When each acknowledged write was sent and answered, in order.
    pub acknowledged: Vec<(Instant, Instant)>,
    /// What the failed ones got.
    pub failures: Vec<String>,
    /// By key: the number of the last acknowledged write.
    pub(super) last: BTreeMap<u64, u64>,
    pub(super) writer: usize,
}

/// Writers at work.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Written>>,
}

impl Load {
    /// Begins to write, one after another, at each of these servers; `first` numbers the writers, none twice.
    #[must_use]
    pub fn start(servers: &[SocketAddr], first: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let start = |(number, &address): (usize, &SocketAddr)| {
            let stop = stop.clone();
            thread::spawn(move || write(first + number, address, &stop))
        };
        let writers = servers.iter().enumerate().map(start).collect();
        Self { stop, writers }
    }

    /// Ends the writing.
    ///
    /// # Panics
    /// A writer panicked.
    #[must_use]
    pub fn end(mut self) -> Vec<Written> {
        self.stop.store(true, Ordering::Relaxed);
        let writers = std::mem::take(&mut self.writers);
        writers.into_iter().map(|writer| writer.join().unwrap_or_else(|_| panic!("a writer panicked"))).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn key(writer: usize, number: u64) -> String {
    format!("/v1/kv/load/{writer}/{}", number % KEYS)
}

fn write(writer: usize, address: SocketAddr, stop: &AtomicBool) -> Written {
    let mut written = Written { writer, ..Written::default() };
    let mut connection = Connection::new(address);
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let sent = Instant::now();
        match connection.send("PUT", &key(writer, number), number.to_string().as_bytes()) {
            Ok((200, body)) if body == b"true" || body == b"true\n" => {
                written.acknowledged.push((sent, Instant::now()));
                written.last.insert(number % KEYS, number);
                thread::sleep(PACE.saturating_sub(sent.elapsed()));
            }
            Ok((status, body)) => written.failed(format!("{status} {}", String::from_utf8_lossy(&body))),
            Err(error) => written.failed(error.to_string()),
        }
    }
    written
}

impl Written {
    fn failed(&mut self, reason: String) {
        self.failures.push(reason);
        thread::sleep(FAILED_PAUSE);
    }

    /// Whether the server itself has what was acknowledged, or something that was written later.
    ///
    /// # Errors
    /// What is lost, or that the server does not answer.
    pub fn check(&self, server: &Agent) -> Result<(), String> {
        let client = server.http().with_time_out(STEP_LIMIT);
        for (&slot, &number) in &self.last {
            let answer = client.get(&format!("{}?raw&stale", key(self.writer, slot)))?;
            let found = answer.text().parse().ok().filter(|&found: &u64| found >= number && found % KEYS == slot);
            if answer.status != 200 || found.is_none() {
                let text = answer.text();
                return Err(format!("{}: write {number} of {} is lost: {text}", server.name, key(self.writer, slot)));
            }
        }
        Ok(())
    }
}
