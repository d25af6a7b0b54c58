//! The host's own resolver: `/etc/resolv.conf` names an agent on port 53, and programs that know nothing of it find
//! services and the rest of the world by it.
//!
//! In network and mount namespaces of its own, which only root, or a kernel that lets users make namespaces, can have;
//! elsewhere the test says so and ends. The test program starts itself again inside them: the part inside
//! is [`inside`], which does nothing otherwise.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    env, fs,
    process::{Command, Output},
    time::Duration,
};

use lictor_tests::{agent::Agent, upstream::Upstream, wait, web::Web};
use serde_json::json;

/// Set for the test program inside the namespaces: a directory for the files that are put over the host's own.
const INSIDE: &str = "LICTOR_TESTS_INSIDE_A_NAMESPACE";
/// Longest time until an agent answers DNS from the catalog.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Instances of the service that no datagram holds.
const MANY: usize = 100;

/// How namespaces are made: as root, or as a user who is root in there.
const WAYS: [&[&str]; 2] = [&["--net", "--mount"], &["--net", "--mount", "--map-root-user"]];

#[test]
fn programs_find_services_by_the_resolver_of_the_host() {
    let possible = |way: &&&[&str]| {
        let script = "ip link set lo up && mount --bind /etc/hostname /etc/resolv.conf";
        Command::new("unshare").args(**way).args(["sh", "-c", script]).output().is_ok_and(|made| made.status.success())
    };
    let missing = |name: &&&str| Command::new(**name).arg("--version").output().is_err();
    if let Some(missing) = ["ip", "dig", "curl", "getent"].iter().find(missing) {
        eprintln!("not tested: there is no `{missing}` here (Debian: iproute2, bind9-dnsutils, curl, libc-bin)");
        return;
    }
    let Some(way) = WAYS.iter().find(possible) else {
        eprintln!("not tested: no network namespace can be made here (as root: `unshare --net --mount`)");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    fs::write(directory.path().join("resolv.conf"), "nameserver 127.0.0.1\nsearch service.consul\n").unwrap();
    fs::write(directory.path().join("nsswitch.conf"), "hosts: files dns\n").unwrap();
    // glibc asks for IPv4 addresses only where there is one that is not the loopback's.
    let script = format!(
        "set -e; ip link set lo up; ip address add 198.18.0.1/32 dev lo; for file in resolv nsswitch; do mount --bind {path}/$file.conf /etc/$file.conf; done; \
         exec \"$0\" --exact inside --nocapture"
    );
    let test = env::current_exe().unwrap();
    let ran = Command::new("unshare").args(*way).args(["sh", "-c", &script]).arg(test).env(INSIDE, "yes").output();
    let ran = ran.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn inside() {
    if env::var_os(INSIDE).is_none() {
        return;
    }
    let upstream = Upstream::start();
    let agent = Agent::dev("node-a").with_dns_port(53).argument(format!("-recursor={}", upstream.address));
    let agent = agent.with_config_directory();
    agent.write_file("dns.json", r#"{"dns_config": {"enable_truncate": true}}"#);
    let agent = agent.started();
    let web = Web::start("hello");
    let port = web.port;
    let hello = json!({"Name": "hello", "Address": "127.0.0.1", "Port": port});
    agent.http().put("/v1/agent/service/register", &hello).unwrap();
    for number in 1..=MANY {
        let service = json!({"Service": "many", "ID": format!("many-{number}"), "Address": format!("10.1.0.{number}")});
        let body = json!({"Node": format!("host-{number}"), "Address": "10.0.0.1", "Service": service});
        agent.http().put("/v1/catalog/register", &body).unwrap();
    }

    wait::until("getent finds the service", ANSWER_LIMIT, || {
        let found = run("getent", &["hosts", "hello.service.consul"]);
        wait::ensure(found == ["127.0.0.1       hello.service.consul"], || format!("{found:?}"))
    });
    assert_eq!(run("getent", &["hosts", "hello"]), ["127.0.0.1       hello.service.consul"]);
    assert_eq!(run("curl", &["-sS", &format!("http://hello.service.consul:{port}/")]), ["hello"]);
    assert_eq!(run("curl", &["-sS", &format!("http://hello:{port}/")]), ["hello"]);
    let reverse = run("dig", &["+short", "-x", "127.0.0.1"]);
    assert_eq!(reverse, ["node-a.node.dc1.consul."]);

    assert_eq!(run("dig", &["+noedns", "+short", "many.service.consul"]).len(), MANY);
    let cut = run("dig", &["+noedns", "+ignore", "many.service.consul"]).join("\n");
    assert!(cut.contains("flags: qr aa tc rd ra;") && cut.contains("ANSWER: 3,"), "{cut}");
    // glibc asks by TCP after TC, too.
    assert_eq!(run("getent", &["ahostsv4", "many.service.consul"]).len(), 3 * MANY);

    assert_eq!(run("getent", &["hosts", "www.example.test"]), ["192.0.2.1       www.example.test"]);
    assert_eq!(
        run("getent", &["hosts", "alias.example.test"]),
        ["192.0.2.1       www.example.test alias.example.test"]
    );
    assert_eq!(run("dig", &["+short", "alias.example.test"]), ["www.example.test.", "192.0.2.1"]);
    assert_eq!(run("dig", &["+short", "big.example.test", "TXT"]).len(), lictor_tests::upstream::BIG_TEXTS);
    assert_eq!(run("dig", &["+short", "-x", "192.0.2.1"]), ["www.example.test."]);
    let none = run("dig", &["none.example.test"]).join("\n");
    assert!(none.contains("status: NXDOMAIN") && none.contains("IN\tSOA\tns.example.test."), "{none}");
    assert_eq!(output("getent", &["hosts", "none.example.test"]).status.code(), Some(2));
}

fn output(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// The lines that a program says.
fn run(program: &str, arguments: &[&str]) -> Vec<String> {
    let said = output(program, arguments);
    String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect()
}
