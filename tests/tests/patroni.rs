//! Patroni elects PostgreSQL's leader by a session and a key of Lictor's, as in `third-party/patroni.yaml`: the first
//! one leads, another follows, the lock of one that was killed goes to the other in time, who finds all that was
//! written, and one that comes back follows. A change of Lictor's own leader disturbs none of it.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lictor_tests::{agent::Agent, cluster::Cluster, http::Client, installed, ports, process::Process, wait};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

const CONFIGURATION: &str = include_str!("../third-party/patroni.yaml");
const SCOPE: &str = "orders";
/// Where Debian has the programs of each version of PostgreSQL.
const VERSIONS: &str = "/usr/lib/postgresql";
/// PostgreSQL does not run as root.
const USER: &str = "postgres";
/// Longest time until a server is there, from nothing or as a copy, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Twice the session's time to live of 10 s (half of Patroni's), and Patroni's own time.
const FAIL_OVER_LIMIT: Duration = Duration::from_secs(60);

/// What runs them.
struct Programs {
    patroni: PathBuf,
    postgresql: PathBuf,
    /// As whom, where this is root.
    user: Option<(u32, u32)>,
}

impl Programs {
    fn find() -> Option<Self> {
        let patroni = installed::find("patroni", "patroni python3-consul postgresql")?;
        let newest =
            fs::read_dir(VERSIONS).ok()?.filter_map(Result::ok).map(|version| version.path().join("bin")).max();
        let postgresql = newest.unwrap_or_else(|| panic!("there is nothing in {VERSIONS}"));
        let user = geteuid().is_root().then(|| {
            let known = fs::read_to_string("/etc/passwd").unwrap();
            let line = known.lines().find(|line| line.starts_with(&format!("{USER}:"))).unwrap().to_owned();
            let numbers: Vec<u32> = line.split(':').skip(2).take(2).map(|number| number.parse().unwrap()).collect();
            (numbers[0], numbers[1])
        });
        Some(Self { patroni, postgresql, user })
    }

    /// A command as PostgreSQL's user.
    fn command(&self, program: &Path) -> Command {
        let Some((user, group)) = self.user else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".into()]).arg(program);
        command
    }
}

/// A PostgreSQL server and the Patroni that looks after it.
struct Member<'a> {
    programs: &'a Programs,
    name: &'static str,
    directory: PathBuf,
    port: u16,
    rest: Client,
    process: Option<Process>,
}

impl<'a> Member<'a> {
    fn new(programs: &'a Programs, name: &'static str, within: &Path, agent: &Agent) -> Self {
        let directory = within.join(name);
        fs::create_dir(&directory).unwrap();
        let (port, rest) = (ports::free(), ports::free());
        let filled = [
            ("REST_PORT", rest.to_string()),
            ("PORT", port.to_string()),
            ("SCOPE", SCOPE.into()),
            ("NAME", name.into()),
            ("AGENT", format!("127.0.0.1:{}", agent.ports.http)),
            ("DIRECTORY", directory.display().to_string()),
            ("BINARIES", programs.postgresql.display().to_string()),
        ];
        let configuration =
            filled.iter().fold(CONFIGURATION.to_owned(), |text, (name, value)| text.replace(name, value));
        fs::write(directory.join("patroni.yaml"), configuration).unwrap();
        if let Some((user, group)) = programs.user {
            chown(&directory, Some(user), Some(group)).unwrap();
        }
        Self { programs, name, directory, port, rest: Client::new(rest), process: None }
    }

    fn start(&mut self) {
        let mut command = self.programs.command(&self.programs.patroni);
        command.arg(self.directory.join("patroni.yaml")).current_dir(&self.directory);
        self.process = Some(Process::start(self.name, &self.directory, &mut command));
    }

    /// As if its host had lost its power.
    fn kill(&mut self) {
        self.process.as_mut().unwrap().kill();
        self.kill_postgresql();
    }

    fn kill_postgresql(&self) {
        let Ok(file) = fs::read_to_string(self.directory.join("data/postmaster.pid")) else { return };
        let id = file.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            // It may have ended.
            let _ = kill_process(id, Signal::KILL);
        }
    }

    /// Whether Patroni says that it is in this role.
    fn is(&self, role: &str) -> Result<(), String> {
        let answer = self.rest.get(&format!("/{role}"))?;
        wait::ensure(answer.status == 200, || format!("{} {}", answer.status, answer.text()))
    }

    fn wait_until(&self, role: &str, within: Duration) {
        wait::until(&format!("{} is a {role}", self.name), within, || self.is(role));
    }

    fn sql(&self, statement: &str) -> Result<String, String> {
        let mut command = self.programs.command(&self.programs.postgresql.join("psql"));
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            "postgres",
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
        ]);
        let output = command.current_dir(&self.directory).args(["-c", statement]).output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    fn wait_for_orders(&self, orders: &str) {
        wait::until(&format!("{} has the orders {orders}", self.name), START_LIMIT, || {
            let found = self.sql("SELECT string_agg(name, ',' ORDER BY name) FROM orders")?;
            wait::ensure(found == orders, || found)
        });
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.process.take();
        self.kill_postgresql();
    }
}

/// The port of the leader by the sidecar's DNS: Patroni registers its members under their roles.
fn wait_for_primary(agent: &Agent, member: &Member<'_>) {
    wait::until(&format!("DNS names {}", member.name), START_LIMIT, || {
        let ports = agent.dns().ports(&format!("primary.{SCOPE}.service.consul."))?;
        wait::ensure(ports == [member.port], || format!("{ports:?}"))
    });
}

#[test]
fn patroni_elects_fails_over_and_comes_back() {
    let Some(programs) = Programs::find() else { return };
    let mut cluster = Cluster::start(3, 2);
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut first = Member::new(&programs, "pg-1", directory.path(), &cluster.sidecars[0]);
    let mut second = Member::new(&programs, "pg-2", directory.path(), &cluster.sidecars[1]);

    first.start();
    first.wait_until("primary", START_LIMIT);
    first.sql("CREATE TABLE orders (name text)").unwrap();
    first.sql("INSERT INTO orders VALUES ('a')").unwrap();
    second.start();
    second.wait_until("replica", START_LIMIT);
    second.wait_for_orders("a");
    wait_for_primary(&cluster.sidecars[1], &first);

    let leader = cluster.leader();
    cluster.servers[leader].kill();
    // Longer than the session lives without its renewals.
    wait::hold("the leader stays what it is while Lictor's own changes", Duration::from_secs(25), || {
        first.is("primary")
    });
    cluster.servers[leader].start();
    first.sql("INSERT INTO orders VALUES ('b')").unwrap();
    second.wait_for_orders("a,b");

    first.kill();
    second.wait_until("primary", FAIL_OVER_LIMIT);
    // It has the lock a moment before it is promoted.
    wait::until("the heir takes an order", START_LIMIT, || second.sql("INSERT INTO orders VALUES ('c')"));
    wait_for_primary(&cluster.sidecars[0], &second);

    first.start();
    first.wait_until("replica", START_LIMIT);
    first.wait_for_orders("a,b,c");
    second.is("primary").unwrap();
}
