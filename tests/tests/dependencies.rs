//! Which crate may depend on which.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{collections::BTreeSet, env, process::Command};

use serde_json::Value;

fn cargo(arguments: &[&str]) -> String {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The names of all crates that are linked into `package` or run for its build, itself included.
fn tree(package: &str) -> BTreeSet<String> {
    let text =
        cargo(&["tree", "--locked", "--package", package, "--edges=normal,build", "--prefix=none", "--format={p}"]);
    let names: BTreeSet<String> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(names.contains(package), "{names:?}");
    names
}

#[test]
fn crates_that_are_never_linked() {
    for (package, unwanted) in [
        ("lictor-sidecar", vec!["openraft", "lictor-server"]),
        ("lictor-server", vec!["lictor-sidecar", "lictor-linear", "turmoil"]),
        ("lictor-proto", vec!["openraft"]),
        ("lictor-grpc", vec!["openraft", "lictor-server", "lictor-sidecar"]),
        ("lictor-client", vec!["lictor-shared", "lictor-grpc", "lictor-server", "lictor-sidecar", "openraft"]),
        ("lictor-shared", vec!["lictor-proto", "prost", "tonic", "openraft"]),
        ("hello", vec!["lictor-shared"]),
        ("hello-client", vec!["lictor-shared"]),
    ] {
        let tree = tree(package);
        for name in unwanted {
            assert!(
                !tree.contains(name),
                "{package} must not depend on {name}: see `cargo tree -p {package} -i {name}`"
            );
        }
    }
}

#[test]
fn the_crates_of_the_workspace_depend_on_each_other_in_one_direction() {
    let metadata = cargo(&["metadata", "--locked", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for (package, allowed) in [
        ("lictor-packets", vec![]),
        ("lictor-shared", vec!["lictor-packets"]),
        ("lictor-proto", vec!["lictor-shared"]),
        ("lictor-grpc", vec!["lictor-shared", "lictor-proto"]),
        ("lictor-client", vec!["lictor-proto", "lictor-grpc", "lictor-shared"]),
        // Tests alone use lictor-linear: see crates_that_are_never_linked.
        ("lictor-server", vec!["lictor-shared", "lictor-proto", "lictor-linear"]),
        ("lictor-sidecar", vec!["lictor-shared", "lictor-proto", "lictor-grpc"]),
        ("lictor", vec!["lictor-shared", "lictor-proto", "lictor-grpc", "lictor-server", "lictor-sidecar", "hello"]),
        ("lictor-linear", vec![]),
        ("lictor-tests", vec!["lictor-linear", "lictor-proto", "lictor-shared"]),
        ("lictor-bench", vec!["lictor-packets", "lictor-proto", "lictor-tests"]),
        ("hello", vec![]),
        ("hello-client", vec!["hello"]),
    ] {
        let found = packages.iter().find(|found| found["name"] == package);
        let found = found.unwrap_or_else(|| panic!("{package} is not in the workspace"));
        let dependencies = found["dependencies"].as_array().unwrap().iter().filter_map(|row| row["name"].as_str());
        for dependency in dependencies.filter(|name| names.contains(name)) {
            assert!(allowed.contains(&dependency), "{package} must not depend on {dependency}");
        }
    }
}

#[test]
fn aws_lc_is_nowhere() {
    let all = cargo(&["tree", "--locked", "--workspace", "--target=all", "--prefix=none", "--format={p}"]);
    let found: Vec<&str> = all.lines().filter(|line| line.starts_with("aws-lc")).collect();
    assert!(found.is_empty(), "two TLS providers panic at the first handshake; use ring alone: {found:?}");
}
