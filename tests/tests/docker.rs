//! Checks inside containers, against the real Docker Engine where one starts containers: elsewhere the test says so and
//! ends.
//!
//! Its image is made of one static program, so that nothing is fetched; image and containers are removed at the end.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    env, fs,
    path::Path,
    process::{self, Command},
    time::Duration,
};

use lictor_tests::{
    agent::Agent,
    containers::{attempt, docker, succeeded},
    wait,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest time until a check that runs every 200 ms has told, with an engine on a busy machine.
const CHECK_LIMIT: Duration = Duration::from_secs(30);

/// What runs in the container, by its first argument: waits for its end, or says something and exits with a code.
const PROGRAM: &str = r#"
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments[1].as_str() {
        "wait" => loop { std::thread::sleep(std::time::Duration::from_secs(3600)) },
        "much" => print!("{}the end", "many words\n".repeat(20_000)),
        code => {
            println!("out {code}");
            eprintln!("err {code}");
            std::process::exit(code.parse().unwrap())
        }
    }
}
"#;

/// An image with the program and what was made of it.
struct Docker {
    name: String,
}

impl Docker {
    /// None where no engine starts a container.
    fn prepared(directory: &Path) -> Option<Self> {
        match attempt(docker().args(["version", "--format", "{{.Server.Version}}"])) {
            Ok(version) => eprintln!("Docker Engine {version}"),
            Err(error) => {
                eprintln!("not tested: no Docker Engine answers: {error}");
                return None;
            }
        }
        fs::write(directory.join("program.rs"), PROGRAM).unwrap();
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut build = Command::new(rustc);
        build.current_dir(directory).args(["--edition=2024", "-Ctarget-feature=+crt-static", "program.rs"]);
        succeeded(&mut build);
        succeeded(Command::new("tar").current_dir(directory).args(["-cf", "image.tar", "program"]));
        let made = Self { name: format!("lictor-test-{}", process::id()) };
        let image = directory.join("image.tar");
        let tried = attempt(docker().arg("import").arg(image).arg(&made.name))
            .and_then(|_| attempt(docker().args(["run", "--rm", "--network=none", &made.name, "/program", "0"])));
        if let Err(error) = tried {
            eprintln!("not tested: the Docker Engine here starts no container: {error}");
            return None;
        }
        Some(made)
    }

    fn run(&self, arguments: &[&str]) -> String {
        succeeded(docker().args(arguments))
    }

    /// The name of a second container.
    fn other(&self) -> String {
        format!("{}-other", self.name)
    }

    fn start_container(&self, container: &str) -> String {
        self.run(&["run", "-d", "--network=none", "--name", container, &self.name, "/program", "wait"])
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        for arguments in [["rm", "-f", &self.name], ["rm", "-f", &self.other()], ["rmi", "-f", &self.name]] {
            if let Err(error) = attempt(docker().args(arguments)) {
                eprintln!("not removed: {error}");
            }
        }
    }
}

/// Waits until the check has this status, and all of `words` in its output.
fn wait_for(agent: &Agent, check: &str, status: &str, words: &[&str]) -> String {
    wait::until(&format!("{check} is {status} and says {words:?}"), CHECK_LIMIT, || {
        let checks = agent.http().json("/v1/agent/checks")?;
        let (found, output) = (&checks[check]["Status"], checks[check]["Output"].as_str().unwrap_or_default());
        let as_wanted = found == status && words.iter().all(|word| output.contains(word));
        wait::ensure(as_wanted, || format!("{found}: {}", output.chars().take(300).collect::<String>()))?;
        Ok::<_, String>(output.to_owned())
    })
}

#[test]
fn checks_inside_a_container() {
    let directory = TempDir::new().unwrap();
    let Some(docker) = Docker::prepared(directory.path()) else { return };
    let id = docker.start_container(&docker.name);
    let agent = Agent::dev("node-a").argument("-enable-script-checks").started();
    let register = |check: &str, container: &str, command: &[&str]| {
        let body = json!({"ID": check, "Name": check, "DockerContainerID": container, "Args": command,
            "Interval": "200ms", "Timeout": "2s"});
        agent.http().put("/v1/agent/check/register", &body).unwrap();
    };
    register("passes", &docker.name, &["/program", "0"]);
    register("by-id", &id, &["/program", "0"]);
    register("warns", &docker.name, &["/program", "1"]);
    register("fails", &docker.name, &["/program", "7"]);
    register("says-much", &docker.name, &["/program", "much"]);
    register("hangs", &docker.name, &["/program", "wait"]);
    register("no-program", &docker.name, &["/no/such/program"]);
    register("no-container", "lictor-test-nobody", &["/program", "0"]);

    wait_for(&agent, "passes", "passing", &["out 0\n", "err 0\n"]);
    wait_for(&agent, "by-id", "passing", &["out 0\n"]);
    wait_for(&agent, "warns", "warning", &["out 1\n", "err 1\n"]);
    wait_for(&agent, "fails", "critical", &["out 7\n"]);
    let much = wait_for(&agent, "says-much", "passing", &["the end"]);
    assert!(much.len() < 5_000, "{} bytes of output", much.len());
    wait_for(&agent, "hangs", "critical", &["no answer within 2s"]);
    agent.http().put("/v1/agent/check/deregister/hangs", &Value::Null).unwrap();
    wait_for(&agent, "no-program", "critical", &["/no/such/program"]);
    wait_for(&agent, "no-container", "critical", &["404", "No such container: lictor-test-nobody"]);

    // No check of this container has begun when it is paused: one that is just starting keeps runc waiting for ever, and
    // the engine with it.
    let other = docker.other();
    docker.start_container(&other);
    docker.run(&["pause", &other]);
    register("in-other", &other, &["/program", "0"]);
    wait_for(&agent, "in-other", "critical", &["409", "is paused"]);
    docker.run(&["unpause", &other]);
    wait_for(&agent, "in-other", "passing", &["out 0\n"]);

    docker.run(&["stop", "--time=0", &docker.name]);
    wait_for(&agent, "passes", "critical", &["409", "is not running"]);
    docker.run(&["start", &docker.name]);
    wait_for(&agent, "passes", "passing", &["out 0\n"]);
    // A new container of the same name.
    docker.run(&["rm", "-f", &docker.name]);
    wait_for(&agent, "passes", "critical", &["404", "No such container"]);
    docker.start_container(&docker.name);
    wait_for(&agent, "passes", "passing", &["out 0\n"]);
    wait_for(&agent, "by-id", "critical", &["404"]);
}
