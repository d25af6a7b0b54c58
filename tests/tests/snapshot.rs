//! The whole registry in a file and back: into the same cluster and into another, through sidecars, while readers wait;
//! and what is refused.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use lictor_tests::{agent::Agent, cluster::Cluster, http::Answer, wait};
use serde_json::{Value, json};

/// Longest time for a small snapshot, one way.
const TRANSFER_LIMIT: Duration = Duration::from_secs(60);
/// Longest time until every agent shows the restored state.
const SPREAD_LIMIT: Duration = Duration::from_secs(20);

fn put(agent: &Agent, path: &str, body: &str) -> Value {
    let answer = agent.http().send("PUT", path, &[], body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "PUT {path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

fn register(agent: &Agent, node: &str, service: &str) {
    let body = json!({"Node": node, "Address": "10.9.9.9", "Service": {"Service": service, "Port": 80}});
    put(agent, "/v1/catalog/register", &body.to_string());
}

fn save(agent: &Agent) -> Answer {
    let answer = agent.http().with_time_out(TRANSFER_LIMIT).get("/v1/snapshot").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/x-gzip"));
    assert_eq!(answer.header("x-consul-knownleader"), Some("true"));
    assert!(answer.header("x-consul-index").unwrap().parse::<u64>().unwrap() > 1);
    answer
}

fn restore(agent: &Agent, archive: &[u8]) -> Answer {
    agent.http().with_time_out(TRANSFER_LIMIT).send("PUT", "/v1/snapshot", &[], archive).unwrap()
}

fn index(agent: &Agent, path: &str) -> u64 {
    let answer = agent.http().get(path).unwrap();
    answer.header("x-consul-index").unwrap().parse().unwrap()
}

fn keys(agent: &Agent) -> Result<Value, String> {
    agent.http().json("/v1/kv/?recurse")
}

/// Every agent shows those keys and nothing that came later, under indexes above those `seen` before.
fn everywhere(cluster: &Cluster, before: &Value, paths: &[&str], seen: Vec<Vec<u64>>) {
    for (agent, seen) in cluster.agents().zip(seen) {
        wait::until(&format!("{} shows what was restored", agent.name), SPREAD_LIMIT, || {
            wait::ensure(keys(agent)? == *before, || "it has other keys".to_owned())?;
            let later = agent.http().json("/v1/health/service/later")?;
            wait::ensure(later == json!([]), || format!("a later service: {later}"))?;
            wait::ensure(agent.passing("db")?.len() == 1, || "the service is not there".to_owned())
        });
        for (path, seen) in paths.iter().zip(seen) {
            let now = index(agent, path);
            assert!(now > seen, "{}: {path} went from {seen} to {now}", agent.name);
        }
        assert_eq!(agent.http().get("/v1/kv/made-later").unwrap().status, 404);
    }
}

#[test]
fn a_restore_replaces_everything_everywhere_and_no_index_goes_back() {
    let cluster = Cluster::start(3, 2);
    let [one, other] = &cluster.sidecars[..] else { panic!("two sidecars") };
    let session =
        put(one, "/v1/session/create", r#"{"TTL": "10s", "LockDelay": "0s"}"#)["ID"].as_str().unwrap().to_owned();
    assert_eq!(put(one, &format!("/v1/kv/lock?acquire={session}"), "held"), true);
    put(one, "/v1/kv/kept?flags=42", "before");
    put(one, "/v1/kv/deleted-later", "here");
    register(one, "ext-1", "db");
    let archive = save(other);
    let before = keys(one).unwrap();

    put(one, "/v1/kv/kept", "after");
    put(one, "/v1/kv/made-later", "x");
    let gone = one.http().send("DELETE", "/v1/kv/deleted-later", &[], b"").unwrap();
    assert_eq!(gone.status, 200);
    register(one, "ext-2", "later");
    let paths = [
        "/v1/kv/kept?x",
        "/v1/kv/made-later?x",
        "/v1/health/service/db?x",
        "/v1/catalog/nodes?x",
        "/v1/session/list?x",
    ];
    let seen: Vec<Vec<u64>> = cluster.agents().map(|agent| paths.map(|path| index(agent, path)).to_vec()).collect();

    // Who waits for a key, and who waits for a service, wakes with the new state.
    thread::scope(|scope| {
        let waits = |agent: &'static str, path: &'static str| (agent, path);
        let waiting: Vec<_> = [waits("key", "/v1/kv/kept?x"), waits("service", "/v1/health/service/later?x")]
            .into_iter()
            .flat_map(|(what, path)| cluster.agents().map(move |agent| (what, path, agent)))
            .map(|(what, path, agent)| {
                let from = index(agent, path);
                let wait = move || {
                    let begun = Instant::now();
                    let http = agent.http().with_time_out(TRANSFER_LIMIT);
                    (
                        what,
                        agent.name.clone(),
                        http.get(&format!("{path}&index={from}&wait=50s")),
                        begun.elapsed(),
                        from,
                    )
                };
                scope.spawn(wait)
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        let answer = restore(other, &archive.body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        // Read your own restore.
        assert_eq!(keys(other).unwrap(), before);
        for wait in waiting {
            let (what, agent, answer, time, from) = wait.join().unwrap();
            let answer = answer.unwrap();
            assert!(time < Duration::from_secs(40), "{what} at {agent} was not woken");
            let index: u64 = answer.header("x-consul-index").unwrap().parse().unwrap();
            assert!(index > from, "{what} at {agent}: {index} after {from}");
        }
    });
    everywhere(&cluster, &before, &paths, seen);
    // The rows are as they were, so that what was read before can still be compared and set.
    let modified = before.as_array().unwrap().iter().find(|row| row["Key"] == "kept").unwrap()["ModifyIndex"].clone();
    assert_eq!(put(one, &format!("/v1/kv/kept?cas={modified}"), "set"), true);
    assert_eq!(one.http().get("/v1/kv/kept?raw").unwrap().text(), "set");
    // The session's time began anew, and it can be renewed.
    assert_eq!(put(one, &format!("/v1/session/renew/{session}"), "")[0]["ID"], session);
    // The members of this cluster are there again.
    let mut cluster = cluster;
    cluster.wait_until_complete();
}

#[test]
fn a_fresh_cluster_gives_the_same_answers_and_goes_on_from_the_saved_index() {
    let (archive, keys_before, services_before, saved) = {
        let old = Cluster::start(1, 0);
        let agent = &old.servers[0];
        for number in 0..300 {
            put(agent, &format!("/v1/kv/k/{number:03}?flags={number}"), &format!("value {number}"));
        }
        for number in 0..20 {
            register(agent, &format!("ext-{number}"), "db");
        }
        let archive = save(agent);
        let saved: u64 = archive.header("x-consul-index").unwrap().parse().unwrap();
        (archive.body, keys(agent).unwrap(), agent.http().json("/v1/catalog/service/db").unwrap(), saved)
    };
    let mut new = Cluster::start(3, 1);
    put(&new.sidecars[0], "/v1/kv/new", "x");
    assert!(index(&new.sidecars[0], "/v1/kv/new") < saved, "the new cluster is younger");
    assert_eq!(restore(&new.sidecars[0], &archive).status, 200);
    let check = |agent: &Agent| {
        assert_eq!(keys(agent).unwrap(), keys_before, "{}", agent.name);
        assert_eq!(agent.http().json("/v1/catalog/service/db").unwrap(), services_before, "{}", agent.name);
        assert!(index(agent, "/v1/kv/?recurse") > saved, "{}", agent.name);
    };
    new.agents().for_each(check);
    // Also after all of them have restarted, from their logs.
    new.kill_servers();
    for server in &mut new.servers {
        server.start();
    }
    new.wait_until_complete();
    new.agents().for_each(check);
    let at = index(&new.sidecars[0], "/v1/kv/?recurse");
    put(&new.sidecars[0], "/v1/kv/k/000", "new");
    for agent in new.agents() {
        let row = &agent.http().json("/v1/kv/k/000").unwrap()[0];
        assert!(row["ModifyIndex"].as_u64().unwrap() > at, "{row}");
    }
}

#[test]
fn the_command_saves_inspects_and_restores_and_what_is_no_snapshot_changes_nothing() {
    let cluster = Cluster::start(1, 1);
    let agent = &cluster.sidecars[0];
    put(agent, "/v1/kv/a", "before");
    let file: PathBuf = agent.directory().join("backup.snap");
    let path = file.to_str().unwrap();
    let said = |arguments: &[&str]| {
        let output = agent.command(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, err) = said(&["snapshot", "save", path]);
    assert!(code == Some(0) && out.starts_with("Saved and verified snapshot to index "), "{out}{err}");
    let inspect = |arguments: &[&str]| {
        let output = std::process::Command::new(lictor_tests::binary::path("lictor"));
        let mut command = output;
        let output = command.args(["snapshot", "inspect"]).args(arguments).output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, out, err) = inspect(&[path]);
    assert!(code == Some(0) && out.contains("KVS") && out.contains("Register"), "{out}{err}");
    let (_, out, _) = inspect(&["-format=json", path]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert!(report["Meta"]["Index"].as_u64().unwrap() > 1, "{report}");
    assert!(report["Stats"].as_array().unwrap().iter().any(|stats| stats["Name"] == "KVS" && stats["Count"] == 1));

    put(agent, "/v1/kv/a", "after");
    let whole = fs::read(&file).unwrap();
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    for (bytes, reason) in [
        (whole[..whole.len() - 30].to_vec(), "damaged"),
        (altered, "damaged"),
        (b"hello".to_vec(), "no gzip'd tar archive"),
        (Vec::new(), "no gzip'd tar archive"),
    ] {
        let answer = restore(agent, &bytes);
        assert!(answer.status == 500 && answer.text().contains(reason), "{} {}", answer.status, answer.text());
        let bad = agent.directory().join("bad.snap");
        fs::write(&bad, &bytes).unwrap();
        let (code, _, err) = said(&["snapshot", "restore", bad.to_str().unwrap()]);
        assert!(code == Some(1) && err.contains("Error restoring snapshot") && err.contains(reason), "{err}");
        let (code, _, err) = inspect(&[bad.to_str().unwrap()]);
        assert!(code == Some(1) && err.contains(reason), "{err}");
        assert_eq!(agent.http().get("/v1/kv/a?raw").unwrap().text(), "after");
    }
    assert_eq!(said(&["snapshot", "restore", path]), (Some(0), "Restored snapshot\n".into(), String::new()));
    assert_eq!(agent.http().get("/v1/kv/a?raw").unwrap().text(), "before");
    // A file that cannot be written leaves nothing behind.
    let (code, _, err) = said(&["snapshot", "save", "/nonexistent/backup.snap"]);
    assert!(code == Some(1) && err.contains("/nonexistent"), "{err}");
    let left: Vec<_> = fs::read_dir(agent.directory()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("unfinished")), "{left:?}");
}

#[test]
fn a_leader_that_dies_while_it_restores_leaves_everything_or_nothing() {
    let mut cluster = Cluster::start(3, 1);
    for number in 0..200 {
        put(&cluster.sidecars[0], &format!("/v1/kv/old/{number:03}"), &"x".repeat(20_000));
    }
    let archive = save(&cluster.sidecars[0]).body;
    let before = index(&cluster.sidecars[0], "/v1/kv/?recurse");
    put(&cluster.sidecars[0], "/v1/kv/mark", "here");
    let leader = cluster.leader();
    let answer = thread::scope(|scope| {
        let sidecar = &cluster.sidecars[0];
        let restoring =
            scope.spawn(|| sidecar.http().with_time_out(TRANSFER_LIMIT).send("PUT", "/v1/snapshot", &[], &archive));
        thread::sleep(Duration::from_millis(150));
        cluster.servers[leader].kill();
        restoring.join().unwrap()
    });
    let mark = wait::until("the others answer", SPREAD_LIMIT, || {
        let answer = cluster.sidecars[0].http().get("/v1/kv/mark?consistent")?;
        wait::ensure(matches!(answer.status, 200 | 404), || answer.text())?;
        Ok::<u16, String>(answer.status)
    });
    eprintln!("the caller was told {:?}, and the mark is {mark}", answer.map(|answer| (answer.status, answer.text())));
    cluster.servers[leader].start();
    cluster.wait_until_complete();
    for agent in cluster.agents() {
        assert_eq!(agent.http().get("/v1/kv/mark").unwrap().status, mark, "{}", agent.name);
        let keys = agent.http().json("/v1/kv/old/?keys").unwrap();
        assert_eq!(keys.as_array().unwrap().len(), 200, "{}", agent.name);
        assert!(index(agent, "/v1/kv/?recurse") >= before, "{}", agent.name);
    }
    // And it can be done again.
    let answer = restore(&cluster.sidecars[0], &archive);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(cluster.sidecars[0].http().get("/v1/kv/mark").unwrap().status, 404);
}
