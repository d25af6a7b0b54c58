//! The watch streams of many hosts at one server, each on a connection of its own.
//!
//! No other program speaks the protocol between sidecars and servers, and a thousand sidecars do not fit on one
//! machine, so this is the one place that links `lictor_proto`. A stream is read as a sidecar reads it, and what was
//! read is thrown away.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use lictor_proto::{
    client::{Client, PROTOCOL_VERSION},
    internal::{WatchRequest, watch_event::Event},
};
use lictor_tests::wait;
use tokio::runtime::Runtime;

/// Longest time until every stream is open, or has a change.
const LIMIT: Duration = Duration::from_secs(30);

/// Open streams. They end when dropped.
#[derive(Debug)]
pub struct Streams {
    count: usize,
    seen: Arc<Seen>,
    _runtime: Runtime,
}

#[derive(Debug, Default)]
struct Seen {
    /// Streams that have the whole state.
    complete: AtomicUsize,
    /// Changes that all streams together were sent since the state.
    changes: AtomicUsize,
    /// When a stream was sent changes.
    times: Mutex<Vec<Instant>>,
}

impl Streams {
    /// Opens `count` streams at the server whose RPC port is `port` of loopback, and waits until each has its state.
    ///
    /// # Panics
    /// One cannot be opened, or has no state in time.
    #[must_use]
    pub fn open(port: u16, count: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("a runtime: {error}"));
        let seen = Arc::new(Seen::default());
        for number in 0..count {
            runtime.spawn(follow(port, number, seen.clone()));
        }
        let streams = Self { count, seen, _runtime: runtime };
        wait::until("every stream has the state", LIMIT, || {
            let complete = streams.seen.complete.load(Ordering::Relaxed);
            wait::ensure(complete == count, || format!("{complete} of {count} have"))
        });
        streams
    }

    /// How many changes all streams together have been sent so far.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.seen.changes.load(Ordering::Relaxed)
    }

    /// When each stream was sent what `change` does, which is one change.
    ///
    /// # Panics
    /// Some are not sent it in time.
    #[must_use]
    pub fn times_of(&self, change: impl FnOnce()) -> Vec<Instant> {
        self.times().clear();
        change();
        wait::until("every stream has the change", LIMIT, || {
            let seen = self.times().len();
            wait::ensure(seen >= self.count, || format!("{seen} of {} have", self.count))
        });
        std::mem::take(&mut *self.times())
    }

    fn times(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.seen.times()
    }
}

impl Seen {
    fn times(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads one stream until the runtime ends.
async fn follow(port: u16, number: usize, seen: Arc<Seen>) {
    let request = WatchRequest {
        node: format!("host-{number}"),
        datacenter: "dc1".into(),
        resume_index: 0,
        protocol_version: PROTOCOL_VERSION,
        server_ids: Vec::new(),
    };
    let client = Client::new();
    let opened = client.watch(&format!("127.0.0.1:{port}"), request).await;
    let mut stream = opened.unwrap_or_else(|error| panic!("stream {number}: {error}"));
    loop {
        let message = stream.message().await.unwrap_or_else(|error| panic!("stream {number}: {error}"));
        match message.and_then(|message| message.event) {
            Some(Event::InitDone(_)) => _ = seen.complete.fetch_add(1, Ordering::Relaxed),
            Some(Event::Changes(changes)) => {
                seen.changes.fetch_add(changes.changes.len(), Ordering::Relaxed);
                seen.times().push(Instant::now());
            }
            Some(_) => {}
            None => panic!("stream {number}: the server closed it"),
        }
    }
}
