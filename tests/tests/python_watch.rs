//! The Python example watches a real agent, a sidecar, through all that can happen to a service and to the agent.
//!
//! Its packages are installed from PyPI into the build directory, once, by the host's `python3 -m pip`.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lictor_tests::{agent::Agent, cluster::Cluster, process::Process, python, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Longest time until a change is printed.
const SEEN_LIMIT: Duration = Duration::from_secs(30);

/// Where the example is.
fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/watch-python")
}

/// A directory with the packages that the example needs.
fn packages() -> PathBuf {
    python::packages(&example().join("requirements.txt"), Path::new(env!("CARGO_TARGET_TMPDIR")).join("watch-python"))
}

#[test]
fn the_python_example_prints_what_comes_goes_and_fails() {
    let packages = packages();
    let mut cluster = Cluster::start(1, 2);
    // It watches through one sidecar, the slim one, what happens at the other.
    let (watched, asked) = (&cluster.sidecars[0], &cluster.sidecars[1]);
    let mut command = Command::new("python3");
    command.arg(example().join("watch.py")).arg("hello").arg(format!("--agent=127.0.0.1:{}", asked.ports.grpc));
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut watch = Watch { process: Process::start("watch", asked.directory(), &mut command), seen: 0 };
    watch.expect("= UNKNOWN");
    // Coming.
    register(watched, "hello-1", 81);
    watch.expect("+ sidecar-1/hello-1 127.0.0.1:81");
    watch.expect("= AVAILABLE");
    register(watched, "hello-2", 82);
    watch.expect("+ sidecar-1/hello-2 127.0.0.1:82");
    // Failing, and well again.
    put(watched, "/v1/agent/check/fail/hello-1");
    watch.expect("- sidecar-1/hello-1");
    put(watched, "/v1/agent/check/fail/hello-2");
    watch.expect("- sidecar-1/hello-2");
    watch.expect("= NONE_HEALTHY");
    put(watched, "/v1/agent/check/pass/hello-1");
    watch.expect("+ sidecar-1/hello-1 127.0.0.1:81");
    watch.expect("= AVAILABLE");
    // Going.
    put(watched, "/v1/agent/service/deregister/hello-1");
    watch.expect("- sidecar-1/hello-1");
    put(watched, "/v1/agent/service/deregister/hello-2");
    watch.expect("= UNKNOWN");
    register(watched, "hello-3", 83);
    watch.expect("+ sidecar-1/hello-3 127.0.0.1:83");
    // The loss of every server is nothing to it; the loss of its agent is, until that is back.
    cluster.kill_servers();
    cluster.sidecars[1].kill();
    watch.expect("! UNAVAILABLE");
    cluster.servers[0].start();
    cluster.sidecars[1].start();
    cluster.wait_until_complete();
    register(&cluster.sidecars[0], "hello-4", 84);
    watch.expect("+ sidecar-1/hello-4 127.0.0.1:84");

    assert_eq!(watch.process.exit_status(), None, "it watches on");
    watch.process.signal(Signal::INT);
    let status = watch.process.wait(SEEN_LIMIT);
    assert!(status.success(), "{status}");
}

fn register(agent: &Agent, id: &str, port: u16) {
    let check = json!({"CheckID": id, "TTL": "10m", "Status": "passing"});
    let service = json!({"ID": id, "Name": "hello", "Address": "127.0.0.1", "Port": port, "Check": check});
    agent.http().put("/v1/agent/service/register", &service).unwrap();
}

fn put(agent: &Agent, path: &str) {
    agent.http().put(path, &Value::Null).unwrap();
}

/// The example, and how many of its lines were expected already.
struct Watch {
    process: Process,
    seen: usize,
}

impl Watch {
    /// Waits for a line that begins so, after those that were expected before.
    fn expect(&mut self, line: &str) {
        let seen = self.seen;
        self.seen = wait::until(&format!("the line {line:?}"), SEEN_LIMIT, || {
            let output = self.process.output();
            let found = output.lines().enumerate().skip(seen).find(|(_, found)| found.starts_with(line));
            found.map(|(number, _)| number + 1).ok_or_else(|| format!("it has printed {output:?}"))
        });
    }
}
