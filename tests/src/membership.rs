//! What happens to a host's services when its network or its agent goes away for a while: five hosts (three servers, two
//! sidecars), one of which has the service `web`.
//!
//! Each function does one thing to them, heals it, and gives how long that took; it panics where a promise does not hold.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{agent::Agent, base64, cluster::Cluster, namespaces::Network, wait};

/// Longest time until a host that vanished is critical elsewhere. Gossip alone takes 4 to 6 seconds.
const VANISH_LIMIT: Duration = Duration::from_secs(10);
/// Longest time until a healed partition is forgotten: members try a failed one about every 30 s.
const HEAL_LIMIT: Duration = Duration::from_secs(60);
/// Longest time until writes go on without the old leader, also on a busy machine.
const FAIL_OVER_LIMIT: Duration = Duration::from_secs(10);
/// Longest time until a question that may be lost, or its answer, is answered right.
const ASK_LIMIT: Duration = Duration::from_secs(15);
/// The sidecar with the service, and its host.
const PROVIDER: usize = 0;
const PROVIDER_HOST: usize = 3;

/// The cluster, with the service `web` at one of its sidecars; no agent leaves when it is told to end.
///
/// # Panics
/// It does not come up.
#[must_use]
pub fn start(network: &Network) -> Cluster {
    let cluster = Cluster::start_on(&network.hosts, 3, 2, |agent| agent.argument("-hcl=leave_on_terminate = false"));
    let service = json!({"ID": "web-1", "Name": "web", "Port": 80});
    let registered = cluster.sidecars[PROVIDER].http().put("/v1/agent/service/register", &service);
    registered.unwrap_or_else(|error| panic!("web was not registered: {error}"));
    wait::until("web is known elsewhere", HEAL_LIMIT, || found(&cluster.sidecars[1], true));
    cluster
}

/// That `agent` finds the service, or that it does not.
fn found(agent: &Agent, there: bool) -> Result<(), String> {
    let (passing, addresses) = (agent.passing("web")?, agent.dns().addresses("web.service.consul")?);
    let as_wanted = passing.len() == usize::from(there) && addresses.len() == usize::from(there);
    wait::ensure(as_wanted, || format!("by HTTP {passing:?}, by DNS {addresses:?}"))
}

fn serf_health(agent: &Agent) -> Result<String, String> {
    let status = agent.check_status("sidecar-1", "serfHealth")?;
    status.ok_or("sidecar-1 has no serfHealth".into())
}

/// The index of the service's answers: it grows with every change of them.
fn index(agent: &Agent) -> Result<String, String> {
    let answer = agent.http().get("/v1/health/service/web?stale")?;
    Ok(answer.header("x-consul-index").unwrap_or_default().to_owned())
}

/// Runs `action` while `agent` finds the service at every look, and `serfHealth` of its host passes.
fn undisturbed(what: &str, agent: &Agent, action: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Relaxed) {
                found(agent, true).unwrap_or_else(|error| panic!("{what}: {error}"));
                let health = serf_health(agent).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(health, "passing", "{what}");
                looks += 1;
            }
            looks
        });
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(action));
        done.store(true, Relaxed);
        let looks = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(looks > 0, "{what}: nobody looked");
    });
}

/// The provider's agent is told to end without leaving, and starts again: nobody sees anything of it.
///
/// # Panics
/// Something is seen of it.
#[must_use]
pub fn restart(cluster: &mut Cluster) -> Duration {
    let (providers, others) = cluster.sidecars.split_at_mut(1);
    let before = index(&others[0]);
    let started = Instant::now();
    let mut away = Duration::ZERO;
    undisturbed("a graceful restart of a sidecar", &others[0], || {
        let ended = providers[PROVIDER].terminate();
        assert!(ended.success(), "{ended}");
        // As long as an upgrade may take.
        thread::sleep(Duration::from_secs(2));
        providers[PROVIDER].start();
        providers[PROVIDER].wait_for_http();
        away = started.elapsed();
        // Longer than gossip would take to call it failed.
        thread::sleep(Duration::from_secs(6));
    });
    assert_eq!(index(&others[0]), before, "the answers have changed");
    away
}

/// The provider's host vanishes without a word, and comes back. Until its service was gone elsewhere, and until it was back.
///
/// # Panics
/// It is not so in time.
#[must_use]
pub fn vanish(cluster: &Cluster, network: &Network) -> (Duration, Duration) {
    let other = &cluster.sidecars[1];
    network.cut_off(PROVIDER_HOST);
    let ((), gone) = wait::timed("the service of a host that vanished is gone", VANISH_LIMIT, || {
        let health = serf_health(other)?;
        wait::ensure(health == "critical", || health)?;
        found(other, false)
    });
    // It goes on answering from what it knows.
    found(&cluster.sidecars[PROVIDER], true).unwrap_or_else(|error| panic!("cut off, the host itself: {error}"));
    network.heal();
    let ((), back) = wait::timed("it is back by itself", HEAL_LIMIT, || found(other, true));
    (gone, back)
}

/// Half of what the provider's host sends is lost, in stretches; what is sent to it arrives. It stays.
///
/// # Panics
/// It is seen elsewhere.
pub fn one_way_loss(cluster: &Cluster, network: &Network, during: Duration) {
    undisturbed("half of what a host sends is lost", &cluster.sidecars[1], || {
        let (lost, period) = (Duration::from_millis(250), Duration::from_millis(500));
        network.lose(PROVIDER_HOST, lost, period, Instant::now() + during);
    });
}

/// The leader's host is cut off, and comes back. Until writes went on, and until all servers agree on what was
/// acknowledged before, meanwhile and after.
///
/// # Panics
/// Something acknowledged is missing, or it takes too long.
#[must_use]
pub fn leader_cut_off(cluster: &Cluster, network: &Network) -> (Duration, Duration) {
    let writer = &cluster.sidecars[1];
    let mut acknowledged = BTreeMap::new();
    let mut write = |phase: &str, number: usize| {
        let (key, value) = (format!("membership/{phase}/{number}"), json!(number));
        let answer = writer.http().put(&format!("/v1/kv/{key}"), &value)?;
        acknowledged.insert(key, base64::encode(value.to_string().as_bytes()));
        Ok::<_, String>(answer)
    };
    for number in 0..20 {
        write("before", number).unwrap_or_else(|error| panic!("before anything happened: {error}"));
    }
    let leader = cluster.leader();
    network.cut_off(leader);
    let (_, stalled) = wait::timed("writes go on", FAIL_OVER_LIMIT, || write("first", 0));
    for number in 0..20 {
        wait::until("writes go on", FAIL_OVER_LIMIT, || write("meanwhile", number));
    }
    network.heal();
    let ((), agreed) = wait::timed("all servers have all that was acknowledged", HEAL_LIMIT, || {
        cluster.servers.iter().try_for_each(|server| holds(server, "membership/", &acknowledged))
    });
    (stalled, agreed)
}

/// What was seen on slow lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slow {
    /// Writes that were acknowledged.
    pub written: usize,
    /// Writes that were not; what became of them is open.
    pub refused: usize,
    /// The longest time from one acknowledged write to the next.
    pub longest: Duration,
    /// Lookups, by HTTP and DNS, none of which was answered wrong.
    pub lookups: usize,
    /// Until all servers had all that was acknowledged, after the last write.
    pub agreed: Duration,
}

/// The hosts are far from each other and lose packets: lookups go on, nothing that was acknowledged is lost, and all servers come
/// to agree.
///
/// # Panics
/// It is not so.
#[must_use]
pub fn slow_lines(cluster: &Cluster, during: Duration) -> Slow {
    let writer = &cluster.sidecars[1];
    let (mut seen, mut acknowledged) = (Slow::default(), BTreeMap::new());
    let (start, mut last) = (Instant::now(), Instant::now());
    for number in 0.. {
        if start.elapsed() >= during {
            break;
        }
        let (key, value) = (format!("slow/{number}"), json!(number));
        if writer.http().put(&format!("/v1/kv/{key}"), &value).is_ok() {
            acknowledged.insert(key, base64::encode(value.to_string().as_bytes()));
            seen.longest = seen.longest.max(last.elapsed());
            last = Instant::now();
            seen.written += 1;
        } else {
            seen.refused += 1;
        }
        // This program is not on the host: its own packets are lost too, and sent again, as any resolver does.
        wait::until("a lookup is answered", ASK_LIMIT, || found(writer, true));
        seen.lookups += 2;
    }
    seen.agreed = wait::timed("all servers have all that was acknowledged", HEAL_LIMIT, || {
        cluster.servers.iter().try_for_each(|server| holds(server, "slow/", &acknowledged))
    })
    .1;
    seen
}

/// That a server holds these rows under the prefix.
fn holds(server: &Agent, prefix: &str, acknowledged: &BTreeMap<String, String>) -> Result<(), String> {
    let rows = server.http().json(&format!("/v1/kv/{prefix}?recurse&stale"))?;
    let held: BTreeMap<String, String> = rows.as_array().into_iter().flatten().map(row).collect();
    let missing: Vec<_> = acknowledged.iter().filter(|(key, value)| held.get(*key) != Some(value)).collect();
    wait::ensure(missing.is_empty(), || format!("{} lacks {missing:?}", server.name))
}

/// The key of a row and its value, as it is encoded there.
fn row(row: &Value) -> (String, String) {
    let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
    (text("Key"), text("Value"))
}
