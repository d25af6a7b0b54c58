//! Which crate may depend on which, and on what of others: licences, sources.

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
        ("lictor-sidecar", vec!["openraft", "lictor-server", "opentelemetry-proto", "pprof", "backtrace"]),
        ("lictor-server", vec!["lictor-sidecar", "lictor-linear", "turmoil"]),
        ("lictor-proto", vec!["openraft"]),
        ("lictor-grpc", vec!["openraft", "lictor-server", "lictor-sidecar"]),
        ("lictor-client", vec!["lictor-shared", "lictor-grpc", "lictor-server", "lictor-sidecar", "openraft"]),
        ("lictor-shared", vec!["lictor-proto", "prost", "tonic", "openraft", "pprof"]),
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
        ("lictor-heap", vec![]),
        ("lictor-shared", vec!["lictor-packets", "lictor-heap"]),
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
        // What is fuzzed, of all of it; nothing depends on that.
        ("lictor-subjects", vec!["lictor-shared", "lictor-proto", "lictor-server", "lictor-sidecar"]),
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

/// Whether a licence expression (SPDX; a slash is the old form of OR) leaves a choice of licences that are all allowed.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let mut depth = 0_i32;
    let (mut parts, mut part) = (vec![Vec::new()], Vec::new());
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    // At the outermost level: alternatives, each of which is a list of what all must hold.
    for word in spaced.split_whitespace() {
        depth += i32::from(word == "(") - i32::from(word == ")");
        match word {
            "OR" if depth == 0 => {
                parts.last_mut().unwrap().push(part.join(" "));
                part.clear();
                parts.push(Vec::new());
            }
            "AND" if depth == 0 => {
                parts.last_mut().unwrap().push(part.join(" "));
                part.clear();
            }
            word => part.push(word),
        }
    }
    parts.last_mut().unwrap().push(part.join(" "));
    let holds = |term: &String| {
        let inner = term.strip_prefix("( ").and_then(|rest| rest.strip_suffix(" )"));
        inner.map_or_else(|| allowed.contains(term.trim_end_matches('+')), |inner| is_allowed(inner, allowed))
    };
    parts.iter().any(|alternative| alternative.iter().all(holds))
}

#[test]
fn licences_and_sources_are_those_of_deny_toml() {
    let deny = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deny.toml")).unwrap();
    let (_, list) = deny.split_once("allow = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let allowed: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    assert!(allowed.contains("MIT") && allowed.contains("Apache-2.0"), "{allowed:?}");
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("(MIT AND GPL-3.0) OR (GPL-2.0 AND ISC)", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
    // What is built on this kind of machine: that much is there without a network.
    let metadata = cargo(&["metadata", "--locked", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "{}", packages.len());
    for package in packages {
        let (name, licence) = (&package["name"], package["license"].as_str().unwrap_or_default());
        assert!(is_allowed(licence, &allowed), "{name}: its licence {licence:?} is not in deny.toml");
        let source = package["source"].as_str();
        let is_known = source.is_none_or(|source| source == "registry+https://github.com/rust-lang/crates.io-index");
        assert!(is_known, "{name} is from {source:?}, not from crates.io");
    }
}
