//! A server whose disk is full: it acknowledges nothing that it cannot keep, ends loudly, and has everything that it
//! acknowledged when there is space again; the others go on without it.
//!
//! Its data directory is a small file system in memory, in a mount namespace that only root, or a kernel that lets users
//! make namespaces, can have; elsewhere the test says so and ends.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use lictor_tests::{
    agent::Agent,
    cluster::Cluster,
    namespaces::{Entered, enter},
    wait,
};

/// Of the file system, in bytes: much more than an empty log takes.
const DISK_BYTES: usize = 24 << 20;
/// Of each value that is written.
const VALUE_BYTES: usize = 64 << 10;
/// Longest time until a server has noticed that its disk is full.
const LIMIT: Duration = Duration::from_secs(60);

/// Whether to go on: inside namespaces.
fn inside(test: &str) -> bool {
    match enter(["--exact", test, "--nocapture"].map(Into::into)) {
        Entered::Inside => true,
        Entered::Ran(status) => {
            assert!(status.success(), "inside namespaces: {status}");
            false
        }
        Entered::Impossible(reason) => {
            eprintln!("not tested: {reason}");
            false
        }
    }
}

fn mount(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    let size = format!("size={DISK_BYTES}");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory).status().unwrap();
    assert!(mounted.success(), "a small file system at {}: {mounted}", directory.display());
}

/// Writes values until `done`; the keys that were acknowledged.
fn fill(agent: &Agent, prefix: &str, mut done: impl FnMut(bool) -> bool) -> Vec<String> {
    let http = agent.http().with_time_out(Duration::from_secs(5));
    let (mut acknowledged, begun) = (Vec::new(), Instant::now());
    for number in 0.. {
        let key = format!("{prefix}/{number}");
        let value = format!("{key}:").repeat(VALUE_BYTES / key.len());
        let answer = http.send("PUT", &format!("/v1/kv/{key}"), &[], value.as_bytes());
        let is_acknowledged = answer.is_ok_and(|answer| answer.status == 200 && answer.text().trim() == "true");
        if is_acknowledged {
            acknowledged.push(key);
        }
        if done(is_acknowledged) {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "the disk is not full after {} values", acknowledged.len());
    }
    acknowledged
}

/// It ends by itself with a code other than 0, and its last words say why.
fn ends_loudly(agent: &mut Agent) {
    assert!(agent.ends_within(LIMIT), "it goes on with a full disk");
    let log = agent.log();
    let status = agent.wait_for_end();
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    // Without a time stamp: not a line of the log, but what it says to whoever started it.
    let last = log.lines().find(|line| line.starts_with("the Raft log cannot be written: No space left on device"));
    let last = last.unwrap_or_else(|| panic!("nothing says why it ended ({status}): {log}"));
    assert!(last.contains("raft/log"), "it does not say where: {last}");
    eprintln!("{status}: {last}");
}

fn has_all(agent: &Agent, keys: &[String]) {
    for key in keys {
        let value = format!("{key}:").repeat(VALUE_BYTES / key.len());
        let answer = agent.http().get(&format!("/v1/kv/{key}?raw&consistent")).unwrap();
        assert!(answer.status == 200 && answer.body == value.as_bytes(), "{key} is lost: {}", answer.status);
    }
}

#[test]
fn a_server_whose_disk_is_full_ends_loudly_and_loses_nothing() {
    if !inside("a_server_whose_disk_is_full_ends_loudly_and_loses_nothing") {
        return;
    }
    let mut agent = Agent::server("server-1", 1);
    mount(&agent.data_directory());
    let ballast = agent.data_directory().join("raft").join("ballast");
    agent.start();
    agent.wait_for_http();
    fs::write(&ballast, vec![0; DISK_BYTES / 2]).unwrap();

    let mut refusals = 0;
    let acknowledged = fill(&agent, "full", |is_acknowledged| {
        refusals += usize::from(!is_acknowledged);
        refusals > 0
    });
    eprintln!("{} values were acknowledged before the disk was full", acknowledged.len());
    assert!(!acknowledged.is_empty());
    ends_loudly(&mut agent);

    fs::remove_file(&ballast).unwrap();
    agent.start();
    agent.wait_for_http();
    has_all(&agent, &acknowledged);
    assert!(!fill(&agent, "again", |_| true).is_empty(), "there is space again");
}

#[test]
fn two_servers_go_on_when_the_disk_of_the_third_is_full() {
    if !inside("two_servers_go_on_when_the_disk_of_the_third_is_full") {
        return;
    }
    let mut cluster = Cluster::start_with(3, 0, |agent| {
        if agent.name == "server-1" {
            mount(&agent.data_directory());
        }
        agent
    });
    let ballast = cluster.servers[0].data_directory().join("raft").join("ballast");
    fs::write(&ballast, vec![0; DISK_BYTES / 2]).unwrap();
    // Through another one: what is acknowledged after the end of the first is on the two others' disks.
    let [first, second, _] = &mut cluster.servers[..] else { panic!("three servers") };
    let mut after = 0;
    let acknowledged = fill(second, "full", |is_acknowledged| {
        after += usize::from(is_acknowledged && first.ends_within(Duration::ZERO));
        after >= 10
    });
    ends_loudly(first);
    has_all(second, &acknowledged);

    fs::remove_file(&ballast).unwrap();
    let size = format!("remount,size={}", 4 * DISK_BYTES);
    let larger = Command::new("mount").args(["-o", &size]).arg(first.data_directory()).status().unwrap();
    assert!(larger.success());
    cluster.servers[0].start();
    cluster.wait_until_complete();
    wait::until("it has caught up", LIMIT, || {
        let last = acknowledged.last().unwrap();
        let answer = cluster.servers[0].http().get(&format!("/v1/kv/{last}?stale"))?;
        wait::ensure(answer.status == 200, || format!("{}", answer.status))
    });
    has_all(&cluster.servers[0], &acknowledged);
}
