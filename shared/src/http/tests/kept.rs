//! Answers that are kept: always those that would be encoded now, one encoding for all, within limits, and nobody woken
//! or kept for nothing.

use crate::acl::Credential;
use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context as TaskContext, Wake, Waker},
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        answer::Answer,
        kept::Answers,
        read::again,
        route::{self, Origin, Request, Router},
    },
    *,
};
use crate::{
    command::{Deregistration, QueryCommand},
    metrics::{Counter, HTTP_READS, Reading, WAKE_UPS},
    model::{Coordinate, NodeCoordinate, PreparedQuery},
};

/// Every read of the catalog, with everything that can shape its answer.
const QUESTIONS: [&str; 38] = [
    "/v1/health/service/a?stale",
    "/v1/health/service/a?stale&passing",
    "/v1/health/service/a?cached&passing&pretty",
    "/v1/health/service/a?stale&passing=false",
    "/v1/health/service/A?stale&tag=t0",
    "/v1/health/service/a?stale&tag=t0&tag=t1",
    "/v1/health/service/a?stale&near=n1",
    "/v1/health/service/a?stale&near=_agent&node-meta=rack:r1",
    "/v1/health/service/a?stale&filter=Node.Meta.rack==r1",
    "/v1/health/service/b?stale&filter=%22t1%22%20in%20Service.Tags",
    "/v1/health/service/never?stale",
    "/v1/health/checks/a?stale",
    "/v1/health/checks/b?stale&near=n2",
    "/v1/health/checks/a?stale&node-meta=rack:r0",
    "/v1/health/node/n0?stale",
    "/v1/health/node/n1?stale&filter=Status==passing",
    "/v1/health/state/any?stale",
    "/v1/health/state/passing?stale",
    "/v1/health/state/critical?stale&near=n0",
    "/v1/health/state/passing?stale&node-meta=rack:r1",
    "/v1/health/connect/a?stale",
    "/v1/catalog/nodes?stale",
    "/v1/catalog/nodes?stale&near=n2",
    "/v1/catalog/nodes?stale&node-meta=rack:r1",
    "/v1/catalog/services?stale",
    "/v1/catalog/services?stale&node-meta=rack:r0",
    "/v1/catalog/services?stale&filter=NodeMeta.rack==r1",
    "/v1/catalog/service/a?stale",
    "/v1/catalog/service/a?stale&near=n0&tag=t1",
    "/v1/catalog/node/n0?stale",
    "/v1/catalog/node-services/n1?stale",
    "/v1/coordinate/nodes?stale",
    "/v1/coordinate/node/n1?stale",
    "/v1/internal/ui/nodes?stale",
    "/v1/internal/ui/node/n2?stale",
    "/v1/internal/ui/services?stale",
    "/v1/query?stale",
    "/v1/query/00000000-0000-0000-0000-000000000001?stale",
];

/// One interface's way to its answers, without its connections.
struct Desk {
    context: Arc<Context>,
    router: Router,
    answers: Arc<Answers>,
}

impl Desk {
    fn new(context: &Arc<Context>) -> Self {
        Self { context: context.clone(), router: Router::new(), answers: Arc::default() }
    }

    async fn ask(&self, target: &str) -> Answer {
        let (path, query) = target.split_once('?').unwrap();
        let found = self.router.find(&Method::GET, path).unwrap();
        let request = Request {
            origin: Origin::Here,
            method: Method::GET,
            target: target.into(),
            endpoint: found.place,
            parameter: found.parameter,
            query: query::Query::parse(query),
            body: Bytes::new(),
            client: None,
            token: Credential::none(),
            caller: self.context.authority.nobody(),
            pieces: std::sync::Mutex::default(),
            stopping: CancellationToken::new(),
            answers: self.answers.clone(),
        };
        route::handle(&self.context, request).await.unwrap_or_else(Answer::from)
    }
}

async fn seen(answer: Answer) -> (StatusCode, HeaderMap, Bytes) {
    let (head, body) = answer.into_response(false).into_parts();
    (head.status, head.headers, body.collect().await.unwrap().to_bytes())
}

fn instance(node: u8, service: &str, tags: u8, port: u16, status: Status) -> Command {
    let (name, rack) = (format!("n{node}"), format!("r{}", port % 2));
    let node = Node { name: name.into(), meta: [("rack".into(), rack.into())].into(), ..Node::default() };
    let tags = (0..2).filter(|tag| tags & (1 << tag) != 0).map(|tag| format!("t{tag}").into()).collect();
    let id = format!("{service}-1");
    let check = Check { id: service.into(), service_id: id.clone().into(), status, ..Check::default() };
    let service = Service { id: id.into(), name: service.into(), tags, port, ..Service::default() };
    Command::Register(Box::new(Registration {
        node,
        service: Some(service),
        checks: vec![check],
        skip_node_update: false,
    }))
}

fn statuses() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Passing), Just(Status::Warning), Just(Status::Critical)]
}

fn changes() -> impl Strategy<Value = Command> {
    let names = || prop_oneof![Just("a"), Just("b")];
    let coordinate = (0_u8..3, -1.0..1.0_f64).prop_map(|(node, x)| {
        let mut coordinate = Coordinate::default();
        coordinate.position[0] = x;
        Command::UpdateCoordinates(vec![NodeCoordinate { node: format!("n{node}").into(), coordinate }])
    });
    let of_node = (0_u8..3, statuses()).prop_map(|(node, status)| {
        let node = Node { name: format!("n{node}").into(), ..Node::default() };
        let check = Check { id: SERF_HEALTH.into(), status, ..Check::default() };
        let registration = Registration { node, service: None, checks: vec![check], skip_node_update: true };
        Command::Register(Box::new(registration))
    });
    let service_gone = (0_u8..3, names())
        .prop_map(|(node, name)| Deregistration::Service(format!("n{node}").into(), format!("{name}-1").into()));
    let check_gone =
        (0_u8..3, names()).prop_map(|(node, name)| Deregistration::Check(format!("n{node}").into(), name.into()));
    let node_gone = (0_u8..3).prop_map(|node| Deregistration::Node(format!("n{node}").into()));
    let query = (0..3_u128, 0..3_u8).prop_map(|(id, kind)| {
        let query = PreparedQuery { id: Uuid::from_u128(id), dns_ttl: format!("{kind}s").into(), ..Default::default() };
        Command::Query(match kind {
            0 => QueryCommand::Delete(query.id),
            1 => QueryCommand::Create(Box::new(query)),
            _ => QueryCommand::Update(Box::new(query)),
        })
    });
    prop_oneof![
        2 => query,
        6 => (0_u8..3, names(), 0_u8..4, 0_u16..3, statuses())
            .prop_map(|(node, name, tags, port, status)| instance(node, name, tags, port, status)),
        2 => coordinate,
        2 => of_node,
        2 => prop_oneof![3 => service_gone, 2 => check_gone, 1 => node_gone].prop_map(Command::Deregister),
    ]
}

/// Asks everything at a desk that has answered it before, and at one that never has.
async fn compare(server: &TestServer, kept: &Desk, known: &mut [Option<Answer>]) {
    for (target, known) in QUESTIONS.iter().zip(known) {
        let fresh = Desk::new(&server.context).ask(target).await;
        let fresh = seen(fresh).await;
        if let Some(answer) = known.as_ref().and_then(|answer| again(&server.context, answer.repeat()?)) {
            assert_eq!(seen(answer).await, fresh, "{target}, given again as a known target");
        }
        let answer = kept.ask(target).await;
        let copy = answer.again().unwrap();
        assert_eq!(seen(copy).await, fresh, "{target}, given as kept");
        *known = Some(answer);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_kept_answer_is_the_one_that_would_be_encoded_now(commands in prop::collection::vec(changes(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = TestServer::start().await;
            let kept = Desk::new(&server.context);
            let mut known: Vec<Option<Answer>> = QUESTIONS.iter().map(|_| None).collect();
            for command in &commands {
                compare(&server, &kept, &mut known).await;
                server.backend.apply(command);
            }
            compare(&server, &kept, &mut known).await;
        });
    }
}

#[tokio::test]
async fn the_same_bytes_are_shared_until_something_changes() {
    let server = TestServer::start().await;
    server.register("a", 1);
    let desk = Desk::new(&server.context);
    let mut bodies = Vec::new();
    for target in ["?stale", "?cached", "?wait=1s&stale", "?token=x", "?consistent&index=0"] {
        bodies.push(seen(desk.ask(&format!("/v1/health/service/a{target}")).await).await.2.as_ptr());
    }
    server.register("b", 1);
    bodies.push(seen(desk.ask("/v1/health/service/a?stale").await).await.2.as_ptr());
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    server.register("a", 2);
    assert!(seen(desk.ask("/v1/health/service/a?stale").await).await.2.as_ptr() != bodies[0]);
}

#[tokio::test]
async fn gzip_is_made_once_and_is_right() {
    let server = TestServer::start().await;
    for number in 0..20 {
        server.backend.apply(&instance(number, "a", 3, 80, Status::Passing));
    }
    let desk = Desk::new(&server.context);
    let mut packed = Vec::new();
    for _ in 0..2 {
        let response = desk.ask("/v1/health/service/a?stale").await.into_response(true);
        assert_eq!(response.headers()[http::header::CONTENT_ENCODING], "gzip");
        packed.push(response.into_body().collect().await.unwrap().to_bytes());
    }
    assert_eq!(packed[0].as_ptr(), packed[1].as_ptr());
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[0][..]), &mut plain).unwrap();
    assert_eq!(plain, seen(desk.ask("/v1/health/service/a?stale").await).await.2);
}

#[tokio::test]
async fn distinct_questions_do_not_grow_what_is_kept() {
    let server = TestServer::start().await;
    for number in 0..100 {
        server.backend.apply(&instance(number, "a", 3, 80, Status::Passing));
    }
    let desk = Desk::new(&server.context);
    let long = "x".repeat(100_000);
    desk.ask(&format!("/v1/health/service/{long}?stale")).await;
    desk.ask(&format!("/v1/health/service/a?stale&x={long}")).await;
    assert_eq!(desk.answers.size(), (0, 0));
    for number in 0..9_000 {
        let (target, wide) = (format!("/v1/health/service/none-{number}?stale"), number % 16 == 0);
        let target = if wide { format!("/v1/health/service/a?stale&x={number}") } else { target };
        let answer = desk.ask(&target).await;
        desk.answers.remember(&[], &target, 0, answer.repeat().unwrap());
        if number % 100 == 0 {
            let (entries, bytes) = desk.answers.size();
            assert!(entries <= 12 * 1024 && bytes <= 34 * 1024 * 1024, "{entries} entries, {bytes} bytes");
        }
    }
}

/// What a counter has counted of one kind, in this whole process: other tests count too.
fn counted<const N: usize>(counter: &Counter<N>, kind: usize) -> f64 {
    match counter.read()[kind].reading {
        Reading::Counter(count) => count,
        _ => panic!("no counter"),
    }
}

#[tokio::test]
async fn known_targets_answer_as_unknown_ones_do() {
    let block = |settings: &mut Settings| {
        settings.access.blocked = vec!["/v1/catalog".into()];
        settings.access.response_headers = vec![(http::header::SERVER, "lictor".parse().unwrap())];
    };
    let server = TestServer::with(block).await;
    server.register("a", 1);
    let kept_before = counted(&HTTP_READS, 0);
    for target in ["/v1/health/service/a?stale", "/v1/health/service/a?cached&x=%20", "/v1/health/service/none?stale"] {
        let replies = [server.get(target).await, server.get(target).await];
        let seen = replies.map(|reply| {
            let mut headers = reply.headers;
            headers.remove(http::header::DATE);
            (reply.status, headers, reply.body)
        });
        assert_eq!(seen[0], seen[1], "{target}");
        assert_eq!(seen[1].1[http::header::SERVER], "lictor");
        let put = server.send(Method::PUT, target, "").await;
        assert_eq!(put.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert!(counted(&HTTP_READS, 0) >= kept_before + 3.0, "the second answers were not those that were kept");
    for _ in 0..2 {
        assert_eq!(server.get("/v1/catalog/nodes?stale").await.status, StatusCode::FORBIDDEN);
    }
    server.backend.lose_leader(Duration::from_secs(7));
    let reply = server.get("/v1/health/service/a?stale").await;
    assert_eq!(reply.header("x-consul-knownleader"), Some("false"));
    assert_eq!(reply.header("x-consul-lastcontact"), Some("7000"));
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_waiting_read_wakes_once_for_its_own_change_and_never_for_others() {
    let server = TestServer::start().await;
    server.register("a", 1);
    let desk = Desk::new(&server.context);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    for target in ["health/service/a", "catalog/service/a", "catalog/node/on-a", "health/service/never"] {
        let index = server.get(&format!("/v1/{target}")).await.index();
        let target = format!("/v1/{target}?stale&wait=10m&index={index}");
        let mut waiting = pin!(desk.ask(&target));
        let mut poll = || waiting.as_mut().poll(&mut TaskContext::from_waker(&waker));
        assert!(poll().is_pending());
        let before = wakes.0.load(Ordering::Relaxed);
        for port in 0..20 {
            server.register("b", port);
        }
        let node = Deregistration::Node("on-b".into());
        server.backend.apply(&Command::Deregister(node));
        assert_eq!(wakes.0.load(Ordering::Relaxed), before, "{target}");
        let own = if target.contains("never") { "never" } else { "a" };
        server.register(own, u16::try_from(index).unwrap());
        assert_eq!(wakes.0.load(Ordering::Relaxed), before + 1, "{target}");
        assert!(poll().is_ready());
    }
}

#[tokio::test]
async fn a_waiting_caller_that_hangs_up_is_not_kept() {
    let server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /v1/health/service/a?stale&index=1 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let until = |count| {
        let reader = server.context.reader.clone();
        let wait = async move {
            while reader.topics_waited_for() != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
    };
    until(1).await.unwrap();
    drop(stream);
    until(0).await.unwrap();
}

#[tokio::test]
async fn all_who_wait_for_one_change_share_its_answer() {
    let server = TestServer::start().await;
    server.register("a", 1);
    let desk = Desk::new(&server.context);
    let mut callers: FuturesUnordered<_> = (0..100).map(|_| desk.ask("/v1/health/service/a?stale&index=10")).collect();
    // Looks at every one of them once.
    assert!(callers.next().now_or_never().is_none());
    let changes_before = counted(&WAKE_UPS, 0);
    server.register("a", 2);
    let mut bodies = Vec::new();
    while let Some(answer) = callers.next().await {
        bodies.push(seen(answer).await.2);
    }
    assert_eq!(bodies.len(), 100);
    assert!(bodies.iter().all(|body| body.as_ptr() == bodies[0].as_ptr()));
    assert!(counted(&WAKE_UPS, 0) >= changes_before + 100.0);
}
