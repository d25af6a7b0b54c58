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
    Context, Failure, agent, agent_health, answer::Answer, catalog, coordinate, event, health, insight, internal,
    kept::Answers, keyring, kv, maintenance, operator, prepared, query::Query, query::decode_path, remote, session,
    snapshot, status, txn,
};
use crate::{
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
    /// What was shown in a header to say who asks; empty: nothing. Goes along with what a server is asked.
    pub token: String,
    /// The body as it comes, of those that may be of any length ([`takes_pieces`]); for one to take.
    pub pieces: Mutex<Option<Pieces>>,
    /// Cancelled when this node stops: whoever waits returns.
    pub stopping: CancellationToken,
    /// Where answers are kept.
    pub answers: Arc<Answers>,
}

type Handler = for<'a> fn(&'a Context, &'a Request) -> BoxFuture<'a, Result<Answer, Failure>>;

macro_rules! endpoints {
    ($($method:ident $path:literal => $handler:path;)*) => {
        const ENDPOINTS: &[(Method, &str, Handler)] =
            &[$((Method::$method, $path, |context, request| Box::pin($handler(context, request)))),*];
    };
}

endpoints! {
    PUT "/v1/catalog/register" => catalog::register;
    PUT "/v1/catalog/deregister" => catalog::deregister;
    GET "/v1/catalog/datacenters" => catalog::datacenters;
    GET "/v1/catalog/nodes" => catalog::nodes;
    GET "/v1/catalog/services" => catalog::services;
    GET "/v1/catalog/service/*" => catalog::service;
    GET "/v1/catalog/connect/*" => catalog::connect;
    GET "/v1/catalog/node/*" => catalog::node;
    GET "/v1/catalog/node-services/*" => catalog::node_services;
    GET "/v1/health/node/*" => health::node;
    GET "/v1/health/checks/*" => health::checks;
    GET "/v1/health/service/*" => health::service;
    GET "/v1/health/connect/*" => health::connect;
    GET "/v1/health/state/*" => health::state;
    GET "/v1/agent/self" => agent::this;
    GET "/v1/agent/members" => agent::members;
    GET "/v1/agent/services" => agent::services;
    GET "/v1/agent/service/*" => agent::service;
    GET "/v1/agent/checks" => agent::checks;
    GET "/v1/agent/health/service/name/*" => agent_health::by_name;
    GET "/v1/agent/health/service/id/*" => agent_health::by_id;
    GET "/v1/agent/host" => insight::host;
    GET "/v1/agent/version" => insight::version;
    GET "/v1/agent/metrics" => insight::metrics;
    GET "/v1/agent/metrics/stream" => insight::metrics_stream;
    GET "/v1/agent/monitor" => insight::monitor;
    PUT "/v1/agent/token/*" => insight::token;
    PUT "/v1/agent/service/register" => agent::register_service;
    PUT "/v1/agent/service/deregister/*" => agent::deregister_service;
    PUT "/v1/agent/service/maintenance/*" => maintenance::service;
    PUT "/v1/agent/maintenance" => maintenance::node;
    PUT "/v1/agent/check/register" => agent::register_check;
    PUT "/v1/agent/check/deregister/*" => agent::deregister_check;
    PUT "/v1/agent/check/pass/*" => agent::pass;
    PUT "/v1/agent/check/warn/*" => agent::warn;
    PUT "/v1/agent/check/fail/*" => agent::fail;
    PUT "/v1/agent/check/update/*" => agent::update;
    PUT "/v1/agent/join/*" => agent::join;
    PUT "/v1/agent/leave" => agent::leave;
    PUT "/v1/agent/force-leave/*" => agent::force_leave;
    PUT "/v1/agent/reload" => agent::reload;
    GET "/v1/internal/ui/nodes" => internal::nodes;
    GET "/v1/internal/ui/node/*" => internal::node;
    GET "/v1/internal/ui/services" => internal::services;
    GET "/v1/kv/*" => kv::get;
    PUT "/v1/kv/*" => kv::put;
    DELETE "/v1/kv/*" => kv::delete;
    PUT "/v1/txn" => txn::transact;
    PUT "/v1/session/create" => session::create;
    PUT "/v1/session/destroy/*" => session::destroy;
    PUT "/v1/session/renew/*" => session::renew;
    GET "/v1/session/info/*" => session::info;
    GET "/v1/session/node/*" => session::node;
    GET "/v1/session/list" => session::all;
    GET "/v1/query" => prepared::all;
    POST "/v1/query" => prepared::create;
    GET "/v1/query/*" => prepared::get;
    PUT "/v1/query/*" => prepared::update;
    DELETE "/v1/query/*" => prepared::delete;
    PUT "/v1/event/fire/*" => event::fire;
    GET "/v1/event/list" => event::list;
    GET "/v1/coordinate/datacenters" => coordinate::datacenters;
    GET "/v1/coordinate/nodes" => coordinate::nodes;
    GET "/v1/coordinate/node/*" => coordinate::node;
    PUT "/v1/coordinate/update" => coordinate::update;
    GET "/v1/snapshot" => snapshot::save;
    PUT "/v1/snapshot" => snapshot::restore;
    GET "/v1/operator/raft/configuration" => operator::raft_configuration;
    POST "/v1/operator/raft/transfer-leader" => operator::transfer_leader;
    DELETE "/v1/operator/raft/peer" => operator::remove_peer;
    GET "/v1/operator/autopilot/configuration" => operator::autopilot_configuration;
    PUT "/v1/operator/autopilot/configuration" => operator::set_autopilot_configuration;
    GET "/v1/operator/autopilot/health" => operator::autopilot_health;
    GET "/v1/operator/autopilot/state" => operator::autopilot_state;
    GET "/v1/operator/usage" => operator::usage;
    GET "/v1/operator/keyring" => keyring::keyring;
    POST "/v1/operator/keyring" => keyring::keyring;
    PUT "/v1/operator/keyring" => keyring::keyring;
    DELETE "/v1/operator/keyring" => keyring::keyring;
    GET "/v1/status/leader" => status::leader;
    GET "/v1/status/peers" => status::peers;
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
        let (method, path) = ENDPOINTS.get(place).map_or(("", ""), |(method, path, _)| (method.as_str(), path));
        Series::counter(HTTP_REQUESTS, "Requests by endpoint and class of status.", as_f64(count))
            .with("method", method.to_string())
            .with("path", path)
            .with("status", class)
    })
}

/// Every endpoint's method and path.
#[cfg(test)]
pub(super) fn table() -> impl Iterator<Item = (Method, &'static str)> {
    ENDPOINTS.iter().map(|(method, path, _)| (method.clone(), *path))
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
    let (method, path, _) = &ENDPOINTS[place];
    (method, *path) == (&Method::PUT, "/v1/snapshot")
}

/// Runs the handler of the endpoint at that place of the table; what it finds to be another datacenter's matter is
/// passed on.
pub(super) async fn handle(place: usize, context: &Context, request: &Request) -> Result<Answer, Failure> {
    let (_, _, handler) = &ENDPOINTS[place];
    match handler(context, request).await {
        Err(Failure::OtherDatacenter(name)) => remote::pass_on(context, request, &name).await,
        answered => answered,
    }
}

impl Router {
    /// The table above.
    pub fn new() -> Self {
        let mut endpoints: HashMap<&str, Endpoint> = HashMap::new();
        for (place, (method, path, _)) in ENDPOINTS.iter().enumerate() {
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
            ("/", None),
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
