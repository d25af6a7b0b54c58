//! `lictor watch`: what is printed, run and posted at each change.

use std::{
    fs,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::canned::{Canned, LICTOR, command, reply};

/// Longest time until something that is expected is seen, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// An agent whose nodes are `["one"]`, then `["two"]`, and then nothing new until the watcher gives up.
fn changing() -> Canned {
    Canned::answering(|request| match request {
        line if line.contains("/v1/agent/self") => reply("200 OK", "{}"),
        line if line.contains("index=7") => reply("200 OK", r#"["two"]"#).replace("Index: 7", "Index: 8"),
        line if line.contains("index=8") => reply("500 Internal Server Error", "stopping"),
        _ => reply("200 OK", r#"["one"]"#),
    })
}

fn start(agent: &Canned, arguments: &[&str]) -> Child {
    let mut command = command(LICTOR, arguments, &agent.address.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn without_a_program_the_present_state_is_printed() {
    let agent =
        Canned::new(&[("self", "{}"), ("/v1/health/service/web?tag=a&passing=1", r#"[{"Node":{"B":1,"A":2}}]"#)]);
    let said = agent.said("watch -type=service -service=web -tag=a -passingonly=true");
    let expected = "[\n    {\n        \"Node\": {\n            \"B\": 1,\n            \"A\": 2\n        }\n    }\n]\n";
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, expected, ""));
}

#[test]
fn a_program_runs_at_each_change_with_its_own_flags() {
    let path = std::env::temp_dir().join(format!("lictor-watch-{}", std::process::id()));
    let agent = changing();
    let script = format!("(echo $CONSUL_INDEX $0 $1; cat) >> {}", path.display());
    let mut watch = start(&agent, &["watch", "-type", "nodes", "-shell=false", "sh", "-c", &script, "-name", "-flag"]);
    let expected = "7 -name -flag\n[\"one\"]\n8 -name -flag\n[\"two\"]\n";
    wait_until("both changes are handled", || fs::read_to_string(&path).is_ok_and(|text| text == expected));
    assert!(watch.try_wait().unwrap().is_none(), "the watch goes on");
    watch.kill().unwrap();
    watch.wait().unwrap();
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_program_that_fails_ends_the_watch() {
    let said = changing().said("watch -type=nodes exit 3");
    assert_eq!((said.code, said.err.as_str()), (1, "Error executing handler: exit status 3\n"));
}

#[test]
fn changes_are_posted_and_a_refusal_ends_nothing() {
    let server = Canned::answering(|_| reply("503 Service Unavailable", "later"));
    let agent = changing();
    let handler = format!("-http-handler=http://{}/changes?a=b", server.address);
    let mut watch = start(&agent, &["watch", "-type=nodes", &handler]);
    wait_until("both changes are posted", || server.asked().len() >= 2);
    watch.kill().unwrap();
    let output = watch.wait_with_output().unwrap();
    assert_eq!(server.asked(), [r#"POST /changes?a=b ["one"]"#, r#"POST /changes?a=b ["two"]"#]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("index 7: Unexpected response code: 503 (later)"), "{errors}");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let agent = Canned::new(&[]);
    for (line, part) in [
        ("watch", "Watch type must be specified"),
        ("watch -type=key", "the key to watch is not named"),
        ("watch -type=nodes -http-handler=unix:///a", "no URL to send to"),
        ("watch -type=nodes -http-handler=http://a/ cat", "cannot be used with"),
    ] {
        let said = agent.said(line);
        assert!(said.code == 1 && said.err.contains(part), "{said:?}");
    }
    assert!(agent.asked().is_empty());
}
