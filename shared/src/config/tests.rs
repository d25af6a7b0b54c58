use std::fs;

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    flags: AgentFlags,
}

fn load(arguments: &[&str]) -> Result<Config, String> {
    let arguments = std::iter::once(&"agent").chain(arguments).map(Into::into);
    let command = Command::try_parse_from(go_style_args(arguments)).map_err(|error| error.to_string())?;
    Config::load(&command.flags).map_err(|error| error.to_string())
}

#[test]
fn go_flags_become_long_ones() {
    let table = [
        ("-server", "--server"),
        ("-server=true", "--server=true"),
        ("--server=true", "--server=true"),
        ("-http-port=-1", "--http-port=-1"),
        ("-h", "-h"),
        ("-1", "-1"),
        ("-", "-"),
        ("10.0.0.1", "10.0.0.1"),
        ("-node-meta=a:b", "--node-meta=a:b"),
    ];
    for (given, expected) in table {
        assert_eq!(go_style_args([given.into()]), [std::ffi::OsString::from(expected)], "{given}");
    }
    let kept = ["--", "-server"].map(std::ffi::OsString::from);
    assert_eq!(go_style_args(kept.clone()), kept);
}

#[test]
fn consuls_command_lines_work_as_written() {
    let config = load(&[
        "--server=true",
        "--bootstrap-expect=3",
        "--client=0.0.0.0",
        "-ui",
        "-data-dir",
        "/d",
        "-bind=127.0.0.1",
    ]);
    let config = config.unwrap();
    assert_eq!(config.role, RoleConfig::Server { expect: 3, raft_multiplier: 1 });
    assert_eq!(config.listen.http, ["0.0.0.0:8500".parse().unwrap()]);
    assert_eq!(config.data_dir, Some("/d".into()));
    assert!(!config.leave_on_terminate && config.skip_leave_on_interrupt);
}

#[test]
fn a_sidecar_needs_nothing_but_an_address() {
    let config = load(&["-bind=127.0.0.1", "-node=n1", "-retry-join=a", "-retry-join", "b:1"]).unwrap();
    assert_eq!(config.role, RoleConfig::Sidecar);
    assert_eq!(config.join.retry, ["a", "b:1"]);
    assert_eq!(config.data_dir, None);
    assert!(config.leave_on_terminate && !config.skip_leave_on_interrupt);
}

#[test]
fn dev_is_one_server_without_a_disk() {
    let config = load(&["-dev", "-data-dir=/d"]).unwrap();
    assert_eq!(config.role, RoleConfig::Server { expect: 1, raft_multiplier: 1 });
    assert_eq!(config.data_dir, None);
    assert_eq!(config.advertise, IpAddr::from([127, 0, 0, 1]));
}

#[test]
fn flags_that_make_no_sense_are_refused_with_the_remedy() {
    let table: &[(&[&str], &str)] = &[
        (
            &["-server", "-bind=127.0.0.1"],
            "-data-dir: a server needs a directory for its log (or -dev to keep nothing)",
        ),
        (&["-bootstrap-expect=3"], "-bootstrap-expect: only a server can form a cluster (add -server)"),
        (&["-dev", "-bind=here"], "-bind: \"here\" is no IP address (such as 10.0.0.1)"),
        (&["-dev", "-http-port=70000"], "-http-port: 70000 is no port (give 1 to 65535, or -1 for off)"),
        (&["-dev", "-serf-lan-port=0"], "-serf-lan-port: this port cannot be off (give 1 to 65535)"),
        (&["-dev", "-node=a b"], "-node: \"a b\" is no node name"),
        (&["-dev", "-node-id=x"], "-node-id: \"x\" is no UUID"),
        (&["-dev", "-datacenter=d/c"], "-datacenter: \"d/c\" is no datacenter"),
        (&["-dev", "-node-meta=x"], "-node-meta: \"x\" is no pair (write -node-meta=KEY:VALUE)"),
        (&["-dev", "-log-level=loud"], "-log-level: \"loud\" is no log level"),
        (&["-dev", "-advertise=0.0.0.0"], "-advertise: 0.0.0.0 is no address others can reach"),
        (&["-dev", "-config-file=/nowhere.json"], "/nowhere.json: cannot be read: No such file or directory"),
        (&["-nonsense"], "unexpected argument '--nonsense'"),
    ];
    for (arguments, expected) in table {
        let error = load(arguments).unwrap_err();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn files_are_merged_in_name_order_and_flags_win() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write(
        "10-first.json",
        r#"{"node_name": "first", "datacenter": "east", "retry_join": ["a"], "ports": {"http": 1}}"#,
    );
    write(
        "20-second.json",
        r#"{"node_name": "second", "retry_join": ["b"], "node_meta": {"k": "v"}, "telemetry": {}}"#,
    );
    write(
        "30-hello.json",
        r#"{"service": {"name": "hello", "port": 80, "check": {"tcp": "127.0.0.1:80", "interval": "1s"}}}"#,
    );
    write("notes.txt", "not ours");
    let directory = format!("-config-dir={}", dir.path().display());
    let config = load(&["-dev", &directory, "-http-port=2", "-retry-join=c"]).unwrap();
    assert_eq!((config.node_name.as_str(), config.datacenter.as_str()), ("second", "east"));
    assert_eq!(config.join.retry, ["a", "b", "c"]);
    assert_eq!(config.listen.http[0].port(), 2);
    assert_eq!(config.node_meta["k"], "v");
    assert_eq!(config.services[0].service.name.as_str(), "hello");
    assert_eq!(config.services[0].checks.len(), 1);
    assert_eq!(config.ignored, ["telemetry"]);
}

#[test]
fn files_that_are_wrong_are_named_with_the_key() {
    let table = [
        ("{", "not JSON: EOF while parsing"),
        ("[]", "expected an object of settings"),
        (r#"{"node_nam": "x"}"#, "unknown key \"node_nam\""),
        (r#"{"ports": {"htp": 1}}"#, "ports: unknown key \"htp\""),
        (r#"{"ports": {"http": "x"}}"#, "http: expected a whole number, found a string"),
        (r#"{"dns_config": {"node_ttl": "10"}}"#, "10"),
        (r#"{"dns_config": {"service_ttl": {"web": "1"}}}"#, "service_ttl: web:"),
        (r#"{"encrypt": "abc"}"#, "encrypt: gossip encryption is not available in this version"),
        (r#"{"acl": {"enabled": true}}"#, "acl: access control is not available in this version"),
        (r#"{"verify_incoming": true}"#, "verify_incoming: TLS is not available"),
        (
            r#"{"services": [{"name": "hello", "check": {"tcp": "a:1", "interval": "10"}}]}"#,
            "service \"hello\": check 1: interval: \"10\" has no unit (try \"10s\")",
        ),
        (r#"{"service": {"name": "hello", "prt": 1}}"#, "service \"hello\": unknown key \"prt\""),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (text, expected) in table {
        let file = dir.path().join("services.json");
        fs::write(&file, text).unwrap();
        let error = load(&["-dev", &format!("-config-file={}", file.display())]).unwrap_err();
        assert!(error.starts_with(&file.display().to_string()) && error.contains(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "{text}: {error}");
    }
}

#[test]
fn protection_that_is_not_asked_for_is_not_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.json");
    fs::write(&file, r#"{"acl": {"enabled": false}, "verify_incoming": false, "encrypt": "", "segments": null}"#)
        .unwrap();
    load(&["-dev", &format!("-config-file={}", file.display())]).unwrap();
}

#[test]
fn an_hcl_file_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.hcl"), "server = true").unwrap();
    let error = load(&["-dev", &format!("-config-dir={}", dir.path().display())]).unwrap_err();
    assert!(error.contains("a.hcl: files in HCL cannot be read by this version (write the same in JSON)"), "{error}");
}

#[test]
fn recursors_are_addresses_and_not_our_own() {
    let config =
        load(&["-dev", "-recursor=10.0.0.53", "-recursor=[::1]:5353", "-recursor=::1", "-recursor=10.0.0.53:53"]);
    let expected = ["10.0.0.53:53", "[::1]:5353", "[::1]:53"].map(|address| address.parse().unwrap());
    assert_eq!(config.unwrap().dns.recursors, expected);

    let table = [
        ("-recursor=dns.example.com", "no IP address"),
        ("-recursor=127.0.0.1:8600", "own DNS interface"),
        ("-recursor=0.0.0.0", "nobody's address"),
    ];
    for (flag, problem) in table {
        let error = load(&["-dev", flag]).unwrap_err();
        assert!(error.contains("recursors") && error.contains(problem), "{flag}: {error}");
    }

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dns.json");
    let flag = format!("-config-file={}", file.display());
    let text =
        r#"{"recursors": ["10.0.0.1"], "dns_config": {"recursor_timeout": "500ms", "recursor_strategy": "random"}}"#;
    fs::write(&file, text).unwrap();
    let dns = load(&["-dev", &flag]).unwrap().dns;
    assert_eq!(dns.recursors.len(), 1);
    assert_eq!(dns.recursor_timeout, Duration::from_millis(500));
    assert_eq!(dns.recursor_strategy, dns::RecursorStrategy::Random);
    fs::write(&file, r#"{"dns_config": {"recursor_strategy": "best"}}"#).unwrap();
    let error = load(&["-dev", &flag]).unwrap_err();
    assert!(error.contains("dns_config.recursor_strategy") && error.contains("\"best\""), "{error}");
}
