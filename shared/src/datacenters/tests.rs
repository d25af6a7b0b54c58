//! The way to other datacenters, with servers that are told what to do, in paused time.

use std::{collections::BTreeMap, sync::atomic::AtomicUsize, sync::atomic::Ordering::Relaxed};

use futures_util::stream;
use uuid::Uuid;

use super::*;
use crate::{
    gossip::{Member, MemberStatus},
    node::tags,
};

/// How one server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Answers,
    /// It takes so long and lives.
    Slow(Duration),
    /// Nothing comes back.
    Silent,
    Refuses,
    /// It gets the request, and the connection breaks.
    Breaks,
}

#[derive(Clone, Default)]
struct World {
    manners: Arc<Mutex<BTreeMap<String, Manner>>>,
    asked: Arc<Mutex<Vec<(String, bool)>>>,
    looks: Arc<AtomicUsize>,
}

impl World {
    fn set(&self, server: u16, manner: Manner) {
        self.manners.lock().unwrap().insert(format!("10.0.0.1:{server}"), manner);
    }

    fn manner(&self, server: &str) -> Manner {
        self.manners.lock().unwrap()[server]
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The way to `dc2`, whose servers are these.
    fn datacenters(&self, servers: &[(u16, Manner)]) -> Datacenters {
        let member = |port: &u16| Member {
            name: format!("{port}.dc2"),
            address: "10.0.0.1:8302".parse().unwrap(),
            tags: tags::own("dc2", Uuid::nil(), Some((*port, 8302))),
            status: MemberStatus::Alive,
            incarnation: 1,
        };
        servers.iter().for_each(|(server, manner)| self.set(*server, *manner));
        let members: Vec<Member> = servers.iter().map(|(server, _)| member(server)).collect();
        Datacenters::of(Directory::new(move || members.clone()), self.clone(), &Tasks::new())
    }
}

#[async_trait]
impl Ask for World {
    async fn fetch(&self, server: &str, fetch: &Fetch) -> Result<Fetched, AskError> {
        self.asked.lock().unwrap().push((server.to_owned(), fetch.crossed));
        match self.manner(server) {
            Manner::Answers => {}
            Manner::Slow(time) => sleep(time).await,
            Manner::Silent => std::future::pending().await,
            Manner::Refuses => return Err(AskError::Unsent("connection refused".into())),
            Manner::Breaks => return Err(AskError::Unknown("connection reset".into())),
        }
        Ok(Fetched { status: 200, body: server.to_owned().into(), ..Fetched::default() })
    }

    async fn is_there(&self, server: &str, _: &str) -> bool {
        self.looks.fetch_add(1, Relaxed);
        match self.manner(server) {
            Manner::Silent => std::future::pending().await,
            manner => matches!(manner, Manner::Answers | Manner::Slow(_)),
        }
    }
}

fn read() -> Fetch {
    Fetch { datacenter: "dc2".into(), limit: Duration::from_secs(60), ..Fetch::default() }
}

async fn timed(datacenters: &Datacenters, fetch: Fetch) -> (Result<String, BackendError>, Duration) {
    let began = tokio::time::Instant::now();
    let body = |fetched: Fetched| String::from_utf8(fetched.body.to_vec()).unwrap();
    (datacenters.fetch(fetch).await.map(body), began.elapsed())
}

fn is_unavailable(result: &Result<String, BackendError>) -> bool {
    matches!(result, Err(BackendError::DatacenterUnavailable { .. }))
}

#[tokio::test(start_paused = true)]
async fn an_unknown_datacenter_has_no_path() {
    let datacenters = World::default().datacenters(&[(1, Manner::Answers)]);
    let fetch = Fetch { datacenter: "dc3".into(), ..read() };
    assert_eq!(timed(&datacenters, fetch).await.0, Err(BackendError::NoPath));
    assert!(datacenters.inner.gates().is_empty(), "what callers name takes no memory");
}

#[tokio::test(start_paused = true)]
async fn whoever_answers_is_asked_and_told_that_it_has_crossed() {
    use Manner::{Answers, Breaks, Refuses, Silent, Slow};
    for (other, limit_ms) in [(Refuses, 0), (Breaks, 0), (Silent, 1000)] {
        let world = World::default();
        let datacenters = world.datacenters(&[(1, Answers), (2, other)]);
        for _ in 0..10 {
            // The one that answered is not to be the first by habit.
            *datacenters.inner.gate("dc2").preferred() = None;
            let (body, took) = timed(&datacenters, read()).await;
            assert_eq!(body.as_deref(), Ok("10.0.0.1:1"), "{other:?}");
            assert!(took <= Duration::from_millis(limit_ms), "{other:?} {took:?}");
        }
        assert!(world.asked.lock().unwrap().iter().all(|(_, crossed)| *crossed));
    }
    let long = Duration::from_secs(30);
    let datacenters = World::default().datacenters(&[(1, Slow(long))]);
    assert_eq!(timed(&datacenters, read()).await, (Ok("10.0.0.1:1".into()), long), "one that lives is waited for");
}

#[tokio::test(start_paused = true)]
async fn what_is_done_at_most_once_is_sent_again_only_if_it_did_not_arrive() {
    for (first, times) in [(Manner::Breaks, 1), (Manner::Silent, 1), (Manner::Refuses, 2)] {
        let world = World::default();
        let datacenters = world.datacenters(&[(1, first), (2, Manner::Answers)]);
        *datacenters.inner.gate("dc2").preferred() = Some("10.0.0.1:1".into());
        let (result, _) = timed(&datacenters, Fetch { once: true, ..read() }).await;
        assert_eq!((world.asked(), result.is_ok()), (times, times == 2), "{first:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn writes_to_a_server_that_dies_do_not_make_a_datacenter_unreachable() {
    for dying in [Manner::Breaks, Manner::Silent] {
        let world = World::default();
        let datacenters = world.datacenters(&[(1, dying), (2, Manner::Answers)]);
        let preferred = || datacenters.inner.gate("dc2").preferred().clone();
        for _ in 0..2 * breaker::FAILURES {
            // As many are under way at the one that answered last.
            *datacenters.inner.gate("dc2").preferred() = Some("10.0.0.1:1".into());
            assert!(is_unavailable(&timed(&datacenters, Fetch { once: true, ..read() }).await.0), "{dying:?}");
            assert_eq!(preferred(), None, "{dying:?}: the next does not begin with it");
        }
        assert_eq!(timed(&datacenters, read()).await.0.as_deref(), Ok("10.0.0.1:2"), "{dying:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_callers_of_a_silent_datacenter_hear_it_within_about_a_second_and_then_at_once() {
    let world = World::default();
    let datacenters = world.datacenters(&[(1, Manner::Silent), (2, Manner::Silent)]);
    let callers = (0..200).map(|_| timed(&datacenters, read()));
    for (result, took) in join_all(callers).await {
        assert!(is_unavailable(&result) && took <= SILENCE + LOOK_LIMIT, "{took:?} {result:?}");
    }
    assert_eq!(world.looks.load(Relaxed), 2, "one look for all of them, at both servers");
    let asked = world.asked();
    for _ in 0..100 {
        let (result, took) = timed(&datacenters, read()).await;
        assert!(is_unavailable(&result) && took.is_zero());
    }
    assert_eq!(world.asked(), asked, "nobody is asked any more");
}

#[tokio::test(start_paused = true)]
async fn a_datacenter_that_is_back_is_found_by_looks_that_grow_rare() {
    let world = World::default();
    let datacenters = world.datacenters(&[(1, Manner::Refuses)]);
    for _ in 0..breaker::FAILURES {
        assert!(is_unavailable(&timed(&datacenters, read()).await.0));
    }
    sleep(Duration::from_secs(60)).await;
    let looks = world.looks.load(Relaxed);
    assert!((10..30).contains(&looks), "{looks}");
    world.set(1, Manner::Answers);
    sleep(LONGEST_PAUSE * 2).await;
    assert_eq!(timed(&datacenters, read()).await.0.as_deref(), Ok("10.0.0.1:1"));
    sleep(Duration::from_secs(60)).await;
    assert!(world.looks.load(Relaxed) <= looks + 2, "nobody looks any more");
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_are_bounded_and_leave_their_places() {
    let world = World::default();
    let datacenters = world.datacenters(&[(1, Manner::Slow(Duration::from_secs(30)))]);
    let mut all: Vec<_> = (0..MAX_REQUESTS).map(|_| Box::pin(datacenters.fetch(read()))).collect();
    for request in &mut all {
        assert!(futures_util::poll!(request).is_pending());
    }
    let (result, took) = timed(&datacenters, read()).await;
    assert!(is_unavailable(&result) && took.is_zero());
    drop(all);
    assert!(timed(&datacenters, read()).await.0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_has_its_place_until_it_is_taken() {
    let gate = Gate::new("dc2");
    let place = gate.places.clone().try_acquire_owned().unwrap();
    let fetched =
        Fetched { rest: Some(Pieces::new(stream::iter([Ok("x".into())]))), rest_bytes: 1, ..Fetched::default() };
    let held = holding(fetched, place);
    assert_eq!(gate.places.available_permits(), MAX_REQUESTS - 1);
    drop(held);
    assert_eq!(gate.places.available_permits(), MAX_REQUESTS);
}
