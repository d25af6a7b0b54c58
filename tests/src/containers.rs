//! The Docker Engine of this machine, by its command: a test that needs it says so and ends where there is none.

use std::process::Command;

/// Longest time for one command of `docker`, in seconds: an engine whose containerd died answers, but not to the end.
const COMMAND_LIMIT: &str = "60";

/// The command `docker`, ended after a minute.
#[must_use]
pub fn docker() -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", COMMAND_LIMIT, "docker"]);
    command
}

/// What the command said on its stdout.
///
/// # Errors
/// It could not be started or failed: how, and what it said on both.
pub fn attempt(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        return Err(format!(
            "{command:?}: {}: {said}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    Ok(said)
}

/// The same, where it must succeed.
///
/// # Panics
/// It does not.
pub fn succeeded(command: &mut Command) -> String {
    attempt(command).unwrap_or_else(|error| panic!("{error}"))
}
