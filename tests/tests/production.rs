//! Agents behave as their files say: a server and a host, each told everything by a directory of JSON and HCL files
//! as operators have them, observed by HTTP, DNS, signals and what they write. What the files mean is tested where they
//! are read; here is that it has its effect.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{collections::BTreeMap, fs, time::Duration};

use hickory_proto::rr::{RData, RecordType};
use lictor_tests::{agent::Agent, dns::Transport, ports, wait, web::Web};
use serde_json::{Value, json};

/// Longest time until two agents have found each other, or a check has told.
const LIMIT: Duration = Duration::from_secs(40);

fn files_of_a_server(agent: &Agent) {
    agent.write_file(
        "10-agent.hcl",
        &format!(
            "# The same in every datacenter.\ndatacenter = \"eu-west\"\nnode_name = \"registry\"\nserver = true\n\
             bootstrap_expect = 1\nbind_addr = \"127.0.0.1\"\ndata_dir = {:?}\n\
             performance {{ raft_multiplier = 1 }}\ntelemetry {{ disable_hostname = true }}\n",
            agent.data_directory()
        ),
    );
    let ports: BTreeMap<_, _> = agent.ports.named().into_iter().collect();
    agent.write_file("15-ports.json", &json!({"ports": ports}).to_string());
    agent.write_file(
        "20-dns.json",
        r#"{"domain": "internal.", "alt_domain": "consul.", "dns_config": {"node_ttl": "30s", "only_passing": true,
            "service_ttl": {"*": "5s", "web*": "1s"}, "soa": {"min_ttl": 7}}}"#,
    );
    let directory = agent.directory().display();
    agent.write_file(
        "30-logging.hcl",
        &format!(
            "log_level = \"INFO\"\nlog_json = true\nlog_file = \"{directory}/agent.log\"\npid_file = \"{directory}/pid\"\n"
        ),
    );
    agent.write_file(
        "40-http.json",
        r#"{"http_config": {"response_headers": {"X-Datacenter": "eu"}, "block_endpoints": ["/v1/agent/force-leave"]}}"#,
    );
    agent.write_file("90-host.hcl", "node_name = \"registry-1\"\nnode_meta { rack = \"r12\" }\n");
    agent.write_file("notes.txt", "not a configuration");
}

fn files_of_a_host(agent: &Agent, server: &Agent, web: &Web) {
    let ports: BTreeMap<_, _> = agent.ports.named().into_iter().collect();
    let joined = format!("127.0.0.1:{}", server.ports.serf_lan);
    let settings = json!({"datacenter": "eu-west", "node_name": "web-7", "bind_addr": "127.0.0.1", "ports": ports,
        "retry_join": [joined], "retry_interval": "1s", "data_dir": agent.data_directory(), "domain": "internal",
        "leave_on_terminate": true, "enable_local_script_checks": true, "node_meta": {"rack": "r3"}});
    agent.write_file("agent.json", &settings.to_string());
    let (port, health) = (web.port, format!("http://127.0.0.1:{}/health", web.port));
    agent.write_file(
        "web.hcl",
        &format!(
            r#"
service {{
  id = "web-1"  name = "web"  port = {port}
  tags = ["v2", "primary"]
  meta {{ version = "2.4.1" }}
  tagged_addresses {{ wan {{ address = "203.0.113.7" port = 80 }} }}
  weights {{ passing = 10 warning = 2 }}
  check {{ id = "web-http" name = "HTTP" http = "{health}" interval = "200ms" failures_before_critical = 2 }}
}}
"#
        ),
    );
    agent.write_file(
        "checks.hcl",
        r#"
check { id = "disk" name = "Disk" args = ["/bin/sh", "-c", "echo 91%; exit 1"] interval = "200ms" notes = "Look at /var" }
checks = [{ id = "cron" name = "Cron" ttl = "25h" status = "passing" }]
"#,
    );
    agent.write_file("database.json", r#"{"services": [{"name": "db", "port": 5432, "check": {"ttl": "1h"}}]}"#);
}

fn answers(agent: &Agent, name: &str, kind: RecordType) -> Vec<(RData, u32)> {
    let message = agent.dns().ask(Transport::Udp, name, kind).unwrap();
    message.answers.into_iter().map(|record| (record.data, record.ttl)).collect()
}

#[test]
fn agents_behave_as_their_files_say() {
    let server = Agent::of_files("registry");
    files_of_a_server(&server);
    let mut server = server.started();
    let web = Web::start("hello");
    let host = Agent::of_files("web-7");
    files_of_a_host(&host, &server, &web);
    let mut host = host.started();

    the_catalog_has_what_the_files_say(&server);
    dns_answers_as_the_files_say(&server);
    the_server_speaks_as_its_files_say(&mut server);

    // The disk is repaired: its check says so after a reload.
    host.write_file("checks.hcl", "check { id = \"disk\" name = \"Disk\" args = [\"true\"] interval = \"200ms\" }\n");
    let reloaded = host.command(&["reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    wait::until("web is in DNS", LIMIT, || {
        let found = server.dns().ports("web.service.internal")?;
        wait::ensure(found == [web.port], || format!("{found:?}"))
    });
    let found = answers(&server, "primary.web.service.consul", RecordType::SRV);
    assert!(matches!(&found[..], [(RData::SRV(record), 1)] if record.weight == 10), "{found:?}");
    web.set_health(500);
    wait::until("web fails, and leaves DNS", LIMIT, || {
        let found = server.dns().ports("web.service.internal")?;
        wait::ensure(found.is_empty(), || format!("{found:?}"))
    });
    assert!(host.terminate().success());
    wait::until("the host has left", LIMIT, || {
        let node = server.http().json("/v1/catalog/node/web-7")?;
        wait::ensure(node.is_null(), || node.to_string())
    });
    // A server stops without leaving, and frees its ports.
    assert!(server.terminate().success());
    assert!(server.ports.named().into_iter().all(|(_, port)| ports::is_free(port)));
}

fn the_catalog_has_what_the_files_say(server: &Agent) {
    wait::until("web-1 passes, the disk warns", LIMIT, || {
        let passing = server.passing("web")?;
        // The node's own check warns, and with it every instance on the node: none passes.
        let disk = server.check_status("web-7", "disk")?;
        let http = server.check_status("web-7", "web-http")?;
        let as_wanted = disk.as_deref() == Some("warning") && http.as_deref() == Some("passing");
        wait::ensure(as_wanted && passing.is_empty(), || format!("{passing:?} {disk:?} {http:?}"))
    });
    let entry = server.http().json("/v1/health/service/web").unwrap()[0].clone();
    let service = &entry["Service"];
    assert_eq!((&entry["Node"]["Datacenter"], &entry["Node"]["Meta"]["rack"]), (&json!("eu-west"), &json!("r3")));
    assert_eq!((&service["Tags"], &service["Meta"]["version"]), (&json!(["v2", "primary"]), &json!("2.4.1")));
    assert_eq!(service["TaggedAddresses"]["wan"], json!({"Address": "203.0.113.7", "Port": 80}));
    assert_eq!(service["Weights"], json!({"Passing": 10, "Warning": 2}));
    let checks = server.http().json("/v1/health/node/web-7").unwrap();
    let checks: BTreeMap<&str, &Value> =
        checks.as_array().unwrap().iter().map(|check| (check["CheckID"].as_str().unwrap(), check)).collect();
    assert_eq!((&checks["disk"]["Notes"], &checks["cron"]["Status"]), (&json!("Look at /var"), &json!("passing")));
    assert!(checks["disk"]["Output"].as_str().unwrap().starts_with("91%"), "{}", checks["disk"]);
    assert_eq!(checks["service:db"]["Status"], "critical");
    // The leader registers its own host; its agent adds what the file says.
    wait::until("the server's own host has its meta data", LIMIT, || {
        let node = server.http().json("/v1/catalog/node/registry-1")?;
        wait::ensure(node["Node"]["Meta"]["rack"] == "r12", || node.to_string())
    });

    // Warning is not passing: with `only_passing` nothing is found until the disk passes.
    assert!(server.dns().ports("web.service.internal").unwrap().is_empty());
}

fn dns_answers_as_the_files_say(server: &Agent) {
    for name in ["web-7.node.internal", "web-7.node.eu-west.internal", "web-7.node.consul"] {
        let found = answers(server, name, RecordType::A);
        assert!(matches!(found[..], [(RData::A(_), 30)]), "{name}: {found:?}");
    }
    let soa = server.dns().ask(Transport::Udp, "nothing.service.internal", RecordType::A).unwrap();
    let minimum = soa.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.minimum),
        _ => None,
    });
    assert_eq!(minimum, Some(7), "{soa:?}");
}

fn the_server_speaks_as_its_files_say(server: &mut Agent) {
    let answer = server.http().get("/v1/status/leader").unwrap();
    assert_eq!(answer.header("x-datacenter"), Some("eu"));
    let blocked = server.http().send("PUT", "/v1/agent/force-leave/nobody", &[], b"").unwrap();
    assert_eq!(blocked.status, 403, "{}", blocked.text());
    let pid = fs::read_to_string(server.directory().join("pid")).unwrap();
    assert_eq!(pid.trim(), server.pid().to_string());
    let logs = fs::read_dir(server.directory()).unwrap().map(|entry| entry.unwrap().path());
    let log = logs.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("agent")));
    let log = log.map(|path| fs::read_to_string(path).unwrap()).collect::<String>();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "nothing was logged");
}
