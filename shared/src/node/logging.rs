//! Where log lines go: standard output and, where one is named, a file (`log_file`); one line an event, for people or as
//! JSON; the level can change while running.

use std::{
    io::{self, IsTerminal},
    sync::Mutex,
};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::MakeWriter,
    layer::SubscriberExt,
    registry::LookupSpan,
    reload::{self, Handle},
    util::SubscriberInitExt,
};

use super::log_file::{LogFileError, RotatingFile};
use crate::{config::Log, monitor::Monitor};

/// Changes the level of a running process.
#[derive(Clone)]
pub struct Level {
    handle: Handle<EnvFilter, Registry>,
    monitor: Monitor,
}

impl Level {
    /// Where the log can be watched, at any level.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// Sets the level: one of Consul's words.
    pub fn set(&self, level: &str) {
        if let Err(error) = self.handle.reload(filter(level)) {
            tracing::warn!(%error, "the log level stays as it is");
        }
    }
}

/// Starts logging. Called once, before the first line.
///
/// # Errors
/// The log file cannot be written to.
pub fn start(log: &Log) -> Result<Level, LogFileError> {
    let (filter, handle) = reload::Layer::new(filter(&log.level));
    let file = log.file.clone().map(RotatingFile::open).transpose()?;
    let mut to = vec![lines(log.json, io::stdout().is_terminal(), io::stdout)];
    to.extend(file.map(|file| lines(log.json, false, Mutex::new(file))));
    let monitor = Monitor::default();
    // A second start in one process (a test) keeps the first.
    let _ = tracing_subscriber::registry().with(to.with_filter(filter)).with(monitor.layer()).try_init();
    Ok(Level { handle, monitor })
}

/// Writes a line an event.
fn lines<S, W>(json: bool, colours: bool, to: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let format = tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(to);
    if json { format.json().boxed() } else { format.boxed() }
}

/// Libraries speak from `warn` on, whatever the level, unless it is `trace`.
fn filter(level: &str) -> EnvFilter {
    let level = match level.to_ascii_lowercase().as_str() {
        "trace" => return EnvFilter::new("trace"),
        "debug" => "debug",
        "warn" => "warn",
        "err" | "error" => "error",
        _ => "info",
    };
    let others = if level == "error" { "error" } else { "warn" };
    let ours = ["lictor", "lictor_shared", "lictor_server", "lictor_sidecar", "lictor_proto"];
    let ours: Vec<String> = ours.iter().map(|name| format!("{name}={level}")).collect();
    EnvFilter::new(format!("{others},{}", ours.join(",")))
}
