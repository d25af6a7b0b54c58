//! wrk: requests over connections that are kept open, what they are being written by a few lines of its Lua.

use std::{fs, path::Path};

use super::{command, output};

/// Prints what was done in a form that is easy to read.
const SUMMARY: &str = r#"
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("summary %d %d %d %d\n", summary.requests, failed,
    latency:percentile(50), latency:percentile(99)))
end
"#;

/// What requests to send.
#[derive(Clone, Copy, Debug)]
pub struct Requests<'a> {
    /// Path and query.
    pub path: &'a str,
    /// A header line, `Name: value`, or nothing.
    pub header: &'a str,
    /// Lua that makes other requests than a GET of the path, or nothing.
    pub script: &'a str,
    /// Connections, each with one request under way.
    pub callers: usize,
}

/// What came of them.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    /// How many were answered.
    pub count: f64,
    /// Latency of the one in the middle.
    pub p50_ms: f64,
    /// Latency that one in a hundred exceeds.
    pub p99_ms: f64,
}

/// Sends requests to the agent at `port` of loopback for some seconds.
///
/// # Panics
/// One fails.
#[must_use]
pub fn run(port: u16, requests: Requests<'_>, seconds: u64, directory: &Path) -> Answers {
    let script = directory.join("requests.lua");
    let written = fs::write(&script, format!("{}{SUMMARY}", requests.script));
    written.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let mut wrk = command("wrk");
    wrk.args(["-t", "1", "-c", &requests.callers.to_string(), "-d", &format!("{seconds}s"), "-s"]).arg(&script);
    if !requests.header.is_empty() {
        wrk.args(["-H", requests.header]);
    }
    wrk.arg(format!("http://127.0.0.1:{port}{}", requests.path));
    let text = output(&mut wrk);
    let summary = text.lines().find_map(|line| line.strip_prefix("summary "));
    let numbers: Vec<f64> = summary
        .unwrap_or_default()
        .split(' ')
        .filter_map(|number| number.parse::<u64>().ok())
        .map(|n| n as f64)
        .collect();
    let [count, failed, p50_us, p99_us] = numbers[..] else { panic!("wrk gave no summary: {text}") };
    assert!(failed == 0.0 && count > 0.0, "{requests:?}: {failed} of {count} failed: {text}");
    Answers { count, p50_ms: p50_us / 1000.0, p99_ms: p99_us / 1000.0 }
}
