//! Hosts that restart or vanish, on networks of their own. More of it, with a leader that is cut off and a lossy way:
//! `cargo run --release -p lictor-tests --bin partitions`.

#![allow(clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use lictor_tests::{
    membership,
    namespaces::{Entered, Network, enter},
};

#[test]
fn a_restart_is_not_noticed_and_a_host_that_vanished_is() {
    let this = ["--exact", "a_restart_is_not_noticed_and_a_host_that_vanished_is", "--nocapture"];
    let network = match enter(this.map(Into::into)) {
        Entered::Inside => Network::of(5),
        Entered::Ran(status) => return assert!(status.success(), "inside namespaces: {status}"),
        Entered::Impossible(reason) => return eprintln!("nothing was tried: {reason}"),
    };
    let mut cluster = membership::start(&network);
    let away = membership::restart(&mut cluster);
    let (gone, back) = membership::vanish(&cluster, &network);
    eprintln!("away for {away:.1?} unnoticed; vanished: critical after {gone:.1?}, back after {back:.1?}");
}
