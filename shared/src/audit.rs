//! The audit log: a line of JSON for each request to the HTTP interface: who, what, allowed or not.
//!
//! ```json
//! {"time":"2026-11-27T14:00:00Z","accessor":"...","address":"10.0.0.7","interface":"http","method":"PUT",
//!  "path":"/v1/kv/a","status":403,"allowed":false}
//! ```
//!
//! `accessor` is that of the token that was shown (null: none that counts), never its secret; the query is left out, for
//! there may be one in it. Lines go through a bounded queue to a thread that writes them, so that a slow disk delays
//! nobody; lines that find no room are counted (`lictor_audit_lost_total`) and said in the log. The file is exchanged like
//! the log's (`audit.sink`: `path`, `rotate_bytes`, `rotate_duration`, `rotate_max_files`).

use std::{
    io::Write,
    net::IpAddr,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use serde::Serialize;
use uuid::Uuid;

use crate::{http::json::time::moment, metrics::AUDIT_LOST, model::Time};

/// Lines that wait to be written.
const QUEUE: usize = 8192;

/// One request.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// The accessor of the token that was shown, where it counts.
    pub accessor: Option<Uuid>,
    /// From where it came.
    pub address: Option<IpAddr>,
    /// `http`.
    pub interface: &'static str,
    /// What was to be done.
    pub method: &'a str,
    /// With what, without the query.
    pub path: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// Whether it was allowed: anything but 401 and 403.
    pub allowed: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    entry: Entry<'a>,
}

/// Where requests are written down.
#[derive(Debug)]
pub struct Audit {
    lines: SyncSender<Vec<u8>>,
    is_losing: AtomicBool,
}

impl Audit {
    /// Writes to `file` from now on, until it is dropped.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(mut file: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (lines, queue) = sync_channel::<Vec<u8>>(QUEUE);
        thread::Builder::new().name("audit".into()).spawn(move || {
            for line in queue {
                if let Err(error) = file.write_all(&line) {
                    tracing::error!(%error, "the audit log cannot be written");
                    AUDIT_LOST.count(0);
                }
            }
        })?;
        Ok(Self { lines, is_losing: AtomicBool::new(false) })
    }

    /// Writes a request down.
    pub fn record(&self, entry: Entry<'_>) {
        let line = Line { time: moment(Time::now()), entry };
        let Ok(mut text) = serde_json::to_vec(&line) else { return };
        text.push(b'\n');
        match self.lines.try_send(text) {
            Ok(()) => self.is_losing.store(false, Relaxed),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                AUDIT_LOST.count(0);
                if !self.is_losing.swap(true, Relaxed) {
                    tracing::error!("lines of the audit log are lost: the disk that has it is too slow");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use serde_json::Value;

    use super::*;

    struct Told(Sender<Vec<u8>>);

    impl Write for Told {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.send(line.to_vec()).unwrap();
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_request_is_a_line() {
        let (told, lines): (_, Receiver<Vec<u8>>) = channel();
        let audit = Audit::start(Told(told)).unwrap();
        let (accessor, address) = (Some(Uuid::from_u128(7)), Some([10, 0, 0, 7].into()));
        let entry =
            Entry { accessor, address, interface: "http", method: "GET", path: "/a\n", status: 403, allowed: false };
        audit.record(entry);
        let line = lines.recv().unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let row: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((row["path"].as_str(), row["allowed"].as_bool()), (Some("/a\n"), Some(false)));
        assert_eq!(row["accessor"], "00000000-0000-0000-0000-000000000007");
        assert_eq!(row["time"].as_str().unwrap().len(), "2026-11-27T14:00:00Z".len());
    }
}
