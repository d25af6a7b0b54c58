//! Datacenters that stand apart: each answers for the other, and none depends on another.

#![allow(clippy::unwrap_used, reason = "a test, also where it is not in a test function")]

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use hickory_proto::{op::ResponseCode, rr::RecordType};
use lictor_tests::{
    agent::{Agent, texts},
    dns::Transport,
    http, turn, wait,
};
use rustix::process::Signal;
use serde_json::json;

/// Longest time until a change is seen, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest time until a caller is told that a datacenter does not answer: about a second, and the machine's own time.
const TOLD_LIMIT: Duration = Duration::from_secs(5);
/// Longest time of an answer about one's own datacenter meanwhile.
const OWN_LIMIT: Duration = Duration::from_secs(3);
/// How many ask at once about a datacenter that does not answer, at each of two agents.
const CALLERS: usize = 100;

/// `one` with two servers, that need each other, and a sidecar; `two` with a server that has joined one of those.
struct World {
    servers: Vec<Agent>,
    sidecar: Agent,
    far: Agent,
    _turn: turn::Turn,
}

impl World {
    fn start() -> Self {
        let turn = turn::take();
        let server = |name: &str, datacenter: &str, expect| {
            Agent::server(name, expect).argument(format!("-datacenter={datacenter}"))
        };
        let mut servers = vec![server("a", "one", 2), server("b", "one", 2)];
        let join = servers[0].ports;
        let second = servers.remove(1).joining([&join]);
        servers.push(second);
        let sidecar = Agent::sidecar("host").argument("-datacenter=one").joining([&join]);
        let sidecar = sidecar.argument(r#"-hcl=cache { remote = ["two:ledger"] }"#);
        let far = server("c", "two", 1).argument(format!("-retry-join-wan=127.0.0.1:{}", join.serf_wan));
        let mut world = Self { servers, sidecar, far, _turn: turn };
        for agent in world.agents() {
            agent.start();
        }
        for agent in world.agents() {
            agent.wait_for_http();
        }
        world
    }

    fn agents(&mut self) -> impl Iterator<Item = &mut Agent> {
        self.servers.iter_mut().chain([&mut self.sidecar, &mut self.far])
    }

    /// Waits until a lookup at the sidecar is answered from over there.
    fn wait_for_answer(&self) {
        wait::until("an answer from datacenter two", LIMIT, || self.sidecar.http().json("/v1/catalog/nodes?dc=two"));
    }
}

fn register(agent: &Agent, service: &str, port: u16) {
    let body =
        json!({"Node": format!("on-{service}"), "Address": "10.0.0.1", "Service": {"Service": service, "Port": port}});
    agent.http().put("/v1/catalog/register", &body).unwrap();
}

fn ports(client: http::Client, path: &str) -> Result<Vec<u64>, String> {
    let rows = client.json(path)?;
    Ok(rows.as_array().into_iter().flatten().filter_map(|row| row["Service"]["Port"].as_u64()).collect())
}

/// Names of the other datacenter, and of a query that only that one can answer, at a server and at a sidecar.
fn ask_by_dns(world: &World) {
    let query = json!({"Name": "pay", "Service": {"Service": "payments", "Failover": {"NearestN": 1}}});
    for agent in [&world.sidecar, &world.far] {
        let created = agent.http().send("POST", "/v1/query", &[], query.to_string().as_bytes()).unwrap();
        assert_eq!(created.status, 200, "{}", created.text());
    }
    for agent in [&world.servers[0], &world.sidecar] {
        let dns = agent.dns();
        for name in [
            "payments.service.two.consul",
            "PAYMENTS.service.TWO.consul",
            "_payments._tcp.service.two.consul",
            "pay.query.two.consul",
            "pay.query.consul",
        ] {
            assert_eq!(dns.ports(name).unwrap(), [7000], "{name} at {}", agent.name);
            assert_eq!(dns.addresses(name).unwrap(), ["10.0.0.1".parse::<IpAddr>().unwrap()], "{name}");
        }
        let targets = dns.ask(Transport::Tcp, "payments.service.two.consul", RecordType::SRV).unwrap();
        let target = targets.answers[0].data.to_string();
        assert!(target.ends_with(" on-payments.node.two.consul."), "{target}");
        assert_eq!(dns.addresses("on-payments.node.two.consul").unwrap().len(), 1);
        for name in ["payments.service.consul", "none.service.two.consul", "payments.service.three.consul"] {
            assert!(dns.addresses(name).unwrap().is_empty(), "{name}");
        }
    }
    let answer = world.sidecar.http().json("/v1/query/pay/execute").unwrap();
    assert_eq!((&answer["Datacenter"], &answer["Failovers"]), (&json!("two"), &json!(1)));
}

#[test]
fn one_joined_server_brings_in_all_and_each_datacenter_answers_for_the_other() {
    let mut world = World::start();
    for agent in world.servers.iter().chain([&world.far]) {
        wait::until(&format!("{} has all servers in its WAN pool", agent.name), LIMIT, || {
            let members = texts(&agent.http().json("/v1/agent/members?wan=1")?, "/Name");
            wait::ensure(members == ["a.one", "b.one", "c.two"], || format!("{members:?}"))
        });
    }
    world.wait_for_answer();
    register(&world.far, "payments", 7000);
    for agent in [&world.servers[0], &world.servers[1], &world.sidecar] {
        let client = agent.http();
        assert_eq!(ports(client, "/v1/health/service/payments?passing&dc=two").unwrap(), [7000], "{}", agent.name);
        assert_eq!(ports(client, "/v1/health/service/payments?passing").unwrap(), [0; 0]);
        let key = format!("/v1/kv/from-{}", agent.name);
        assert_eq!(client.send("PUT", &format!("{key}?dc=two"), &[], b"v").unwrap().text(), "true");
        assert_eq!(world.far.http().get(&format!("{key}?raw")).unwrap().text(), "v");
        assert_eq!(client.get(&format!("{key}?raw&dc=two")).unwrap().text(), "v");
        assert_eq!(client.get(&key).unwrap().status, 404);
    }
    let unknown = world.sidecar.http().get("/v1/catalog/nodes?dc=three").unwrap();
    assert_eq!((unknown.status, unknown.text().as_str()), (500, "No path to datacenter"));

    let path = "/v1/health/service/late?dc=two";
    let seen = world.sidecar.http().get(path).unwrap();
    let index = seen.header("x-consul-index").unwrap().to_owned();
    let client = world.sidecar.http().with_time_out(LIMIT);
    let waiting = thread::spawn(move || ports(client, &format!("{path}&index={index}&wait=1m")));
    register(&world.far, "unasked", 1);
    register(&world.far, "late", 8000);
    assert_eq!(waiting.join().unwrap().unwrap(), [8000]);

    ask_by_dns(&world);
    let named = world.sidecar.http().json("/v1/catalog/datacenters").unwrap();
    assert_eq!(named, json!(["one", "two"]));

    let kv = world.sidecar.command(&["kv", "get", "-datacenter=two", "from-a"]);
    assert_eq!(String::from_utf8(kv.stdout).unwrap().trim(), "v");

    // Without its quorum, this datacenter still finds the way to the other.
    world.servers[1].kill();
    wait::until("nobody leads any more", LIMIT, || {
        let put = world.servers[0].http().get("/v1/kv/x?consistent")?;
        wait::ensure(put.status == 500, || format!("{}", put.status))
    });
    for agent in [&world.servers[0], &world.sidecar] {
        let client = agent.http();
        assert_eq!(ports(client, "/v1/health/service/payments?dc=two&consistent").unwrap(), [7000]);
        assert_eq!(client.send("PUT", "/v1/kv/without-quorum?dc=two", &[], b"v").unwrap().text(), "true");
    }
}

/// Asks about the other datacenter, many times at once: how long the slowest took. All must be told that there is
/// no answer.
fn many_ask(agents: &[&Agent]) -> Duration {
    let ask = |client: http::Client| {
        thread::spawn(move || {
            let began = Instant::now();
            let answer = client.get("/v1/health/service/payments?dc=two").unwrap();
            assert_eq!(answer.status, 503, "{}", answer.text());
            began.elapsed()
        })
    };
    let clients = agents.iter().flat_map(|agent| [agent.http(); CALLERS]);
    let callers: Vec<_> = clients.map(ask).collect();
    callers.into_iter().map(|caller| caller.join().unwrap()).max().unwrap()
}

#[test]
fn a_datacenter_that_is_lost_costs_the_other_nothing_and_is_found_again() {
    let mut world = World::start();
    world.wait_for_answer();
    register(&world.far, "payments", 7000);
    register(&world.far, "ledger", 9000);
    register(&world.servers[0], "orders", 6000);
    wait::until("the sidecar has a copy of a remote service", LIMIT, || {
        let found = ports(world.sidecar.http(), "/v1/health/service/ledger?dc=two&cached")?;
        wait::ensure(found == [9000], || format!("{found:?}"))
    });
    wait::until("the sidecar knows its own service", LIMIT, || {
        let found = ports(world.sidecar.http(), "/v1/health/service/orders")?;
        wait::ensure(found == [6000], || format!("{found:?}"))
    });
    // Its sockets are open and nothing comes back.
    world.far.freeze();
    let own = world.sidecar.http();
    let is_over = Arc::new(AtomicBool::new(false));
    let looker = thread::spawn({
        let is_over = is_over.clone();
        move || {
            let mut slowest = Duration::ZERO;
            while !is_over.load(Relaxed) {
                let began = Instant::now();
                assert_eq!(ports(own, "/v1/health/service/orders").unwrap(), [6000]);
                slowest = slowest.max(began.elapsed());
            }
            slowest
        }
    });
    let took = many_ask(&[&world.servers[0], &world.sidecar]);
    assert!(took < TOLD_LIMIT, "the last caller was told after {took:?}");
    wait::until("nobody is asked any more", LIMIT, || {
        let began = Instant::now();
        let answer = world.servers[0].http().get("/v1/kv/x?dc=two")?;
        let at_once = answer.text().contains("no server of it has answered for");
        wait::ensure(at_once && answer.status == 503 && began.elapsed() < OWN_LIMIT, || answer.text())
    });
    for agent in [&world.servers[0], &world.sidecar] {
        let began = Instant::now();
        let answer = agent.dns().ask(Transport::Udp, "payments.service.two.consul", RecordType::A).unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        assert!(began.elapsed() < TOLD_LIMIT, "{:?}", began.elapsed());
        assert_eq!(agent.dns().ports("orders.service.consul").unwrap(), [6000]);
    }
    let old = world.sidecar.http().get("/v1/health/service/ledger?passing&dc=two").unwrap();
    assert_eq!((old.status, old.header("x-consul-knownleader")), (200, Some("false")), "{}", old.text());
    assert_eq!(world.sidecar.dns().ports("ledger.service.two.consul").unwrap(), [9000]);
    is_over.store(true, Relaxed);
    let slowest = looker.join().unwrap();
    assert!(slowest < OWN_LIMIT, "an answer about its own datacenter took {slowest:?}");
    let said = world.servers[0].log().matches("this datacenter does not answer").count();
    assert_eq!(said, 1, "one line for all of them");

    world.far.signal(Signal::CONT);
    wait::until("it is found again", LIMIT, || {
        let found = ports(world.sidecar.http(), "/v1/health/service/payments?dc=two")?;
        wait::ensure(found == [7000], || format!("{found:?}"))
    });

    world.far.kill();
    let (answer, took) = wait::timed("its end is told", LIMIT, || world.sidecar.http().get("/v1/kv/x?dc=two"));
    assert!(answer.status == 503 && took < TOLD_LIMIT, "{took:?} {}", answer.text());
    world.far.start();
    wait::until("it is found once more", LIMIT, || {
        let found = ports(world.sidecar.http(), "/v1/health/service/payments?dc=two")?;
        wait::ensure(found == [7000], || format!("{found:?}"))
    });
}
