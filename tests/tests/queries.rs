//! Prepared queries through sidecars, which hold them all: what is written at one is answered at another, also when
//! every server is gone, and is there again when they are back.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::time::Duration;

use hickory_proto::{op::ResponseCode, rr::RecordType};
use lictor_tests::{agent::Agent, cluster::Cluster, dns::Transport, wait};
use serde_json::{Value, json};

/// Longest time for what is waited for between the parts of a test.
const LIMIT: Duration = Duration::from_secs(20);

fn send(agent: &Agent, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = agent.http().send(method, path, &[], body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

fn create(agent: &Agent, query: &Value) -> String {
    send(agent, "POST", "/v1/query", query)["ID"].as_str().unwrap().to_owned()
}

/// The query and the template are answered alike by HTTP and DNS, with or without a leader.
fn answers(agent: &Agent, leads: bool) -> Result<(), String> {
    for name in ["my-web", "geo-web"] {
        for mode in ["", "?stale", "?near=_agent"] {
            let answer = agent.http().json(&format!("/v1/query/{name}/execute{mode}"))?;
            let port = &answer["Nodes"][0]["Service"]["Port"];
            let as_wanted = *port == 80 && answer["Service"] == "web" && answer["KnownLeader"] == leads;
            wait::ensure(as_wanted, || format!("{name}{mode} at {}: {answer}", agent.name))?;
        }
        let explained = agent.http().json(&format!("/v1/query/{name}/explain"))?;
        wait::ensure(explained["Query"]["Service"]["Service"] == "web", || explained.to_string())?;
        let answer = agent.dns().ask(Transport::Udp, &format!("{name}.query.consul"), RecordType::SRV)?;
        let ttls: Vec<u32> = answer.answers.iter().map(|record| record.ttl).collect();
        wait::ensure(ttls == [7], || format!("{name} at {}: {answer}", agent.name))?;
    }
    let ports = agent.dns().ports("_my-web._tcp.query.consul")?;
    wait::ensure(ports == [80], || format!("{ports:?}"))?;
    let absent = agent.dns().ask(Transport::Tcp, "absent.query.consul", RecordType::A)?.metadata.response_code;
    wait::ensure(absent == ResponseCode::NXDomain, || absent.to_string())
}

fn is_gone(agent: &Agent, name: &str) -> Result<(), String> {
    let status = agent.http().get(&format!("/v1/query/{name}/execute?stale"))?.status;
    wait::ensure(status == 404, || format!("{name} at {}: {status}", agent.name))
}

#[test]
fn a_query_written_at_one_host_is_answered_at_every_other_with_and_without_servers() {
    let keep = |agent: Agent| agent.argument("-hcl=leave_on_terminate = false");
    let mut cluster = Cluster::start_with(3, 2, keep);
    let dns = json!({"TTL": "7s"});
    let writer = &cluster.sidecars[0];
    writer.http().put("/v1/agent/service/register", &json!({"ID": "web-1", "Name": "web", "Port": 80})).unwrap();
    let id = create(writer, &json!({"Name": "my-web", "Token": "s3cret", "Service": {"Service": "other"}, "DNS": dns}));
    let update =
        json!({"Name": "my-web", "Token": "s3cret", "Service": {"Service": "web", "Near": "_agent"}, "DNS": dns});
    send(writer, "PUT", &format!("/v1/query/{id}"), &update);
    // Its writer sees it at once.
    assert_eq!(writer.http().json("/v1/query/my-web/explain?stale").unwrap()["Query"]["Service"]["Service"], "web");
    let template = json!({"Type": "name_prefix_match", "Regexp": "^geo-(.+)$"});
    create(writer, &json!({"Name": "geo-", "Template": template, "Service": {"Service": "${match(1)}"}, "DNS": dns}));
    for agent in cluster.agents() {
        wait::until("it is answered everywhere", LIMIT, || answers(agent, true));
        let shown = agent.http().get("/v1/query").unwrap().text();
        assert!(shown.contains("<hidden>") && !shown.contains("s3cret"), "{shown}");
    }

    let session = send(&cluster.sidecars[1], "PUT", "/v1/session/create", &json!({"LockDelay": "0s"}));
    let session = session["ID"].as_str().unwrap();
    create(&cluster.sidecars[1], &json!({"Name": "bound", "Session": session, "Service": {"Service": "web"}}));
    assert_eq!(cluster.sidecars[0].http().get("/v1/query/bound/execute").unwrap().status, 200);
    send(&cluster.sidecars[0], "PUT", &format!("/v1/session/destroy/{session}"), &Value::Null);
    for agent in cluster.agents() {
        wait::until("it went with its session", LIMIT, || is_gone(agent, "bound"));
    }

    cluster.kill_servers();
    for host in &cluster.sidecars {
        wait::until("it is answered without servers", LIMIT, || answers(host, false));
    }
    let refused = cluster.sidecars[0].http().send("DELETE", &format!("/v1/query/{id}"), &[], b"").unwrap();
    assert_eq!(refused.status, 500, "{}", refused.text());
    // A host that starts has them from what it knew.
    assert!(cluster.sidecars[0].terminate().success());
    cluster.sidecars[0].start();
    wait::until("a host that has just started answers", LIMIT, || answers(&cluster.sidecars[0], false));

    for server in &mut cluster.servers {
        server.start();
    }
    cluster.wait_until_complete();
    for agent in cluster.agents() {
        wait::until("it is answered again", LIMIT, || answers(agent, true));
    }
    send(&cluster.sidecars[1], "DELETE", &format!("/v1/query/{id}"), &Value::Null);
    for agent in cluster.agents() {
        wait::until("it is deleted everywhere", LIMIT, || is_gone(agent, "my-web"));
    }
}
