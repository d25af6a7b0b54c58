//! The binaries under test, built fresh once per test process with the profile of the test itself, so that
//! `cargo test --workspace` is the only command on a clean clone.
//!
//! That command has built them too, but with the features that tests need: building them alone compiles half of the
//! workspace again. Who knows that they are there and fresh, as `.ci/run` does, sets `LICTOR_TESTS_BUILT`.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The packages that have them.
const PACKAGES: [&str; 4] = ["lictor", "lictor-sidecar", "hello", "hello-client"];
/// Variables that `cargo test` sets for the test and that must not reach the build: build scripts that watch them
/// (ring's does) would build again and again.
const VARIABLES_OF_THE_TEST: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// Set in the environment: the binaries are there, built from this source.
const BUILT: &str = "LICTOR_TESTS_BUILT";

/// Where cargo puts the binaries of this profile: `target/debug` or `target/release`.
#[must_use]
pub fn directory() -> PathBuf {
    let test = env::current_exe().unwrap_or_else(|error| panic!("the path of the test program: {error}"));
    // A test is in target/PROFILE/deps, a binary of this package (a measurement) in target/PROFILE.
    let directory = test.parent().unwrap_or(Path::new("."));
    if directory.ends_with("deps") { directory.parent().unwrap_or(directory).into() } else { directory.into() }
}

/// The path of `name` (`lictor`, `lictor-sidecar`, `hello`, `hello-client`), built if it was not fresh.
///
/// # Panics
/// It does not build; the compiler's messages are in the panic.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    static BUILD: OnceLock<Result<(), String>> = OnceLock::new();
    let built = || if env::var_os(BUILT).is_some() { Ok(()) } else { build() };
    if let Err(messages) = BUILD.get_or_init(built) {
        panic!("cargo build: {messages}");
    }
    let path = directory().join(name);
    assert!(path.is_file(), "{}: no build made it", path.display());
    path
}

fn build() -> Result<(), String> {
    let directory = directory();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--bins"]);
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev",
        Some(profile) => profile,
    };
    cargo.args(["--profile", profile]).arg("--target-dir").arg(directory.parent().unwrap_or(&directory));
    for (variable, _) in env::vars_os() {
        if VARIABLES_OF_THE_TEST.iter().any(|prefix| variable.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(variable);
        }
    }
    let output = cargo.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
