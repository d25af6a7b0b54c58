//! `lictor login` and `lictor logout`: what is asked, where the secret goes, and that it goes nowhere else.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::canned::{Canned, Said, reply};

const SILENCE: Said = Said { code: 0, out: String::new(), err: String::new() };

#[test]
fn a_login_puts_the_secret_into_a_file_of_ones_own() {
    let directory = tempfile::tempdir().unwrap();
    let (bearer, sink) = (directory.path().join("jwt"), directory.path().join("token"));
    fs::write(&bearer, "header.claims.signature\n").unwrap();
    let agent =
        Canned::new(&[("/v1/acl/login", r#"{"AccessorID":"a","SecretID":"secret-1"}"#), ("/v1/acl/logout", "")]);
    let files = format!("-bearer-token-file={} -token-sink-file={}", bearer.display(), sink.display());
    assert_eq!(agent.said(&format!("login -method=builds -meta=job=42 {files}")), SILENCE);
    assert_eq!(fs::read_to_string(&sink).unwrap(), "secret-1");
    assert_eq!(fs::metadata(&sink).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(agent.said(&format!("logout -token-file={}", sink.display())), SILENCE);
    let body = r#"{"AuthMethod":"builds","BearerToken":"header.claims.signature","Meta":{"job":"42"}}"#;
    assert_eq!(agent.asked(), [format!("POST /v1/acl/login {body}"), "POST /v1/acl/logout".into()]);
}

#[test]
fn what_is_wrong_is_said_before_there_is_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("jwt"), "a.b.c").unwrap();
    fs::write(path("empty"), "\n").unwrap();
    let agent = Canned::new(&[("", r#"{"SecretID":"secret-1"}"#)]);
    for (line, err) in [
        ("login".into(), "Missing required '-method' flag".into()),
        ("login -method=a".into(), "Missing required '-token-sink-file' flag".into()),
        ("login -method=a -token-sink-file=t".into(), "Missing required '-bearer-token-file' flag".into()),
        (
            format!("login -method=a -token-sink-file=t -bearer-token-file={}", path("empty")),
            format!("-bearer-token-file: there is nothing in {:?}", path("empty")),
        ),
        (
            format!("login -method=a -bearer-token-file={} -token-sink-file={}/t", path("jwt"), path("jwt")),
            format!("-token-sink-file: cannot write \"{}/t\": ", path("jwt")),
        ),
        ("logout".into(), "Logout ends the token of a login: show it by ".into()),
    ] {
        let said = agent.said(&line);
        assert!(said.code == 1 && said.err.starts_with(&err) && said.err.lines().count() == 1, "{line}: {said:?}");
    }
    assert!(agent.asked().is_empty());
}

#[test]
fn a_refused_login_says_why_that_can_be_and_leaves_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (bearer, sink) = (directory.path().join("jwt"), directory.path().join("token"));
    fs::write(&bearer, "header.claims.signature").unwrap();
    fs::write(&sink, "old").unwrap();
    let agent = Canned::answering(|_| reply("403 Forbidden", "Permission denied"));
    let files = format!("-bearer-token-file={} -token-sink-file={}", bearer.display(), sink.display());
    let said = agent.said(&format!("login -method=builds {files}"));
    assert!(
        said.code == 1 && said.err.starts_with("Error logging in: Permission denied. There is no auth method"),
        "{said:?}"
    );
    assert!(said.err.lines().count() == 1 && !said.err.contains("header."), "{said:?}");
    assert_eq!(fs::read_to_string(&sink).unwrap(), "old");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}
