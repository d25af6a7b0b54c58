//! Servers of several datacenters find each other.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::time::Duration;

use lictor_tests::{
    agent::{Agent, texts},
    wait,
};

/// Longest time until a member is seen by all, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

fn wait_for_members(agents: &[&Agent], wanted: &[&str]) {
    for agent in agents {
        wait::until(&format!("{} has {wanted:?} in its WAN pool", agent.name), LIMIT, || {
            let members = texts(&agent.http().json("/v1/agent/members?wan=1")?, "/Name");
            wait::ensure(members == wanted, || format!("{members:?}"))
        });
    }
}

#[test]
fn servers_join_other_datacenters_at_the_start_or_later() {
    let mut first = Agent::dev("a").argument("-datacenter=one");
    let wan = |flag| format!("-{flag}=127.0.0.1:{}", first.ports.serf_wan);
    let retrying = Agent::dev("b").argument("-datacenter=two").argument(wan("retry-join-wan"));
    let retrying = retrying.argument("-retry-interval-wan=1s").started();
    let late = Agent::dev("c").argument("-datacenter=three").argument(wan("join-wan"));
    wait_for_members(&[&retrying], &["b.two"]);

    first.start();
    wait_for_members(&[&first, &retrying], &["a.one", "b.two"]);
    let late = late.started();
    wait_for_members(&[&first, &retrying, &late], &["a.one", "b.two", "c.three"]);
    let lan = texts(&first.http().json("/v1/agent/members").unwrap(), "/Name");
    assert_eq!(lan, ["a"], "the datacenters' own pools stay apart");
    let said = first.command(&["members", "-wan"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.lines().filter(|line| line.contains("alive")).count(), 3, "{said}");
}

#[test]
fn a_pool_that_is_not_the_wan_s_is_named_once() {
    let first = Agent::dev("a").argument("-datacenter=one").started();
    let second = Agent::dev("b").argument("-datacenter=two").argument("-retry-interval-wan=1s");
    let second = second.argument(format!("-retry-join-wan=127.0.0.1:{}", first.ports.serf_lan)).started();
    wait::until("it is said", LIMIT, || {
        let lines = second.log().matches("it is of another pool: each datacenter has a LAN pool").count();
        wait::ensure(lines == 1, || format!("{lines} lines"))
    });
}

#[test]
fn a_server_that_cannot_join_at_the_start_ends() {
    let free = Agent::dev("nobody").ports.serf_wan;
    let mut agent = Agent::dev("a").argument(format!("-join-wan=127.0.0.1:{free}"));
    agent.start();
    assert!(!agent.wait_for_end().success());
}
