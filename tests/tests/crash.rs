//! Nothing acknowledged is lost and nothing is done twice, whenever servers end. More rounds:
//! `cargo run --release -p lictor-tests --bin crash -- --rounds 50`.

#![allow(clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use lictor_tests::crash::rounds;

const ROUNDS: usize = 3;

#[test]
fn nothing_acknowledged_is_lost_or_done_twice_whenever_servers_end() {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let acknowledged = rounds::run(ROUNDS, seed, &|line| eprintln!("{line}"));
    let acknowledged = acknowledged.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    assert!(acknowledged > 50, "seed {seed}: only {acknowledged} writes were acknowledged");
}
