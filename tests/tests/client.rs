//! An application: `hello-client` calls every passing `hello` through it all.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{process::Command, time::Duration};

use lictor_tests::{agent::Agent, binary, cluster::Cluster, ports, process::Process, wait};
use rustix::process::Signal;
use serde_json::json;

/// Longest time until the client has seen a change; the longest is the detection of a killed sidecar (15 s).
const SEEN_LIMIT: Duration = Duration::from_secs(25);

#[test]
fn a_client_survives_the_loss_of_the_leader_and_of_sidecars() {
    let mut cluster = Cluster::start(3, 2);
    let mut instances = [Instance::start(&cluster.sidecars[0], 1), Instance::start(&cluster.sidecars[1], 2)];
    let mut client = Client(Process::start(
        "hello-client",
        cluster.sidecars[1].directory(),
        Command::new(binary::path("hello-client"))
            .arg(format!("--agent=127.0.0.1:{}", cluster.sidecars[1].ports.http))
            .args(["--service=hello", "--interval=20ms", "--verbose"]),
    ));
    client.wait_for_hosts(&instances, &[true, true]);

    // An instance ends and starts again.
    instances[0].process.kill();
    client.wait_for_hosts(&instances, &[false, true]);
    instances[0] = Instance::run(&cluster.sidecars[0], 1, instances[0].port);
    client.wait_for_hosts(&instances, &[true, true]);

    // The leader is killed: no host leaves, and calls go on until there is a new one.
    let (leader, before) = (cluster.leader(), client.changes());
    cluster.servers[leader].kill();
    let _new_leader = cluster.leader();
    client.wait_for_calls(50);
    assert_eq!(client.changes(), before, "the loss of the leader changed the hosts");
    cluster.servers[leader].start();
    cluster.wait_until_complete();

    // The sidecar of the first instance is killed: its host is not known to be healthy any more.
    cluster.sidecars[0].kill();
    client.wait_for_hosts(&instances, &[false, true]);
    cluster.sidecars[0].start();
    client.wait_for_hosts(&instances, &[true, true]);

    // The client's own sidecar is killed: it keeps its hosts and calls on, and hears news again when it is back.
    cluster.sidecars[1].kill();
    client.wait_for_calls(50);
    cluster.sidecars[1].start();
    cluster.wait_until_complete();
    client.wait_for_hosts(&instances, &[true, true]);
    instances[0].process.kill();
    client.wait_for_hosts(&instances, &[false, true]);

    client.0.signal(Signal::TERM);
    let status = client.0.wait(SEEN_LIMIT);
    assert!(status.success(), "{status}");
    let output = client.0.output();
    let counts = output.lines().last().unwrap_or_default();
    assert!(counts.starts_with("calls ") && counts.ends_with(" failed 0"), "{counts}");
}

/// One `hello` process and its registration.
struct Instance {
    process: Process,
    port: u16,
}

impl Instance {
    /// Starts it and registers it at the agent of its host.
    fn start(agent: &Agent, number: usize) -> Self {
        let port = ports::free();
        let check = json!({"TCP": format!("127.0.0.1:{port}"), "Interval": "500ms", "Timeout": "1s"});
        let service = json!({"ID": format!("hello-{number}"), "Name": "hello", "Port": port, "Check": check});
        agent.http().put("/v1/agent/service/register", &service).unwrap();
        Self::run(agent, number, port)
    }

    fn run(agent: &Agent, number: usize, port: u16) -> Self {
        let name = format!("hello-{number}");
        let mut command = Command::new(binary::path("hello"));
        command.arg(format!("--listen=127.0.0.1:{port}")).arg(format!("--name={name}"));
        Self { process: Process::start(&name, agent.directory(), &mut command), port }
    }
}

struct Client(Process);

impl Client {
    /// The lines that say that a host came or went.
    fn changes(&self) -> Vec<String> {
        let output = self.0.output();
        let lines = output.lines().filter(|line| line.starts_with("add host ") || line.starts_with("delete host "));
        lines.map(str::to_owned).collect()
    }

    fn answers(&self) -> usize {
        self.0.output().lines().filter(|line| line.contains(" hello from ")).count()
    }

    /// Waits until the last that was printed of each instance is that it came, or that it went.
    fn wait_for_hosts(&self, instances: &[Instance; 2], wanted: &[bool; 2]) {
        wait::until(&format!("the client's hosts are {wanted:?}"), SEEN_LIMIT, || {
            let changes = self.changes();
            let is_host = |port: u16| {
                let last = changes.iter().rfind(|line| line.ends_with(&format!(":{port}")));
                last.is_some_and(|line| line.starts_with("add "))
            };
            let hosts = [is_host(instances[0].port), is_host(instances[1].port)];
            wait::ensure(hosts == *wanted, || format!("{hosts:?}: {changes:?}"))
        });
    }

    /// Waits until so many more calls have been answered.
    fn wait_for_calls(&self, count: usize) {
        let before = self.answers();
        wait::until("calls are answered", SEEN_LIMIT, || {
            let more = self.answers() - before;
            wait::ensure(more >= count, || format!("{more} of {count}"))
        });
    }
}
