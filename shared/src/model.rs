//! The things a registry knows: nodes, services, checks, and the indexes that order their changes.
//!
//! Plain data, in Lictor's own terms. Wire formats live elsewhere: Consul's JSON in `http::json`, protobuf in the
//! `proto` crate, DNS in `dns`. Names are compared without regard to case, as Consul does, so maps use [`Key`], the
//! folded form, while rows keep the name as it was written.

mod access;
mod coordination;
mod prepared;

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    fmt,
    ops::Deref,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

pub use self::{
    access::{
        ANONYMOUS, ANONYMOUS_SECRET, AccessToken, AuthMethod, Bind, BindingRule, Grants, MANAGEMENT_POLICY,
        MANAGEMENT_POLICY_NAME, NodeIdentity, Policy, Role, Secret, SecretDigest, ServiceIdentity,
    },
    coordination::{Behavior, KeyValue, Session},
    prepared::{Failover, FailoverTarget, PreparedQuery, ServiceQuery, Template, Token},
};

/// The Raft log index of a change; 0 is "before any change". Clients see it as `X-Consul-Index`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Index(pub u64);

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment, in milliseconds since the Unix epoch. Stamped on commands by the leader; `apply` reads no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// The wall clock now. Never called by the catalog.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Days since 1970 of a day of the Gregorian calendar. Years are counted from March, so that a leap day is a year's last.
pub(crate) fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // From March 1 of the year 0 to January 1, 1970.
    const BEFORE_1970: i64 = 719_468;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - BEFORE_1970
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub SmolStr);

        impl $name {
            /// The text as it was written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The folded form, under which it is looked up.
            #[must_use]
            pub fn key(&self) -> Key {
                Key::from_name(&self.0)
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<SmolStr>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

names! {
    /// A node's name: unique in a datacenter, one DNS label where DNS is to find it.
    NodeName;
    /// A service's name: what callers look up.
    ServiceName;
    /// One instance of a service on its node; the service's name where none is given.
    ServiceId;
    /// A check on its node.
    CheckId;
}

/// A name folded to lower case: the key of every table.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(SmolStr);

impl Key {
    /// Folds `name`; shares its text when it is folded already.
    #[must_use]
    pub fn new(name: &str) -> Self {
        if is_folded(name) { Self(SmolStr::new(name)) } else { Self(name.to_lowercase().into()) }
    }

    fn from_name(name: &SmolStr) -> Self {
        if is_folded(name) { Self(name.clone()) } else { Self(name.to_lowercase().into()) }
    }

    /// The folded text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_folded(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase())
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Free key-value pairs of a node or service, in key order.
pub type Meta = BTreeMap<SmolStr, SmolStr>;

/// A host. Its name is its identity; the ID, where given, follows it through a renaming.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The name.
    pub name: NodeName,
    /// The host's UUID; agents have one, nodes registered from outside may not.
    pub id: Option<Uuid>,
    /// An IP address, or a host name for an external node.
    pub address: SmolStr,
    /// Addresses by network: `lan`, `wan`, `lan_ipv4`, ...
    pub tagged_addresses: BTreeMap<SmolStr, SmolStr>,
    /// Free pairs.
    pub meta: Meta,
    /// When it was first registered.
    pub create_index: Index,
    /// When this row last changed.
    pub modify_index: Index,
}

/// Who put a row into the catalog, and so who may take it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// Someone, by the catalog interface.
    #[default]
    Catalog,
    /// The node's own agent, told by its HTTP interface: re-adopted after a restart.
    Agent,
    /// The node's own agent, from its files: read again after a restart.
    File,
}

/// The address of a service on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAddress {
    /// An IP address or a host name.
    pub address: SmolStr,
    /// 0 where unused.
    pub port: u16,
}

/// The share of answers an instance gets, by its state (SRV weight in DNS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// While passing.
    pub passing: u32,
    /// While warning.
    pub warning: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// One instance of a service on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The node it is on.
    pub node: NodeName,
    /// Unique on the node.
    pub id: ServiceId,
    /// The service it is an instance of.
    pub name: ServiceName,
    /// In the order given.
    pub tags: Vec<SmolStr>,
    /// An IP address or a host name; empty: the node's.
    pub address: SmolStr,
    /// 0 where unused.
    pub port: u16,
    /// Free pairs.
    pub meta: Meta,
    /// Addresses by network.
    pub tagged_addresses: BTreeMap<SmolStr, ServiceAddress>,
    /// Its share of answers.
    pub weights: Weights,
    /// Whether others may change its tags in the catalog without its agent changing them back.
    pub enable_tag_override: bool,
    /// Who registered it.
    pub origin: Origin,
    /// When it was first registered.
    pub create_index: Index,
    /// When this row last changed.
    pub modify_index: Index,
}

/// The state of a check. Ordered from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Healthy.
    Passing,
    /// Still answers, with a lower weight.
    Warning,
    /// Left out of answers.
    #[default]
    Critical,
}

impl Status {
    /// Every status, best first.
    pub const ALL: [Self; 3] = [Self::Passing, Self::Warning, Self::Critical];

    /// Consul's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The status of that name, in any letter case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a check does and how often: Consul's check definition. Empty and zero fields are unset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckDefinition {
    /// Request this URL; 2xx passes, 429 warns.
    pub http: SmolStr,
    /// Headers of the request.
    pub header: BTreeMap<SmolStr, Vec<SmolStr>>,
    /// Its method; GET where empty.
    pub method: SmolStr,
    /// Its body.
    pub body: SmolStr,
    /// A 3xx answer is final.
    pub disable_redirects: bool,
    /// The name asked for in TLS handshakes.
    pub tls_server_name: SmolStr,
    /// Accept any certificate.
    pub tls_skip_verify: bool,
    /// Connect to this `host:port`.
    pub tcp: SmolStr,
    /// Send a datagram to this `host:port`.
    pub udp: SmolStr,
    /// Ask gRPC health v1 of this `host:port[/service]`.
    pub grpc: SmolStr,
    /// ... over TLS.
    pub grpc_use_tls: bool,
    /// Send an HTTP/2 ping to this `host:port`.
    pub h2ping: SmolStr,
    /// ... over TLS.
    pub h2ping_use_tls: bool,
    /// Run this command; exit 0 passes, 1 warns.
    pub script_args: Vec<SmolStr>,
    /// ... inside this container.
    pub docker_container_id: SmolStr,
    /// The shell for it.
    pub shell: SmolStr,
    /// Follow the health of this node.
    pub alias_node: SmolStr,
    /// Follow the health of this service ID.
    pub alias_service: SmolStr,
    /// Ask the init system about this service.
    pub os_service: SmolStr,
    /// Critical unless reported within this time.
    pub ttl: Duration,
    /// The time between two runs.
    pub interval: Duration,
    /// The longest a run may take.
    pub timeout: Duration,
    /// Deregister the service after this long in critical state.
    pub deregister_critical_service_after: Duration,
    /// Bytes of output kept; 0: the default of 4096.
    pub output_max_size: u32,
    /// Successes in a row before it turns passing.
    pub success_before_passing: u32,
    /// Failures in a row before it turns warning.
    pub failures_before_warning: u32,
    /// Failures in a row before it turns critical.
    pub failures_before_critical: u32,
}

/// A definition that is only shown. Most checks have an empty one, which takes the place of a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShownDefinition(Option<Box<CheckDefinition>>);

impl ShownDefinition {
    /// The definition, unless it is empty.
    #[must_use]
    pub fn get(&self) -> Option<&CheckDefinition> {
        self.0.as_deref()
    }
}

impl From<CheckDefinition> for ShownDefinition {
    fn from(definition: CheckDefinition) -> Self {
        Self((definition != *EMPTY_DEFINITION).then(|| Box::new(definition)))
    }
}

impl Deref for ShownDefinition {
    type Target = CheckDefinition;
    fn deref(&self) -> &CheckDefinition {
        self.0.as_deref().unwrap_or(&EMPTY_DEFINITION)
    }
}

static EMPTY_DEFINITION: LazyLock<CheckDefinition> = LazyLock::new(CheckDefinition::default);

/// One check of a node or of a service on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The node it is on.
    pub node: NodeName,
    /// Unique on the node.
    pub id: CheckId,
    /// For people.
    pub name: SmolStr,
    /// Its state.
    pub status: Status,
    /// For people.
    pub notes: SmolStr,
    /// What the last run that was reported said.
    pub output: SmolStr,
    /// The service it is about; empty: the node.
    pub service_id: ServiceId,
    /// That service's name, filled in by the catalog.
    pub service_name: ServiceName,
    /// `ttl`, `http`, `tcp`, ...; empty when registered from outside.
    pub kind: SmolStr,
    /// As shown: a Go duration, or empty.
    pub interval: SmolStr,
    /// As shown: a Go duration, or empty.
    pub timeout: SmolStr,
    /// What the registrar said of how it is checked; shown, never run.
    pub definition: ShownDefinition,
    /// What the node's own agent runs; kept so that it can take up its checks again, not shown.
    pub runs: Option<Box<CheckDefinition>>,
    /// Who registered it.
    pub origin: Origin,
    /// Since when it has this status, filled in by the catalog.
    pub since: Time,
    /// When it was first registered.
    pub create_index: Index,
    /// When this row last changed.
    pub modify_index: Index,
}

/// The dimensions of the space that coordinates are in.
pub const COORDINATE_DIMENSIONS: usize = 8;
/// The least height of a coordinate, in seconds.
pub const COORDINATE_HEIGHT_MIN_S: f64 = 1e-5;
/// The error of a coordinate that nothing is known of.
pub const COORDINATE_ERROR_MAX: f64 = 1.5;

/// Where a node is in the network, so that the round trip between two nodes can be told without asking them (Vivaldi:
/// Dabek, Cox, Kaashoek, Morris 2004). All lengths are in seconds. Moved by `gossip::coordinate`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Coordinate {
    /// The Euclidean part.
    pub position: [f64; COORDINATE_DIMENSIONS],
    /// How far the estimates are off, as a share of the round trip: 0 is sure, 1.5 knows nothing.
    pub error: f64,
    /// Added to every estimate that this node takes part in; may be negative.
    pub adjustment: f64,
    /// The way from the node to the network's core, which is part of every trip.
    pub height: f64,
}

impl Default for Coordinate {
    /// The origin, with nothing known.
    fn default() -> Self {
        Self {
            position: [0.0; COORDINATE_DIMENSIONS],
            error: COORDINATE_ERROR_MAX,
            adjustment: 0.0,
            height: COORDINATE_HEIGHT_MIN_S,
        }
    }
}

/// By the bits of its numbers, so that it is equal to itself whatever they are.
impl PartialEq for Coordinate {
    fn eq(&self, other: &Self) -> bool {
        self.numbers().map(f64::to_bits).eq(other.numbers().map(f64::to_bits))
    }
}

impl Eq for Coordinate {}

impl Coordinate {
    fn numbers(&self) -> impl Iterator<Item = f64> {
        self.position.into_iter().chain([self.error, self.adjustment, self.height])
    }

    /// Whether it can be calculated with: no number in it is infinite or none.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.numbers().all(f64::is_finite)
    }

    /// The round trip to `other` without the adjustments.
    #[must_use]
    pub fn raw_distance_s(&self, other: &Self) -> f64 {
        let squares = self.position.iter().zip(&other.position).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f64>().sqrt() + self.height + other.height
    }

    /// The estimated round trip to `other`.
    #[must_use]
    pub fn distance_s(&self, other: &Self) -> f64 {
        let raw = self.raw_distance_s(other);
        let adjusted = raw + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { raw }
    }
}

/// The coordinate of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCoordinate {
    /// Whose it is.
    pub node: NodeName,
    /// Where it is.
    pub coordinate: Coordinate,
}

/// How the set of servers is looked after: Consul's autopilot configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autopilot {
    /// Take servers that failed out of the set when others have taken their place.
    pub cleanup_dead_servers: bool,
    /// A server not heard of for longer is not healthy.
    pub last_contact_threshold: Duration,
    /// A server whose log is more entries behind is not healthy.
    pub max_trailing_logs: u64,
    /// Servers that are never removed below this number.
    pub min_quorum: u32,
    /// How long a new server must be healthy before it votes.
    pub server_stabilization_time: Duration,
    /// Kept and shown.
    pub redundancy_zone_tag: SmolStr,
    /// Kept and shown.
    pub disable_upgrade_migration: bool,
    /// Kept and shown.
    pub upgrade_version_tag: SmolStr,
    /// When it was first written.
    pub create_index: Index,
    /// When it last changed.
    pub modify_index: Index,
}

impl Default for Autopilot {
    /// Consul's defaults, never written.
    fn default() -> Self {
        Self {
            cleanup_dead_servers: true,
            last_contact_threshold: Duration::from_millis(200),
            max_trailing_logs: 250,
            min_quorum: 0,
            server_stabilization_time: Duration::from_secs(10),
            redundancy_zone_tag: SmolStr::default(),
            disable_upgrade_migration: false,
            upgrade_version_tag: SmolStr::default(),
            create_index: Index(0),
            modify_index: Index(0),
        }
    }
}

/// The check that says whether a node is alive, kept by the leader from gossip.
pub const SERF_HEALTH: &str = "serfHealth";
/// The service under which the servers are found.
pub const SERVER_SERVICE: &str = "consul";
