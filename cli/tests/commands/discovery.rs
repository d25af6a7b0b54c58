//! Catalog, services, maintenance, events, coordinates, the log: what each command asks and prints.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    thread,
};

use crate::canned::{Canned, LICTOR, Said, command, reply, request, said};

const NODES: &str = r#"[
    {"ID": "1b662d97-8b2f-4dd4-b2a2-0f4b6a4b2f4e", "Node": "web-1", "Address": "10.0.0.21", "Datacenter": "dc1",
     "TaggedAddresses": {"lan": "10.0.0.21", "wan": "203.0.113.5"}, "Meta": {"rack": "a7"}, "CreateIndex": 3},
    {"ID": "", "Node": "by-hand", "Address": "10.0.0.9", "Datacenter": "dc1", "TaggedAddresses": null, "Meta": null}
]"#;

fn ok(out: &str) -> Said {
    Said { code: 0, out: out.into(), err: String::new() }
}

fn failed(err: &str) -> Said {
    Said { code: 1, out: String::new(), err: err.into() }
}

#[test]
fn datacenters_are_one_on_each_line() {
    let agent = Canned::new(&[("", r#"["dc1","dc2"]"#)]);
    assert_eq!(agent.said("catalog datacenters"), ok("dc1\ndc2\n"));
    assert_eq!(agent.said("catalog datacenters -format=json"), ok("[\n    \"dc1\",\n    \"dc2\"\n]\n"));
    assert_eq!(agent.asked()[0], "GET /v1/catalog/datacenters");
}

#[test]
fn nodes_are_consuls_table() {
    let agent = Canned::new(&[("", NODES)]);
    let table =
        "Node     ID        Address    DC\nweb-1    1b662d97  10.0.0.21  dc1\nby-hand            10.0.0.9   dc1\n";
    assert_eq!(agent.said("catalog nodes"), ok(table));
    let detailed = agent.said("catalog nodes -detailed").out;
    assert!(detailed.contains("b6a4b2f4e  10.0.0.21  dc1  lan=10.0.0.21, wan=203.0.113.5  rack=a7\n"), "{detailed}");
    let json = agent.said("catalog nodes -format=json").out;
    assert!(json.starts_with("[\n    {\n        \"ID\": \"1b662d97-") && json.contains("\"rack\": \"a7\""), "{json}");
    agent.said("catalog nodes -near _agent -node-meta=rack=a7 -node-meta x=y -filter=Node==a -stale -datacenter=dc2");
    let asked = agent.asked();
    let query = "near=_agent&node-meta=rack:a7&node-meta=x:y&filter=Node%3D%3Da&dc=dc2&stale=";
    assert_eq!(asked.last(), Some(&format!("GET /v1/catalog/nodes?{query}")));
}

#[test]
fn nodes_of_a_service_and_no_nodes() {
    let rows = r#"[{"ID": "1b-2", "Node": "web-1", "Address": "10.0.0.21", "Datacenter": "dc1", "NodeMeta": {"a": "b"},
                    "TaggedAddresses": {}, "ServiceID": "web", "ServiceMeta": {"x": "y"}}]"#;
    let agent = Canned::new(&[("/v1/catalog/service/web", rows), ("", "[]")]);
    let said = agent.said("catalog nodes -service=web -detailed");
    assert_eq!(said.out.lines().nth(1), Some("web-1  1b-2  10.0.0.21  dc1                   a=b"), "{said:?}");
    let nothing = agent.said("catalog nodes");
    assert_eq!((nothing.code, nothing.out.as_str()), (0, ""));
    assert_eq!(nothing.err, "No nodes match the given query - try expanding your search.\n");
    assert_eq!(agent.said("catalog nodes -format=json"), ok("[]\n"));
}

#[test]
fn services_are_sorted_and_their_tags_too() {
    let node = r#"{"Node": {}, "Services": {"w1": {"Service": "web", "Tags": ["b"]}, "w2": {"Service": "web", "Tags": ["a"]}}}"#;
    let services = r#"{"web": ["b", "a"], "consul": []}"#;
    let agent = Canned::new(&[("/v1/catalog/node/n1", node), ("/v1/catalog/node/", "null"), ("", services)]);
    assert_eq!(agent.said("catalog services"), ok("consul\nweb\n"));
    assert_eq!(agent.said("catalog services -tags"), ok("consul      \nweb         a,b\n"));
    assert_eq!(agent.said("catalog services -node=n1 -tags"), ok("web      a,b\n"));
    assert!(agent.said("catalog services -node=none").err.starts_with("No services match"));
    let json = "{\n    \"consul\": [],\n    \"web\": [\n        \"a\",\n        \"b\"\n    ]\n}\n";
    assert_eq!(agent.said("catalog services -format=json"), ok(json));
}

#[test]
fn services_are_registered_by_flags() {
    let agent = Canned::new(&[("", "")]);
    assert_eq!(
        agent.said("services register -name=web -id web-1 -port=80 -tag=a -meta=k=v"),
        ok("Registered service: web\n")
    );
    let body = r#"{"ID":"web-1","Meta":{"k":"v"},"Name":"web","Port":80,"Tags":["a"]}"#;
    assert_eq!(agent.said("services deregister -id=a/b"), ok("Deregistered service: a/b\n"));
    let expected = [format!("PUT /v1/agent/service/register {body}"), "PUT /v1/agent/service/deregister/a%2Fb".into()];
    assert_eq!(agent.asked(), expected);
    for (line, err) in [
        ("services register", "Service registration requires at least one argument or -name.\n"),
        ("services register -name=a f.json", "Service registration requires arguments or -name, not both.\n"),
        ("services deregister", "Service deregistration requires at least one argument or -id.\n"),
        ("services deregister -id=a f.json", "Service deregistration requires arguments or -id, not both.\n"),
    ] {
        assert_eq!(agent.said(line), failed(err));
    }
}

#[test]
fn services_are_registered_by_files_and_a_wrong_file_changes_nothing() {
    let directory = std::env::temp_dir().join(format!("lictor-services-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let good = file("good.json", r#"{"services": [{"name": "a"}, {"name": "b", "id": "b1"}]}"#);
    let bad = file("bad.json", r#"{"service": {"name": "c", "prot": 1}}"#);
    let agent = Canned::new(&[("", "")]);
    let wrong = agent.said(&format!("services register {good} {bad}"));
    assert!(wrong.code == 1 && wrong.err.contains("service \"c\": unknown key \"prot\""), "{wrong:?}");
    assert!(agent.asked().is_empty());
    assert_eq!(agent.said(&format!("services register {good}")), ok("Registered service: a\nRegistered service: b\n"));
    assert_eq!(agent.asked()[0], r#"PUT /v1/agent/service/register {"name":"a"}"#);
    assert_eq!(
        agent.said(&format!("services deregister {good}")),
        ok("Deregistered service: a\nDeregistered service: b1\n")
    );
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_refusal_is_said_with_what_was_tried() {
    let agent = Canned::answering(|_| reply("400 Bad Request", "Invalid filter\n"));
    for (line, what) in [
        ("catalog nodes -filter=x", "Error listing nodes"),
        ("catalog services", "Error listing services"),
        ("catalog datacenters", "Error listing datacenters"),
        ("services register -name=web", "Error registering service \"web\""),
        ("services deregister -id=web", "Error deregistering service \"web\""),
        ("maint -enable", "Error enabling node maintenance"),
        ("maint -disable -service=web", "Error disabling service maintenance"),
        ("event -name=x", "Error firing event"),
        ("rtt a b", "Error getting coordinates"),
        ("monitor", "Error starting monitor"),
        ("watch -type=nodes", "Error querying Consul agent"),
    ] {
        assert_eq!(agent.said(line), failed(&format!("{what}: Unexpected response code: 400 (Invalid filter)\n")));
    }
}

#[test]
fn maintenance_begins_and_ends_and_is_listed() {
    let checks = r#"{"_node_maintenance": {"Notes": "new disk", "ServiceID": ""}}"#;
    let this = r#"{"Config": {"NodeName": "host-1"}}"#;
    let agent = Canned::new(&[("/v1/agent/checks", checks), ("/v1/agent/self", this), ("", "")]);
    assert_eq!(agent.said("maint -enable -reason=disk"), ok("Node maintenance is now enabled\n"));
    assert_eq!(agent.said("maint -disable -service=web"), ok("Service maintenance is now disabled for \"web\"\n"));
    let expected =
        ["PUT /v1/agent/maintenance?enable=true&reason=disk", "PUT /v1/agent/service/maintenance/web?enable=false"];
    assert_eq!(agent.asked(), expected);
    assert_eq!(agent.said("maint"), ok("Node:\n  Name:   host-1\n  Reason: new disk\n\n"));
    assert_eq!(agent.said("maint -enable -disable"), failed("Only one of -enable or -disable may be provided\n"));
    assert_eq!(agent.said("maint -reason=x"), failed("Reason may only be provided with -enable\n"));
    assert_eq!(agent.said("maint -service=x"), failed("Service requires either -enable or -disable\n"));
}

#[test]
fn events_are_fired() {
    let agent = Canned::new(&[("", r#"{"ID": "abc-1", "Name": "deploy"}"#)]);
    assert_eq!(agent.said("event -name=deploy -node=^web -service=web -tag=blue 1.4.2"), ok("Event ID: abc-1\n"));
    assert_eq!(agent.asked(), ["PUT /v1/event/fire/deploy?node=%5Eweb&service=web&tag=blue 1.4.2"]);
    for (line, part) in [
        ("event", "Event name must be specified"),
        ("event -name=a -node=(", "Failed to compile node filter regexp"),
        ("event -name=a -tag=b", "Cannot provide tag filter without service filter."),
        ("event -name=a b c", "unexpected argument 'c'"),
    ] {
        let said = agent.said(line);
        assert!(said.code == 1 && said.err.contains(part), "{said:?}");
    }
}

#[test]
fn round_trip_times_are_estimated() {
    let entry = |node: &str, x: f64| {
        format!(
            r#"{{"Node": "{node}", "Segment": "", "Coord": {{"Vec": [{x}], "Error": 1, "Adjustment": 0, "Height": 0.001}}}}"#
        )
    };
    let nodes = format!("[{}, {}]", entry("a", 0.0), entry("b", 0.01));
    let wan = format!(r#"[{{"Datacenter": "dc1", "AreaID": "wan", "Coordinates": {nodes}}}]"#);
    let this = r#"{"Config": {"NodeName": "b", "Datacenter": "dc1"}}"#;
    let agent = Canned::new(&[("coordinate/nodes", &nodes), ("datacenters", &wan), ("self", this)]);
    let estimate = "Estimated a <-> b rtt: 12.000 ms (using LAN coordinates)\n";
    assert_eq!(agent.said("rtt a b"), ok(estimate));
    assert_eq!(agent.said("rtt a"), ok(estimate));
    assert_eq!(agent.said("rtt -wan a.dc1"), ok("Estimated a.dc1 <-> b.dc1 rtt: 12.000 ms (using WAN coordinates)\n"));
    assert_eq!(agent.said("rtt a z"), failed("Could not find a coordinate for node \"z\"\n"));
    assert_eq!(
        agent.said("rtt -wan a b"),
        failed("Node names must be specified as <node name>.<datacenter> with -wan\n")
    );
    assert!(agent.said("rtt").err.starts_with("One or two node names must be specified"));
}

#[test]
fn a_log_is_printed_until_the_agent_ends() {
    let agent = Canned::new(&[("", "[INFO] one\n[INFO] two\n")]);
    let said = agent.said("monitor -log-level=debug -log-json");
    assert!(said.code == 1 && said.out.starts_with("[INFO] one\n[INFO] two\n\nRemote side ended"), "{said:?}");
    assert_eq!(agent.asked(), ["GET /v1/agent/monitor?loglevel=debug&logjson=true"]);
}

#[test]
fn a_unix_socket_is_asked_too() {
    let directory = std::env::temp_dir().join(format!("lictor-socket-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("http.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let agent = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked = request(&mut stream);
        stream.write_all(reply("200 OK", r#"["dc1"]"#).as_bytes()).unwrap();
        asked
    });
    let address = format!("unix://{}", path.display());
    let output = command(LICTOR, &["catalog", "datacenters"], &address).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "dc1\n", "{output:?}");
    assert_eq!(agent.join().unwrap(), "GET /v1/catalog/datacenters");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn nothing_is_sent_by_tls_where_its_files_cannot_be_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let agent = thread::spawn(move || {
        let mut sent = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut sent).unwrap();
        sent
    });
    let output = command(LICTOR, &["catalog", "nodes", "-ca-file=/nowhere/ca.pem"], &address).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("-ca-file: /nowhere/ca.pem: cannot be read"), "{said}");
    assert_eq!(agent.join().unwrap(), b"");
}

#[test]
fn help_and_completion_need_no_agent() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let help = said(LICTOR, &["help"], nobody);
    assert!(help.code == 0 && help.out.contains("Register and find services\n  services"), "{}", help.out);
    let nodes = said(LICTOR, &["help", "catalog", "nodes"], nobody);
    assert!(nodes.code == 0 && nodes.out.contains("Examples:\n") && nodes.out.contains("--http-addr"), "{}", nodes.out);
    let group = said(LICTOR, &["catalog"], nobody);
    assert!(group.code == 1 && group.err.contains("datacenters"), "{group:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = said(LICTOR, &["completion", shell], nobody);
        assert!(script.code == 0 && script.out.contains("force-leave"), "{shell}");
    }
    assert_eq!(said(LICTOR, &["completion", "powershell"], nobody).code, 1);
}
