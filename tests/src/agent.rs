//! One `lictor agent`: its flags, its directory, its ports, its starts and its ends.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{binary, dns, http, namespaces::Host, ports::Ports, process::Process, wait};

/// Longest time a graceful end may take.
const END_LIMIT: Duration = Duration::from_secs(15);
/// Longest time from the start of an agent until it answers HTTP.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What a process has of memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At most so far.
    pub peak: u64,
}

/// An agent that may be started, ended, and started again with the same command line, ports and data directory.
#[derive(Debug)]
pub struct Agent {
    /// Its node name.
    pub name: String,
    /// Its ports.
    pub ports: Ports,
    // Before the directory: the process ends before its files go.
    process: Option<Process>,
    directory: TempDir,
    binary: &'static str,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    address: Ipv4Addr,
    namespace: Option<String>,
    token: Option<&'static str>,
    descriptors: Option<u64>,
}

impl Agent {
    /// A single server without a data directory.
    #[must_use]
    pub fn dev(name: &str) -> Self {
        Self::new(name).argument("-dev")
    }

    /// A server that forms a cluster with `expect` servers in all.
    #[must_use]
    pub fn server(name: &str, expect: usize) -> Self {
        Self::new(name).with_data_directory().argument("-server").argument(format!("-bootstrap-expect={expect}"))
    }

    /// A sidecar.
    #[must_use]
    pub fn sidecar(name: &str) -> Self {
        Self::new(name).with_data_directory()
    }

    /// A sidecar that is run by its own slim binary.
    #[must_use]
    pub fn slim_sidecar(name: &str) -> Self {
        let mut agent = Self::sidecar(name);
        agent.binary = "lictor-sidecar";
        agent.arguments.remove(0);
        agent
    }

    /// An agent that its files tell everything, its ports too: nothing but a `-config-dir` is on its command line.
    #[must_use]
    pub fn of_files(name: &str) -> Self {
        let mut agent = Self::new(name);
        agent.arguments.truncate(1);
        agent.with_config_directory()
    }

    fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("lictor-test-").tempdir();
        let directory = directory.unwrap_or_else(|error| panic!("a temporary directory: {error}"));
        let ports = Ports::free();
        let mut arguments =
            vec!["agent".into(), format!("-node={name}"), "-bind=127.0.0.1".into(), "-log-level=info".into()];
        arguments.extend(ports.flags());
        let (environment, address, namespace, descriptors) = (Vec::new(), Ipv4Addr::LOCALHOST, None, None);
        let (name, binary, token) = (name.into(), "lictor", None);
        Self {
            name,
            ports,
            process: None,
            directory,
            binary,
            arguments,
            environment,
            address,
            namespace,
            token,
            descriptors,
        }
    }

    /// Runs on a host of its own, all its interfaces at that host's address.
    #[must_use]
    pub fn on(mut self, host: &Host) -> Self {
        let loopback = format!("-bind={}", self.address);
        self.arguments.retain(|argument| *argument != loopback);
        (self.address, self.namespace) = (host.address, Some(host.namespace.clone()));
        self.argument(format!("-bind={}", host.address)).argument(format!("-client={}", host.address))
    }

    /// What its environment has besides the test's own, from the next start on.
    pub fn set_environment(&mut self, variables: &[(&str, String)]) {
        self.environment = variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    }

    /// Its address at this port.
    #[must_use]
    pub fn address(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }

    fn with_data_directory(self) -> Self {
        let directory = self.data_directory();
        self.argument(format!("-data-dir={}", directory.display()))
    }

    /// Adds an argument of its command line.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The test shows this token where it asks it.
    #[must_use]
    pub fn shown(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    /// Answers DNS on this port instead of a free one.
    #[must_use]
    pub fn with_dns_port(mut self, port: u16) -> Self {
        let free = format!("-dns-port={}", self.ports.dns);
        self.arguments.retain(|argument| *argument != free);
        self.ports.dns = port;
        self.argument(format!("-dns-port={port}"))
    }

    /// Has no more than so many descriptors.
    #[must_use]
    pub fn with_descriptors(mut self, descriptors: u64) -> Self {
        self.descriptors = Some(descriptors);
        self
    }

    /// Has no HTTP interface.
    #[must_use]
    pub fn without_http(mut self) -> Self {
        let free = format!("-http-port={}", self.ports.http);
        self.arguments.retain(|argument| *argument != free);
        self.argument("-http-port=-1")
    }

    /// Adds a `-retry-join` for each of `agents`.
    #[must_use]
    pub fn joining<'a>(self, agents: impl IntoIterator<Item = &'a Ports>) -> Self {
        self.joining_at(agents.into_iter().map(|ports| (Ipv4Addr::LOCALHOST, ports.serf_lan).into()))
    }

    /// Adds a `-retry-join` for each of these gossip addresses.
    #[must_use]
    pub fn joining_at(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.arguments.push("-retry-interval=1s".into());
        self.arguments.extend(addresses.into_iter().map(|address| format!("-retry-join={address}")));
        self
    }

    /// Adds a `-config-dir` of its own, empty until [`Agent::write_file`].
    ///
    /// # Panics
    /// The directory cannot be made.
    #[must_use]
    pub fn with_config_directory(self) -> Self {
        let directory = self.config_directory();
        fs::create_dir_all(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        self.argument(format!("-config-dir={}", directory.display()))
    }

    /// Where its configuration files are, if it has any.
    #[must_use]
    pub fn config_directory(&self) -> PathBuf {
        self.directory.path().join("config")
    }

    /// Where its data is, if it has any.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A directory of the test's own that goes with the agent.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file of its configuration directory; it counts from the next start or reload on.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write_file(&self, name: &str, text: &str) {
        let path = self.config_directory().join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Removes a file of its configuration directory.
    ///
    /// # Panics
    /// It cannot be removed.
    pub fn remove_file(&self, name: &str) {
        let path = self.config_directory().join(name);
        fs::remove_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Starts it, without waiting for anything.
    ///
    /// # Panics
    /// It runs already, or cannot be started.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let binary = binary::path(self.binary);
        // What is started first becomes the agent: the process that is started is the one that is signalled.
        let mut command = match (&self.namespace, self.descriptors) {
            (None, None) => Command::new(binary),
            (None, Some(descriptors)) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(format!("ulimit -n {descriptors} && exec \"$@\"")).arg("sh").arg(binary);
                command
            }
            (Some(namespace), _) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={namespace}")).arg("--").arg(binary);
                command
            }
        };
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start(&self.name, self.directory.path(), &mut command));
    }

    /// Starts it and waits until it answers HTTP.
    ///
    /// # Panics
    /// As [`Agent::start`], and if it does not answer in time or ends.
    #[must_use]
    pub fn started(mut self) -> Self {
        self.start();
        self.wait_for_http();
        self
    }

    /// Waits until it answers HTTP and knows a leader.
    ///
    /// # Panics
    /// It does not in time, or it has ended.
    pub fn wait_for_http(&mut self) {
        let client = self.http();
        let (name, process) = (&self.name, self.process.as_mut());
        let Some(process) = process else { panic!("{name} is not running") };
        wait::until(&format!("{name} answers and knows a leader"), START_LIMIT, || {
            if let Some(status) = process.exit_status() {
                panic!("{name} ended: {status}");
            }
            let leader = client.json("/v1/status/leader")?;
            wait::ensure(leader.as_str().is_some_and(|leader| !leader.is_empty()), || format!("leader {leader}"))
        });
    }

    /// Whether it runs, as far as the test has not ended it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Its process ID.
    ///
    /// # Panics
    /// It is not running.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let Some(process) = self.process.as_ref() else { panic!("{} is not running", self.name) };
        process.id()
    }

    /// Sends a signal and waits for nothing.
    ///
    /// # Panics
    /// It is not running.
    pub fn signal(&mut self, signal: Signal) {
        let Some(process) = self.process.as_mut() else { panic!("{} is not running", self.name) };
        process.signal(signal);
    }

    /// What it has of memory; nothing where it does not run.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            kib.unwrap_or(0) << 10
        };
        Memory { resident: field("VmRSS:"), peak: field("VmHWM:") }
    }

    /// How many descriptors it has open.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.pid());
        fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}")).count()
    }

    /// Stops it where it is (SIGSTOP), until SIGCONT: its sockets stay open and nothing comes back.
    ///
    /// # Panics
    /// It does not stop.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.pid());
        // The signal is sent, and each thread stops when its processor sees to it.
        wait::until("every thread has stopped", Duration::from_secs(10), || {
            let stopped = |thread: &Path| {
                let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
                stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
            };
            let threads = fs::read_dir(&threads).map_err(|error| error.to_string())?;
            let running = threads.flatten().filter(|thread| !stopped(&thread.path())).count();
            wait::ensure(running == 0, || format!("{running} run"))
        });
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Panics
    /// It is not running, or does not end in time.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }

    /// Whether it ends within that time, for whatever reason.
    ///
    /// # Panics
    /// It is not running.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        let Some(process) = self.process.as_mut() else { panic!("{} is not running", self.name) };
        wait::attempt(limit, || process.exit_status().ok_or("still running")).is_ok()
    }

    /// Waits for an end that something else has caused.
    ///
    /// # Panics
    /// It is not running, or does not end in time.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let Some(process) = self.process.as_mut() else { panic!("{} is not running", self.name) };
        let status = process.wait(END_LIMIT);
        self.process = None;
        status
    }

    /// What it has written to stderr and stdout since its start.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(|process| process.log() + &process.output()).unwrap_or_default()
    }

    /// Runs `lictor` with these arguments and `-http-addr` of this agent.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Output {
        let address = format!("-http-addr={}", self.address(self.ports.http));
        let mut command = Command::new(binary::path("lictor"));
        command.args(arguments).arg(address);
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Its HTTP API.
    #[must_use]
    pub fn http(&self) -> http::Client {
        http::Client::at(self.address(self.ports.http)).showing(self.token)
    }

    /// Its DNS.
    #[must_use]
    pub fn dns(&self) -> dns::Client {
        dns::Client::at(self.address(self.ports.dns))
    }

    /// The IDs of the passing instances of `service` as its HTTP API has them, sorted.
    ///
    /// # Errors
    /// No answer, or one with another status.
    pub fn passing(&self, service: &str) -> Result<Vec<String>, String> {
        let entries = self.http().json(&format!("/v1/health/service/{service}?passing"))?;
        Ok(texts(&entries, "/Service/ID"))
    }

    /// The status of a check of `node`, none where there is no such node or check.
    ///
    /// # Errors
    /// No answer, or one with another status.
    pub fn check_status(&self, node: &str, check: &str) -> Result<Option<String>, String> {
        let checks = self.http().json(&format!("/v1/health/node/{node}"))?;
        let found = checks.as_array().into_iter().flatten().find(|row| row["CheckID"] == check);
        Ok(found.and_then(|row| row["Status"].as_str()).map(str::to_owned))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!("--- {} was: {} {}", self.name, self.binary, self.arguments.join(" "));
        }
    }
}

/// The texts at `pointer` (RFC 6901) of each row of a JSON list, sorted.
#[must_use]
pub fn texts(rows: &Value, pointer: &str) -> Vec<String> {
    let rows = rows.as_array().into_iter().flatten();
    let mut texts: Vec<String> = rows.filter_map(|row| row.pointer(pointer)?.as_str()).map(str::to_owned).collect();
    texts.sort_unstable();
    texts
}
