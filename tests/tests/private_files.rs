//! What a node keeps is for its own user: tokens, keys and values of others are in it.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use lictor_tests::{agent::Agent, wait};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(20);
const KEY: &str = "-encrypt=pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=";

/// What others may do with anything below that directory, itself not looked at; and how many files there are.
fn open_to_others(directory: &Path, found: &mut Vec<String>) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let metadata = entry.metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            found.push(format!("{}: {mode:o}", entry.path().display()));
        }
        if metadata.is_dir() {
            files += open_to_others(&entry.path(), found);
        } else {
            files += 1;
        }
    }
    files
}

fn log_flag(agent: &Agent) -> String {
    format!("-log-file={}/logs.log", agent.directory().display())
}

#[test]
fn nobody_else_reads_what_a_node_writes() {
    let server = Agent::server("server", 1).argument(KEY).argument("-hcl=raft_snapshot_threshold = 5");
    let flag = log_flag(&server);
    let mut server = server.argument(flag).started();
    let sidecar = Agent::sidecar("sidecar").argument(KEY).joining([&server.ports]);
    let flag = log_flag(&sidecar);
    let mut sidecar = sidecar.argument(flag).started();
    for number in 0..20 {
        server.http().put(&format!("/v1/kv/{number}"), &Value::Null).unwrap();
    }
    let saved = server.directory().join("saved.snapshot");
    let output = server.command(&["snapshot", "save", &saved.display().to_string()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let snapshots = server.data_directory().join("raft/snapshots");
    wait::until("the server makes a snapshot", LIMIT, || {
        let count = fs::read_dir(&snapshots).map_or(0, Iterator::count);
        wait::ensure(count > 0, || "none yet".into())
    });
    assert!(sidecar.terminate().success() && server.terminate().success());

    let mut found = Vec::new();
    let (data, other) = (server.data_directory(), sidecar.data_directory());
    for (directory, least) in [(&data, 5), (&other, 2)] {
        let mode = fs::metadata(directory).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", directory.display());
        let files = open_to_others(directory, &mut found);
        assert!(files >= least, "{}: {files} files", directory.display());
    }
    for file in [saved, server.directory().join("logs.log"), sidecar.directory().join("logs.log")] {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        if mode != 0o600 {
            found.push(format!("{}: {mode:o}", file.display()));
        }
    }
    assert!(found.is_empty(), "others may use these: {found:?}");
}
