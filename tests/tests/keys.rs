//! Keys and locks through sidecars, which hold none: waiting for one, and what becomes of a lock when servers or its
//! holder end.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    thread,
    time::{Duration, Instant},
};

use lictor_tests::{agent::Agent, cluster::Cluster, wait};
use serde_json::{Value, json};

/// The shortest time to live there is.
const TTL: Duration = Duration::from_secs(10);
/// Longest time until a leader is followed by another and a request is answered again.
const FAIL_OVER_LIMIT: Duration = Duration::from_secs(15);
/// Longest time from the kill of a host until what it held is free.
const DETECTION_LIMIT: Duration = Duration::from_secs(15);

fn put(agent: &Agent, path: &str, body: &str) -> Result<Value, String> {
    let answer = agent.http().send("PUT", path, &[], body.as_bytes())?;
    wait::ensure(answer.status == 200, || format!("PUT {path}: {} {}", answer.status, answer.text()))?;
    serde_json::from_slice(&answer.body).map_err(|error| format!("PUT {path}: {error}"))
}

fn create_session(agent: &Agent, body: &Value) -> String {
    let created = put(agent, "/v1/session/create", &body.to_string()).expect("a session");
    created["ID"].as_str().expect("its ID").to_owned()
}

fn holder(agent: &Agent, key: &str) -> Result<Value, String> {
    Ok(agent.http().json(&format!("/v1/kv/{key}"))?[0]["Session"].clone())
}

#[test]
fn a_key_written_at_one_sidecar_wakes_a_reader_at_another() {
    let cluster = Cluster::start(3, 2);
    let [writer, reader] = &cluster.sidecars[..] else { panic!("two sidecars") };
    for (path, key) in [("/v1/kv/jobs/?recurse", "jobs/a/b"), ("/v1/kv/flag?x", "flag")] {
        let absent = reader.http().get(path).unwrap();
        assert_eq!(absent.status, 404);
        let index = absent.header("x-consul-index").unwrap().to_owned();
        let waiting = thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let http = reader.http().with_time_out(Duration::from_secs(30));
                let begun = Instant::now();
                (http.get(&format!("{path}&index={index}&wait=60s")), begun.elapsed())
            });
            // What others write wakes nobody here.
            for number in 0..20 {
                assert_eq!(put(writer, "/v1/kv/other", &number.to_string()).unwrap(), true);
            }
            assert!(!waiting.is_finished(), "{path} woke for another key");
            assert_eq!(put(writer, &format!("/v1/kv/{key}"), "done").unwrap(), true);
            waiting.join().unwrap()
        });
        let answer = waiting.0.unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.text().contains("ZG9uZQ=="), "{}", answer.text());
    }
    // Read your own write, at once and everywhere.
    for number in 0..20 {
        let text = number.to_string();
        put(writer, "/v1/kv/counter", &text).unwrap();
        for agent in cluster.agents() {
            assert_eq!(agent.http().get("/v1/kv/counter?raw").unwrap().text(), text);
        }
    }
}

#[test]
fn a_session_outlives_its_leader_while_it_is_renewed_and_ends_when_it_is_not() {
    let mut cluster = Cluster::start(3, 1);
    let session = create_session(&cluster.sidecars[0], &json!({"TTL": "10s", "LockDelay": "0s"}));
    let acquire = format!("/v1/kv/lock?acquire={session}");
    assert_eq!(put(&cluster.sidecars[0], &acquire, "mine").unwrap(), true);

    let leader = cluster.leader();
    cluster.servers[leader].kill();
    let renew = format!("/v1/session/renew/{session}");
    // Longer than it would live without: the new leader was told of no earlier renewal.
    let until = Instant::now() + TTL * 2;
    while Instant::now() < until {
        wait::until("the session is renewed", FAIL_OVER_LIMIT, || put(&cluster.sidecars[0], &renew, ""));
        thread::sleep(TTL / 4);
    }
    assert_eq!(holder(&cluster.sidecars[0], "lock").unwrap(), session);

    let (_, time) = wait::timed("the lock of a session that nobody renews is free", TTL * 2, || {
        let holder = holder(&cluster.sidecars[0], "lock")?;
        wait::ensure(holder.is_null(), || format!("held by {holder}"))
    });
    assert!(time >= TTL - TTL / 4, "not renewed for {time:?} only");
    eprintln!("a session with a TTL of {TTL:?} ended {time:?} after its last renewals");
    assert_eq!(cluster.sidecars[0].http().json(&format!("/v1/session/info/{session}")).unwrap(), json!([]));
}

#[test]
fn the_lock_of_a_host_that_died_is_free_in_time() {
    let mut cluster = Cluster::start(3, 2);
    let session = create_session(&cluster.sidecars[0], &json!({"LockDelay": "0s", "Behavior": "delete"}));
    let other = create_session(&cluster.sidecars[1], &json!({}));
    assert_eq!(put(&cluster.sidecars[0], &format!("/v1/kv/lock?acquire={session}"), "first").unwrap(), true);
    let acquire = format!("/v1/kv/lock?acquire={other}");
    assert_eq!(put(&cluster.sidecars[1], &acquire, "second").unwrap(), false);

    cluster.sidecars[0].kill();
    let (_, time) = wait::timed("the other host has the lock", DETECTION_LIMIT, || {
        let acquired = put(&cluster.sidecars[1], &acquire, "second")?;
        wait::ensure(acquired == true, || "still held".to_owned())
    });
    eprintln!("the lock of a killed host was taken by another after {time:?}");
    assert_eq!(holder(&cluster.sidecars[1], "lock").unwrap(), other);
}
