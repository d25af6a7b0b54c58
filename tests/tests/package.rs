//! The Debian package, made of the program under test and tried on a clean Debian that systemd runs: installed, replaced,
//! removed, purged.
//!
//! Where cargo-deb is not installed, or no container can be started, the test says so and ends.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test, also where it is not in a test function")]

use std::{env, fs, path::Path, process::Command, time::Duration};

use lictor_tests::{
    binary,
    containers::succeeded,
    debian::{Debian, SHARED},
    installed, turn, wait,
};
use tempfile::TempDir;

/// Longest time until the agent is seen to do something, on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Makes the package in `directory`, as quickly as can be.
fn make(directory: &Path) {
    let program = directory.join("lictor");
    // A program with everything that a debugger needs is large.
    succeeded(Command::new("strip").arg("-o").arg(&program).arg(binary::path("lictor")));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/deb.sh");
    let mut command = Command::new(script);
    for (variable, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_")) {
        command.env_remove(variable);
    }
    succeeded(command.arg("-o").arg(directory.join("lictor.deb")).arg(&program).arg("--fast"));
    fs::remove_file(&program).unwrap();
}

/// Waits until the agent that systemd has started answers.
fn wait_until_it_answers(debian: &Debian) {
    wait::until("the agent answers", LIMIT, || {
        let members = debian.run("lictor members");
        wait::ensure(members.status.success(), || format!("{members:?}"))
    });
}

/// What stands in `/proc` of the process that systemd has started.
fn process(debian: &Debian) -> (String, String) {
    let pid = debian.printed("systemctl show --property=MainPID --value lictor");
    let status = debian.printed(&format!("cat /proc/{pid}/status"));
    (pid, status)
}

#[test]
fn the_package_is_installed_replaced_removed_and_purged() {
    if installed::find_or("cargo-deb", "cargo install cargo-deb --locked").is_none() {
        return;
    }
    let _turn = turn::take();
    let directory = TempDir::new().unwrap();
    let Some(debian) = Debian::started(directory.path()) else { return };
    make(directory.path());
    installed_it_runs(&debian);
    replaced_it_runs_anew(&debian);
    removed_it_leaves_data_and_configuration(&debian);
    purged_it_leaves_data(&debian);
    assert_eq!(debian.printed("systemctl --failed --quiet --no-legend"), "");
}

fn installed_it_runs(debian: &Debian) {
    let _ = debian.printed(&format!("dpkg --install {SHARED}/lictor.deb"));
    assert_eq!(debian.printed("systemctl is-active lictor"), "active");
    assert_eq!(debian.printed("systemctl is-enabled lictor"), "enabled");
    wait_until_it_answers(debian);
    let (_, status) = process(debian);
    let user = debian.printed("id --user lictor");
    let has = |key: &str, value: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        assert_eq!(line.split_whitespace().next(), Some(value), "{key} {line}");
    };
    has("Uid:", &user);
    has("NoNewPrivs:", "1");
    for (path, expected) in [
        ("/var/lib/lictor", "lictor:lictor 700"),
        ("/etc/lictor.d", "root:root 755"),
        ("/etc/lictor.d/lictor.hcl", "root:lictor 640"),
    ] {
        assert_eq!(debian.printed(&format!("stat --format='%U:%G %a' {path}")), expected, "{path}");
    }
    // Nobody else can reach it: 0100007F is 127.0.0.1 in /proc/net/tcp.
    let listening = debian.printed("cat /proc/net/tcp | awk '$4 == \"0A\" { print $2 }'");
    assert!(!listening.is_empty() && listening.lines().all(|address| address.starts_with("0100007F:")), "{listening}");

    assert_eq!(debian.printed("lictor validate /etc/lictor.d"), "Configuration is valid!");
    let _ = debian.printed("systemctl reload lictor");
    wait::until("the configuration is read again", LIMIT, || {
        let log = debian.printed("journalctl --unit=lictor --output=cat --no-pager");
        wait::ensure(log.contains("configuration reloaded"), || log)
    });
    for file in [
        "man/man1/lictor-agent.1.gz",
        "man/man1/lictor-kv-get.1.gz",
        "bash-completion/completions/lictor",
        "zsh/vendor-completions/_lictor",
        "fish/vendor_completions.d/lictor.fish",
        "doc/lictor/README.md",
        "doc/lictor/copyright",
    ] {
        let _ = debian.printed(&format!("test -s /usr/share/{file}"));
    }
}

fn replaced_it_runs_anew(debian: &Debian) {
    let (before, _) = process(debian);
    let _ = debian.printed("echo '# changed by hand' >> /etc/lictor.d/lictor.hcl; touch /var/lib/lictor/kept");
    let _ = debian.printed(&format!("dpkg --install {SHARED}/lictor.deb"));
    wait_until_it_answers(debian);
    let (after, _) = process(debian);
    assert_ne!(before, after, "a new program runs");
    assert_eq!(debian.printed("tail -n 1 /etc/lictor.d/lictor.hcl"), "# changed by hand");
    assert_eq!(debian.printed("stat --format=%U:%G /etc/lictor.d/lictor.hcl"), "root:lictor");
}

fn removed_it_leaves_data_and_configuration(debian: &Debian) {
    let _ = debian.printed("dpkg --remove lictor");
    assert_eq!(String::from_utf8_lossy(&debian.run("systemctl is-active lictor").stdout).trim(), "inactive");
    assert_eq!(
        debian.printed("ls /etc/lictor.d /var/lib/lictor"),
        "/etc/lictor.d:\nlictor.hcl\n\n/var/lib/lictor:\nkept"
    );
    let left = debian.printed("find /usr -name '*lictor*'");
    assert_eq!(left, "", "what the package has brought is gone");
}

fn purged_it_leaves_data(debian: &Debian) {
    let purged = debian.run("dpkg --purge lictor");
    let said = String::from_utf8_lossy(&purged.stderr);
    assert!(purged.status.success() && said.contains("/var/lib/lictor stays"), "{purged:?}");
    let left = debian.printed(&format!("find / -xdev -name '*lictor*' -not -path '{SHARED}*'"));
    assert_eq!(left, "/var/lib/lictor");
    assert_eq!(debian.printed("ls /var/lib/lictor; id --user --name lictor"), "kept\nlictor");
}
