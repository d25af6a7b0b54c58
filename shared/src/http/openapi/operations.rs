//! What is said about each endpoint, in the order of the table of endpoints: which has no line here fails a test.
//!
//! `METHOD PATH KIND SUMMARY`, then `right` where the endpoint's own guard does not say it, `query` with the parameters that
//! its kind does not bring (`schemas::QUERY`), `body` with the type that it takes (`?`: or none), and behind the arrow what
//! it answers: a status with the type of its JSON, another media type, or nothing where it has no body; once for each form. One
//! above 399 that stands alone comes with a sentence. Those that all of a kind may have are not repeated.

use Kind::{Local, Plain, Read, Write};

/// How an endpoint is answered: that brings parameters and statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// From the node's view, as fresh as the caller wants, held until something has changed.
    Read,
    /// By the servers.
    Write,
    /// By this agent alone.
    Local,
    /// The same, with no parameter at all.
    Plain,
}

/// What is said about one endpoint.
pub(super) struct Operation {
    pub method: &'static str,
    /// As in the table, with the parameter's name in place of the `*`, and what is special behind it.
    pub path: &'static str,
    pub kind: Kind,
    pub summary: &'static str,
    /// What it needs where its guard leaves that to the handler.
    pub right: &'static str,
    pub query: &'static str,
    pub body: &'static str,
    pub answers: &'static str,
}

/// What is said about each.
pub(super) fn operations() -> impl Iterator<Item = Operation> {
    LINES.lines().map(|line| {
        let mut parts = line.split('\t');
        let mut next = || parts.next().unwrap_or_default();
        Operation {
            method: next(),
            path: next(),
            kind: match next() {
                "Read" => Read,
                "Write" => Write,
                "Local" => Local,
                _ => Plain,
            },
            summary: next(),
            right: next(),
            query: next(),
            body: next(),
            answers: next(),
        }
    })
}

// One text: a table of them would take more than twice the room in the program.
macro_rules! operations {
    ($($method:ident $path:literal $kind:ident $summary:literal
        $(right $right:literal)? $(query $query:literal)? $(body $body:literal)? => $answers:literal;)*) => {
        const LINES: &str = concat!($(
            stringify!($method), "\t", $path, "\t", stringify!($kind), "\t", $summary, "\t",
            $($right,)? "\t", $($query,)? "\t", $($body,)? "\t", $answers, "\n",
        )*);
        const _: &[Kind] = &[$($kind),*];
    };
}

operations! {
    PUT "/v1/catalog/register" Write "Registers a node, and with it a service and checks, from outside of any agent."
        right "node:write service:write" body "Registration" => "200:true";
    PUT "/v1/catalog/deregister" Write "Removes a check, a service with its checks, or a node with all that is on it."
        right "node:write service:write" body "Deregistration" => "200:true";
    GET "/v1/catalog/datacenters" Write "The known datacenters, the nearest first." => "200:[string]";
    GET "/v1/catalog/nodes" Read "All nodes."
        right "node:read" query "filter near node-meta" => "200:[Node]";
    GET "/v1/catalog/services" Read "The names of all services, with their tags."
        right "node:read service:read" query "filter node-meta" => "200:{[string]}";
    GET "/v1/catalog/service/{service}" Read "The instances of a service."
        right "node:read service:read" query "filter near node-meta tag" => "200:[ServiceOnNode]";
    GET "/v1/catalog/connect/{service}" Read "The mesh proxies of a service: there are none."
        right "node:read service:read" => "200:[ServiceOnNode]";
    GET "/v1/catalog/node/{node}" Read "A node with its services by ID; null where there is none."
        right "node:read service:read" query "filter" => "200:NodeServices?";
    GET "/v1/catalog/node-services/{node}" Read "A node with its services in a list."
        right "node:read service:read" query "filter" => "200:NodeServiceList";
    GET "/v1/health/node/{node}" Read "The checks of a node and of what is on it."
        right "node:read service:read" query "filter since" => "200:[Check]";
    GET "/v1/health/checks/{service}" Read "The checks of a service's instances."
        right "node:read service:read" query "filter near node-meta since" => "200:[Check]";
    GET "/v1/health/service/{service}" Read "The instances of a service with their nodes and checks."
        right "node:read service:read" query "filter near node-meta tag passing since" => "200:[Instance]";
    GET "/v1/health/connect/{service}" Read "The mesh proxies of a service with their checks: there are none."
        right "node:read service:read" => "200:[Instance]";
    GET "/v1/health/state/{state}" Read "All checks in a state."
        right "node:read service:read" query "filter near node-meta since" => "200:[Check]";
    GET "/v1/agent/self" Local "This agent: its configuration, its place in the pool, what it counts." => "200:Agent";
    GET "/v1/agent/members" Local "The members of the pool as this agent knows them."
        right "node:read" query "wan" => "200:[Member]";
    GET "/v1/agent/services" Local "The services that are registered at this agent, by ID."
        right "service:read" query "filter" => "200:{AgentService} 500";
    GET "/v1/agent/service/{service-id}" Local "A service that is registered at this agent; with its hash, held until it has another."
        right "service:read" query "hash wait" => "200:AgentService 404";
    GET "/v1/agent/checks" Local "The checks that are registered at this agent, by ID."
        right "node:read service:read" query "filter" => "200:{Check} 500";
    GET "/v1/agent/health/service/name/{service}" Local "How this agent's instances of a service are: 200 passing, 429 warning, 503 critical."
        query "format" => "200:[AgentHealth] 200:text/plain 404:[AgentHealth] 404 429:[AgentHealth] 503:[AgentHealth] 503";
    GET "/v1/agent/health/service/id/{service-id}" Local "How a service of this agent is: 200 passing, 429 warning, 503 critical."
        right "service:read" query "format" => "200:AgentHealth 200:text/plain 404:AgentHealth 404 429:AgentHealth 503:AgentHealth 503";
    GET "/v1/agent/host" Local "The host: its memory, processors, system and disk." => "200:Host 500";
    GET "/v1/agent/version" Local "The version of Consul whose interfaces are spoken, and Lictor's own." => "200:Version";
    GET "/v1/agent/metrics" Local "All metrics, as JSON or for Prometheus." query "format" => "200:Metrics 200:text/plain";
    GET "/v1/agent/metrics/stream" Plain "The metrics every ten seconds, JSON objects one behind the other, until the caller goes." => "200:text/plain";
    GET "/v1/agent/monitor" Plain "The log as it is written, a line for each event, until the caller goes."
        query "loglevel logjson" => "200:text/plain";
    PUT "/v1/agent/token/{token-kind}" Local "Changes one of the tokens that this agent shows to others." body "OwnToken" => "200 401 404 500";
    PUT "/v1/agent/service/register" Local "Registers a service at this agent, which runs its checks and keeps it in the registry."
        right "service:write" query "replace-existing-checks" body "ServiceDefinition" => "200 500 503";
    PUT "/v1/agent/service/deregister/{service-id}" Local "Removes a service from this agent."
        right "service:write" => "200 404 500 503";
    PUT "/v1/agent/service/maintenance/{service-id}" Local "Takes a service of this agent out of the answers, or brings it back."
        right "service:write" query "enable reason" => "200 404 500 503";
    PUT "/v1/agent/maintenance" Local "Takes this agent's node with all its services out of the answers, or brings it back."
        query "enable reason" => "200 500 503";
    PUT "/v1/agent/check/register" Local "Registers a check of this agent's node, or of a service here."
        right "node:write service:write" body "CheckDefinition" => "200 500 503";
    PUT "/v1/agent/check/deregister/{check-id}" Local "Removes a check from this agent."
        right "node:write service:write" => "200 500 503";
    PUT "/v1/agent/check/pass/{check-id}" Local "Says that all is well: a TTL check is passing until its time is over."
        right "node:write service:write" query "note" => "200 500";
    PUT "/v1/agent/check/warn/{check-id}" Local "The same, warning."
        right "node:write service:write" query "note" => "200 500";
    PUT "/v1/agent/check/fail/{check-id}" Local "The same, critical."
        right "node:write service:write" query "note" => "200 500";
    PUT "/v1/agent/check/update/{check-id}" Local "The same in the state that the body says."
        right "node:write service:write" body "CheckReport" => "200 500";
    PUT "/v1/agent/join/{address}" Local "Joins the pool that a member at this address is in." query "wan" => "200 500";
    PUT "/v1/agent/leave" Local "Leaves the pool and stops." => "200 500";
    PUT "/v1/agent/force-leave/{node}" Local "Takes a member that has failed for one that has left." query "wan prune" => "200 500";
    PUT "/v1/agent/reload" Local "Reads the configuration anew and applies of it what can be." => "200 500";
    GET "/" Plain "Where the web page is, or that there is none." => "200:text/plain 301";
    GET "/ui" Plain "The same." => "200:text/plain 301 404:";
    GET "/ui/{file}" Plain "The web page, and the files that it is made of." => "200:text/html 200:text/css 200:text/javascript 200:image/svg+xml 404:";
    GET "/v1/openapi.json" Local "This description." => "200:object";
    GET "/v1/internal/ui/agent" Local "What the web page says of the agent that serves it." => "200:PageAgent";
    GET "/v1/internal/ui/changes" Plain "What changes, as it changes, a line of JSON each time, until the caller goes."
        right "node:read service:read" query "dc" => "200:text/plain";
    GET "/v1/internal/ui/overview" Read "How many services, instances, nodes and checks there are in each state."
        right "node:read service:read" => "200:Overview";
    GET "/v1/internal/ui/nodes" Read "All nodes with their services and checks, or how many these are."
        right "node:read service:read" query "filter summary since" => "200:[NodeDump] 200:[NodeSummary]";
    GET "/v1/internal/ui/node/{node}" Read "A node with its services and checks."
        right "node:read service:read" query "since" => "200:NodeDump 404:";
    GET "/v1/internal/ui/services" Read "All services, a line each."
        right "node:read service:read" query "filter" => "200:[ServiceSummary]";
    GET "/v1/kv/{key}" Read "A key, all keys that begin so (`recurse`), or only their names (`keys`). All begin with nothing."
        right "key:read" query "recurse keys separator raw" => "200:[Key] 200:[string] 200:text/plain 404:";
    PUT "/v1/kv/{key}" Write "Writes a key. False where a condition (`cas`, `acquire`, `release`) does not hold."
        right "key:write" query "flags cas acquire release" body "application/octet-stream" => "200:bool";
    DELETE "/v1/kv/{key}" Write "Removes a key, or all that begin so (`recurse`). False where the condition (`cas`) does not hold."
        right "key:write" query "recurse cas" => "200:bool";
    PUT "/v1/txn" Write "Does several operations, all of them or none; if none of them writes, as fresh as the caller wants."
        right "that of each operation" query "stale consistent cached max_stale" body "[TransactionOperation]" => "200:Transaction 409:Transaction";
    PUT "/v1/session/create" Write "Makes a session, which may hold locks."
        right "session:write" body "SessionDefinition?" => "200:Created";
    PUT "/v1/session/destroy/{session}" Write "Ends a session." right "session:write" => "200:true";
    PUT "/v1/session/renew/{session}" Write "Has a session live for its time from now on." right "session:write" => "200:[Session] 404";
    GET "/v1/session/info/{session}" Read "A session, in a list that is empty where there is none." right "session:read" => "200:[Session]";
    GET "/v1/session/node/{node}" Read "The sessions of a node." right "session:read" => "200:[Session]";
    GET "/v1/session/list" Read "All sessions." right "session:read" => "200:[Session]";
    GET "/v1/query" Read "All prepared queries." right "query:read" => "200:[Query]";
    POST "/v1/query" Write "Makes a prepared query." right "query:write" body "QueryDefinition" => "200:Created";
    GET "/v1/query/{query}" Read "A prepared query, in a list." right "query:read" => "200:[Query] 404";
    GET "/v1/query/{query-name}/execute" Read "The instances that a prepared query leads to."
        right "node:read service:read" query "near limit passing connect" => "200:QueryAnswer 404";
    GET "/v1/query/{query-name}/explain" Read "The prepared query that a name leads to, made for that name."
        right "query:read" => "200:QueryExplanation 404";
    PUT "/v1/query/{query}" Write "Changes a prepared query." right "query:write" body "QueryDefinition" => "200";
    DELETE "/v1/query/{query}" Write "Removes a prepared query." right "query:write" => "200";
    PUT "/v1/event/fire/{event}" Local "Tells the nodes of an event, with the body as its payload."
        query "dc event.node event.service event.tag" body "application/octet-stream?" => "200:Event 500";
    GET "/v1/event/list" Local "The last events that this agent was told of." right "event:read" query "event.name index wait" => "200:[Event]";
    GET "/v1/coordinate/datacenters" Write "The servers of each datacenter with their network coordinates." => "200:[DatacenterCoordinates]";
    GET "/v1/coordinate/nodes" Read "All nodes with their network coordinates." right "node:read" => "200:[NodeCoordinate]";
    GET "/v1/coordinate/node/{node}" Read "A node with its network coordinate." right "node:read" => "200:[NodeCoordinate] 404:";
    PUT "/v1/coordinate/update" Write "Says what the network coordinate of a node is."
        right "node:write" body "CoordinateUpdate" => "200";
    GET "/v1/snapshot" Write "The whole registry as a file." query "stale" => "200:application/x-gzip";
    PUT "/v1/snapshot" Write "Puts a whole registry from a file in the place of the present one." body "application/x-gzip" => "200";
    GET "/v1/operator/raft/configuration" Write "The servers." query "stale" => "200:RaftConfiguration";
    POST "/v1/operator/raft/transfer-leader" Write "Has the leader hand over to another server." query "raft.id" => "200:Success";
    DELETE "/v1/operator/raft/peer" Write "Counts a server no more that is gone for good." query "raft.id raft.address" => "200";
    GET "/v1/operator/autopilot/configuration" Write "How the set of servers is looked after." => "200:Autopilot";
    PUT "/v1/operator/autopilot/configuration" Write "Changes that. False where the condition (`cas`) does not hold."
        query "cas" body "AutopilotDefinition" => "200:bool";
    GET "/v1/operator/autopilot/health" Write "How the servers are: 429 while one is not healthy." => "200:ServersHealth 429:ServersHealth";
    GET "/v1/operator/autopilot/state" Write "The same, with the part that each server has." => "200:ServersState";
    GET "/v1/operator/usage" Read "How much is registered." => "200:Usage";
    GET "/v1/operator/keyring" Write "The keys of gossip encryption, and how many members have each." query "local-only relay-factor" => "200:[Keyring]";
    POST "/v1/operator/keyring" Write "Installs a key of gossip encryption at all members." query "relay-factor" body "GossipKey" => "200";
    PUT "/v1/operator/keyring" Write "Has all members use an installed key." query "relay-factor" body "GossipKey" => "200";
    DELETE "/v1/operator/keyring" Write "Removes a key at all members." query "relay-factor" body "GossipKey" => "200";
    PUT "/v1/acl/bootstrap" Write "Makes the first token, which allows everything: once." body "Bootstrap?" => "200:Token 401";
    GET "/v1/acl/replication" Write "How far the copy of the primary datacenter's policies, roles and tokens is." => "200:Replication 401";
    GET "/v1/acl/tokens" Read "All tokens, without their secrets." query "policy role authmethod servicename" => "200:[Token] 401";
    PUT "/v1/acl/token" Write "Makes a token." body "TokenDefinition" => "200:Token 401";
    GET "/v1/acl/token/self" Read "The token that is shown." right "to show it" query "expanded" => "200:Token 200:ExpandedToken 401";
    GET "/v1/acl/token/{accessor}" Read "A token; its secret for those who may write it." query "expanded" => "200:Token 200:ExpandedToken 401";
    PUT "/v1/acl/token/{accessor}" Write "Changes a token." body "TokenDefinition" => "200:Token 401";
    PUT "/v1/acl/token/{accessor}/clone" Write "Makes another token that allows the same." body "TokenDefinition?" => "200:Token 401";
    DELETE "/v1/acl/token/{accessor}" Write "Removes a token." => "200:true 401";
    GET "/v1/acl/policies" Read "All policies, without their rules." => "200:[PolicyLine] 401";
    PUT "/v1/acl/policy" Write "Makes a policy." body "PolicyDefinition" => "200:Policy 401";
    GET "/v1/acl/policy/name/{policy-name}" Read "The policy of a name." => "200:Policy 401";
    GET "/v1/acl/policy/{policy-id}" Read "A policy." => "200:Policy 401";
    PUT "/v1/acl/policy/{policy-id}" Write "Changes a policy." body "PolicyDefinition" => "200:Policy 401";
    DELETE "/v1/acl/policy/{policy-id}" Write "Removes a policy." => "200:true 401";
    GET "/v1/acl/roles" Read "All roles." query "policy" => "200:[Role] 401";
    PUT "/v1/acl/role" Write "Makes a role." body "RoleDefinition" => "200:Role 401";
    GET "/v1/acl/role/name/{role-name}" Read "The role of a name." => "200:Role 401";
    GET "/v1/acl/role/{role-id}" Read "A role." => "200:Role 401";
    PUT "/v1/acl/role/{role-id}" Write "Changes a role." body "RoleDefinition" => "200:Role 401";
    DELETE "/v1/acl/role/{role-id}" Write "Removes a role." => "200:true 401";
    GET "/v1/acl/auth-methods" Read "All auth methods, without their configuration." => "200:[AuthMethodLine] 401";
    PUT "/v1/acl/auth-method" Write "Makes an auth method, or changes it." body "AuthMethodDefinition" => "200:AuthMethod 401";
    GET "/v1/acl/auth-method/{method}" Read "An auth method." => "200:AuthMethod 401";
    PUT "/v1/acl/auth-method/{method}" Write "Makes an auth method, or changes it." body "AuthMethodDefinition" => "200:AuthMethod 401";
    DELETE "/v1/acl/auth-method/{method}" Write "Removes an auth method, and the tokens that it has made." => "200:true 401";
    GET "/v1/acl/binding-rules" Read "All binding rules." query "authmethod" => "200:[BindingRule] 401";
    PUT "/v1/acl/binding-rule" Write "Makes a binding rule." body "BindingRuleDefinition" => "200:BindingRule 401";
    GET "/v1/acl/binding-rule/{rule}" Read "A binding rule." => "200:BindingRule 401";
    PUT "/v1/acl/binding-rule/{rule}" Write "Changes a binding rule." body "BindingRuleDefinition" => "200:BindingRule 401";
    DELETE "/v1/acl/binding-rule/{rule}" Write "Removes a binding rule." => "200:true 401";
    POST "/v1/acl/login" Write "Makes a token for somebody whom an auth method knows." body "Login" => "200:Token 401";
    POST "/v1/acl/logout" Write "Ends the token that is shown, which must come from a login." right "to show it" => "200:true 401";
    GET "/debug/pprof/profile" Plain "What this process's processor time goes into, in pprof's format, seen for some seconds from now on."
        query "seconds" => "200:application/octet-stream 500 501 503";
    GET "/v1/status/leader" Write "The address of the leader; empty where none is known." => "200:string";
    GET "/v1/status/peers" Local "The addresses of the servers." => "200:[string]";
}
