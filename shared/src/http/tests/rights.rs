//! Every endpoint, with no token, one without the right, one with it, an expired and a deleted one.
//!
//! A new endpoint without a row here fails [`every_endpoint_lets_in_whom_it_should`].

use std::collections::BTreeSet;

use super::*;
use crate::{
    acl::{Authority, OwnTokens},
    catalog::AccessRow,
    command::{AccessCommand, KeyCommand, KeyEntry, Named, Presence, QueryCommand, SessionCommand},
    model::{
        AccessToken, BindingRule, Grants, Index, NodeCoordinate, Policy, PreparedQuery, Role, Secret, ServiceQuery,
        Session, Time,
    },
};

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// Only the right lets it in: 403 without, this with it.
    Denied(u16),
    /// Any token does: 403 without one, this with one.
    Member(u16),
    /// All are answered with 200, and only those with the right see this text.
    Hidden(&'static str),
    /// All are answered with this.
    Open(u16),
}
use Outcome::{Denied, Hidden, Member, Open};

struct Row(Method, &'static str, &'static str, &'static str, &'static str, Outcome);

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

const NODES: &str = r#"node_prefix "" { policy = "read" }"#;
const CATALOG: &str = r#"node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }"#;
const WEB: &str = r#"node_prefix "" { policy = "read" } service "web" { policy = "read" }"#;
const WRITES_WEB: &str = r#"service "web" { policy = "write" }"#;
const WRITES_NODE: &str = r#"node "node-a" { policy = "write" }"#;
const OPERATES: &str = r#"operator = "write""#;
const OBSERVES: &str = r#"operator = "read""#;
const OWN_AGENT: &str = r#"agent "node-a" { policy = "read" }"#;
const RULES_AGENT: &str = r#"agent "node-a" { policy = "write" }"#;
const SESSIONS: &str = r#"session "node-a" { policy = "write" }"#;
const QUERIES: &str = r#"query "find" { policy = "write" }"#;
const READS_ACL: &str = r#"acl = "read""#;
const WRITES_ACL: &str = r#"acl = "write""#;
const KEYRING: &str = r#"keyring = "write""#;

const SESSION: &str = "00000000-0000-0000-0000-0000000000a1";
const QUERY: &str = "00000000-0000-0000-0000-0000000000b1";
const POLICY: &str = "00000000-0000-0000-0000-0000000000c1";
const ROLE: &str = "00000000-0000-0000-0000-0000000000d1";
const RULE: &str = "00000000-0000-0000-0000-000000000091";
/// The key of RFC 8037, appendix A.2.
const METHOD: &str = r#"{"Name": "ci", "Type": "jwt", "Config": {"JWKS": {"keys": [
    {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}}}"#;
const TOKEN: &str = "00000000-0000-0000-0000-0000000000e1";
const GOSSIP_KEY: &str = r#"{"Key": "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="}"#;

/// Each endpoint: method, its line in the table, a request, its body, the rules that suffice, what comes of it. Those
/// that take something away come last.
fn rows() -> Vec<Row> {
    let mut rows = reading();
    rows.extend(writing());
    rows.extend(removing());
    rows
}

fn reading() -> Vec<Row> {
    vec![
        Row(GET, "/v1/catalog/datacenters", "", "", "", Member(200)),
        Row(GET, "/v1/catalog/nodes", "", "", NODES, Hidden("on-web")),
        Row(GET, "/v1/catalog/services", "", "", CATALOG, Hidden("web")),
        Row(GET, "/v1/catalog/service/*", "web", "", WEB, Hidden("on-web")),
        Row(GET, "/v1/catalog/connect/*", "web", "", WEB, Open(200)),
        Row(GET, "/v1/catalog/node/*", "on-web", "", CATALOG, Hidden("web")),
        Row(GET, "/v1/catalog/node-services/*", "on-web", "", CATALOG, Hidden("web")),
        Row(GET, "/v1/health/node/*", "on-web", "", NODES, Hidden("node check")),
        Row(GET, "/v1/health/checks/*", "web", "", WEB, Hidden("web check")),
        Row(GET, "/v1/health/service/*", "web", "", WEB, Hidden("on-web")),
        Row(GET, "/v1/health/connect/*", "web", "", WEB, Open(200)),
        Row(GET, "/v1/health/state/*", "any", "", CATALOG, Hidden("web check")),
        Row(GET, "/v1/agent/self", "", "", OWN_AGENT, Denied(200)),
        Row(GET, "/v1/agent/members", "", "", NODES, Hidden("node-a")),
        Row(GET, "/v1/agent/services", "", "", CATALOG, Hidden("local")),
        Row(GET, "/v1/agent/service/*", "local", "", CATALOG, Denied(200)),
        Row(GET, "/v1/agent/checks", "", "", CATALOG, Hidden("local-ttl")),
        Row(GET, "/v1/agent/health/service/name/*", "local", "", CATALOG, Denied(503)),
        Row(GET, "/v1/agent/health/service/id/*", "local", "", CATALOG, Denied(503)),
        Row(GET, "/v1/agent/host", "", "", OBSERVES, Denied(200)),
        Row(GET, "/v1/agent/version", "", "", "", Member(200)),
        Row(GET, "/v1/agent/metrics", "", "", OWN_AGENT, Denied(200)),
        Row(GET, "/v1/agent/metrics/stream", "", "", OWN_AGENT, Denied(200)),
        Row(GET, "/v1/agent/monitor", "", "", OBSERVES, Denied(200)),
        Row(GET, "/", "", "", "", Open(200)),
        Row(GET, "/ui", "", "", "", Open(200)),
        Row(GET, "/ui/*", "", "", "", Open(404)),
        Row(GET, "/v1/openapi.json", "", "", "", Open(200)),
        Row(GET, "/v1/internal/ui/agent", "", "", "", Member(200)),
        // What it tells whom: `page`.
        Row(GET, "/v1/internal/ui/changes", "", "", "", Open(200)),
        Row(GET, "/v1/internal/ui/overview", "", "", NODES, Hidden("\"Nodes\":{\"Passing\":2")),
        Row(GET, "/v1/internal/ui/nodes", "", "", NODES, Hidden("on-web")),
        Row(GET, "/v1/internal/ui/node/*", "on-web", "", NODES, Hidden("on-web")),
        Row(GET, "/v1/internal/ui/services", "", "", CATALOG, Hidden("web")),
        Row(GET, "/v1/kv/*", "a", "", r#"key "a" { policy = "read" }"#, Denied(200)),
        Row(GET, "/v1/session/info/*", SESSION, "", SESSIONS, Hidden(SESSION)),
        Row(GET, "/v1/session/node/*", "node-a", "", SESSIONS, Hidden(SESSION)),
        Row(GET, "/v1/session/list", "", "", SESSIONS, Hidden(SESSION)),
        Row(GET, "/v1/query", "", "", QUERIES, Hidden(QUERY)),
        Row(GET, "/v1/query/*", QUERY, "", QUERIES, Denied(200)),
        Row(GET, "/v1/event/list", "", "", r#"event "deploy" { policy = "read" }"#, Hidden("deploy")),
        Row(GET, "/v1/coordinate/datacenters", "", "", "", Member(200)),
        Row(GET, "/v1/coordinate/nodes", "", "", NODES, Hidden("on-web")),
        Row(GET, "/v1/coordinate/node/*", "on-web", "", NODES, Hidden("on-web")),
        Row(GET, "/v1/snapshot", "", "", WRITES_ACL, Denied(500)),
        Row(GET, "/v1/operator/raft/configuration", "", "", OBSERVES, Denied(200)),
        Row(GET, "/v1/operator/autopilot/configuration", "", "", OBSERVES, Denied(200)),
        Row(GET, "/v1/operator/autopilot/health", "", "", OBSERVES, Denied(200)),
        Row(GET, "/v1/operator/autopilot/state", "", "", OBSERVES, Denied(200)),
        Row(GET, "/v1/operator/usage", "", "", OBSERVES, Denied(200)),
        Row(GET, "/v1/operator/keyring", "", "", r#"keyring = "read""#, Denied(500)),
        Row(GET, "/v1/acl/replication", "", "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/tokens", "", "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/token/self", "", "", "", Open(200)),
        Row(GET, "/v1/acl/token/*", TOKEN, "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/policies", "", "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/policy/name/*", "of-the-test", "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/policy/*", POLICY, "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/roles", "", "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/role/name/*", "of-the-test", "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/role/*", ROLE, "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/auth-methods", "", "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/auth-method/*", "ci", "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/binding-rules", "", "", READS_ACL, Denied(200)),
        Row(GET, "/v1/acl/binding-rule/*", RULE, "", READS_ACL, Denied(200)),
        Row(GET, "/debug/pprof/profile", "?seconds=1", "", OBSERVES, Denied(200)),
        Row(GET, "/v1/status/leader", "", "", "", Open(200)),
        Row(GET, "/v1/status/peers", "", "", "", Member(200)),
    ]
}

fn writing() -> Vec<Row> {
    let service = r#"{"Node": "on-web", "SkipNodeUpdate": true, "Service": {"Service": "web", "ID": "web-2"}}"#;
    let check = r#"{"Name": "c", "ID": "c", "TTL": "1h", "ServiceID": "local"}"#;
    let local = r#"service "local" { policy = "write" }"#;
    let query = r#"{"Name": "find", "Service": {"Service": "web"}}"#;
    let rule = r#"{"AuthMethod": "ci", "BindType": "service", "BindName": "web"}"#;
    vec![
        Row(PUT, "/v1/catalog/register", "", service, WRITES_WEB, Denied(200)),
        Row(PUT, "/v1/agent/token/*", "dns", r#"{"Token": "t"}"#, RULES_AGENT, Denied(200)),
        Row(PUT, "/v1/agent/service/register", "", r#"{"Name": "web"}"#, WRITES_WEB, Denied(200)),
        Row(PUT, "/v1/agent/service/maintenance/*", "local?enable=true", "", local, Denied(200)),
        Row(PUT, "/v1/agent/maintenance", "?enable=true", "", WRITES_NODE, Denied(200)),
        Row(PUT, "/v1/agent/check/register", "", check, local, Denied(200)),
        Row(PUT, "/v1/agent/check/pass/*", "local-ttl", "", local, Denied(200)),
        Row(PUT, "/v1/agent/check/warn/*", "local-ttl", "", local, Denied(200)),
        Row(PUT, "/v1/agent/check/fail/*", "local-ttl", "", local, Denied(200)),
        Row(PUT, "/v1/agent/check/update/*", "local-ttl", r#"{"Status": "passing"}"#, local, Denied(200)),
        Row(PUT, "/v1/agent/join/*", "nowhere.invalid", "", RULES_AGENT, Denied(500)),
        Row(PUT, "/v1/agent/force-leave/*", "nobody", "", OPERATES, Denied(500)),
        Row(PUT, "/v1/agent/reload", "", "", RULES_AGENT, Denied(200)),
        Row(PUT, "/v1/kv/*", "b", "x", r#"key "b" { policy = "write" }"#, Denied(200)),
        Row(
            PUT,
            "/v1/txn",
            "",
            r#"[{"KV": {"Verb": "set", "Key": "b", "Value": ""}}]"#,
            r#"key "b" { policy = "write" }"#,
            Denied(200),
        ),
        Row(PUT, "/v1/session/create", "", r#"{"Node": "node-a"}"#, SESSIONS, Denied(200)),
        Row(PUT, "/v1/session/renew/*", SESSION, "", SESSIONS, Denied(200)),
        Row(
            POST,
            "/v1/query",
            "",
            r#"{"Name": "find2", "Service": {"Service": "web"}}"#,
            r#"query "find2" { policy = "write" }"#,
            Denied(200),
        ),
        Row(PUT, "/v1/query/*", QUERY, query, QUERIES, Denied(200)),
        Row(PUT, "/v1/event/fire/*", "deploy", "", r#"event "deploy" { policy = "write" }"#, Denied(200)),
        Row(
            PUT,
            "/v1/coordinate/update",
            "",
            r#"{"Node": "node-a", "Coord": {"Vec": [0,0,0,0,0,0,0,0], "Error": 1, "Adjustment": 0, "Height": 0.001}}"#,
            WRITES_NODE,
            Denied(200),
        ),
        Row(PUT, "/v1/snapshot", "", "x", WRITES_ACL, Denied(500)),
        Row(POST, "/v1/operator/raft/transfer-leader", "", "", OPERATES, Denied(500)),
        Row(PUT, "/v1/operator/autopilot/configuration", "", "{}", OPERATES, Denied(200)),
        Row(POST, "/v1/operator/keyring", "", GOSSIP_KEY, KEYRING, Denied(500)),
        Row(PUT, "/v1/operator/keyring", "", GOSSIP_KEY, KEYRING, Denied(500)),
        Row(PUT, "/v1/acl/bootstrap", "", "", "", Open(403)),
        Row(PUT, "/v1/acl/token", "", r#"{"Description": "new"}"#, WRITES_ACL, Denied(200)),
        Row(PUT, "/v1/acl/token/*", TOKEN, r#"{"Description": "changed"}"#, WRITES_ACL, Denied(200)),
        Row(PUT, "/v1/acl/policy", "", r#"{"Name": "new"}"#, WRITES_ACL, Denied(200)),
        Row(PUT, "/v1/acl/policy/*", POLICY, r#"{"Name": "of-the-test"}"#, WRITES_ACL, Denied(200)),
        Row(PUT, "/v1/acl/role", "", r#"{"Name": "new"}"#, WRITES_ACL, Denied(200)),
        Row(PUT, "/v1/acl/auth-method", "", METHOD, WRITES_ACL, Denied(200)),
        Row(PUT, "/v1/acl/auth-method/*", "ci", METHOD, WRITES_ACL, Denied(200)),
        Row(PUT, "/v1/acl/binding-rule", "", rule, WRITES_ACL, Denied(200)),
        Row(PUT, "/v1/acl/binding-rule/*", RULE, rule, WRITES_ACL, Denied(200)),
        Row(POST, "/v1/acl/login", "", "{}", "", Open(400)),
        Row(POST, "/v1/acl/logout", "", "", "", Open(403)),
        Row(PUT, "/v1/acl/role/*", ROLE, r#"{"Name": "of-the-test"}"#, WRITES_ACL, Denied(200)),
    ]
}

fn removing() -> Vec<Row> {
    let local = r#"service "local" { policy = "write" }"#;
    vec![
        Row(PUT, "/v1/catalog/deregister", "", r#"{"Node": "on-web", "ServiceID": "web"}"#, WRITES_WEB, Denied(200)),
        Row(PUT, "/v1/agent/check/deregister/*", "local-ttl", "", local, Denied(200)),
        Row(PUT, "/v1/agent/service/deregister/*", "local", "", local, Denied(200)),
        Row(DELETE, "/v1/kv/*", "a", "", r#"key "a" { policy = "write" }"#, Denied(200)),
        Row(PUT, "/v1/session/destroy/*", SESSION, "", SESSIONS, Denied(200)),
        Row(DELETE, "/v1/query/*", QUERY, "", QUERIES, Denied(200)),
        Row(DELETE, "/v1/operator/raft/peer", "?id=x", "", OPERATES, Denied(500)),
        Row(DELETE, "/v1/operator/keyring", "", GOSSIP_KEY, KEYRING, Denied(500)),
        Row(DELETE, "/v1/acl/token/*", TOKEN, "", WRITES_ACL, Denied(200)),
        Row(DELETE, "/v1/acl/policy/*", POLICY, "", WRITES_ACL, Denied(200)),
        Row(DELETE, "/v1/acl/binding-rule/*", RULE, "", WRITES_ACL, Denied(200)),
        Row(DELETE, "/v1/acl/auth-method/*", "ci", "", WRITES_ACL, Denied(200)),
        Row(DELETE, "/v1/acl/role/*", ROLE, "", WRITES_ACL, Denied(200)),
        Row(PUT, "/v1/agent/leave", "", "", RULES_AGENT, Denied(200)),
    ]
}

/// Access control with `deny` as the default policy.
fn guarded(backend: &Arc<Fake>) -> Arc<Authority> {
    let settings = crate::acl::Settings {
        enabled: true,
        datacenter: "dc1".into(),
        node_name: "node-a".into(),
        ..crate::acl::Settings::default()
    };
    Arc::new(Authority::new(settings, OwnTokens::default(), backend.reader()))
}

fn put(backend: &Fake, row: AccessRow) {
    let command = AccessCommand::Put { row, named: Named::default(), presence: Presence::Absent };
    let written = backend.apply(&Command::Access(command));
    assert!(written.outcome.is_done(), "{written:?}");
}

/// A token with these rules; its secret.
fn token(backend: &Fake, rules: &str, expires: Option<Time>) -> (Uuid, String) {
    let (id, accessor, secret) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4().to_string());
    let policy = Policy { id, name: id.to_string().into(), rules: rules.into(), ..Policy::default() };
    put(backend, AccessRow::Policy(Arc::new(policy)));
    let grants = Grants { policies: vec![id], ..Grants::default() };
    put_token(backend, accessor, &secret, grants, expires);
    (accessor, secret)
}

fn put_token(backend: &Fake, accessor: Uuid, secret: &str, grants: Grants, expires: Option<Time>) {
    let token = AccessToken {
        accessor,
        secret: Secret::new(secret),
        description: "of the test".into(),
        grants,
        is_local: false,
        auth_method: "".into(),
        expires,
        created: Time(0),
        create_index: Index(0),
        modify_index: Index(0),
    };
    put(backend, AccessRow::Token(Arc::new(token)));
}

/// A registry with one of everything that is asked for.
async fn server() -> TestServer {
    let backend = Fake::new();
    backend.set_authority(guarded(&backend));
    let server = TestServer::over(backend.clone(), &[], |_| ()).await;
    let initialise = AccessCommand::Initialise {
        management: Some(Secret::new("00000000-0000-0000-0000-0000000000f1")),
        accessor: Uuid::from_u128(0xf1),
        servers: Secret::new("s".repeat(72)),
    };
    backend.apply(&Command::Access(initialise));
    server.register_itself();
    server.register("web", 80);
    let check = |id: &str, service: &str| Check {
        id: id.into(),
        name: id.into(),
        service_id: service.into(),
        status: Status::Passing,
        ..Check::default()
    };
    let on_web = Registration {
        node: Node { name: "on-web".into(), ..Node::default() },
        skip_node_update: true,
        service: None,
        checks: vec![check("node check", ""), check("web check", "web")],
    };
    let session = Session { id: SESSION.parse().unwrap(), node: "node-a".into(), ..Session::default() };
    let query = PreparedQuery {
        id: QUERY.parse().unwrap(),
        name: "find".into(),
        service: ServiceQuery { service: "web".into(), ..ServiceQuery::default() },
        ..PreparedQuery::default()
    };
    let coordinate = NodeCoordinate { node: "on-web".into(), coordinate: crate::model::Coordinate::default() };
    for command in [
        Command::Register(Box::new(on_web)),
        Command::UpdateCoordinates(vec![coordinate]),
        Command::Key(KeyCommand::Set(KeyEntry { key: "a".into(), ..KeyEntry::default() })),
        Command::Session(SessionCommand::Create(Box::new(session))),
        Command::Query(QueryCommand::Create(Box::new(query))),
    ] {
        let written = backend.apply(&command);
        assert!(written.outcome.is_done(), "{written:?}");
    }
    let policy = Policy { id: POLICY.parse().unwrap(), name: "of-the-test".into(), ..Policy::default() };
    put(&backend, AccessRow::Policy(Arc::new(policy)));
    let role = Role { id: ROLE.parse().unwrap(), name: "of-the-test".into(), ..Role::default() };
    put(&backend, AccessRow::Role(Arc::new(role)));
    let method = super::json::login::auth_method(METHOD.as_bytes(), "").unwrap();
    put(&backend, AccessRow::AuthMethod(Arc::new(method)));
    let rule = BindingRule { id: RULE.parse().unwrap(), auth_method: "ci".into(), ..BindingRule::default() };
    put(&backend, AccessRow::BindingRule(Arc::new(rule)));
    put_token(&backend, TOKEN.parse().unwrap(), "00000000-0000-0000-0000-0000000000e2", Grants::default(), None);
    let (_, writes) =
        token(&backend, r#"service "local" { policy = "write" } event "deploy" { policy = "write" }"#, None);
    let local = r#"{"Name": "local", "Check": {"CheckID": "local-ttl", "TTL": "1h"}}"#;
    for (path, body) in [("/v1/agent/service/register", local), ("/v1/event/fire/deploy", "")] {
        let reply = server.send_with(Method::PUT, path, body, &[("x-consul-token", &writes)]).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
    }
    server
}

/// The status, and what is there of the body at once: some answers never end.
async fn ask(server: &TestServer, row: &Row, token: Option<&str>) -> (u16, String) {
    let path = match row.1.strip_suffix('*') {
        Some(stem) => format!("{stem}{}", row.2),
        None => format!("{}{}", row.1, row.2),
    };
    let mut request = http::Request::builder().method(row.0.clone()).uri(&path).header("host", "test");
    if let Some(token) = token {
        request = request.header("x-consul-token", token);
    }
    let request = request.body(Full::new(Bytes::from_static(row.3.as_bytes()))).unwrap();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let answer = async {
        let response = sender.send_request(request).await.unwrap();
        let (head, mut body) = response.into_parts();
        let goes_on = ["/v1/agent/monitor", "/v1/agent/metrics/stream", "/v1/internal/ui/changes"].contains(&row.1);
        let never_ends = goes_on && head.status.is_success();
        if never_ends {
            return (head.status.as_u16(), String::new());
        }
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            text.extend(frame.unwrap().into_data().unwrap());
        }
        let kind = head.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
        let problem = openapi::tests::problem(row.0.as_str(), &path, head.status.as_u16(), kind, &text);
        assert_eq!(problem, None, "{} {path} against its description", row.0);
        (head.status.as_u16(), String::from_utf8_lossy(&text).into_owned())
    };
    let all = async {
        tokio::pin!(connection, answer);
        tokio::select! {
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("no answer came")
}

#[tokio::test]
async fn every_endpoint_lets_in_whom_it_should() {
    let rows = rows();
    let covered: BTreeSet<(String, &str)> = rows.iter().map(|row| (row.0.to_string(), row.1)).collect();
    let there: BTreeSet<(String, &str)> = route::table().map(|(method, path)| (method.to_string(), path)).collect();
    assert_eq!(there.difference(&covered).collect::<Vec<_>>(), Vec::<&(String, &str)>::new(), "these have no row here");
    assert_eq!(covered.difference(&there).collect::<Vec<_>>(), Vec::<&(String, &str)>::new(), "these are no endpoints");

    let server = Arc::new(server().await);
    let answering = server.clone();
    let control = tokio::spawn(async move {
        let mut requests = std::mem::replace(&mut *answering.requests.lock().unwrap(), mpsc::channel(1).1);
        while let Some(request) = requests.recv().await {
            let (control::Request::Reload(answer) | control::Request::Leave(answer)) = request;
            answer.send(Ok(())).unwrap();
        }
    });
    let backend = server.backend.clone();
    let (_, weak) = token(&backend, r#"key "something-else" { policy = "write" }"#, None);
    let (deleted, deleted_secret) = token(&backend, crate::acl::MANAGEMENT_RULES, None);
    backend.apply(&Command::Access(AccessCommand::Remove(vec![AccessRow::TokenGone(deleted)])));
    let (_, expired) = token(&backend, crate::acl::MANAGEMENT_RULES, Some(Time(1)));
    let mut problems = Vec::new();
    for row in &rows {
        let (_, strong) = token(&backend, row.4, None);
        let none = ask(&server, row, None).await;
        let weak = ask(&server, row, Some(&weak)).await;
        for (kind, secret) in [("expired", &expired), ("deleted", &deleted_secret), ("unknown", &TOKEN.to_string())] {
            let answer = ask(&server, row, Some(secret)).await;
            let problem = judge_invalid(row, &answer);
            problems.extend(problem.map(|problem| format!("{} {}, {kind} token: {problem}", row.0, row.1)));
        }
        let strong = ask(&server, row, Some(&strong)).await;
        problems.extend(judge(row, &none, &weak, &strong).map(|problem| format!("{} {}: {problem}", row.0, row.1)));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    control.abort();
}

type Seen = (u16, String);

/// What is wrong with the answer to a token that does not count; where none is needed, it is as if none were shown.
fn judge_invalid(row: &Row, (status, text): &Seen) -> Option<String> {
    let open = ["/", "/ui", "/ui/*", "/v1/openapi.json", "/v1/status/leader", "/v1/acl/bootstrap", "/v1/acl/login"];
    let is_open = open.contains(&row.1);
    let expected = match row.5 {
        Open(expected) if is_open => *status == expected && text != "ACL not found",
        _ => (*status, text.as_str()) == (403, "ACL not found"),
    };
    (!expected).then(|| format!("{status} {text}"))
}

/// What is wrong with the answers to no token, one without the right, and one with it.
fn judge(row: &Row, none: &Seen, weak: &Seen, strong: &Seen) -> Option<String> {
    let denied = |seen: &Seen| seen.0 == 403 && seen.1.starts_with("Permission denied");
    let expected = match row.5 {
        Denied(status) => denied(none) && denied(weak) && strong.0 == status && !strong.1.contains("Permission denied"),
        Member(status) => denied(none) && weak.0 == status && strong.0 == status,
        Hidden(text) => {
            let sees_nothing = |seen: &Seen| matches!(seen.0, 200 | 404) && !seen.1.contains(text);
            sees_nothing(none) && sees_nothing(weak) && strong.0 == 200 && strong.1.contains(text)
        }
        Open(status) => [none, weak, strong].iter().all(|seen| seen.0 == status),
    };
    (!expected).then(|| format!("{:?} expected; no token {none:?}, weak token {weak:?}, right token {strong:?}", row.5))
}
