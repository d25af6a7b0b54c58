//! The web page's files, and what keeps it current.

use std::time::Instant;

use serde_json::json;

use super::*;
use crate::{
    acl::{Authority, OwnTokens, Settings as AccessSettings},
    catalog::AccessRow,
    command::{AccessCommand, Deregistration, Named, Presence},
    model::{AccessToken, Grants, Policy, Secret},
};

async fn with_page(path: &str) -> TestServer {
    TestServer::with(|settings| settings.page = Page { is_on: true, path: path.into(), dashboard: String::new() }).await
}

#[tokio::test]
async fn without_a_page_it_is_said_how_to_have_one() {
    let server = TestServer::start().await;
    let reply = server.get("/").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(String::from_utf8_lossy(&reply.body).contains("ui_config"), "{reply:?}");
    assert_eq!(server.get("/ui/").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_page_is_at_every_address_that_is_no_file() {
    let server = with_page("/ui/").await;
    for from in ["/", "/ui"] {
        let reply = server.get(from).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (301, Some("/ui/")), "{from}");
    }
    for (path, kind) in [
        ("/ui/", "text/html; charset=utf-8"),
        ("/ui/services/web.v2", "text/html; charset=utf-8"),
        ("/ui/kv?key=../../etc/passwd", "text/html; charset=utf-8"),
        ("/ui/main.js", "text/javascript; charset=utf-8"),
        ("/ui/lib/dom.js", "text/javascript; charset=utf-8"),
        ("/ui/style.css", "text/css; charset=utf-8"),
        ("/ui/icon.svg", "image/svg+xml"),
    ] {
        let reply = server.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some(kind)), "{path}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn the_page_may_be_elsewhere() {
    let server = with_page("/behind/a-proxy/").await;
    assert_eq!(server.get("/").await.header("location"), Some("/behind/a-proxy/"));
    assert_eq!(server.get("/behind/a-proxy").await.header("location"), Some("/behind/a-proxy/"));
    assert_eq!(server.get("/behind/a-proxy/main.js").await.status, StatusCode::OK);
    for elsewhere in ["/ui", "/ui/", "/ui/main.js"] {
        assert_eq!(server.get(elsewhere).await.status, StatusCode::NOT_FOUND, "{elsewhere}");
    }
    let page = server.get("/behind/a-proxy/services").await;
    // The answers are made once for a process, whose page is at one path: in tests it is that of whoever asked first.
    assert!(String::from_utf8_lossy(&page.body).contains("<base href=\"/"), "{page:?}");
}

/// The lines of a stream.
struct Lines {
    stream: Stream,
    rest: Vec<u8>,
}

impl Lines {
    async fn open(server: &TestServer, query: &str) -> Self {
        Self { stream: Stream::open(server, &format!("/v1/internal/ui/changes{query}")).await, rest: Vec::new() }
    }

    /// The next line; `None` when there is none any more.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            self.rest.extend_from_slice(&self.stream.piece().await?);
        }
    }

    /// The next line that says that something was touched.
    async fn next_change(&mut self) -> Option<Value> {
        for _ in 0..5 {
            let line = self.next().await?;
            if line["Touched"].is_array() {
                return Some(line);
            }
        }
        panic!("nothing changes any more");
    }
}

#[tokio::test]
async fn what_changes_is_told() {
    let server = TestServer::start().await;
    server.register_itself();
    let mut lines = Lines::open(&server, "").await;
    let first = lines.next().await.unwrap();
    assert_eq!((&first["KnownLeader"], &first["Touched"]), (&json!(true), &json!(null)));
    let index = |table: &str| first["Indexes"][table].as_u64().unwrap();
    assert!(index("queries") < index("nodes") && index("nodes") <= first["Index"].as_u64().unwrap(), "{first}");

    server.register("web", 80);
    let line = lines.next_change().await.unwrap();
    assert_eq!(line["Indexes"], json!(null), "once is enough");
    assert_eq!(
        (&line["Touched"], &line["Services"], &line["Nodes"]),
        (&json!(["nodes", "services"]), &json!(["web"]), &json!(["on-web"]))
    );
    let changes = json!([
        {"Kind": "node", "Node": "on-web", "Was": null, "Is": "registered"},
        {"Kind": "service", "Node": "on-web", "Service": "web", "ServiceID": "web", "Was": null, "Is": "registered"},
    ]);
    assert_eq!(line["Changes"], changes);

    let check = |status| {
        let node = Node { name: "on-web".into(), ..Node::default() };
        let check = Check { id: "c".into(), name: "alive".into(), status, ..Check::default() };
        Command::Register(Box::new(Registration { node, checks: vec![check], skip_node_update: true, service: None }))
    };
    server.backend.apply(&check(Status::Passing));
    lines.next_change().await.unwrap();
    server.backend.apply(&check(Status::Critical));
    let line = lines.next_change().await.unwrap();
    // A check of the node is in the answers about all that is on it.
    assert_eq!(line["Services"], json!(["web"]));
    assert_eq!(
        line["Changes"],
        json!([{"Kind": "check", "Node": "on-web", "Check": "alive", "Was": "passing", "Is": "critical"}])
    );

    server.backend.apply(&Command::Deregister(Deregistration::Node("on-web".into())));
    let line = lines.next_change().await.unwrap();
    let gone: Vec<&Value> = line["Changes"].as_array().unwrap().iter().map(|change| &change["Is"]).collect();
    assert_eq!(gone, [&json!(null); 3], "{line}");
    server.tasks.stopping().cancel();
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn who_leads_is_told_when_it_changes() {
    // Others may use the machine meanwhile.
    let mut took = Vec::new();
    for _ in 0..3 {
        let server = TestServer::start().await;
        let mut lines = Lines::open(&server, "").await;
        assert_eq!(lines.next().await.unwrap()["Leader"], "127.0.0.1:8300");
        server.backend.lose_leader(Duration::from_millis(7));
        let lost = Instant::now();
        let line = lines.next().await.unwrap();
        let expected = (&json!(""), &json!(false), &json!(7));
        assert_eq!((&line["Leader"], &line["KnownLeader"], &line["LastContact"]), expected);
        took.push(lost.elapsed());
    }
    assert!(took.iter().min() < Some(&Duration::from_millis(900)), "with the next heartbeat: {took:?}");
}

#[tokio::test]
async fn many_changes_are_one_word() {
    let server = TestServer::start().await;
    let mut lines = Lines::open(&server, "").await;
    lines.next().await.unwrap();
    for number in 0..500 {
        server.register(&format!("s{number}"), 80);
    }
    let mut is_all = false;
    while !is_all {
        let line = lines.next_change().await.unwrap();
        is_all = line["Touched"].as_array().unwrap().contains(&json!("all"));
        assert!(line["Changes"].as_array().map_or(0, Vec::len) <= 300, "too long a line");
    }
}

#[tokio::test]
async fn another_datacenters_changes_are_told_there() {
    let server = TestServer::start().await;
    let reply = server.get("/v1/internal/ui/changes?dc=dc2").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{reply:?}");
}

/// A server with access control, and a token with those rules.
pub async fn guarded(rules: &str) -> (TestServer, AccessToken, String) {
    let backend = Fake::new();
    let settings = AccessSettings { enabled: true, datacenter: "dc1".into(), ..AccessSettings::default() };
    backend.set_authority(Arc::new(Authority::new(settings, OwnTokens::default(), backend.reader())));
    let server = TestServer::over(backend.clone(), &[], |_| ()).await;
    let policy = Policy { id: Uuid::from_u128(7), name: "p".into(), rules: rules.into(), ..Policy::default() };
    let secret = Uuid::from_u128(8).to_string();
    let grants = Grants { policies: vec![policy.id], ..Grants::default() };
    let token = AccessToken { grants, ..AccessToken::new(Uuid::from_u128(9), Secret::new(&secret)) };
    for row in [AccessRow::Policy(Arc::new(policy)), AccessRow::Token(Arc::new(token.clone()))] {
        let put = AccessCommand::Put { row, named: Named::default(), presence: Presence::Absent };
        assert!(backend.apply(&Command::Access(put)).outcome.is_done());
    }
    (server, token, secret)
}

fn put_policy(server: &TestServer, name: &str) {
    let policy = Policy { id: Uuid::new_v4(), name: name.into(), ..Policy::default() };
    let row = AccessRow::Policy(Arc::new(policy));
    let put = AccessCommand::Put { row, named: Named::default(), presence: Presence::Absent };
    assert!(server.backend.apply(&Command::Access(put)).outcome.is_done());
}

#[tokio::test]
async fn who_may_not_see_a_row_is_not_told_of_it() {
    let (server, token, secret) =
        guarded(r#"node "on-web" { policy = "read" } service "web" { policy = "read" }"#).await;
    let named = |name: &str| {
        let node = Node { name: "on-web".into(), ..Node::default() };
        let service = Service { id: "renamed".into(), name: name.into(), ..Service::default() };
        let registration = Registration { node, service: Some(service), ..Registration::default() };
        server.backend.apply(&Command::Register(Box::new(registration)));
    };
    named("hidden");
    let mut anybody = Lines::open(&server, "").await;
    let mut lines = Lines::open(&server, &format!("?token={secret}")).await;
    anybody.next().await.unwrap();
    lines.next().await.unwrap();
    server.register("hidden", 80);
    server.register("web", 80);
    // They may come in one line or in two.
    let mut told = Vec::new();
    while !told.iter().any(|change: &Value| change["Service"] == "web") {
        let line = lines.next_change().await.unwrap();
        assert!(!line.to_string().contains("hidden"), "{line}");
        told.extend(line["Changes"].as_array().cloned().unwrap_or_default());
    }
    // One that had a name that may not be seen, and has one that may, is new.
    named("web");
    let mut told = Vec::new();
    while !told.iter().any(|change: &Value| change["ServiceID"] == "renamed") {
        let line = lines.next_change().await.unwrap();
        assert!(!line.to_string().contains("hidden"), "{line}");
        told.extend(line["Changes"].as_array().cloned().unwrap_or_default());
    }
    let renamed = told.iter().find(|change| change["ServiceID"] == "renamed").unwrap();
    assert_eq!((&renamed["Was"], &renamed["Is"]), (&json!(null), &json!("registered")));
    // Who may do what is nothing for whoever may not read it.
    put_policy(&server, "another");
    server.register("web", 81);
    let touched = lines.next_change().await.unwrap()["Touched"].clone();
    assert!(!touched.as_array().unwrap().contains(&json!("access")), "{touched}");
    let line = anybody.next_change().await.unwrap();
    assert_eq!((&line["Changes"], &line["Nodes"], &line["Services"]), (&json!(null), &json!(null), &json!(null)));
    // Whose token is taken away hears nothing any more.
    let gone = AccessCommand::Remove(vec![AccessRow::TokenGone(token.accessor)]);
    assert!(server.backend.apply(&Command::Access(gone)).outcome.is_done());
    for _ in 0..5 {
        if lines.next().await.is_none() {
            return;
        }
    }
    panic!("it is told all the same");
}
