//! `lictor lock` as scripts use it, with real processes and a real agent: who runs while others do not, and what ends it.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

const LICTOR: &str = env!("CARGO_BIN_EXE_lictor");
/// How long anything may take before a test fails.
const LIMIT: Duration = Duration::from_secs(40);

fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// An agent that is a server alone and keeps nothing on the disk.
struct Agent {
    process: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Agent {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Held all at once, so that they differ.
        let held: Vec<TcpListener> = (0..6).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(held);
        let flags = ["http", "dns", "serf-lan", "serf-wan", "server", "grpc"];
        let mut command = Command::new(LICTOR);
        command.args(["agent", "-dev", "-node=one", "-bind=127.0.0.1"]);
        command.args(flags.iter().zip(&ports).map(|(name, port)| format!("-{name}-port={port}")));
        let log = fs::File::create(directory.path().join("agent.log")).unwrap();
        let process = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let agent = Self { process, address: ([127, 0, 0, 1], ports[0]).into(), directory };
        until("the agent's node is there", || {
            agent.ask("GET", "/v1/health/node/one", "").filter(|it| it.contains("serfHealth"))
        });
        agent
    }

    /// The body of an answer with status 200.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }

    fn lock(&self, arguments: &[&str]) -> Lock {
        let mut command = Command::new(LICTOR);
        for variable in ["CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_SSL", "CONSUL_HTTP_AUTH", "SHELL"]
        {
            command.env_remove(variable);
        }
        command.arg("lock").args(arguments).env("CONSUL_HTTP_ADDR", self.address.to_string());
        let process = command.current_dir(self.directory.path()).stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        Lock(process.unwrap())
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn sessions(&self) -> Vec<String> {
        let sessions: serde_json::Value =
            serde_json::from_str(&self.ask("GET", "/v1/session/list", "").unwrap()).unwrap();
        sessions.as_array().unwrap().iter().map(|session| session["ID"].as_str().unwrap().to_owned()).collect()
    }

    fn has(&self, key: &str) -> bool {
        self.ask("GET", &format!("/v1/kv/{key}"), "").is_some()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A running `lictor lock`.
struct Lock(Child);

impl Lock {
    fn end(&mut self) -> (ExitStatus, String) {
        let status = until("the lock command ends", || self.0.try_wait().unwrap());
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }

    fn signal(&self, name: &str) {
        let signalled = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap();
        assert!(signalled.success());
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The most that were between their `+` and their `-` at the same time.
fn most_at_once(path: &Path) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in lines(path) {
        now = if line == "+" { now + 1 } else { now - 1 };
        most = most.max(now);
    }
    assert_eq!(now, 0);
    most
}

const IN_AND_OUT: &str = "echo + >> trace; sleep 0.3; echo - >> trace";

#[test]
fn two_never_hold_a_lock_at_the_same_time() {
    let agent = Agent::start();
    let mut locks: Vec<Lock> = (0..4).map(|_| agent.lock(&["jobs/backup", IN_AND_OUT])).collect();
    for lock in &mut locks {
        let (status, said) = lock.end();
        assert!(status.success(), "{status} {said}");
    }
    assert_eq!((lines(&agent.file("trace")).len(), most_at_once(&agent.file("trace"))), (8, 1));
    assert!(!agent.has("jobs/backup/.lock") && agent.sessions().is_empty(), "nothing is left");
}

#[test]
fn a_semaphore_lets_in_as_many_as_it_has_places() {
    let agent = Agent::start();
    let child = "echo + >> trace; sleep 1; echo - >> trace";
    let mut locks: Vec<Lock> = (0..5).map(|_| agent.lock(&["-n=2", "jobs/import", child])).collect();
    for lock in &mut locks {
        let (status, said) = lock.end();
        assert!(status.success(), "{status} {said}");
    }
    assert_eq!((lines(&agent.file("trace")).len(), most_at_once(&agent.file("trace"))), (10, 2));
    assert!(!agent.has("jobs/import/?keys"), "nothing is left");
}

#[test]
fn a_lock_that_is_lost_ends_the_child_and_what_it_started() {
    let agent = Agent::start();
    // One that asks for mercy and one that does not hear.
    let child = "trap '' TERM; (trap '' TERM; while :; do echo x >> alive; sleep 0.1; done) & echo in >> trace; wait";
    for arguments in [&["jobs/a", child][..], &["-n=3", "jobs/b", child]] {
        let _ = fs::remove_file(agent.file("trace"));
        let mut lock = agent.lock(arguments);
        until("the child runs", || lines(&agent.file("trace")).first().cloned());
        assert_eq!(agent.sessions().len(), 1);
        let begun = Instant::now();
        agent.ask("PUT", &format!("/v1/session/destroy/{}", agent.sessions()[0]), "").unwrap();
        let (status, said) = lock.end();
        assert!(status.code() == Some(1) && said.contains("Lock lost"), "{status} {said}");
        assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
        let before = lines(&agent.file("alive")).len();
        thread::sleep(Duration::from_millis(500));
        assert_eq!(lines(&agent.file("alive")).len(), before, "what the child started lives on");
    }
}

#[test]
fn a_signal_ends_the_child_and_gives_the_lock_back() {
    let agent = Agent::start();
    for signal in ["INT", "TERM"] {
        let _ = fs::remove_file(agent.file("trace"));
        let child =
            "trap 'echo ended >> trace; exit 0' TERM; echo $CONSUL_LOCK_HELD >> trace; while :; do sleep 0.05; done";
        let mut lock = agent.lock(&["jobs/a", child]);
        until("the child runs", || lines(&agent.file("trace")).first().cloned());
        let begun = Instant::now();
        lock.signal(signal);
        let (status, said) = lock.end();
        assert!(status.success(), "{signal}: {status} {said}");
        assert_eq!(lines(&agent.file("trace")), ["true", "ended"], "{signal}");
        assert!(!agent.has("jobs/a/.lock") && agent.sessions().is_empty(), "{signal}");
        // Without the delay of a lock that was lost.
        let (status, said) = agent.lock(&["jobs/a", "true"]).end();
        assert!(status.success() && begun.elapsed() < Duration::from_secs(10), "{signal}: {said}");
    }
}

#[test]
fn the_exit_code_says_what_happened() {
    let agent = Agent::start();
    let mut holding = agent.lock(&["held", "echo in >> trace; sleep 60"]);
    until("it is held", || lines(&agent.file("trace")).first().cloned());
    agent.ask("PUT", "/v1/kv/foreign/.lock?flags=7", "mine").unwrap();
    for (arguments, code, part) in [
        (&["a", "exit 7"][..], 0, ""),
        (&["-child-exit-code", "a", "exit 7"], 2, ""),
        (&["-child-exit-code", "a", "exit 0"], 0, ""),
        (&["-child-exit-code=true", "-shell=false", "a", "sh", "-c", "exit 3"], 2, ""),
        (&["-verbose", "a", "true"], 0, "Attempting lock acquisition\n"),
        (&["-timeout=300ms", "held", "true"], 1, "timeout during lock acquisition"),
        (&["-try=300ms", "held", "true"], 1, "timeout during lock acquisition"),
        (&["-timeout=10", "held", "true"], 1, "-timeout: "),
        (&["-n=0", "held", "true"], 1, "Lock holder limit must be positive"),
        (&["foreign", "true"], 1, "Existing key does not match lock use"),
        (&["-n=2", "foreign", "true"], 1, "Existing key does not match semaphore use"),
        (&["a"], 1, "<CHILD>"),
        (&["-shell=false", "a", "/nonexistent/program"], 1, "/nonexistent/program"),
    ] {
        let (status, said) = agent.lock(arguments).end();
        assert!(status.code() == Some(code) && said.contains(part), "{arguments:?}: {status} {said}");
    }
    assert_eq!(
        agent.ask("GET", "/v1/kv/foreign/?keys", "").unwrap(),
        r#"["foreign/.lock"]"#,
        "nothing of ours is left"
    );
    assert_eq!(agent.ask("GET", "/v1/kv/foreign/.lock?raw", "").unwrap(), "mine");
    holding.signal("TERM");
    holding.end();
}

#[test]
fn standard_input_is_passed_on_request_and_an_agent_that_is_gone_is_an_error() {
    let agent = Agent::start();
    for (flag, expected) in [("-pass-stdin", "hello"), ("-pass-stdin=false", "")] {
        let mut command = Command::new(LICTOR);
        command.args(["lock", flag, "a", "cat > input"]).env("CONSUL_HTTP_ADDR", agent.address.to_string());
        let mut process =
            command.current_dir(agent.directory.path()).stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        // A child that does not read has perhaps ended before.
        let _ = process.stdin.take().unwrap().write_all(b"hello");
        assert!(process.wait().unwrap().success());
        assert_eq!(fs::read_to_string(agent.file("input")).unwrap(), expected, "{flag}");
    }
    let mut lock = agent.lock(&["-monitor-retry=1", "a", "echo in >> trace; sleep 60"]);
    until("it is held", || lines(&agent.file("trace")).first().cloned());
    drop(agent);
    let (status, said) = lock.end();
    assert!(status.code() == Some(1) && said.contains("Lock lost: "), "{status} {said}");
}
