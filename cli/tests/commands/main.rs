//! The commands as a script sees them: what the program prints, where, and its exit code. The agent is a thread that
//! gives known answers; real agents are in the whole-system tests.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod acl;
mod canned;
mod discovery;
mod kv;
mod login;
mod watch;

use std::{net::TcpListener, os::unix::fs::symlink};

use canned::{Canned, LICTOR, Said, said};

#[test]
fn each_command_asks_its_endpoint_and_says_consuls_sentence() {
    let stats = r#"{"Stats": {"agent": {"checks": "1"}}}"#;
    for (line, answer, request, out) in [
        ("leave", "", "PUT /v1/agent/leave", "Graceful leave complete\n"),
        ("reload", "", "PUT /v1/agent/reload", "Configuration reload triggered\n"),
        ("force-leave -prune web-1", "", "PUT /v1/agent/force-leave/web-1?prune=1", ""),
        ("force-leave -wan a.dc2", "", "PUT /v1/agent/force-leave/a.dc2?wan=1", ""),
        ("join -wan 10.0.0.1", "", "PUT /v1/agent/join/10.0.0.1?wan=1", JOINED),
        ("info", stats, "GET /v1/agent/self", "agent:\n\tchecks = 1\n"),
    ] {
        let agent = Canned::new(&[("", answer)]);
        assert_eq!(agent.said(line), Said { code: 0, out: out.into(), err: String::new() }, "{line}");
        assert_eq!(agent.asked(), [request], "{line}");
    }
}

const JOINED: &str = "Successfully joined cluster by contacting 1 nodes.\n";

#[test]
fn an_unreachable_agent_is_one_line_and_exit_code_1() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = "dial tcp AGENT: connect: connection refused\n";
    for (line, err) in [
        ("members", r#"Error retrieving members: Get "http://AGENT/v1/agent/members?segment=_all": "#),
        ("leave", r#"Error leaving: Put "http://AGENT/v1/agent/leave": "#),
        ("force-leave web-1", r#"Error force leaving: Put "http://AGENT/v1/agent/force-leave/web-1": "#),
        ("reload", r#"Error reloading: Put "http://AGENT/v1/agent/reload": "#),
        ("info", r#"Error querying agent: Get "http://AGENT/v1/agent/self": "#),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let expected = Said { code: 1, out: String::new(), err: format!("{err}{refused}") };
        assert_eq!(said(LICTOR, &arguments, address), expected);
    }
    let joined = said(LICTOR, &["join", "10.0.0.1"], address);
    assert_eq!((joined.code, joined.err.lines().last()), (1, Some("Failed to join any nodes.")));
}

#[test]
fn members_without_a_match_is_exit_code_2() {
    let member = r#"[{"Name": "a", "Addr": "10.0.0.1", "Port": 8301, "Status": 1, "Tags": {"role": "node"}}]"#;
    for (answer, arguments, code, lines) in [
        (member, &["members"][..], 0, 2),
        (member, &["members", "-status=^al"][..], 0, 2),
        (member, &["members", "-status", "failed"][..], 2, 0),
        ("null", &["members"][..], 2, 0),
    ] {
        let said = said(LICTOR, arguments, Canned::new(&[("", answer)]).address);
        assert_eq!((said.code, said.out.lines().count()), (code, lines), "{said:?}");
    }
}

#[test]
fn under_the_name_consul_it_is_the_same() {
    let directory = std::env::temp_dir().join(format!("lictor-as-consul-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let consul = directory.join("consul");
    symlink(LICTOR, &consul).unwrap();
    let nobody = "127.0.0.1:9".parse().unwrap();
    assert_eq!(said(&consul, &["version"], nobody), said(LICTOR, &["version"], nobody));
    let wrong = said(&consul, &["members", "-colour"], nobody);
    assert!(wrong.code == 1 && wrong.err.ends_with("(see consul members --help)\n"), "{wrong:?}");
    assert_eq!(said(&consul, &[], nobody).code, 127);
    std::fs::remove_dir_all(&directory).unwrap();
}
