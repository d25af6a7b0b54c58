//! One run of an OS service check: asks systemd whether a unit is active.

use smol_str::SmolStr;

use super::output;
use crate::{
    model::{CheckDefinition, Status},
    process::{self, Given},
};

const SYSTEMCTL: &str = "systemctl";

/// Asks about the unit of `definition`.
pub(super) async fn probe(definition: &CheckDefinition) -> (Status, String) {
    ask(SYSTEMCTL, definition).await
}

async fn ask(program: &str, definition: &CheckDefinition) -> (Status, String) {
    let unit = &definition.os_service;
    let command: [SmolStr; 4] = [program.into(), "is-active".into(), "--".into(), unit.clone()];
    match process::run(&command, Given::default(), output::limit(Some(definition))).await {
        Ok(finished) => {
            let state = finished.output.trim();
            (judge(state), tell(unit, state))
        }
        Err(failure) => (Status::Critical, failure),
    }
}

/// The words of `ActiveState` in systemd's D-Bus interface; systemctl has more to say only where it fails.
fn judge(state: &str) -> Status {
    match state {
        "active" => Status::Passing,
        "activating" | "deactivating" | "reloading" | "refreshing" | "maintenance" => Status::Warning,
        _ => Status::Critical,
    }
}

/// Anything but one word is what systemctl has to say where it fails, as where systemd does not run.
fn tell(unit: &str, said: &str) -> String {
    match said.split_whitespace().count() {
        0 => format!("{unit} is unknown"),
        1 => format!("{unit} is {said}"),
        _ => format!("{unit}: {SYSTEMCTL}: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn the_state_of_the_unit_decides() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("systemctl");
        std::fs::write(
            &program,
            "#!/bin/sh\n[ \"$1 $2\" = 'is-active --' ] || exit 9\necho \"$3\"\n[ \"$3\" = active ]\n",
        )
        .unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        for (unit, expected) in [
            ("active", Status::Passing),
            ("reloading", Status::Warning),
            ("failed", Status::Critical),
            ("--version", Status::Critical),
        ] {
            let definition = CheckDefinition { os_service: unit.into(), ..CheckDefinition::default() };
            let (status, output) = ask(program.to_str().unwrap(), &definition).await;
            assert_eq!((status, output), (expected, format!("{unit} is {unit}")));
        }
        let no_systemd = CheckDefinition { os_service: "Can't operate.".into(), ..CheckDefinition::default() };
        let told = ask(program.to_str().unwrap(), &no_systemd).await;
        assert_eq!(told, (Status::Critical, "Can't operate.: systemctl: Can't operate.".into()));
        let definition = CheckDefinition { os_service: "x".into(), ..CheckDefinition::default() };
        let (status, output) = ask("/nonexistent/systemctl", &definition).await;
        assert_eq!(status, Status::Critical);
        assert!(output.starts_with("/nonexistent/systemctl: "), "{output}");
    }
}
