//! The Python example watches a real agent through all that can happen to a service and to the agent.
//!
//! Its packages are installed from PyPI into the build directory, once, by the host's `python3 -m pip`.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lictor_tests::{agent::Agent, process::Process, turn, wait};
use rustix::process::Signal;
use serde_json::json;

/// Longest time until a change is printed.
const SEEN_LIMIT: Duration = Duration::from_secs(30);

/// Where the example is.
fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/watch-python")
}

/// A directory with the packages that the example needs.
fn packages() -> PathBuf {
    let requirements = example().join("requirements.txt");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("watch-python");
    let installed = directory.join("installed.txt");
    let wanted = fs::read_to_string(&requirements).unwrap();
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return directory;
    }
    // What is left of another version, or of an installation that broke off.
    let _ = fs::remove_dir_all(&directory);
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
    let output = pip.arg(&directory).arg("--requirement").arg(&requirements).output();
    let output = output.unwrap_or_else(|error| panic!("python3: {error} (install python3 and python3-pip)"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pip (it needs python3-pip, and PyPI within reach): {errors}");
    fs::write(installed, wanted).unwrap();
    directory
}

#[test]
fn the_python_example_prints_what_comes_goes_and_fails() {
    let packages = packages();
    let _turn = turn::take();
    let mut agent = Agent::dev("dev").started();
    let mut command = Command::new("python3");
    command.arg(example().join("watch.py")).arg("hello").arg(format!("--agent=127.0.0.1:{}", agent.ports.grpc));
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut watch = Watch { process: Process::start("watch", agent.directory(), &mut command), seen: 0 };
    watch.expect("= UNKNOWN");

    let register = |agent: &Agent, id: &str, port: u16| {
        let check = json!({"CheckID": id, "TTL": "10m", "Status": "passing"});
        let service = json!({"ID": id, "Name": "hello", "Address": "127.0.0.1", "Port": port, "Check": check});
        agent.http().put("/v1/agent/service/register", &service).unwrap();
    };
    // Coming.
    register(&agent, "hello-1", 81);
    watch.expect("+ dev/hello-1 127.0.0.1:81");
    watch.expect("= AVAILABLE");
    register(&agent, "hello-2", 82);
    watch.expect("+ dev/hello-2 127.0.0.1:82");
    // Failing, and well again.
    agent.http().put("/v1/agent/check/fail/hello-1", &json!(null)).unwrap();
    watch.expect("- dev/hello-1");
    agent.http().put("/v1/agent/check/fail/hello-2", &json!(null)).unwrap();
    watch.expect("- dev/hello-2");
    watch.expect("= NONE_HEALTHY");
    agent.http().put("/v1/agent/check/pass/hello-1", &json!(null)).unwrap();
    watch.expect("+ dev/hello-1 127.0.0.1:81");
    watch.expect("= AVAILABLE");
    // Going.
    agent.http().put("/v1/agent/service/deregister/hello-1", &json!(null)).unwrap();
    watch.expect("- dev/hello-1");
    agent.http().put("/v1/agent/service/deregister/hello-2", &json!(null)).unwrap();
    watch.expect("= UNKNOWN");
    // The agent goes and comes back, with another registry: it keeps nothing.
    let status = agent.terminate();
    assert!(status.success(), "{status}");
    watch.expect("! UNAVAILABLE");
    agent = agent.started();
    register(&agent, "hello-3", 83);
    watch.expect("+ dev/hello-3 127.0.0.1:83");

    assert_eq!(watch.process.exit_status(), None, "it watches on");
    watch.process.signal(Signal::INT);
    let status = watch.process.wait(SEEN_LIMIT);
    assert!(status.success(), "{status}");
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
