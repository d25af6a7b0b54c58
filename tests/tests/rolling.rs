//! Servers restart under load and nobody notices. More rounds: `cargo run --release -p lictor-tests --bin rolling`.

#![allow(clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use lictor_tests::rolling::{self, LONGEST_STALL};

#[test]
fn servers_restart_one_after_the_other_and_nobody_notices() {
    // Another machine may be busy: the program is strict.
    let report = rolling::run(1, 3 * LONGEST_STALL, &|line| eprintln!("{line}"));
    eprintln!("{report}");
    assert!(report.wrong.is_empty(), "{report}");
    assert!(report.lookups > 20 && report.writes > 10, "too little was done: {report}");
    assert!(report.handed_over > 0, "no leader has handed over before it ended: {report}");
}
