//! The unit in `examples/systemd`: systemd reads all of it, and calls its sandbox a good one.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{fs, process::Command};

use lictor_tests::binary;

/// The most exposure that systemd may see, of 10. What is left is that it speaks to the network.
const MOST_EXPOSURE: f64 = 2.0;

#[test]
fn systemd_takes_the_unit_and_calls_it_safe() {
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/systemd/lictor.service")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lictor.service");
    // The program need not be installed where this runs.
    let program = binary::path("lictor").display().to_string();
    fs::write(&path, unit.replace("/usr/bin/lictor", &program)).unwrap();
    let analyze = |arguments: &[&str]| Command::new("systemd-analyze").args(arguments).arg(&path).output();
    let Ok(verified) = analyze(&["verify", "--man=no"]) else {
        return eprintln!("not looked at: systemd-analyze is not installed");
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("lictor.service")).collect();
    assert!(verified.status.success() && about_it.is_empty(), "{said}");
    let security = analyze(&["security", "--offline=true"]).unwrap();
    let said = String::from_utf8_lossy(&security.stdout);
    let level = said.lines().find_map(|line| line.split_once("exposure level for lictor.service: "));
    let level = level.and_then(|(_, level)| level.split(' ').next()?.parse::<f64>().ok());
    assert!(level.is_some_and(|level| level <= MOST_EXPOSURE), "{said}");
}
