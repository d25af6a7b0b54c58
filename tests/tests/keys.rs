//! Keys and locks through sidecars, which hold none: waiting for one, and what becomes of a lock when servers or its
//! holder end, also while two contend for it.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
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

/// After letting go of a lock: the other's turn.
const TURN: Duration = Duration::from_millis(200);

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
fn keys_of_more_than_a_message_are_read_at_a_sidecar() {
    let cluster = Cluster::start(1, 1);
    let sidecar = &cluster.sidecars[0];
    let value = "0123456789abcdef".repeat(30_000);
    for number in 10..50 {
        assert_eq!(put(sidecar, &format!("/v1/kv/long/{number}"), &format!("{number}{value}")).unwrap(), true);
    }
    let http = sidecar.http().with_time_out(Duration::from_secs(60));
    let answer = http.get("/v1/kv/long/?recurse").unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 24 << 20, "{} bytes", answer.body.len());
    assert_eq!(answer.body, cluster.servers[0].http().get("/v1/kv/long/?recurse").unwrap().body);
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

/// A time in which a contender believed to hold the lock: what it read of the lock meanwhile.
#[derive(Debug)]
struct Held {
    contender: usize,
    lock_index: u64,
    /// The `ModifyIndex` of the first and of the last thing that it wrote as the holder.
    first: u64,
    last: u64,
}

/// Takes the lock again and again, works a while as its holder, and lets it go. Gives up a lock, and the belief to hold
/// it, only when it says so to the registry; its session lives longer than the whole test.
struct Contender<'a> {
    number: usize,
    /// How often each of the two has held it so far.
    turns: &'a [AtomicUsize; 2],
    agent: lictor_tests::http::Client,
    session: String,
    held: Vec<Held>,
}

impl<'a> Contender<'a> {
    fn new(number: usize, agent: &Agent, turns: &'a [AtomicUsize; 2]) -> Self {
        let session = create_session(agent, &json!({"TTL": "120s", "LockDelay": "0s", "Checks": []}));
        Self { number, turns, agent: agent.http(), session, held: Vec::new() }
    }

    fn run(mut self, stop: &AtomicBool) -> Vec<Held> {
        while !stop.load(Ordering::Relaxed) {
            // No answer is no lock, unless a read says that it is: the request may have been done.
            let acquired = self.write("acquire");
            if acquired != Some(false) && self.work(acquired.is_some()) {
                wait::until("the lock is let go", FAIL_OVER_LIMIT, || {
                    let released = self.write("release");
                    let mine = self.row()?["Session"] == self.session.as_str();
                    wait::ensure(released.is_some() || !mine, || "not known".to_owned())
                });
                thread::sleep(TURN);
            }
        }
        self.held
    }

    /// True, false, or not known.
    fn write(&self, verb: &str) -> Option<bool> {
        let path = format!("/v1/kv/contended?{verb}={}", self.session);
        // A value of its own each time, so that each write has an index of its own.
        let value = format!("{:?}", Instant::now());
        let answer = self.agent.send("PUT", &path, &[], value.as_bytes()).ok()?;
        serde_json::from_slice(&answer.body).ok().filter(|_| answer.status == 200)
    }

    /// The lock; null before anybody has taken it.
    fn row(&self) -> Result<Value, String> {
        let answer = self.agent.get("/v1/kv/contended?consistent")?;
        match answer.status {
            200 => Ok(serde_json::from_slice::<Value>(&answer.body).map_err(|error| error.to_string())?[0].clone()),
            404 => Ok(Value::Null),
            status => Err(format!("{status} {}", answer.text())),
        }
    }

    /// Writes as the holder and looks at the lock, some rounds. False where it turns out that it has not got it.
    fn work(&mut self, is_certain: bool) -> bool {
        let mut held: Option<Held> = None;
        for _ in 0..5 {
            let row = wait::until("the lock is read", FAIL_OVER_LIMIT, || self.row());
            if row["Session"] != self.session.as_str() {
                assert!(held.is_none() && !is_certain, "{held:?} lost the lock while its session lived: {row}");
                return false;
            }
            let (lock_index, index) = (row["LockIndex"].as_u64().unwrap(), row["ModifyIndex"].as_u64().unwrap());
            let held = held.get_or_insert(Held { contender: self.number, lock_index, first: index, last: index });
            assert_eq!(held.lock_index, lock_index, "a lock that was held throughout was taken anew: {row}");
            held.last = index;
            // Taken by whoever holds it: a write, or (no answer) perhaps one.
            assert_ne!(self.write("acquire"), Some(false), "the holder was refused");
        }
        self.held.extend(held);
        self.turns[self.number].fetch_add(1, Ordering::Relaxed);
        true
    }
}

#[test]
fn two_contenders_never_hold_one_lock_while_leaders_are_killed() {
    let mut cluster = Cluster::start(3, 2);
    let turns: [AtomicUsize; 2] = Default::default();
    let contenders: Vec<Contender<'_>> =
        cluster.sidecars.iter().enumerate().map(|(number, agent)| Contender::new(number, agent, &turns)).collect();
    let stop = AtomicBool::new(false);
    let mut held: Vec<Held> = thread::scope(|scope| {
        let contenders: Vec<_> = contenders.into_iter().map(|contender| scope.spawn(|| contender.run(&stop))).collect();
        let stop = Stop(&stop);
        for _ in 0..4 {
            let leader = cluster.leader();
            cluster.servers[leader].kill();
            let before = turns.each_ref().map(|turns| turns.load(Ordering::Relaxed));
            wait::until("each has held it once more", 2 * FAIL_OVER_LIMIT, || {
                let after = turns.each_ref().map(|turns| turns.load(Ordering::Relaxed));
                wait::ensure((0..2).all(|number| after[number] > before[number]), || format!("{before:?}, {after:?}"))
            });
            cluster.servers[leader].start();
            cluster.servers[leader].wait_for_http();
        }
        drop(stop);
        contenders.into_iter().flat_map(|contender| contender.join().unwrap()).collect()
    });
    held.sort_by_key(|held| held.first);
    for two in held.windows(2) {
        let [before, after] = two else { panic!("two") };
        assert!(before.last < after.first, "both held it: {before:?} and {after:?}");
        assert!(before.lock_index < after.lock_index, "taken once, held twice: {before:?} and {after:?}");
    }
    let of = |contender| held.iter().filter(|held| held.contender == contender).count();
    eprintln!("the lock was held {} and {} times, never by both", of(0), of(1));
    assert!(of(0) >= 4 && of(1) >= 4, "{held:?}");
}

#[test]
fn a_lock_is_free_in_time_when_its_holder_and_the_leader_are_gone() {
    const LOCK_DELAY: Duration = Duration::from_secs(2);
    let mut cluster = Cluster::start(3, 1);
    let session = create_session(&cluster.sidecars[0], &json!({"TTL": "10s", "LockDelay": "2s", "Checks": []}));
    let other = create_session(&cluster.sidecars[0], &json!({"Checks": []}));
    assert_eq!(put(&cluster.sidecars[0], &format!("/v1/kv/lock?acquire={session}"), "first").unwrap(), true);
    let renewed = Instant::now();
    // Late in its life: the next leader does not know how much of it is over, and begins anew.
    thread::sleep(TTL / 2);
    let leader = cluster.leader();
    cluster.servers[leader].kill();
    let killed = Instant::now();

    let acquire = format!("/v1/kv/lock?acquire={other}");
    let mut expired = None;
    wait::until("the other has the lock", 2 * TTL + LOCK_DELAY + FAIL_OVER_LIMIT, || {
        let acquired = put(&cluster.sidecars[0], &acquire, "second")?;
        if acquired != true && expired.is_none() && holder(&cluster.sidecars[0], "lock")?.is_null() {
            expired = Some(Instant::now());
        }
        wait::ensure(acquired == true, || "held, or held back".to_owned())
    });
    let (taken, expired) = (renewed.elapsed(), expired.expect("the delay is a time in which nobody has it"));
    eprintln!("a lock whose holder and leader were gone was taken by another {taken:?} after the last renewal");
    assert!(taken >= TTL + LOCK_DELAY, "too early");
    assert!(killed.elapsed() <= 2 * TTL + LOCK_DELAY, "too late");
    // The first that was seen free may be a little later than the end of the session.
    assert!(
        expired.elapsed() >= LOCK_DELAY - Duration::from_secs(1),
        "the delay was not kept: {:?}",
        expired.elapsed()
    );
}

/// Stops the threads of a scope, also when its main part panics (else the scope would wait for ever).
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
