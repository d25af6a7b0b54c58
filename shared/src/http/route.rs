//! Every endpoint, a line each: method, path, handler. Unknown paths are 404, other methods 405.
//!
//! A path that ends in `/*` takes the rest of the request's path as its parameter: decoded, empty where it is
//! missing, and with whatever slashes are in it, since IDs may contain them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use tokio_util::sync::CancellationToken;

use super::{
    Context, Failure, acl,
    admission::{Guard, admit, passed_on},
    agent, agent_health,
    answer::Answer,
    catalog, changes, coordinate, event, health, insight, internal,
    kept::Answers,
    keyring, kv, login, maintenance, openapi, operator, page, prepared, profile,
    query::Query,
    query::decode_path,
    read, remote, session, snapshot, status, txn,
};
use crate::{
    acl::{
        Credential, Known,
        Level::{Read, Write},
        Resource::{Acl, Event, Keyring, Operator, Service},
    },
    backend::Pieces,
    metrics::{HTTP_REQUESTS, Series, as_f64},
};

/// From where a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// From this datacenter: a caller of this node, or another node of it.
    Here,
    /// From a server of another datacenter: it is passed on to none.
    OtherDatacenter,
}

/// A request as handlers see it.
pub(super) struct Request {
    /// From where it comes.
    pub origin: Origin,
    /// Its method.
    pub method: Method,
    /// Its path and query as they came.
    pub target: Arc<str>,
    /// The endpoint's place in the table.
    pub endpoint: usize,
    /// What followed the endpoint's path.
    pub parameter: String,
    /// What followed the `?`.
    pub query: Query,
    /// The whole body; empty where the endpoint takes it as it comes.
    pub body: Bytes,
    /// The address of whoever asks, as the nearest proxy has it or else as the connection has; `None` on a unix socket
    /// and from within this process.
    pub client: Option<IpAddr>,
    /// What was shown to say who asks. Goes along with what a server is asked.
    pub token: Credential,
    /// Who that is.
    pub caller: Arc<Known>,
    /// The body as it comes, of those that may be of any length ([`takes_pieces`]); for one to take.
    pub pieces: Mutex<Option<Pieces>>,
    /// Cancelled when this node stops: whoever waits returns.
    pub stopping: CancellationToken,
    /// Where answers are kept.
    pub answers: Arc<Answers>,
}

use Guard::{Filtered, Inside, Member, Needs, Open, OwnAgent, OwnNode, Parameter, Written};

type Handler = for<'a> fn(&'a Context, &'a Request) -> BoxFuture<'a, Result<Answer, Failure>>;

macro_rules! endpoints {
    ($($method:ident $path:literal => $handler:path, $guard:expr;)*) => {
        const ENDPOINTS: &[(Method, &str, Guard, Handler)] =
            &[$((Method::$method, $path, $guard, |context, request| Box::pin($handler(context, request)))),*];
    };
}

/// The guard of what shows tokens and policies.
const READS_ACL: Guard = Needs(Acl, Read);

endpoints! {
    PUT "/v1/catalog/register" => catalog::register, Written;
    PUT "/v1/catalog/deregister" => catalog::deregister, Written;
    GET "/v1/catalog/datacenters" => catalog::datacenters, Member;
    GET "/v1/catalog/nodes" => catalog::nodes, Filtered;
    GET "/v1/catalog/services" => catalog::services, Filtered;
    GET "/v1/catalog/service/*" => catalog::service, Filtered;
    GET "/v1/catalog/connect/*" => catalog::connect, Filtered;
    GET "/v1/catalog/node/*" => catalog::node, Filtered;
    GET "/v1/catalog/node-services/*" => catalog::node_services, Filtered;
    GET "/v1/health/node/*" => health::node, Filtered;
    GET "/v1/health/checks/*" => health::checks, Filtered;
    GET "/v1/health/service/*" => health::service, Filtered;
    GET "/v1/health/connect/*" => health::connect, Filtered;
    GET "/v1/health/state/*" => health::state, Filtered;
    GET "/v1/agent/self" => agent::this, OwnAgent(Read);
    GET "/v1/agent/members" => agent::members, Filtered;
    GET "/v1/agent/services" => agent::services, Filtered;
    GET "/v1/agent/service/*" => agent::service, Inside;
    GET "/v1/agent/checks" => agent::checks, Filtered;
    GET "/v1/agent/health/service/name/*" => agent_health::by_name, Parameter(Service, Read);
    GET "/v1/agent/health/service/id/*" => agent_health::by_id, Inside;
    GET "/v1/agent/host" => insight::host, Needs(Operator, Read);
    GET "/v1/agent/version" => insight::version, Member;
    GET "/v1/agent/metrics" => insight::metrics, OwnAgent(Read);
    GET "/v1/agent/metrics/stream" => insight::metrics_stream, OwnAgent(Read);
    GET "/v1/agent/monitor" => insight::monitor, Needs(Operator, Read);
    PUT "/v1/agent/token/*" => insight::token, OwnAgent(Write);
    PUT "/v1/agent/service/register" => agent::register_service, Inside;
    PUT "/v1/agent/service/deregister/*" => agent::deregister_service, Inside;
    PUT "/v1/agent/service/maintenance/*" => maintenance::service, Inside;
    PUT "/v1/agent/maintenance" => maintenance::node, OwnNode(Write);
    PUT "/v1/agent/check/register" => agent::register_check, Inside;
    PUT "/v1/agent/check/deregister/*" => agent::deregister_check, Inside;
    PUT "/v1/agent/check/pass/*" => agent::pass, Inside;
    PUT "/v1/agent/check/warn/*" => agent::warn, Inside;
    PUT "/v1/agent/check/fail/*" => agent::fail, Inside;
    PUT "/v1/agent/check/update/*" => agent::update, Inside;
    PUT "/v1/agent/join/*" => agent::join, OwnAgent(Write);
    PUT "/v1/agent/leave" => agent::leave, OwnAgent(Write);
    PUT "/v1/agent/force-leave/*" => agent::force_leave, Needs(Operator, Write);
    PUT "/v1/agent/reload" => agent::reload, OwnAgent(Write);
    GET "/" => page::root, Open;
    GET "/ui" => page::root, Open;
    GET "/ui/*" => page::file, Open;
    GET "/v1/openapi.json" => openapi::describe, Open;
    GET "/v1/internal/ui/agent" => internal::agent, Member;
    GET "/v1/internal/ui/changes" => changes::changes, Filtered;
    GET "/v1/internal/ui/overview" => internal::overview, Filtered;
    GET "/v1/internal/ui/nodes" => internal::nodes, Filtered;
    GET "/v1/internal/ui/node/*" => internal::node, Filtered;
    GET "/v1/internal/ui/services" => internal::services, Filtered;
    GET "/v1/kv/*" => kv::get, Inside;
    PUT "/v1/kv/*" => kv::put, Written;
    DELETE "/v1/kv/*" => kv::delete, Written;
    PUT "/v1/txn" => txn::transact, Inside;
    PUT "/v1/session/create" => session::create, Written;
    PUT "/v1/session/destroy/*" => session::destroy, Written;
    PUT "/v1/session/renew/*" => session::renew, Inside;
    GET "/v1/session/info/*" => session::info, Filtered;
    GET "/v1/session/node/*" => session::node, Filtered;
    GET "/v1/session/list" => session::all, Filtered;
    GET "/v1/query" => prepared::all, Filtered;
    POST "/v1/query" => prepared::create, Written;
    GET "/v1/query/*" => prepared::get, Inside;
    PUT "/v1/query/*" => prepared::update, Written;
    DELETE "/v1/query/*" => prepared::delete, Written;
    PUT "/v1/event/fire/*" => event::fire, Parameter(Event, Write);
    GET "/v1/event/list" => event::list, Filtered;
    GET "/v1/coordinate/datacenters" => coordinate::datacenters, Member;
    GET "/v1/coordinate/nodes" => coordinate::nodes, Filtered;
    GET "/v1/coordinate/node/*" => coordinate::node, Filtered;
    PUT "/v1/coordinate/update" => coordinate::update, Written;
    GET "/v1/snapshot" => snapshot::save, Needs(Acl, Write);
    PUT "/v1/snapshot" => snapshot::restore, Needs(Acl, Write);
    GET "/v1/operator/raft/configuration" => operator::raft_configuration, Needs(Operator, Read);
    POST "/v1/operator/raft/transfer-leader" => operator::transfer_leader, Needs(Operator, Write);
    DELETE "/v1/operator/raft/peer" => operator::remove_peer, Needs(Operator, Write);
    GET "/v1/operator/autopilot/configuration" => operator::autopilot_configuration, Needs(Operator, Read);
    PUT "/v1/operator/autopilot/configuration" => operator::set_autopilot_configuration, Needs(Operator, Write);
    GET "/v1/operator/autopilot/health" => operator::autopilot_health, Needs(Operator, Read);
    GET "/v1/operator/autopilot/state" => operator::autopilot_state, Needs(Operator, Read);
    GET "/v1/operator/usage" => operator::usage, Needs(Operator, Read);
    GET "/v1/operator/keyring" => keyring::keyring, Needs(Keyring, Read);
    POST "/v1/operator/keyring" => keyring::keyring, Needs(Keyring, Write);
    PUT "/v1/operator/keyring" => keyring::keyring, Needs(Keyring, Write);
    DELETE "/v1/operator/keyring" => keyring::keyring, Needs(Keyring, Write);
    PUT "/v1/acl/bootstrap" => acl::bootstrap, Open;
    GET "/v1/acl/replication" => acl::replication, READS_ACL;
    GET "/v1/acl/tokens" => acl::tokens, READS_ACL;
    PUT "/v1/acl/token" => acl::create_token, Needs(Acl, Write);
    GET "/v1/acl/token/self" => acl::own_token, Inside;
    GET "/v1/acl/token/*" => acl::token, READS_ACL;
    PUT "/v1/acl/token/*" => acl::change_token, Needs(Acl, Write);
    DELETE "/v1/acl/token/*" => acl::delete_token, Needs(Acl, Write);
    GET "/v1/acl/policies" => acl::policies, READS_ACL;
    PUT "/v1/acl/policy" => acl::create_policy, Needs(Acl, Write);
    GET "/v1/acl/policy/name/*" => acl::policy_named, READS_ACL;
    GET "/v1/acl/policy/*" => acl::policy, READS_ACL;
    PUT "/v1/acl/policy/*" => acl::change_policy, Needs(Acl, Write);
    DELETE "/v1/acl/policy/*" => acl::delete_policy, Needs(Acl, Write);
    GET "/v1/acl/roles" => acl::roles, READS_ACL;
    PUT "/v1/acl/role" => acl::create_role, Needs(Acl, Write);
    GET "/v1/acl/role/name/*" => acl::role_named, READS_ACL;
    GET "/v1/acl/role/*" => acl::role, READS_ACL;
    PUT "/v1/acl/role/*" => acl::change_role, Needs(Acl, Write);
    DELETE "/v1/acl/role/*" => acl::delete_role, Needs(Acl, Write);
    GET "/v1/acl/auth-methods" => login::methods, READS_ACL;
    PUT "/v1/acl/auth-method" => login::put_method, Needs(Acl, Write);
    GET "/v1/acl/auth-method/*" => login::method, READS_ACL;
    PUT "/v1/acl/auth-method/*" => login::put_method, Needs(Acl, Write);
    DELETE "/v1/acl/auth-method/*" => login::delete_method, Needs(Acl, Write);
    GET "/v1/acl/binding-rules" => login::rules, READS_ACL;
    PUT "/v1/acl/binding-rule" => login::create_rule, Needs(Acl, Write);
    GET "/v1/acl/binding-rule/*" => login::rule, READS_ACL;
    PUT "/v1/acl/binding-rule/*" => login::change_rule, Needs(Acl, Write);
    DELETE "/v1/acl/binding-rule/*" => login::delete_rule, Needs(Acl, Write);
    POST "/v1/acl/login" => login::login, Open;
    POST "/v1/acl/logout" => login::logout, Inside;
    GET "/debug/pprof/profile" => profile::profile, Needs(Operator, Read);
    GET "/v1/status/leader" => status::leader, Open;
    GET "/v1/status/peers" => status::peers, Member;
}

/// The first digits of statuses, from 1.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Requests by endpoint, and last those that found none, and by class of status.
static REQUESTS: [[AtomicU64; CLASSES.len()]; ENDPOINTS.len() + 1] =
    [const { [const { AtomicU64::new(0) }; CLASSES.len()] }; ENDPOINTS.len() + 1];

/// Counts a request as answered by the endpoint at that place.
pub(super) fn count(place: usize, status: StatusCode) {
    let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
    REQUESTS[place][class].fetch_add(1, Relaxed);
}

/// Counts a request that found no endpoint.
pub(super) fn count_unknown(status: StatusCode) {
    count(ENDPOINTS.len(), status);
}

/// The requests that there were, by endpoint.
pub(super) fn requests() -> impl Iterator<Item = Series> {
    let cells = REQUESTS.iter().enumerate().flat_map(|(place, counts)| {
        counts.iter().zip(CLASSES).map(move |(count, class)| (place, count.load(Relaxed), class))
    });
    cells.filter(|(_, count, _)| *count > 0).map(|(place, count, class)| {
        let (method, path) = ENDPOINTS.get(place).map_or(("", ""), |(method, path, ..)| (method.as_str(), path));
        Series::counter(HTTP_REQUESTS, "Requests by endpoint and class of status.", as_f64(count))
            .with("method", method.to_string())
            .with("path", path)
            .with("status", class)
    })
}

/// The guard of an endpoint.
pub(super) fn guard_of(method: &str, path: &str) -> Option<Guard> {
    ENDPOINTS.iter().find(|endpoint| (endpoint.0.as_str(), endpoint.1) == (method, path)).map(|endpoint| endpoint.2)
}

/// Every endpoint's method and path.
#[cfg(test)]
pub(super) fn table() -> impl Iterator<Item = (Method, &'static str)> {
    ENDPOINTS.iter().map(|(method, path, ..)| (method.clone(), *path))
}

/// The endpoints by path.
pub(super) struct Router {
    paths: matchit::Router<Arc<Endpoint>>,
}

#[derive(Default)]
struct Endpoint {
    /// Each method with its place in [`ENDPOINTS`].
    methods: Vec<(Method, usize)>,
}

/// An endpoint that was found, and the part of the path that is its parameter.
pub(super) struct Found {
    /// The endpoint's place in the table.
    pub place: usize,
    /// Decoded.
    pub parameter: String,
}

/// Whether the endpoint at that place of the table takes the body as it comes.
pub(super) fn takes_pieces(place: usize) -> bool {
    let (method, path, ..) = &ENDPOINTS[place];
    (method, *path) == (&Method::PUT, "/v1/snapshot")
}

/// Runs the handler of the request's endpoint, if the caller is let in; what it finds to be another datacenter's matter is
/// passed on.
pub(super) async fn handle(context: &Context, mut request: Request) -> Result<Answer, Failure> {
    let (_, _, guard, handler) = &ENDPOINTS[request.endpoint];
    if let Some(name) = passed_on(context, *guard, &request) {
        return remote::pass_on(context, &request, name).await;
    }
    request.caller = match admit(context, *guard, &request) {
        Ok(caller) => caller,
        // As Consul has it.
        Err(denied) if *guard == READS_ACL => return Ok(read::with_headers(context, denied.into())),
        Err(denied) => return Err(denied),
    };
    match handler(context, &request).await {
        Err(Failure::OtherDatacenter(name)) => remote::pass_on(context, &request, &name).await,
        answered => answered,
    }
}

/// Who asks, found anew: what somebody was allowed when the wait began may not be any more.
pub(super) fn admit_again(context: &Context, request: &Request) -> Result<Arc<Known>, Failure> {
    admit(context, ENDPOINTS[request.endpoint].2, request)
}

impl Router {
    /// The table above.
    pub fn new() -> Self {
        let mut endpoints: HashMap<&str, Endpoint> = HashMap::new();
        for (place, (method, path, ..)) in ENDPOINTS.iter().enumerate() {
            endpoints.entry(path).or_default().methods.push((method.clone(), place));
        }
        let mut paths = matchit::Router::new();
        for (path, endpoint) in endpoints {
            let endpoint = Arc::new(endpoint);
            let mut insert =
                |path: String| paths.insert(path, endpoint.clone()).expect("the table's paths do not contradict");
            match path.strip_suffix('*') {
                Some(stem) => {
                    insert(stem.to_string());
                    insert(format!("{stem}{{*rest}}"));
                }
                None => insert(path.to_string()),
            }
        }
        Self { paths }
    }

    /// Finds the endpoint of a request; `path` is as it came, with its escapes.
    pub fn find(&self, method: &Method, path: &str) -> Result<Found, Failure> {
        let found = self.paths.at(path).map_err(|_| Failure::NoEndpoint)?;
        match found.value.methods.iter().find(|(own, _)| own == method) {
            Some((_, place)) => {
                let rest = found.params.get("rest").unwrap_or_default();
                Ok(Found { place: *place, parameter: decode_path(rest) })
            }
            None => Err(Failure::Method { method: method.to_string(), allowed: found.value.allowed() }),
        }
    }

    /// The path of a request's endpoint as the table has it.
    pub fn route(&self, method: &Method, path: &str) -> Option<&'static str> {
        let found = self.paths.at(path).ok()?;
        found.value.methods.iter().find(|(own, _)| own == method).map(|(_, place)| ENDPOINTS[*place].1)
    }

    /// Answers `OPTIONS`, as Consul does, with the methods there are; `None` where nothing has that path.
    pub fn options(&self, path: &str) -> Option<Answer> {
        let allowed = format!("OPTIONS,{}", self.paths.at(path).ok()?.value.allowed());
        let allowed = HeaderValue::from_str(&allowed).ok()?;
        Some(Answer::empty().with_header(header::ALLOW, allowed))
    }
}

impl Endpoint {
    fn allowed(&self) -> String {
        self.methods.iter().map(|(method, _)| method.as_str()).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(method: Method, path: &str) -> Result<String, Failure> {
        Router::new().find(&method, path).map(|found| found.parameter)
    }

    #[test]
    fn paths_and_their_parameters() {
        for (path, expected) in [
            ("/v1/status/leader", Some("")),
            ("/v1/catalog/service/web", Some("web")),
            ("/v1/catalog/service/", Some("")),
            ("/v1/catalog/service/a/b", Some("a/b")),
            ("/v1/catalog/service/a%2Fb%20c+d", Some("a/b c+d")),
            ("/v1/catalog/service//a", Some("/a")),
            ("/v1/catalog/nothing-here", None),
            ("/v1/status/leader/", None),
            ("/v1", None),
            ("/", Some("")),
            ("/ui/services/web", Some("services/web")),
            ("", None),
        ] {
            assert_eq!(parameter(Method::GET, path).ok().as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn other_methods_are_refused_with_those_there_are() {
        for (method, path, allowed) in [
            (Method::PUT, "/v1/status/leader", "GET"),
            (Method::GET, "/v1/catalog/register", "PUT"),
            (Method::HEAD, "/v1/catalog/nodes", "GET"),
        ] {
            let failure = parameter(method.clone(), path).unwrap_err();
            assert_eq!(failure, Failure::Method { method: method.to_string(), allowed: allowed.into() });
            assert_eq!(failure.to_string(), format!("method {method} not allowed"));
        }
        assert_eq!(parameter(Method::PUT, "/v1/nothing"), Err(Failure::NoEndpoint));
        assert!(Router::new().options("/v1/status/leader").is_some() && Router::new().options("/x").is_none());
    }
}
