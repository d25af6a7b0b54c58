//! Every instrument there is. What the registry and the pool can be asked for at any time (members, services, the
//! index) is not counted here but read where the metrics are asked for; its names are here all the same.

use std::{
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    instrument::{Counter, Gauge, Histogram, Sizes},
    series::{Reading, Series},
};

/// DNS questions by what was answered: the response code.
pub static DNS_QUESTIONS: Counter<8> =
    Counter::labelled("lictor_dns_questions_total", "DNS questions by response code.", "outcome", DNS_OUTCOMES);
/// Response codes by their number (RFC 1035, 4.1.1), what is above them, and packets that were not answered.
const DNS_OUTCOMES: [&str; 8] =
    ["noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "other", "unanswered"];
/// How long a DNS question takes, from its packet to the packet of its answer.
pub static DNS_SECONDS: Histogram = Histogram::new("lictor_dns_answer_seconds", "Time to answer a DNS question.");

/// Checks that were run, by their result: a [`Status`](crate::model::Status).
pub static CHECK_RUNS: Counter<3> = Counter::labelled(
    "lictor_check_runs_total",
    "Runs of this agent's checks by result.",
    "status",
    ["passing", "warning", "critical"],
);

/// Writes sent to the servers, by outcome: 0 done, 1 failed.
pub static WRITES: Counter<2> =
    Counter::labelled("lictor_writes_total", "Writes of this node by outcome.", "outcome", OUTCOMES);
/// How long they took.
pub static WRITE_SECONDS: Histogram =
    Histogram::new("lictor_write_seconds", "Time until a write of this node was committed and seen by it.");
/// Questions for the leader's index, by outcome: 0 done, 1 failed.
pub static BARRIERS: Counter<2> =
    Counter::labelled("lictor_barriers_total", "Questions for the leader's index by outcome.", "outcome", OUTCOMES);
/// How long they took.
pub static BARRIER_SECONDS: Histogram =
    Histogram::new("lictor_barrier_seconds", "Time until the leader told its index.");
const OUTCOMES: [&str; 2] = ["done", "failed"];

/// Services with changes made here that the servers could not be given yet.
pub static UNSENT_GROUPS: Gauge =
    Gauge::new("lictor_unsent_services", "Services with changes made here that the servers could not be given yet.");
/// Instances that are served although their nodes vanished.
pub static PROTECTED_INSTANCES: Gauge =
    Gauge::new("lictor_protected_instances", "Instances that are served although their nodes vanished.");
/// Answers about the registry while no leader was known, by interface: 0 HTTP, 1 DNS.
pub static LEADERLESS_ANSWERS: Counter<2> = Counter::labelled(
    "lictor_leaderless_answers_total",
    "Answers about the registry while no leader was known.",
    "interface",
    ["http", "dns"],
);
/// Whether no leader has been known for a while.
static LEADERLESS: AtomicBool = AtomicBool::new(false);

/// Reads of the catalog that were answered, by where from: 0 the kept answer, 1 encoded anew.
pub static HTTP_READS: Counter<2> = Counter::labelled(
    "lictor_http_reads_total",
    "Answers to reads of the catalog: given again as kept, or encoded anew.",
    "answer",
    ["kept", "encoded"],
);
/// Wake-ups of reads that wait, by what they found: 0 a change, 1 none.
pub static WAKE_UPS: Counter<2> = Counter::labelled(
    "lictor_http_wake_ups_total",
    "Wake-ups of reads that wait, by whether what they wait for had changed.",
    "found",
    ["change", "nothing"],
);
/// Reads that wait for a change.
pub static BLOCKED_READERS: Gauge = Gauge::new("lictor_http_blocked_readers", "Reads that wait for a change.");
/// Lines of the audit log that were lost.
pub static AUDIT_LOST: Counter<1> =
    Counter::labelled("lictor_audit_lost_total", "Lines of the audit log that were lost.", "reason", ["full"]);
/// Open connections to the HTTP interface.
pub static HTTP_CONNECTIONS: Gauge = Gauge::new("lictor_http_connections", "Open connections to the HTTP interface.");
/// Watch streams of applications.
pub static APPLICATION_STREAMS: Gauge =
    Gauge::new("lictor_application_streams", "Watch streams that applications hold at this agent.");
/// Client addresses by how many reads of theirs wait for a change by HTTP.
pub static HTTP_WATCHING_CLIENTS: Sizes = Sizes::new(
    "lictor_http_watching_clients",
    "Client addresses that have reads which wait for a change, by how many each has.",
);
/// Client addresses by how many watch streams they hold.
pub static GRPC_WATCHING_CLIENTS: Sizes = Sizes::new(
    "lictor_application_watching_clients",
    "Client addresses that hold watch streams at this agent, by how many each holds.",
);
/// What was refused because a limit was reached, by a [`Refusal`].
pub static REFUSED: Counter<13> = Counter::labelled(
    "lictor_refused_total",
    "Connections, requests and packets that were refused because a limit was reached, by limit.",
    "limit",
    [
        "http_connections",
        "http_connections_per_client",
        "http_rate",
        "http_watches_per_client",
        "http_bodies",
        "http_head",
        "rpc_connections",
        "rpc_connections_per_client",
        "grpc_connections",
        "grpc_connections_per_client",
        "grpc_streams",
        "dns_connections",
        "dns_responses",
    ],
);

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All connections to the HTTP interface.
    HttpConnections = 0,
    /// Those of one client.
    HttpConnectionsOfClient = 1,
    /// The rate of requests of a client or a token.
    HttpRate = 2,
    /// The reads of a client that wait.
    HttpWatches = 3,
    /// The bodies of requests, all together.
    HttpBodies = 4,
    /// The size of a request's head.
    HttpHead = 5,
    /// All connections to the servers' port.
    RpcConnections = 6,
    /// Those of one client.
    RpcConnectionsOfClient = 7,
    /// All connections to the gRPC interface.
    GrpcConnections = 8,
    /// Those of one client.
    GrpcConnectionsOfClient = 9,
    /// The watch streams of a client, or all.
    GrpcStreams = 10,
    /// All connections to the DNS interface.
    DnsConnections = 11,
    /// The rate of answers by UDP to a network.
    DnsResponses = 12,
}

impl Refusal {
    /// Counts one.
    pub fn count(self) {
        REFUSED.count(self as usize);
    }
}

/// Spans that were recorded: 0 a collector took it, 1 none did.
pub static SPANS: Counter<2> = Counter::labelled(
    "lictor_spans_total",
    "Spans that were recorded, by whether the collector took them.",
    "outcome",
    ["sent", "lost"],
);
/// Requests that were answered 403.
pub static HTTP_DENIED: Counter<1> = Counter::labelled(
    "lictor_denied_requests_total",
    "Requests answered 403: their token lacks the right, or is none, or the endpoint is blocked here.",
    "interface",
    ["http"],
);
/// How long an HTTP request takes from its head to its answer's head: of those that do not wait for a change.
pub static HTTP_SECONDS: Histogram = Histogram::new(
    "lictor_http_answer_seconds",
    "Time to answer an HTTP request, its body's way included; those that wait for a change are left out.",
);

/// The term that this server is in; 0 at sidecars.
pub static RAFT_TERM: Gauge = Gauge::new("lictor_raft_term", "The Raft term that this server is in.");
/// Whether this server leads.
pub static RAFT_LEADS: Gauge = Gauge::new("lictor_raft_leader", "Whether this server leads and a majority follows.");
/// The end of its log.
pub static RAFT_LAST_INDEX: Gauge =
    Gauge::new("lictor_raft_last_log_index", "The index of the last entry of this server's Raft log.");
/// What of it is in the registry.
pub static RAFT_APPLIED_INDEX: Gauge =
    Gauge::new("lictor_raft_applied_index", "The index of the last Raft entry that this server has applied.");
/// The end of its last snapshot.
pub static RAFT_SNAPSHOT_INDEX: Gauge =
    Gauge::new("lictor_raft_snapshot_index", "The index that this server's last snapshot of the registry reaches to.");
/// How long writes take at the leader: from the proposal until a majority has it and it is applied.
pub static RAFT_COMMIT_SECONDS: Histogram = Histogram::new(
    "lictor_raft_commit_seconds",
    "Time until a batch of writes proposed at this server was committed and applied, failed ones too.",
);
/// How long one write of the log takes, with its fsync.
pub static RAFT_LOG_WRITE_SECONDS: Histogram =
    Histogram::new("lictor_raft_log_write_seconds", "Time to write entries to this server's Raft log, fsync included.");

/// How badly this node itself is doing, as the LAN pool's prober sees it.
pub static GOSSIP_HEALTH: Gauge = Gauge::new(
    "lictor_gossip_health_score",
    "How badly this agent itself is doing, from 0 (well) to 8, as the LAN pool sees it by late timers and lost probes.",
);

/// Watch streams that this server feeds.
pub static WATCH_STREAMS: Gauge = Gauge::new("lictor_watch_streams", "Watch streams that this server feeds.");

/// Requests to servers of other datacenters: 0 answered, 1 failed, 2 refused at once because none answers or too many
/// were under way.
pub static DATACENTER_REQUESTS: Counter<3> = Counter::labelled(
    "lictor_datacenter_requests_total",
    "Requests of this server to servers of other datacenters by outcome.",
    "outcome",
    ["answered", "failed", "refused"],
);
/// Other datacenters that are not asked because no server of them answers.
pub static UNREACHABLE_DATACENTERS: Gauge = Gauge::new(
    "lictor_unreachable_datacenters",
    "Other datacenters that this server does not ask because no server of them answers.",
);

/// Copies of services of other datacenters that cannot be kept up to date.
pub static STALE_COPIES: Gauge = Gauge::new(
    "lictor_stale_copies",
    "Copies of services of other datacenters that cannot be kept up to date at the moment.",
);

/// Nodes that gossip calls failed and that hold a watch stream all the same.
pub static WITNESSED_NODES: Gauge = Gauge::new(
    "lictor_witnessed_nodes",
    "Nodes that gossip calls failed and that are kept passing by their watch streams.",
);
/// Nodes that wait to turn critical because too many failed at once.
pub static HELD_BACK_NODES: Gauge = Gauge::new(
    "lictor_held_back_nodes",
    "Nodes that failed and do not turn critical yet, because too many did at once.",
);

/// Gossip packets and requests that were dropped, by a [`GossipDrop`].
pub static GOSSIP_DROPPED: Counter<9> = Counter::labelled(
    "lictor_gossip_dropped_total",
    "Gossip packets and requests that were dropped, by reason.",
    "reason",
    ["foreign", "other_pool", "plain", "no_key", "unopened", "replayed", "malformed", "too_large", "no_room"],
);

/// Why a packet of the gossip pools is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GossipDrop {
    /// Not of this protocol.
    Foreign = 0,
    /// Of another pool: another datacenter's, say.
    OtherPool = 1,
    /// Not sealed, in a pool that is encrypted.
    Plain = 2,
    /// Sealed, and there is no key here.
    NoKey = 3,
    /// Sealed with another key, or changed on its way.
    Unopened = 4,
    /// It has come before.
    Replayed = 5,
    /// Not a message of the failure detector.
    Malformed = 6,
    /// Longer than a packet may be.
    TooLarge = 7,
    /// It names a new member, and there are as many as can be.
    NoRoom = 8,
}

/// Connections and calls that TLS refused, by a [`Refusal`](crate::tls::Refusal): those of others here, and servers that
/// this node refused to ask.
pub static TLS_REFUSED: Counter<10> = Counter::labelled(
    "lictor_tls_refused_total",
    "Connections, and calls by them, that were refused because of TLS or a certificate, by reason.",
    "reason",
    crate::tls::REASONS,
);

/// A certificate in use: its interface, `own` or `ca`, its file, and when it expires in seconds since 1970.
pub type CertificateExpiry = (&'static str, &'static str, String, i64);
/// Those of this node.
static CERTIFICATES: Mutex<Vec<CertificateExpiry>> = Mutex::new(Vec::new());

/// Shows these certificates and no others from now on.
pub fn set_certificates(certificates: Vec<CertificateExpiry>) {
    *CERTIFICATES.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
}

fn certificates() -> Vec<Series> {
    let certificates = CERTIFICATES.lock().unwrap_or_else(PoisonError::into_inner);
    let series = |(interface, kind, path, expires): &CertificateExpiry| {
        #[expect(clippy::cast_precision_loss, reason = "a time, in seconds")]
        let expires = *expires as f64;
        Series::gauge(
            "lictor_tls_certificate_expires_seconds",
            "When a certificate in use expires, in seconds since 1970.",
            expires,
        )
        .with("interface", *interface)
        .with("kind", *kind)
        .with("file", path.clone())
    };
    certificates.iter().map(series).collect()
}

/// Requests by endpoint and class of status.
pub const HTTP_REQUESTS: &str = "lictor_http_requests_total";
/// Members of the LAN pool by status.
pub const GOSSIP_MEMBERS: &str = "lictor_gossip_members";
/// The index of this node's view.
pub const VIEW_INDEX: &str = "lictor_view_index";
/// Whether a leader is known.
pub const KNOWS_LEADER: &str = "lictor_leader_known";
/// How old the last word from a leader is.
pub const LAST_CONTACT: &str = "lictor_leader_last_contact_seconds";
/// Nodes, services and instances in this node's view.
pub const VIEW_ROWS: &str = "lictor_view_rows";
/// This program's version, as a label of 1.
pub const BUILD: &str = "lictor_build_info";
/// Memory of the process that is in RAM.
pub const RESIDENT_BYTES: &str = "process_resident_memory_bytes";
/// Open file descriptors of the process.
pub const OPEN_FILES: &str = "process_open_fds";
/// How many it may have open.
pub const MAX_OPEN_FILES: &str = "process_max_fds";
/// Time on a processor.
pub const PROCESSOR_SECONDS: &str = "process_cpu_seconds_total";
/// When the process started.
pub const START_SECONDS: &str = "process_start_time_seconds";

/// Notes whether this node answers without knowing a leader.
pub fn set_leaderless(leaderless: bool) {
    LEADERLESS.store(leaderless, Relaxed);
}

/// Counts a DNS answer by its packet; `None`: there was none.
pub fn count_dns(answer: Option<&[u8]>) {
    DNS_QUESTIONS.count(dns_outcome(answer));
    if LEADERLESS.load(Relaxed) && answer.is_some() {
        LEADERLESS_ANSWERS.count(1);
    }
}

fn dns_outcome(answer: Option<&[u8]>) -> usize {
    answer.map_or(DNS_OUTCOMES.len() - 1, |packet| {
        packet.get(3).map_or(0, |flags| usize::from(flags & 0x0f)).min(DNS_OUTCOMES.len() - 2)
    })
}

/// DNS answers that are counted together: a few atomic operations for all of them.
#[derive(Debug, Default)]
pub struct DnsTally {
    outcomes: [u32; DNS_OUTCOMES.len()],
}

impl DnsTally {
    /// As [`count_dns`], once the tally is added up.
    pub fn count(&mut self, answer: Option<&[u8]>) {
        self.outcomes[dns_outcome(answer)] += 1;
    }

    /// Counts them, as answers that took so long each, and begins anew.
    pub fn add_up(&mut self, took: Duration) {
        let outcomes = mem::take(&mut self.outcomes);
        for (outcome, times) in outcomes.iter().enumerate().filter(|(_, times)| **times > 0) {
            DNS_QUESTIONS.add(outcome, u64::from(*times));
        }
        DNS_SECONDS.observe_many(took, outcomes.iter().sum());
        if LEADERLESS.load(Relaxed) {
            let [answered @ .., _unanswered] = outcomes;
            LEADERLESS_ANSWERS.add(1, answered.into_iter().map(u64::from).sum());
        }
    }
}

/// What a server says of its Raft; nothing at sidecars.
fn raft() -> Vec<Series> {
    let gauges =
        [&RAFT_TERM, &RAFT_LEADS, &RAFT_LAST_INDEX, &RAFT_APPLIED_INDEX, &RAFT_SNAPSHOT_INDEX].map(Gauge::read);
    if matches!(gauges[0].reading, Reading::Gauge(term) if term < 1.0) {
        return Vec::new();
    }
    let histograms = [&RAFT_COMMIT_SECONDS, &RAFT_LOG_WRITE_SECONDS].map(Histogram::read);
    gauges.into_iter().chain(histograms).collect()
}

/// Reads all instruments.
#[must_use]
pub fn read() -> Vec<Series> {
    let counters = [DNS_QUESTIONS.read(), CHECK_RUNS.read(), WRITES.read(), BARRIERS.read(), LEADERLESS_ANSWERS.read()];
    let reads = [HTTP_READS.read(), WAKE_UPS.read(), GOSSIP_DROPPED.read(), DATACENTER_REQUESTS.read()];
    let tls = [TLS_REFUSED.read(), certificates()];
    let limits = [
        AUDIT_LOST.read(),
        REFUSED.read(),
        HTTP_WATCHING_CLIENTS.read(),
        GRPC_WATCHING_CLIENTS.read(),
        HTTP_DENIED.read(),
        SPANS.read(),
    ];
    let mut all: Vec<Series> = counters.into_iter().chain(reads).chain(tls).chain(limits).flatten().collect();
    all.extend([&DNS_SECONDS, &HTTP_SECONDS, &WRITE_SECONDS, &BARRIER_SECONDS].map(Histogram::read));
    all.extend([&UNSENT_GROUPS, &PROTECTED_INSTANCES, &BLOCKED_READERS].map(Gauge::read));
    all.extend([&WITNESSED_NODES, &HELD_BACK_NODES, &UNREACHABLE_DATACENTERS, &STALE_COPIES].map(Gauge::read));
    all.extend(raft());
    all.extend([&GOSSIP_HEALTH, &HTTP_CONNECTIONS, &WATCH_STREAMS, &APPLICATION_STREAMS].map(Gauge::read));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_conventions() {
        for series in read() {
            assert!(series.name.starts_with("lictor_"), "{}", series.name);
            let is_counter = matches!(series.reading, super::super::Reading::Counter(_));
            assert_eq!(series.name.ends_with("_total"), is_counter, "{}", series.name);
            assert!(series.help.ends_with('.'), "{}", series.help);
        }
    }
}
