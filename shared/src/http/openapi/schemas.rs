//! The shapes of answers and bodies, and the parameters: each said once, here.
//!
//! An object is its fields in the order in which they are written: `Name` is a text, `Name: Type` something else,
//! `..Other` all fields of another object. A type is a name, `[Type]` a list, `{Type}` an object with free keys, `Type?` may
//! be null, `A|B` is either. In an answer `Name?` may be missing; in a body all may be but `Name!`.

// Each table is one text: as one of its own, every part would take 40 bytes more in the program.
macro_rules! lines {
    ($(($($part:literal),+ $(,)?)),+ $(,)?) => { concat!($($($part, "\t",)+ "\n",)+) };
}

/// The rows of such a table.
pub(super) fn rows<const PARTS: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; PARTS]> {
    table.lines().map(|line| {
        let mut parts = line.split('\t');
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    })
}

/// What is no object, as it stands in the document.
pub(super) const PLAIN: &str = lines![
    ("string", r#"{"type":"string"}"#),
    ("bool", r#"{"type":"boolean"}"#),
    ("int", r#"{"type":"integer","minimum":0}"#),
    ("number", r#"{"type":"number"}"#),
    ("object", r#"{"type":"object"}"#),
    ("any", "{}"),
    ("Weight", r#"{"type":"integer","minimum":1,"maximum":65535}"#),
    ("true", r#"{"const":true}"#),
    ("Name", r#"{"type":"string","minLength":1}"#),
    ("Port", r#"{"type":"integer","minimum":0,"maximum":65535}"#),
];

/// The same of what has a name and a meaning of its own.
pub(super) const NAMED: &str = lines![
    ("Uuid", r#"{"type":"string","format":"uuid"}"#),
    ("Index", r#"{"type":"integer","minimum":0,"description":"Grows with every change; for `index` and `cas`."}"#),
    ("Texts", r#"{"type":"object","additionalProperties":{"type":"string"}}"#),
    (
        "Pairs",
        r#"{"type":"object","additionalProperties":{"type":"string","maxLength":512},"propertyNames":{"pattern":"^[A-Za-z0-9_-]{1,128}$"},"maxProperties":64}"#,
    ),
    ("Vector", r#"{"type":"array","items":{"type":"number"},"minItems":8,"maxItems":8}"#),
    ("Status", r#"{"type":"string","enum":["passing","warning","critical"]}"#),
    (
        "Behavior",
        r#"{"type":"string","enum":["release","delete"],"description":"What becomes of its keys at its end."}"#,
    ),
    ("Moment", r#"{"type":"string","format":"date-time"}"#),
    ("Base64", r#"{"type":"string","contentEncoding":"base64"}"#),
    (
        "Duration",
        r#"{"anyOf":[{"type":"string","pattern":"^([0-9]{1,6}(ms|s|m|h))*$"},{"type":"integer","minimum":0}],"description":"A time span such as 1m30s, or nanoseconds.","examples":["10s"]}"#,
    ),
];

/// What answers are made of.
pub(super) const ANSWERS: &str = lines![
    ("Indexes", "When it came and last changed.", "CreateIndex: Index, ModifyIndex: Index"),
    ("Node", "A node.", "ID, Node, Address, Datacenter, TaggedAddresses: Texts?, Meta: Texts?, ..Indexes"),
    ("Weights", "Its share of DNS answers by state.", "Passing: Port, Warning: Port"),
    ("ServiceAddress", "An address in one network.", "Address, Port: Port"),
    (
        "Service",
        "An instance of a service as its node has it.",
        "ID, Service, Tags: [string]?, Address, TaggedAddresses?: {ServiceAddress}, Meta: Texts?, Port: Port, \
         Weights: Weights, EnableTagOverride: bool, Proxy: object, Connect: object, ..Indexes",
    ),
    (
        "ServiceOnNode",
        "An instance and its node in one.",
        "ID, Node, Address, Datacenter, TaggedAddresses: Texts?, NodeMeta: Texts?, ServiceKind, ServiceID, ServiceName, \
         ServiceTags: [string], ServiceAddress, ServiceTaggedAddresses?: {ServiceAddress}, ServiceWeights: Weights, \
         ServiceMeta: Texts, ServicePort: Port, ServiceSocketPath, ServiceEnableTagOverride: bool, ServiceProxy: object, \
         ServiceConnect: object, ..Indexes",
    ),
    (
        "Check",
        "A check of a node or of a service on it.",
        "Node, CheckID, Name, Status: Status, Notes, Output, ServiceID, ServiceName, ServiceTags: [string]?, Type, Interval, \
         Timeout, ExposedPort: Port, Definition: CheckRun, ..Indexes, Since?: Moment",
    ),
    (
        "CheckRun",
        "How a check is done.",
        "HTTP?, TLSServerName?, TLSSkipVerify?: bool, Header?: {[string]}, Method?, Body?, TCP?, UDP?, H2PING?, \
         OutputMaxSize?: int, ScriptArgs?: [string], DockerContainerID?, Shell?, GRPC?, GRPCUseTLS?: bool, AliasNode?, \
         AliasService?, OSService?, TTL?, Interval?, Timeout?, DeregisterCriticalServiceAfter?",
    ),
    ("Instance", "An instance with its node and checks.", "Node: Node, Service: Service, Checks: [Check]?"),
    ("NodeServices", "A node with its services by ID.", "Node: Node, Services: {Service}"),
    (
        "NodeServiceList",
        "A node with its services; both null where there is none.",
        "Node: Node?, Services: [Service]?",
    ),
    (
        "AgentService",
        "A service of this agent.",
        "ID, Service, Tags: [string], Meta: Texts, Port: Port, Address, TaggedAddresses?: {ServiceAddress}, \
         Weights: Weights, EnableTagOverride: bool, ContentHash?, Datacenter",
    ),
    (
        "AgentHealth",
        "A service of this agent, the worst of its state (`maintenance` is the worst), and the checks that count.",
        "AggregatedStatus, Service: AgentService?, Checks: [AgentHealthCheck]?",
    ),
    (
        "AgentHealthCheck",
        "A check that counts.",
        "Node, CheckID, Name, Status: Status, Notes, Output, ServiceID, ServiceName, ServiceTags: [string]?, Type, \
         Definition: object, ..Indexes",
    ),
    (
        "Member",
        "A member of a pool. Its status is 1 alive, 2 leaving, 3 left, 4 failed.",
        "Name, Addr, Port: Port, Tags: Texts, Status: int, ProtocolMin: int, ProtocolMax: int, ProtocolCur: int, \
         DelegateMin: int, DelegateMax: int, DelegateCur: int",
    ),
    (
        "Agent",
        "An agent.",
        "Config: AgentConfiguration, DebugConfig: object, Coord: Coordinate, Member: Member, Meta: Texts, Stats: {Texts}",
    ),
    (
        "AgentConfiguration",
        "Who it is.",
        "Datacenter, PrimaryDatacenter, NodeName, NodeID: Uuid, Revision, Server: bool, Version, LictorVersion",
    ),
    ("Coordinate", "A place in the network.", "Vec: Vector, Error: number, Adjustment: number, Height: number"),
    ("NodeCoordinate", "A node's place.", "Node, Segment, Coord: Coordinate"),
    (
        "DatacenterCoordinates",
        "The places of a datacenter's servers.",
        "Datacenter, AreaID, Coordinates: [NodeCoordinate]",
    ),
    (
        "Host",
        "A host, in bytes, seconds and percent.",
        "Memory: {number}, CPU: [object], Host: object, Disk: object?, CollectionTime: int, Errors: [string]?",
    ),
    ("Version", "Versions.", "SHA, BuildDate: Moment, HumanVersion, FIPS, LictorVersion"),
    (
        "Metrics",
        "All that is counted since the start.",
        "Timestamp, Gauges: [Gauge], Points: [any], Counters: [Sample], Samples: [Sample]",
    ),
    ("Gauge", "What is so now.", "Name, Value: number, Labels: Texts"),
    (
        "Sample",
        "What was counted or measured.",
        "Name, Count: number, Rate: number, Sum: number, Min: number, Max: number, Mean: number, Stddev: number, \
         Labels: Texts",
    ),
    (
        "PageAgent",
        "What the web page says of an agent.",
        "NodeName, Datacenter, Server: bool, Version, Access: bool, Domain, DNSPort: Port, DashboardURL",
    ),
    ("Tally", "How many in each state.", "Passing: int, Warning: int, Critical: int"),
    ("Overview", "How many of all.", "Services: Tally, Instances: Tally, Nodes: Tally, Checks: Tally"),
    (
        "NodeDump",
        "A node with all that is on it.",
        "ID, Node, Address, TaggedAddresses: Texts?, Meta: Texts?, Services: [Service], Checks: [Check]",
    ),
    ("ChecksCounted", "How many checks in each state.", "ChecksPassing: int, ChecksWarning: int, ChecksCritical: int"),
    ("NodeSummary", "A node in one line.", "ID, Node, Address, Meta: Texts?, Services: int, ..ChecksCounted"),
    (
        "ServiceSummary",
        "A service in one line.",
        "Name, Datacenter, Tags: [string]?, Nodes: [string], ExternalSources: [string]?, InstanceCount: int, \
         ..ChecksCounted, GatewayConfig: object, TransparentProxy: bool, ConnectedWithProxy: bool, \
         ConnectedWithGateway: bool",
    ),
    ("Key", "A key.", "LockIndex: int, Key, Flags: int, Value: Base64?, Session?: Uuid, ..Indexes"),
    (
        "Transaction",
        "What became of the operations; one of the two is null. The rest where none of them writes.",
        "Results: [TransactionResult]?, Errors: [TransactionError]?, Index?: Index, LastContact?: int, KnownLeader?: bool, \
         ConsistencyLevel?, NotModified?: bool, Backend?: int",
    ),
    ("TransactionResult", "One of these.", "KV?: Key, Node?: Node, Service?: Service, Check?: Check"),
    ("TransactionError", "Why, and by which operation.", "OpIndex: int, What"),
    ("Created", "What was made.", "ID: Uuid"),
    (
        "Session",
        "A session. Its lock delay is in nanoseconds.",
        "ID: Uuid, Name, Node, LockDelay: int, Behavior: Behavior, TTL, NodeChecks: [string], \
         ServiceChecks: [SessionServiceCheck]?, ..Indexes",
    ),
    ("SessionServiceCheck", "A check of a service that a session ends with.", "ID, Namespace?"),
    (
        "Query",
        "A prepared query.",
        "ID: Uuid, Name, Session, Token, Template: QueryTemplate, Service: QueriedService, DNS: QueryDNS, ..Indexes",
    ),
    ("QueryTemplate", "For which names it stands.", "Type, Regexp, RemoveEmptyTags: bool"),
    ("QueryDNS", "How long its DNS answers may be kept.", "TTL"),
    (
        "QueriedService",
        "What it looks for.",
        "Service, Failover: QueryFailover, OnlyPassing: bool, IgnoreCheckIDs: [string]?, Near, Tags: [string]?, \
         NodeMeta: Texts?, ServiceMeta: Texts?, Connect: bool",
    ),
    (
        "QueryFailover",
        "Who else is asked where there is no instance.",
        "NearestN: int, Datacenters: [string]?, Targets?: [QueryTarget]",
    ),
    ("QueryTarget", "One of these.", "Peer?, Datacenter?"),
    (
        "Freshness",
        "How fresh an answer is. The last contact is in nanoseconds.",
        "Backend: int, ConsistencyLevel, Index: Index, KnownLeader: bool, LastContact: int, NotModified: bool",
    ),
    (
        "QueryAnswer",
        "What a query leads to.",
        "Service, Nodes: [Instance]?, DNS: QueryDNS, Datacenter, Failovers: int, ..Freshness",
    ),
    ("QueryExplanation", "What a query is for a name.", "Query: Query, ..Freshness"),
    (
        "Event",
        "An event.",
        "ID: Uuid, Name, Payload: Base64?, NodeFilter, ServiceFilter, TagFilter, Version: int, LTime: int",
    ),
    ("RaftConfiguration", "The servers.", "Servers: [RaftServer], Index: Index"),
    ("RaftServer", "A server.", "ID: Uuid, Node, Address, Leader: bool, ProtocolVersion, Voter: bool"),
    ("Success", "That it was done.", "Success: true"),
    (
        "Autopilot",
        "How servers are looked after.",
        "CleanupDeadServers: bool, LastContactThreshold, MaxTrailingLogs: int, MinQuorum: int, ServerStabilizationTime, \
         RedundancyZoneTag, DisableUpgradeMigration: bool, UpgradeVersionTag, ..Indexes",
    ),
    ("ServersHealth", "How the servers are.", "Healthy: bool, FailureTolerance: int, Servers: [ServerHealth]"),
    (
        "ServerState",
        "How far a server is.",
        "ID: Uuid, Name, Address, Version, LastContact, LastTerm: int, LastIndex: Index, Healthy: bool, StableSince: Moment",
    ),
    ("ServerHealth", "How a server is.", "..ServerState, SerfStatus, Leader: bool, Voter: bool"),
    (
        "ServersState",
        "How the servers are, by ID.",
        "Healthy: bool, FailureTolerance: int, OptimisticFailureTolerance: int, Servers: {ServerPart}, Leader, \
         Voters: [Uuid]",
    ),
    (
        "ServerPart",
        "How a server is, and which part it has.",
        "..ServerState, NodeStatus, ReadReplica: bool, Status, Meta: Texts?, NodeType",
    ),
    ("Usage", "How much there is, by datacenter.", "Usage: {UsageCounts}, ..Freshness, ResultsFilteredByACLs: bool"),
    (
        "UsageCounts",
        "How much there is.",
        "Services: int, ServiceInstances: int, ConnectServiceInstances: {int}, BillableServiceInstances: int, Nodes: int",
    ),
    (
        "Keyring",
        "The keys in one pool, each with how many members have it.",
        "WAN: bool, Datacenter, Segment, Messages?: Texts, Keys: {int}, PrimaryKeys: {int}, NumNodes: int",
    ),
    ("Link", "Something by ID and name.", "ID: Uuid, Name"),
    ("ServiceIdentity", "What a service needs.", "ServiceName, Datacenters?: [string]"),
    ("NodeIdentity", "What an agent needs.", "NodeName, Datacenter"),
    (
        "Grants",
        "What is allowed.",
        "Policies?: [Link], Roles?: [Link], ServiceIdentities?: [ServiceIdentity], NodeIdentities?: [NodeIdentity]",
    ),
    (
        "Token",
        "A token. Its secret is missing in lists.",
        "AccessorID: Uuid, SecretID?, Description, ..Grants, Local: bool, AuthMethod?, ExpirationTime?: Moment, \
         CreateTime: Moment, Hash, ..Indexes",
    ),
    (
        "ExpandedToken",
        "A token with all that its grants mean.",
        "..Token, ExpandedPolicies: [Policy], ExpandedRoles: [Role], AgentACLDefaultPolicy, AgentACLDownPolicy, \
         ResolvedByAgent",
    ),
    ("Policy", "A policy.", "ID: Uuid, Name, Description, Rules, Datacenters?: [string], Hash, ..Indexes"),
    ("PolicyLine", "A policy in a list.", "ID: Uuid, Name, Description, Datacenters: [string]?, Hash, ..Indexes"),
    ("Role", "A role.", "ID: Uuid, Name, Description, ..Grants, Hash, ..Indexes"),
    (
        "Replication",
        "How far a copy is.",
        "Enabled: bool, Running: bool, SourceDatacenter, ReplicationType, ReplicatedIndex: Index, \
         ReplicatedRoleIndex: Index, ReplicatedTokenIndex: Index, LastSuccess: Moment, LastError: Moment, LastErrorMessage",
    ),
    (
        "AuthMethodLine",
        "An auth method in a list.",
        "Name, Type, DisplayName?, Description, MaxTokenTTL?, TokenLocality, ..Indexes",
    ),
    ("AuthMethod", "An auth method.", "..AuthMethodLine, Config: object"),
    (
        "BindingRule",
        "What those are allowed whom an auth method knows.",
        "ID: Uuid, Description, AuthMethod, Selector, BindType, BindName, ..Indexes",
    ),
];

/// What is taken.
pub(super) const BODIES: &str = lines![
    (
        "Registration",
        "A node, and a service and checks on it. The address may be left out with `SkipNodeUpdate`.",
        "Node!: Name, Address, ID, Datacenter, TaggedAddresses: Texts, NodeMeta: Texts, SkipNodeUpdate: bool, \
         Service: RegisteredService, Check: RegisteredCheck, Checks: [RegisteredCheck]",
    ),
    (
        "ServiceBase",
        "What every service may have.",
        "ID, Tags: [string], Address, Port: Port, Meta: Pairs, TaggedAddresses: {ServiceAddress}, Weights: WeightsDefinition, \
         EnableTagOverride: bool",
    ),
    ("WeightsDefinition", "Its share of DNS answers by state.", "Passing!: Weight, Warning: Port"),
    ("RegisteredService", "A service; its ID is its name unless given.", "Service, ..ServiceBase"),
    (
        "RegisteredCheck",
        "A check; its ID is its name unless given. Without a service it is about the node.",
        "Node, CheckID, Name, Status: Status, Notes, Output, ServiceID, Type, Interval: Duration, Timeout: Duration, \
         Definition: CheckSettings",
    ),
    ("Deregistration", "A check, a service, or else a node.", "Node!: Name, Datacenter, ServiceID, CheckID"),
    (
        "ServiceDefinition",
        "A service that an agent looks after.",
        "Name!: Name, ..ServiceBase, Token, Check: ServiceCheckDefinition, Checks: [ServiceCheckDefinition]",
    ),
    (
        "CheckSettings",
        "How a check is done: one of its kinds with an interval, or with a TTL.",
        "HTTP, Header: {[string]}, Method, Body, DisableRedirects: bool, TLSServerName, TLSSkipVerify: bool, TCP, UDP, GRPC, \
         GRPCUseTLS: bool, H2PING, H2PingUseTLS: bool, Args: [string], ScriptArgs: [string], DockerContainerID, Shell, \
         AliasNode, AliasService, OSService, TTL: Duration, Interval: Duration, Timeout: Duration, \
         DeregisterCriticalServiceAfter: Duration, OutputMaxSize: int, SuccessBeforePassing: int, \
         FailuresBeforeWarning: int, FailuresBeforeCritical: int",
    ),
    ("ServiceCheckDefinition", "A check of a service.", "Name, ID, CheckID, Status: Status, Notes, ..CheckSettings"),
    (
        "CheckDefinition",
        "A check of a node, or of the service with that ID.",
        "Name!: Name, ID, CheckID, ServiceID, Status: Status, Notes, Token, ..CheckSettings",
    ),
    ("CheckReport", "How it is.", "Status: Status, Output"),
    ("OwnToken", "A secret; empty: none.", "Token"),
    (
        "TransactionOperation",
        "One of these.",
        "KV: KeyOperation, Node: NodeOperation, Service: ServiceOperation, \
         Check: CheckOperation, Session: SessionOperation",
    ),
    (
        "KeyOperation",
        "`set`, `cas`, `lock`, `unlock`, `delete`, `delete-cas`, `delete-tree`, `get`, `get-tree`, `check-index`, \
         `check-session` or `check-not-exists`.",
        "Verb!, Key!: Name, Value: Base64, Flags: int, Index: Index, Session",
    ),
    ("NodeOperation", "`get`, `set`, `cas`, `delete` or `delete-cas`.", "Verb!, Node!: NodeRow"),
    ("NodeRow", "A node.", "Node!: Name, ID, Address, TaggedAddresses: Texts, Meta: Texts, ModifyIndex: Index"),
    ("ServiceOperation", "The same on a service of that node.", "Verb!, Node!: Name, Service!: ServiceRow"),
    ("ServiceRow", "A service.", "..RegisteredService, ModifyIndex: Index"),
    ("CheckOperation", "The same on a check.", "Verb!, Check!: CheckRow"),
    ("CheckRow", "A check.", "..RegisteredCheck, ModifyIndex: Index"),
    ("SessionOperation", "`delete`.", "Verb!, Session!: SessionName"),
    ("SessionName", "A session.", "ID!: Name"),
    (
        "SessionDefinition",
        "A session: of this agent's node, ended with its `serfHealth`, unless it says otherwise.",
        "Name, Node, LockDelay: Duration, Behavior: Behavior, TTL, NodeChecks: [string], Checks: [string], \
         ServiceChecks: [SessionServiceCheck]",
    ),
    (
        "QueryDefinition",
        "A prepared query, or a template for many.",
        "Name: Name, Session, Token, Template: QueryTemplateDefinition, Service!: QueriedServiceDefinition, DNS: QueryDNS",
    ),
    ("QueryTemplateDefinition", "For which names: `name_prefix_match`.", "Type, Regexp, RemoveEmptyTags: bool"),
    (
        "QueriedServiceDefinition",
        "What it looks for. A tag with `!` before it must not be there.",
        "Service!: Name, Failover: QueryFailoverDefinition, OnlyPassing: bool, IgnoreCheckIDs: [string], Near, Tags: [string], \
         NodeMeta: Texts, ServiceMeta: Texts, Connect: bool",
    ),
    (
        "QueryFailoverDefinition",
        "Who else is asked where there is no instance.",
        "NearestN: Port, Datacenters: [string], Targets: [QueryTarget]",
    ),
    ("CoordinateUpdate", "A node's place.", "Node!: Name, Datacenter, Segment, Coord!: Coordinate"),
    (
        "AutopilotDefinition",
        "How servers are looked after; what is left out is zero.",
        "CleanupDeadServers: bool, LastContactThreshold: Duration, MaxTrailingLogs: int, MinQuorum: int, \
         ServerStabilizationTime: Duration, RedundancyZoneTag, DisableUpgradeMigration: bool, UpgradeVersionTag",
    ),
    ("GossipKey", "A key of 16, 24 or 32 bytes.", "Key!: Base64"),
    ("Bootstrap", "The secret that the first token is to have.", "BootstrapSecret"),
    ("Named", "Something by ID, or else by name.", "ID, Name"),
    (
        "GrantsDefinition",
        "What is allowed.",
        "Policies: [Named], Roles: [Named], ServiceIdentities: [ServiceIdentity], NodeIdentities: [NodeIdentity]",
    ),
    (
        "TokenDefinition",
        "A token.",
        "AccessorID, SecretID, Description, ..GrantsDefinition, Local: bool, ExpirationTime, ExpirationTTL: Duration",
    ),
    ("PolicyDefinition", "A policy.", "Name!: Name, ID, Description, Rules, Datacenters: [string]"),
    ("RoleDefinition", "A role.", "Name!: Name, ID, Description, ..GrantsDefinition"),
    (
        "AuthMethodDefinition",
        "An auth method of the type `jwt`; its tokens are `local` or `global`.",
        "Name, Type!, DisplayName, Description, MaxTokenTTL: Duration, TokenLocality, Config!: object",
    ),
    (
        "BindingRuleDefinition",
        "A binding rule, to a `service`, `node` or `role`.",
        "ID, Description, AuthMethod!: Name, Selector, BindType!, BindName!: Name",
    ),
    ("Login", "What somebody shows.", "AuthMethod!: Name, BearerToken!: Name, Meta: Texts"),
];

/// What stands in paths: its name, its type and what it means.
pub(super) const PATH: &str = lines![
    ("accessor", "Uuid", "The accessor's ID of a token."),
    ("address", "string", "An address, with a port or without."),
    ("check-id", "string", "The ID of a check."),
    ("event", "string", "The name of an event."),
    ("file", "string", "A file's path, or a view of the page."),
    ("key", "string", "A key, or what keys begin with."),
    ("method", "string", "The name of an auth method."),
    ("node", "string", "The name of a node."),
    ("policy-id", "Uuid", "The ID of a policy."),
    ("policy-name", "string", "The name of a policy."),
    ("query", "Uuid", "The ID of a prepared query."),
    ("query-name", "string", "The ID of a prepared query, or a name that one stands for."),
    ("role-id", "Uuid", "The ID of a role."),
    ("role-name", "string", "The name of a role."),
    ("rule", "Uuid", "The ID of a binding rule."),
    ("service", "string", "The name of a service."),
    ("service-id", "string", "The ID of a service."),
    ("session", "Uuid", "The ID of a session."),
    ("state", "string", "`passing`, `warning`, `critical` or `any`."),
    ("token-kind", "string", "`default`, `agent`, `recovery`, `replication` or `dns`."),
];

/// What stands in queries: its name (behind the dot, where one name means several things), its type and what it means. A
/// `flag` counts when it is there, whatever its value; a `switch` by its value too, if it has one.
pub(super) const QUERY: &str = lines![
    ("acquire", "string", "The session that is to lock it."),
    ("authmethod", "string", "Only those of this auth method."),
    ("cached", "flag", "Whatever this node knows, as from a cache."),
    ("cas", "int", "Only if this is its index; 0: only if it is not there."),
    ("connect", "switch", "Mesh proxies only."),
    ("consistent", "flag", "As the leader knows it, who makes sure that it leads."),
    ("dc", "string", "The datacenter that is asked; this one unless given."),
    ("enable", "string", "`true` or `false`."),
    ("event.name", "string", "Only those of this name."),
    ("event.node", "string", "Only nodes whose name this regular expression matches."),
    ("event.service", "string", "Only nodes with a service that this regular expression matches."),
    ("event.tag", "string", "Only those whose service has a tag that this regular expression matches."),
    ("expanded", "flag", "With all that its grants mean."),
    ("filter", "string", "Only what this expression is true of."),
    ("flags", "int", "A number that is kept with it."),
    ("format", "string", "`text`, or `prometheus`, in place of JSON."),
    ("hash", "string", "Held until the content has another hash."),
    ("index", "int", "Held until it has changed after this index, as `X-Consul-Index` said it."),
    ("keys", "flag", "Only names."),
    ("limit", "string", "At most so many."),
    ("local-only", "switch", "Of this agent alone."),
    ("logjson", "switch", "Each event as JSON."),
    ("loglevel", "string", "`trace`, `debug`, `info`, `warn` or `error`."),
    ("max_stale", "string", "Whatever this node knows, unless it is older than this time span."),
    ("near", "string", "Sorted by how near to this node; `_agent`: to this agent."),
    ("node-meta", "[string]", "Only of nodes that have this pair, `KEY:VALUE`."),
    ("note", "string", "Why, for people."),
    ("passing", "switch", "Only those all of whose checks are passing."),
    ("policy", "string", "Only those with the policy of this ID."),
    ("pretty", "flag", "Indented."),
    ("prune", "flag", "Forgotten too."),
    ("raft.address", "string", "The server at this address."),
    ("raft.id", "string", "The server with this ID."),
    ("raw", "flag", "The value alone."),
    ("reason", "string", "Why, for people."),
    ("recurse", "flag", "All that begin so."),
    ("relay-factor", "int", "Has no effect."),
    ("release", "string", "The session that is to unlock it."),
    ("replace-existing-checks", "switch", "Removes the checks of the service that are not given."),
    ("role", "string", "Only those with the role of this ID."),
    ("seconds", "int", "For so many seconds, 1 to 300; 30 unless given."),
    ("separator", "string", "Names only up to the next one of these."),
    ("servicename", "string", "Only those with the identity of this service."),
    ("since", "flag", "Each check with since when it has its status, as far as that is known."),
    ("stale", "flag", "Whatever this node knows."),
    ("summary", "flag", "Only how many."),
    ("tag", "[string]", "Only those with this tag."),
    ("wait", "string", "How long it is held at most, such as `30s`; `5m` unless given, `10m` at most."),
    ("wan", "string", "Of the pool between datacenters, where not empty."),
];
