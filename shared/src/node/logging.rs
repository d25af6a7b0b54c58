//! Where log lines go: standard output, one line an event, for people or as JSON; the level can change while running.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    layer::SubscriberExt,
    reload::{self, Handle},
    util::SubscriberInitExt,
};

use crate::monitor::Monitor;

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
#[must_use]
pub fn start(level: &str, json: bool) -> Level {
    let (filter, handle) = reload::Layer::new(filter(level));
    let format = tracing_subscriber::fmt::layer().with_ansi(io::stdout().is_terminal());
    let format = if json { format.json().with_filter(filter).boxed() } else { format.with_filter(filter).boxed() };
    let monitor = Monitor::default();
    // A second start in one process (a test) keeps the first.
    let _ = tracing_subscriber::registry().with(format).with(monitor.layer()).try_init();
    Level { handle, monitor }
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
