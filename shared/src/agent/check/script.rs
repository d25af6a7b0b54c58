//! One run of a script check: exit 0 passes, 1 warns, the rest is critical.

use super::output;
use crate::{
    model::{CheckDefinition, Status},
    process::{self, Given},
};

/// Runs the command of `definition`, without a shell.
pub(super) async fn probe(definition: &CheckDefinition) -> (Status, String) {
    match process::run(&definition.script_args, Given::default(), output::limit(Some(definition))).await {
        Ok(finished) => match finished.status.code() {
            Some(code) => (status_of(i64::from(code)), finished.output),
            None => (Status::Critical, format!("{}\n{}", finished.output, finished.status).trim_start().to_string()),
        },
        Err(failure) => (Status::Critical, failure),
    }
}

/// What an exit code means.
pub(super) fn status_of(code: i64) -> Status {
    match code {
        0 => Status::Passing,
        1 => Status::Warning,
        _ => Status::Critical,
    }
}
