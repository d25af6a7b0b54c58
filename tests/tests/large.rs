//! Many keys come through Raft's snapshots, an archive, restarts and the installation on an empty server, and all servers
//! then hold the same. How long that takes, with more keys: `cargo run --release -p lictor-tests --bin large`.

#![allow(clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use lictor_tests::large::steps::{self, Plan};

#[test]
fn many_keys_come_through_snapshots_restarts_and_a_new_server() {
    let plan = Plan { keys: 30_000, snapshots: Some((400, 50)), builds: 2 };
    steps::run(plan, &|line| eprintln!("{line}")).unwrap_or_else(|wrong| panic!("{wrong}"));
}
