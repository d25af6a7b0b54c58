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
    assert!(matches!(config.role, RoleConfig::Server { expect: 3, raft_multiplier: 1, .. }));
    assert_eq!(config.listen.http, ["0.0.0.0:8500".parse().unwrap()]);
    assert_eq!(config.data_dir, Some("/d".into()));
    assert!(!config.leave_on_terminate && config.skip_leave_on_interrupt);
}

#[test]
fn copies_of_remote_services_are_named_with_their_datacenter() {
    let of = |remote: &str| load(&["-bind=127.0.0.1", &format!(r#"-hcl=cache {{ remote = [{remote}] }}"#)]);
    let named = of(r#""dc2:payments", "dc3:web""#).unwrap().remote_copies;
    let named: Vec<_> = named.iter().map(|copy| (copy.datacenter.as_str(), copy.service.as_str())).collect();
    assert_eq!(named, [("dc2", "payments"), ("dc3", "web")]);
    for (wrong, problem) in [
        (r#""payments""#, "names no service of a datacenter"),
        (r#""dc2:""#, "names no service of a datacenter"),
        (r#""dc2:a:b""#, "names no service of a datacenter"),
        (r#""DC1:web""#, "is of this datacenter"),
    ] {
        let error = of(wrong).unwrap_err().to_string();
        assert!(error.contains("cache.remote") && error.contains(problem), "{error}");
    }
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
    assert!(matches!(config.role, RoleConfig::Server { expect: 1, raft_multiplier: 1, .. }));
    assert_eq!(config.data_dir, None);
    assert_eq!(config.advertise, IpAddr::from([127, 0, 0, 1]));
}

#[test]
fn how_often_a_server_makes_snapshots_is_a_setting() {
    let role = |text: &str| load(&["-dev", "-hcl", text]).map(|config| config.role);
    let told = role("raft_snapshot_threshold = 100 raft_trailing_logs = 0").unwrap();
    let RoleConfig::Server { snapshot_entries, kept_entries, .. } = told else { panic!("{told:?}") };
    assert_eq!((snapshot_entries, kept_entries), (Some(100), Some(0)));
    let untold = role("").unwrap();
    let default = RoleConfig::Server { expect: 1, raft_multiplier: 1, snapshot_entries: None, kept_entries: None };
    assert_eq!(untold, default);
    let error = role("raft_snapshot_threshold = 0").unwrap_err();
    assert!(error.contains("raft_snapshot_threshold: 0 log entries"), "{error}");
}

#[test]
fn the_grpc_port_is_on_unless_it_is_turned_off() {
    for (flags, expected, is_wanted) in [
        (&["-dev"][..], &["127.0.0.1:8502"][..], false),
        (&["-dev", "-grpc-port=8503", "-client=127.0.0.1 10.0.0.7"], &["127.0.0.1:8503", "10.0.0.7:8503"], true),
        (&["-dev", "-hcl=addresses { grpc = \"10.0.0.7\" } ports { grpc = 1 }"], &["10.0.0.7:1"], true),
        (&["-dev", "-grpc-port=-1"], &[], true),
    ] {
        let listen = load(flags).unwrap().listen;
        let expected: Vec<std::net::SocketAddr> = expected.iter().map(|address| address.parse().unwrap()).collect();
        assert_eq!((listen.grpc, listen.grpc_is_wanted), (expected, is_wanted), "{flags:?}");
    }
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
fn what_values_and_transactions_may_take() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits.json");
    let limits = |text: &str| {
        fs::write(&file, format!(r#"{{"limits": {{{text}}}}}"#)).unwrap();
        let limits = load(&["-bind=127.0.0.1", "-config-file", file.to_str().unwrap()])?.http_limits;
        Ok::<_, String>((limits.kv_value_bytes, limits.transaction_bytes, limits.transaction_operations))
    };
    let usual = 512 * 1024;
    for (text, expected) in [
        ("", (usual, usual, 64)),
        (r#""kv_max_value_size": 1000000"#, (1_000_000, 1_000_000, 64)),
        (r#""txn_max_req_len": 1000000, "txn_max_ops": 128"#, (usual, 1_000_000, 128)),
    ] {
        assert_eq!(limits(text), Ok(expected), "{text}");
    }
    for name in ["kv_max_value_size", "txn_max_req_len"] {
        let error = limits(&format!(r#""{name}": 99000000"#)).unwrap_err();
        assert!(error.contains(name) && error.contains("at most"), "{error}");
    }
}

#[test]
fn what_holds_without_servers() {
    let default = load(&["-dev"]).unwrap();
    assert_eq!((default.without_servers, default.protection), (WithoutServers::Queue, None));
    let refuse = r#"-hcl=local_registrations_without_servers = "refuse""#;
    let config = load(&["-dev", refuse, "-hcl=discovery_protection {}"]).unwrap();
    let usual = Protection { threshold: 0.5, window: Duration::from_secs(60) };
    assert_eq!((config.without_servers, config.protection), (WithoutServers::Refuse, Some(usual)));
    let config = load(&["-dev", r#"-hcl=discovery_protection { threshold = 0.25 window = "5m" }"#]).unwrap();
    let protection = Some(Protection { threshold: 0.25, window: Duration::from_secs(300) });
    assert_eq!((config.protection, config.dns.protection), (protection, protection));
    for (setting, expected) in [
        ("discovery_protection { threshold = 1 }", "discovery_protection.threshold: 1 is no share"),
        (r#"local_registrations_without_servers = "keep""#, "(give \"queue\" or \"refuse\")"),
    ] {
        let error = load(&["-dev", &format!("-hcl={setting}")]).unwrap_err();
        assert!(error.contains(expected), "{setting}: {error}");
    }
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
        (r#"{"encrypt": "abc"}"#, "encrypt: it is not base64"),
        (r#"{"encrypt": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#, "encrypt: it has 24 bytes, not 16 or 32"),
        (r#"{"encrypt_verify_outgoing": false}"#, "encrypt_verify_incoming: without"),
        (r#"{"reconnect_timeout": "7h"}"#, "reconnect_timeout: is too short (give 8h or more)"),
        (r#"{"failing_nodes_share": 2}"#, "failing_nodes_share: 2 is no share"),
        (r#"{"left_timeout": "1m"}"#, "left_timeout: is too short (give 1h or more)"),
        (r#"{"acl": {"default_policy": "maybe"}}"#, "acl.default_policy: \"maybe\" is none (give allow or deny)"),
        (r#"{"tls": {"defaults": {"verify_outgoin": true}}}"#, "tls: defaults: unknown key \"verify_outgoin\""),
        (r#"{"auto_encrypt": {"allow_tls": true}}"#, "auto_encrypt: certificates are not given out"),
        (r#"{"http_config": {"block_endpoint": []}}"#, "http_config: unknown key \"block_endpoint\""),
        (r#"{"retry_join": ["provider=aws tag_key=x"]}"#, "a cloud cannot be asked for its machines"),
        (r#"{"services": {"name": 1}}"#, "name: expected a string"),
        (r#"{"checks": 1}"#, "checks: expected an object or a list of them, found 1"),
        (r#"{"ports": [{}, {}]}"#, "ports: expected an object, found a list"),
        (r#"{"recursors": ["here"]}"#, "recursors: \"here\" is no IP address"),
        (r#"{"dns_config": {"recursor_strategy": "any"}}"#, "is no strategy (give"),
        (r#"{"discovery_protection": {"threshold": "half"}}"#, "threshold: \"half\" is no number"),
        (r#"{"discovery_protection": {"share": 0.5}}"#, "discovery_protection: unknown key \"share\""),
        (r#"{"verify_incoming": "x"}"#, "verify_incoming: expected"),
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
        let in_file =
            error.starts_with(&file.display().to_string()) || expected.starts_with(['-', 'a', 'e', 'i', 'l', 'r', 'f']);
        assert!(in_file && error.contains(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "{text}: {error}");
    }
}

#[test]
fn an_id_stands_for_one_thing_in_all_files() {
    let web = r#"{"service": {"name": "web", "check": {"id": "beat", "ttl": "1s"}}}"#;
    for (second, expected) in [
        (r#"{"service": {"name": "other", "id": "web"}}"#, Some("b.json: service \"web\"")),
        (r#"{"check": {"name": "other", "id": "beat", "ttl": "1s"}}"#, Some("b.json: check \"beat\"")),
        (r#"{"services": [{"name": "x"}, {"name": "x"}]}"#, Some("already that of a service in this file")),
        (r#"{"service": {"name": "web", "id": "web-2", "check": {"ttl": "1s"}}}"#, None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.json"), web).unwrap();
        fs::write(dir.path().join("b.json"), second).unwrap();
        let error = load(&["-dev", &format!("-config-dir={}", dir.path().display())]).err();
        assert_eq!(error.is_some(), expected.is_some(), "{error:?}");
        assert!(error.is_none_or(|error| expected.is_some_and(|words| error.contains(words))), "{second}");
    }
}

#[test]
fn a_link_to_nothing_is_named_where_its_ending_is_ours() {
    let dir = tempfile::tempdir().unwrap();
    let start = || load(&["-dev", &format!("-config-dir={}", dir.path().display())]);
    for (name, is_ours) in [("notes.txt", false), ("web.json", true)] {
        std::os::unix::fs::symlink("/nowhere/at/all", dir.path().join(name)).unwrap();
        assert_eq!(start().err().map(|error| error.contains("web.json: cannot be read")), is_ours.then_some(true));
    }
}

#[test]
fn the_http_interface() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.json");
    let read = |text: &str| {
        fs::write(&file, text).unwrap();
        load(&["-dev", &format!("-config-file={}", file.display())])
    };
    let config = read(
        r#"{"addresses": {"http": "unix:///run/a.sock 127.0.0.1"}, "unix_sockets": {"user": "root", "group": "7", "mode": "0660"},
            "http_config": {"response_headers": {"X-A": "b"}, "block_endpoints": ["/v1/agent"], "allow_write_http_from": ["10.0.0.0/8"]}}"#,
    )
    .unwrap();
    assert_eq!(config.listen.http, ["127.0.0.1:8500".parse().unwrap()]);
    assert_eq!(config.listen.http_paths, [std::path::PathBuf::from("/run/a.sock")]);
    let ownership = config.listen.unix_sockets;
    assert_eq!((ownership.user, ownership.group, ownership.mode), (Some(0), Some(7), Some(0o660)));
    let access = config.http_access;
    assert_eq!((access.blocked.len(), access.write_from.len(), access.response_headers.len()), (1, 1, 1));
    for (text, expected) in [
        (r#"{"http_config": {"response_headers": {"a b": "c"}}}"#, "is no header"),
        (r#"{"http_config": {"block_endpoints": ["v1"]}}"#, "begins with a slash"),
        (r#"{"http_config": {"allow_write_http_from": ["10.0.0.0"]}}"#, "is no network"),
        (r#"{"unix_sockets": {"user": "nobody-has-this-name"}}"#, "neither an ID nor a name in /etc/passwd"),
        (r#"{"unix_sockets": {"mode": "999"}}"#, "is no mode"),
        (r#"{"addresses": {"dns": "unix:///run/a.sock"}}"#, "only the HTTP interface"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn protection_that_is_not_asked_for_is_not_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.json");
    fs::write(&file, r#"{"acl": {"enabled": false}, "verify_incoming": false, "encrypt": "", "segments": null,
            "tls": {"defaults": {"verify_incoming": false}}, "auto_encrypt": {"tls": false}, "http_config": {"block_endpoints": []}}"#)
        .unwrap();
    load(&["-dev", &format!("-config-file={}", file.display())]).unwrap();
}

#[test]
fn hcl_and_json_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.hcl"), "ports { http = 1 } check { name = \"c\" ttl = \"1s\" }").unwrap();
    fs::write(dir.path().join("b.json"), r#"{"ports": {"dns": 2}, "services": [{"name": "a"}]}"#).unwrap();
    fs::write(
        dir.path().join("c.hcl"),
        "service { name = \"b\" check { ttl = \"1s\" } check { ttl = \"2s\" } }\nservice { name = \"c\" }",
    )
    .unwrap();
    fs::write(dir.path().join("d.hcl"), "  \n").unwrap();
    let config = load(&["-dev", &format!("-config-dir={}", dir.path().display())]).unwrap();
    assert_eq!((config.listen.http[0].port(), config.listen.dns[0].port()), (1, 2));
    assert_eq!(config.services.iter().map(|s| &*s.service.name).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((config.services[1].checks.len(), config.checks.len()), (2, 1));
}

#[test]
fn a_format_counts_more_than_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agent.conf");
    fs::write(&file, "node_name = \"n\"").unwrap();
    let named = format!("-config-file={}", file.display());
    let error = load(&["-dev", &named]).unwrap_err();
    assert!(
        error.ends_with("its name ends neither in .json nor in .hcl (rename it, or give -config-format)"),
        "{error}"
    );
    assert_eq!(load(&["-dev", &named, "-config-format=hcl"]).unwrap().node_name, "n");
    let error = load(&["-dev", &named, "-config-format", "json"]).unwrap_err();
    assert!(error.ends_with("agent.conf:1:2: not JSON: expected ident"), "{error}");
    let directory = format!("-config-dir={}", dir.path().display());
    assert_eq!(load(&["-dev", &directory, "-config-format=hcl"]).unwrap().node_name, "n");
    assert_ne!(load(&["-dev", &directory]).unwrap().node_name, "n", "files with another ending are others'");
}

#[test]
fn what_comes_later_counts() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).display().to_string()
    };
    let first = file(
        "z.hcl",
        "datacenter = \"a\" node_name = \"a\" node_meta { k = \"a\" l = \"a\" } recursors = [\"10.0.0.1\"]",
    );
    let second = file("a.hcl", "datacenter = \"b\" node_meta { k = \"b\" } recursors = [\"10.0.0.2:5353\"]");
    let hcl = "-hcl=datacenter = \"c\" log_level = \"warn\"";
    let config = load(&["-dev", "-config-dir", &first, "-config-file", &second, hcl, "-recursor=10.0.0.1"]).unwrap();
    assert_eq!((config.node_name.as_str(), config.datacenter.as_str(), config.log.level.as_str()), ("a", "c", "warn"));
    assert_eq!(config.node_meta, Meta::from([("k".into(), "b".into()), ("l".into(), "a".into())]));
    assert_eq!(config.dns.recursors, ["10.0.0.1:53".parse().unwrap(), "10.0.0.2:5353".parse().unwrap()]);
    let error = load(&["-dev", "-hcl", "datacenter = x"]).unwrap_err();
    assert!(error.starts_with("-hcl:1:14: \"x\" is neither"), "{error}");
}

/// Every flag of Consul's agent, with something that suits it.
const EVERY_FLAG: &[(&str, &str)] = &[
    ("advertise", "10.0.0.1"),
    ("advertise-wan", "10.0.0.1"),
    ("alt-domain", "alt"),
    ("auto-reload-config", ""),
    ("bind", "127.0.0.1"),
    ("bootstrap", ""),
    ("bootstrap-expect", "1"),
    ("check_output_max_size", "10"),
    ("client", "127.0.0.1"),
    ("config-format", "hcl"),
    ("data-dir", "/d"),
    ("datacenter", "dc2"),
    ("default-query-time", "1s"),
    ("dev", ""),
    ("disable-host-node-id", ""),
    ("disable-keyring-file", ""),
    ("dns-port", "-1"),
    ("domain", "other"),
    ("enable-local-script-checks", ""),
    ("enable-script-checks", ""),
    ("grpc-port", "-1"),
    ("grpc-tls-port", "-1"),
    ("hcl", "log_level=\"warn\""),
    ("http-port", "8501"),
    ("https-port", "-1"),
    ("join", "a"),
    ("join-wan", "a"),
    ("log-file", "/l/"),
    ("log-json", ""),
    ("log-level", "debug"),
    ("log-rotate-bytes", "10"),
    ("log-rotate-duration", "1h"),
    ("log-rotate-max-files", "-1"),
    ("max-query-time", "1s"),
    ("node", "n"),
    ("node-id", "6a4bb5e8-0b0c-4a44-9c3c-000000000001"),
    ("node-meta", "a:b"),
    ("non-voting-server", ""),
    ("pid-file", "/p"),
    ("primary-gateway", "a"),
    ("protocol", "3"),
    ("raft-protocol", "3"),
    ("read-replica", ""),
    ("recursor", "10.0.0.1"),
    ("rejoin", ""),
    ("retry-interval", "1s"),
    ("retry-interval-wan", "1s"),
    ("retry-join", "a"),
    ("retry-join-wan", "a"),
    ("retry-max", "1"),
    ("retry-max-wan", "1"),
    ("segment", "s"),
    ("serf-lan-bind", "127.0.0.1"),
    ("serf-lan-port", "8301"),
    ("serf-wan-bind", "127.0.0.1"),
    ("serf-wan-port", "-1"),
    ("server", ""),
    ("server-port", "8300"),
    ("syslog", ""),
    ("ui", ""),
    ("ui-content-path", "/ui/"),
    ("ui-dir", "/d"),
];

#[test]
fn every_flag_is_taken_in_every_form() {
    for (flag, value) in EVERY_FLAG {
        for dashes in ["-", "--"] {
            let forms = if value.is_empty() {
                ["", "=true", "=1", "=T", "=false"].map(|end| vec![format!("{dashes}{flag}{end}")]).to_vec()
            } else {
                vec![vec![format!("{dashes}{flag}={value}")], vec![format!("{dashes}{flag}"), (*value).into()]]
            };
            for form in forms {
                // What this host has for addresses is not the matter.
                let mut arguments: Vec<&str> = vec![if *flag == "dev" { "-bind=127.0.0.1" } else { "-dev" }];
                arguments.extend(form.iter().map(String::as_str));
                load(&arguments).unwrap_or_else(|error| panic!("{form:?}: {error}"));
            }
        }
    }
}

#[test]
fn only_servers_join_other_datacenters() {
    let server = load(&["-dev", "-hcl=start_join_wan = [\"a\"]", "-retry-join-wan=b", "-retry-max-wan=3"]).unwrap();
    let expected = Join { start: vec!["a".into()], retry: vec!["b".into()], interval: Duration::from_secs(30), max: 3 };
    assert_eq!(server.join_wan, expected);
    let sidecar = ["-bind=127.0.0.1", "-retry-join-wan=b"];
    let config = load(&sidecar).unwrap();
    assert_eq!((config.join_wan, config.ignored), (Join::default(), vec!["retry_join_wan".into()]));
    for arguments in [&["-bind=127.0.0.1", "-join-wan=a"][..], &["-dev", "-serf-wan-port=-1", "-join-wan=a"]] {
        let error = load(arguments).unwrap_err();
        assert!(error.starts_with("-join-wan: only a server"), "{error}");
    }
}

#[test]
fn watches_are_read_in_both_forms_and_bad_ones_named() {
    let two = "watches { type = \"nodes\" args = [\"a\"] } watches { type = \"services\" args = [\"b\"] }";
    let config = load(&["-dev", "-hcl", two, "-hcl=watches = [{ type = \"nodes\" handler = \"c\" }]"]).unwrap();
    let kinds: Vec<_> = config.watches.iter().map(|watch| watch.subject.kind.as_str()).collect();
    assert_eq!(kinds, ["nodes", "services", "nodes"]);
    let error = load(&["-dev", "-hcl=watches { type = \"nods\" args = [\"a\"] }"]).unwrap_err();
    assert!(error.starts_with("-hcl: watch 1: Unsupported watch type: nods"), "{error}");
}

#[test]
fn translated_addresses_are_announced() {
    let headers = |text: &str| load(&["-dev", text]).unwrap().http_access.response_headers;
    let [(name, value)] = &headers("-hcl=translate_wan_addrs = true")[..] else { panic!("one header") };
    assert_eq!((name.as_str(), value.as_bytes()), ("x-consul-translate-addresses", &b"true"[..]));
    assert!(headers("-hcl=translate_wan_addrs = false").is_empty());
}

#[test]
fn gossip_is_encrypted_as_it_is_said() {
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let usual = load(&["-dev"]).unwrap().gossip;
    assert!(usual.key.is_none() && usual.verify_incoming && usual.verify_outgoing && usual.keeps_keyring);
    assert_eq!(usual.reconnect_timeout, Duration::from_secs(72 * 3600));
    let flags = ["-dev", "-encrypt", key, "-disable-keyring-file", "-hcl=encrypt_verify_incoming = false"];
    let gossip = load(&flags).unwrap().gossip;
    assert_eq!(gossip.key.unwrap().reveal(), key);
    assert!(!gossip.verify_incoming && gossip.verify_outgoing && !gossip.keeps_keyring);
    let times = r#"-hcl=reconnect_timeout = "9h" reconnect_timeout_wan = "10h" left_timeout = "2h""#;
    let gossip = load(&["-dev", times]).unwrap().gossip;
    let hours = [gossip.reconnect_timeout, gossip.reconnect_timeout_wan, gossip.left_timeout];
    assert_eq!(hours.map(|time| time.as_secs() / 3600), [9, 10, 2]);
}

#[test]
fn flags_that_protect_are_refused() {
    for flag in ["-serf-lan-allowed-cidrs=10.0.0.0/8", "-serf-wan-allowed-cidrs=10.0.0.0/8"] {
        let error = load(&["-dev", flag]).unwrap_err();
        let (name, _) = flag.split_once('=').unwrap();
        assert!(error.starts_with(name) && error.contains("not available in this version"), "{error}");
    }
}

#[test]
fn a_log_file_is_named_as_consul_names_it() {
    for (given, expected) in [("/l/", "/l/consul.log"), ("/l/agent", "/l/agent.log"), ("/l/agent.txt", "/l/agent.txt")]
    {
        let config = load(&["-dev", "-log-file", given]).unwrap();
        let expected = LogFile {
            path: expected.into(),
            rotate_bytes: 0,
            rotate_after: Duration::from_secs(24 * 3600),
            keep: None,
        };
        assert_eq!(config.log.file, Some(expected));
    }
    let config = load(&["-dev", "-log-file=/l/", "-log-rotate-max-files=-1", "-log-rotate-duration=0s"]).unwrap();
    assert_eq!(config.log.file.unwrap().keep, Some(0));
}

fn host(interfaces: fn() -> std::io::Result<Vec<host::Interface>>) -> Host {
    Host { interfaces, variable: |_| None }
}

fn two_interfaces() -> std::io::Result<Vec<host::Interface>> {
    let of = |name: &str, address: [u8; 4]| host::Interface { name: name.into(), address: address.into(), prefix: 24 };
    Ok(vec![of("lo", [127, 0, 0, 1]), of("eth0", [10, 0, 0, 7]), of("eth1", [192, 168, 1, 7])])
}

fn load_on(host: Host, arguments: &[&str]) -> Result<Config, String> {
    let arguments = std::iter::once(&"agent").chain(arguments).map(Into::into);
    let command = Command::try_parse_from(go_style_args(arguments)).map_err(|error| error.to_string())?;
    Config::load_on(&command.flags, host).map_err(|error| error.to_string())
}

#[test]
fn addresses_may_be_templates_or_interfaces() {
    let eth0 = "{{ GetInterfaceIP \"eth0\" }}";
    let given = ["-bind", eth0, "-client", "127.0.0.1 {{ GetInterfaceIP \"eth1\" }}", "-retry-join", eth0];
    let config = load_on(host(two_interfaces), &given).unwrap();
    assert_eq!((config.listen.bind, config.advertise), ([10, 0, 0, 7].into(), [10, 0, 0, 7].into()));
    assert_eq!(config.listen.http, [([127, 0, 0, 1], 8500).into(), ([192, 168, 1, 7], 8500).into()]);
    assert_eq!(config.join.retry, ["10.0.0.7"]);
    let error = load_on(host(two_interfaces), &["-bind={{ GetInterfaceIP \"eth9\" }}"]).unwrap_err();
    assert!(error.starts_with("-bind: ") && error.contains("this host has no interface \"eth9\""), "{error}");
    let error = load_on(host(two_interfaces), &[]).unwrap_err();
    assert!(error.contains("several private addresses, 10.0.0.7 and 192.168.1.7"), "{error}");
    let error = load_on(host(|| Err(std::io::Error::other("no"))), &["-bind={{ GetPrivateIP }}"]).unwrap_err();
    assert_eq!(error, "-bind: cannot list the host's addresses: no");

    let variable = |name: &str| match name {
        "CONSUL_BIND_INTERFACE" => Some("eth1".into()),
        "CONSUL_CLIENT_INTERFACE" => Some("lo".into()),
        _ => None,
    };
    let docker = Host { interfaces: two_interfaces, variable };
    let config = load_on(docker, &["-hcl=bind_addr = \"10.0.0.7\""]).unwrap();
    assert_eq!(config.listen.bind, IpAddr::from([192, 168, 1, 7]), "the environment wins over files");
    assert_eq!(config.listen.http, [([127, 0, 0, 1], 8500).into()]);
    assert_eq!(load_on(docker, &["-bind=10.0.0.7"]).unwrap().listen.bind, IpAddr::from([10, 0, 0, 7]));
    let error = load_on(Host { variable: |_| Some("eth9".into()), ..docker }, &[]).unwrap_err();
    assert_eq!(error, "CONSUL_BIND_INTERFACE: no interface \"eth9\" with an address");
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
