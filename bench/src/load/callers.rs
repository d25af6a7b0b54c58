//! Many HTTP callers on one thread: each a connection kept open, with at most one request under way.
//!
//! It reads no more of an answer than its index and its length, so that what is measured is not this client.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
};

/// How long an answer may take that does not wait for a change.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Answers that are read with one look.
const EVENTS: usize = 1024;
const BUFFER_BYTES: usize = 64 * 1024;

/// The callers.
pub struct Callers {
    epoll: OwnedFd,
    events: Vec<Event>,
    buffer: Vec<u8>,
    all: Vec<Caller>,
}

#[derive(Debug)]
struct Caller {
    stream: TcpStream,
    path: String,
    /// The index of its last answer.
    index: u64,
    /// The head of the answer that is being read, as far as it has come.
    head: Vec<u8>,
    /// What is missing of the body, once the head is read.
    missing: Option<usize>,
}

impl Callers {
    /// Connects a caller for each path to the agent at `port` of loopback.
    ///
    /// # Panics
    /// A connection is refused.
    #[must_use]
    pub fn connect(port: u16, paths: impl Iterator<Item = String>) -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap_or_else(|error| panic!("epoll: {error}"));
        let all: Vec<Caller> = paths.map(|path| Caller::connect(port, path)).collect();
        for (number, caller) in all.iter().enumerate() {
            let added = epoll::add(&epoll, &caller.stream, EventData::new_u64(number as u64), EventFlags::IN);
            added.unwrap_or_else(|error| panic!("epoll, caller {number}: {error}"));
        }
        Self { epoll, events: Vec::with_capacity(EVENTS), buffer: vec![0; BUFFER_BYTES], all }
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Sends the request of a caller: at first for what there is, then for what comes after its last answer.
    ///
    /// # Panics
    /// The connection is gone.
    pub fn ask(&mut self, number: usize) {
        let caller = &mut self.all[number];
        let wait = if caller.index > 0 { format!("&index={}&wait=60s", caller.index) } else { String::new() };
        let request = format!("GET {}{wait} HTTP/1.1\r\nHost: localhost\r\n\r\n", caller.path);
        let sent = caller.stream.write_all(request.as_bytes());
        sent.unwrap_or_else(|error| panic!("caller {number}: {error}"));
    }

    /// Has every caller ask.
    pub fn ask_all(&mut self) {
        (0..self.count()).for_each(|number| self.ask(number));
    }

    /// Waits at most that long for answers, and tells of each caller whose answer is complete.
    ///
    /// # Panics
    /// A connection ends, or an answer is not 200.
    pub fn answered(&mut self, within: Duration, mut told: impl FnMut(usize)) {
        let within = Timespec::try_from(within).unwrap_or_default();
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&within)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("epoll: {error}"),
        }
        for event in &self.events {
            let number = event.data.u64() as usize;
            if self.all[number].read(&mut self.buffer) {
                told(number);
            }
        }
    }

    /// Waits until every caller has been answered once; when each was.
    ///
    /// # Panics
    /// As [`Callers::answered`], and when that takes too long.
    #[must_use]
    pub fn all_answered(&mut self) -> Vec<Instant> {
        let (start, mut times) = (Instant::now(), Vec::with_capacity(self.count()));
        while times.len() < self.count() {
            assert!(start.elapsed() < ANSWER_LIMIT, "{} of {} callers have an answer", times.len(), self.count());
            self.answered(Duration::from_millis(100), |_| times.push(Instant::now()));
        }
        times
    }
}

impl Caller {
    fn connect(port: u16, path: String) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let stream = stream.unwrap_or_else(|error| panic!("a connection to 127.0.0.1:{port}: {error}"));
        stream.set_nodelay(true).unwrap_or_else(|error| panic!("a connection: {error}"));
        Self { stream, path, index: 0, head: Vec::new(), missing: None }
    }

    /// Reads what has come; whether an answer is complete.
    fn read(&mut self, buffer: &mut [u8]) -> bool {
        let length = self.stream.read(buffer).unwrap_or_else(|error| panic!("{}: {error}", self.path));
        assert!(length > 0, "{}: the connection was closed", self.path);
        let mut body = length;
        if self.missing.is_none() {
            self.head.extend_from_slice(&buffer[..length]);
            let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
            body = self.head.len() - end - 4;
            let head = String::from_utf8_lossy(&self.head[..end]).to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 200"), "{}: {head}", self.path);
            self.index = number(&head, "x-consul-index").unwrap_or_default();
            self.missing = number(&head, "content-length").map(|length| length as usize);
            assert!(self.missing.is_some(), "{}: no Content-Length: {head}", self.path);
            self.head.clear();
        }
        let missing = self.missing.unwrap_or_default().saturating_sub(body);
        self.missing = (missing > 0).then_some(missing);
        missing == 0
    }
}

/// The number that a header has, its name in lower case.
fn number(head: &str, name: &str) -> Option<u64> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(known, _)| *known == name).find_map(|(_, value)| value.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn an_answer_may_come_in_pieces_and_the_next_request_has_its_index() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            for piece in ["HTTP/1.1 200 OK\r\nX-Consul-In", "dex: 7\r\nContent-Length: 4\r\n\r\na", "b", "cd"] {
                stream.write_all(piece.as_bytes()).unwrap();
                stream.flush().unwrap();
            }
            let length = stream.read(&mut request).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let mut callers = Callers::connect(port, ["/v1/x?stale".to_owned()].into_iter());
        callers.ask_all();
        assert_eq!(callers.all_answered().len(), 1);
        callers.ask_all();
        assert!(server.join().unwrap().starts_with("GET /v1/x?stale&index=7&wait=60s HTTP/1.1\r\n"));
    }
}
