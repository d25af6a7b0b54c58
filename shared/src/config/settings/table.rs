//! Every setting: what it is called, what it may be, what it is where nothing is said, whether a reload applies it, and
//! what it does. The page, and what holds these rows against the code, stand in the parent.

use std::{fmt::Display, time::Duration};

use super::{Kind, Otherwise, RELOAD, RESTART, Row, Section, kind, of, with, words};
use crate::{
    agent::{OUTPUT_MAX, WithoutServers, duration},
    config::{Config, RoleConfig, resolve::LOG_ROTATE_AFTER},
    http::MAX_COPIES,
    model::Weights,
};

const TEXT: Kind = kind("text", "\"x\"");
const TEXTS: Kind = kind("list of texts", "[\"x\"]");
const FLAG: Kind = kind("true or false", "true");
const NUMBER: Kind = kind("number", "7");
const BYTES: Kind = kind("number of bytes", "4096");
const SECONDS: Kind = kind("seconds", "7");
const RATE: Kind = kind("number a second", "7.5");
const SHARE: Kind = kind("share, 0 to 1", "0.3");
const TIME: Kind = kind("time", "\"36h\"");
const PATH: Kind = kind("path", "\"/x\"");
const PORT: Kind = kind("port", "1234");
const IP: Kind = kind("address", "\"127.0.0.3\"");
const IPS: Kind = kind("addresses", "\"127.0.0.3 127.0.0.4\"");
const NETWORKS: Kind = kind("list of networks", "[\"10.9.0.0/16\"]");
const HOSTS: Kind = kind("list of hosts", "[\"127.0.0.3\"]");
const PAIRS: Kind = kind("map of texts", "{\"a\": \"x\"}");
const UUID: Kind = kind("UUID", "\"5ca1ab1e-0000-4000-8000-000000000001\"");
const ID: Kind = kind("name or number", "\"7\"");
const HEADERS: Kind = kind("map of lists", "{\"x-a\": [\"x\"]}");

const NOTHING: Otherwise = words("");
const OFF: Otherwise = words("`false`");

fn code(what: impl Display) -> String {
    format!("`{what}`")
}

fn flag(is_on: bool) -> String {
    code(is_on)
}

/// A time span as people write it: `72h`, not `72h0m0s`.
fn time(span: Duration) -> String {
    let mut text = duration::show(span);
    for (long, short) in [("m0s", "m"), ("h0m", "h")] {
        if let Some(rest) = text.strip_suffix(long) {
            text = format!("{rest}{short}");
        }
    }
    code(text)
}

/// What is set on servers only.
fn at_servers(config: &Config, read: fn(usize, u32) -> String) -> String {
    match config.role {
        RoleConfig::Server { expect, raft_multiplier, .. } => code(read(expect, raft_multiplier)),
        RoleConfig::Sidecar => String::new(),
    }
}

macro_rules! rows {
    ($($key:literal $flag:literal, $kind:expr, $otherwise:expr, $reload:expr; $meaning:literal)*) => {
        &[$(Row {
            keys: $key, flag: $flag, kind: $kind, otherwise: $otherwise, reload: $reload, meaning: $meaning
        }),*]
    };
}

pub const SECTIONS: &[Section] = &[
    Section { title: "The node", intro: "", rows: NODE },
    Section {
        title: "Addresses",
        intro: "An address may be a template that stands for one of the host's, as in Consul's files: `{{ \
                GetInterfaceIP \"eth0\" }}`, `{{ GetPrivateIP }}`. The tagged addresses are those that others are told \
                for certain networks.",
        rows: ADDRESSES,
    },
    Section {
        title: "Ports",
        intro: "0 or less turns a port off. Those of the LAN pool and of servers cannot be off.",
        rows: PORTS,
    },
    Section {
        title: "Joining",
        intro: "A member is named as `HOST`, `HOST:PORT` or by an address, without a port with that of the pool. A \
                name stands for all its addresses. One member that answers is enough: the others are learnt from it.",
        rows: JOINING,
    },
    Section { title: "Gossip", intro: "How the members of a pool find out who is there.", rows: GOSSIP },
    Section { title: "DNS", intro: "", rows: DNS },
    Section { title: "HTTP", intro: "", rows: HTTP },
    Section { title: "The web page", intro: "[The web page](page.md) says what it shows.", rows: PAGE },
    Section {
        title: "TLS",
        intro: "`tls.*` stands for four stanzas: `tls.internal_rpc` (between servers, and from sidecars to them), \
                `tls.https`, `tls.grpc`, and `tls.defaults` for what is said for none of them. The older keys, at the \
                top level, count where the stanza says nothing. A reload reads the files again; it cannot turn TLS \
                between nodes on or off. How to make and roll out certificates: \
                [Certificates](operations/certificates.md).",
        rows: TLS,
    },
    Section {
        title: "Access control",
        intro: "How to turn it on: [Access control](operations/access-control.md).",
        rows: ACCESS,
    },
    Section {
        title: "Limits",
        intro: "What callers may take. Each agent counts for itself, by the caller's address; an IPv6 address counts \
                as its first 64 bits.",
        rows: LIMITS,
    },
    Section {
        title: "Without servers",
        intro: "What an agent does while no leader is known, or many nodes are lost at once.",
        rows: WITHOUT_SERVERS,
    },
    Section {
        title: "Checks",
        intro: "What counts for all checks of an agent. What one check says: [Fields of a check](#fields-of-a-check).",
        rows: CHECKS,
    },
    Section { title: "The log", intro: "It goes to standard output.", rows: LOG },
    Section {
        title: "The audit log",
        intro: "Each request by HTTP as a line of JSON. The sink may have a name: `sink \"file\" { … }`; there may be \
                one.",
        rows: AUDIT,
    },
    Section {
        title: "Traces",
        intro: "What each request was made of, sent to a collector that speaks OpenTelemetry's protocol (OTLP): \
                [Traces](operations/traces.md). The slim sidecar has none.",
        rows: TRACES,
    },
];

const NODE: &[Row] = rows! {
    "node_name" "-node", TEXT, words("the host's name"), RESTART;
    "What the node is called: at most 128 letters, digits, dashes and dots. A name of more than 63 bytes cannot be \
     found by DNS."
    "node_id" "-node-id", UUID, words("a server keeps one in `data_dir`; a sidecar's comes from the host's and its \
     name"), RESTART;
    "The node's ID."
    "node_meta" "-node-meta", PAIRS, NOTHING, RESTART;
    "Free pairs about the node, which callers can filter by. The flag has one pair, `KEY:VALUE`, and may be given \
     several times."
    "datacenter" "-datacenter", TEXT, of(|config| code(&config.datacenter)), RESTART;
    "The datacenter that the node is in: letters, digits, dashes and underscores. Capital letters count as small ones."
    "data_dir" "-data-dir", PATH, NOTHING, RESTART;
    "Where the node keeps what must survive: a server its log and snapshots, a sidecar its last good copy of the \
     catalog, both their keyrings and tokens. A server needs one. With `-dev` nothing is kept."
    "server" "-server", FLAG, words("`false`; with `-dev` `true`"), RESTART;
    "Whether the node is a server, which takes part in Raft. Otherwise it is a sidecar."
    "bootstrap" "-bootstrap", FLAG, OFF, RESTART;
    "Form a cluster alone, as with `bootstrap_expect = 1`."
    "bootstrap_expect" "-bootstrap-expect", NUMBER, of(|config| at_servers(config, |expect, _| expect.to_string())),
        RESTART;
    "Form a cluster as soon as this many servers have found each other; the same number on each of them. 0: wait to be \
     added to a cluster. With `-dev` it is 1."
    "performance.raft_multiplier" "", NUMBER, of(|config| at_servers(config, |_, factor| factor.to_string())), RESTART;
    "All times of Raft are multiplied by this, 1 to 10. A larger number bears slower disks and networks, and finds out \
     later that the leader is gone."
    "raft_snapshot_threshold" "", NUMBER, words("`16384`"), RESTART;
    "A server makes a snapshot after so many entries of its log."
    "raft_trailing_logs" "", NUMBER, words("`4096`"), RESTART;
    "A server keeps so many entries before a snapshot, for servers that are a little behind."
    "leave_on_terminate" "", FLAG, of(|config| flag(config.leave_on_terminate)), RELOAD;
    "Whether SIGTERM makes the node leave the cluster, which takes its services out of the registry. Otherwise it just \
     stops."
    "skip_leave_on_interrupt" "", FLAG, of(|config| flag(config.skip_leave_on_interrupt)), RELOAD;
    "Whether SIGINT stops the node without leaving."
    "pid_file" "-pid-file", PATH, NOTHING, RESTART;
    "A file that the process's ID is written to. The start fails while another agent of the same file lives."
    "enable_debug" "", FLAG, words("`false`; with `-dev` `true`"), RESTART;
    "Whether [profiles](operations/profiles.md) are taken for everybody who reaches the HTTP port. With access control \
     whoever has `operator:read` may have them, whatever is set here."
};

const ADDRESSES: &[Row] = rows! {
    "bind_addr" "-bind", IP, of(|config| format!("{}; with `-dev` `127.0.0.1`", code(config.listen.bind))), RESTART;
    "Where the cluster's own ports listen: gossip and, at servers, RPC. The variable `CONSUL_BIND_INTERFACE` names an \
     interface instead and wins over files."
    "advertise_addr" "-advertise", IP, words("`bind_addr`; for `0.0.0.0` the host's only private IPv4 address"),
        RESTART;
    "The address that others are told. A host with several private addresses must say one."
    "advertise_addr_wan" "-advertise-wan", IP, words("`advertise_addr`"), RESTART;
    "The address that other datacenters are told: the tagged address `wan`."
    "advertise_addr_ipv4" "", IP, NOTHING, RESTART;
    "The tagged address `lan_ipv4`."
    "advertise_addr_ipv6" "", IP, NOTHING, RESTART;
    "The tagged address `lan_ipv6`."
    "advertise_addr_wan_ipv4" "", IP, NOTHING, RESTART;
    "The tagged address `wan_ipv4`."
    "advertise_addr_wan_ipv6" "", IP, NOTHING, RESTART;
    "The tagged address `wan_ipv6`."
    "tagged_addresses" "", kind("map of addresses", "{\"wan\": \"127.0.0.3\"}"), NOTHING, RESTART;
    "Addresses of the node by network. The five keys above win over the same names here."
    "translate_wan_addrs" "", FLAG, OFF, RESTART;
    "Whether answers about other datacenters have the address `wan` of nodes and services in place of the usual one."
    "client_addr" "-client", IPS, words("`127.0.0.1`"), RESTART;
    "Where HTTP, HTTPS, DNS and gRPC listen; several addresses are separated by spaces. The variable \
     `CONSUL_CLIENT_INTERFACE` names an interface instead and wins over files."
    "addresses.http" "", IPS, words("`client_addr`"), RESTART;
    "Where HTTP listens. `unix:///PATH` is a socket in the file system."
    "addresses.https" "", IPS, words("`client_addr`"), RESTART;
    "Where HTTPS listens."
    "addresses.dns" "", IPS, words("`client_addr`"), RESTART;
    "Where DNS listens, by UDP and TCP."
    "addresses.grpc" "", IPS, words("`client_addr`"), RESTART;
    "Where gRPC listens."
    "addresses.grpc_tls" "", IPS, words("`client_addr`"), RESTART;
    "Where gRPC over TLS listens."
    "serf_lan" "-serf-lan-bind", IP, words("`bind_addr`"), RESTART;
    "Where gossip of the datacenter listens."
    "serf_wan" "-serf-wan-bind", IP, words("`bind_addr`"), RESTART;
    "Where gossip between datacenters listens, at servers."
    "unix_sockets.user" "", ID, NOTHING, RESTART;
    "Whose the sockets in the file system are."
    "unix_sockets.group" "", ID, NOTHING, RESTART;
    "Of which group they are."
    "unix_sockets.mode" "", kind("octal digits", "\"0660\""), NOTHING, RESTART;
    "Who may use them, such as `\"0660\"`."
};

const PORTS: &[Row] = rows! {
    "ports.http" "-http-port", PORT, of(|config| code(config.listen.http[0].port())), RESTART;
    "HTTP."
    "ports.https" "-https-port", PORT, words("`-1`"), RESTART;
    "HTTPS. It needs a certificate (`tls.https.cert_file`)."
    "ports.dns" "-dns-port", PORT, of(|config| code(config.listen.dns[0].port())), RESTART;
    "DNS, by UDP and TCP."
    "ports.grpc" "-grpc-port", PORT, of(|config| code(config.listen.grpc[0].port())), RESTART;
    "gRPC, for applications that watch. Where nobody has asked for it, and the port is in use, it is left out."
    "ports.grpc_tls" "-grpc-tls-port", PORT, of(|_| {
        let config = with(r#"server = true data_dir = "/x" cert_file = "c" key_file = "k""#);
        format!("{} at servers with a certificate for it, else `-1`", code(config.listen.grpc_tls[0].port()))
    }), RESTART;
    "The same over TLS. It needs a certificate (`tls.grpc.cert_file`)."
    "ports.server" "-server-port", PORT, of(|config| code(config.listen.server)), RESTART;
    "A server's port for Raft, writes and watch streams."
    "ports.serf_lan" "-serf-lan-port", PORT, of(|config| code(config.listen.serf_lan)), RESTART;
    "Gossip of the datacenter, by UDP and TCP."
    "ports.serf_wan" "-serf-wan-port", PORT, of(|config| code(config.listen.serf_wan)), RESTART;
    "Gossip between the servers of all datacenters, by UDP and TCP. Off: the datacenter is alone."
};

const JOINING: &[Row] = rows! {
    "start_join" "-join", HOSTS, NOTHING, RESTART;
    "Members that are joined once, at the start. If none answers, the agent ends."
    "retry_join" "-retry-join", HOSTS, NOTHING, RESTART;
    "Members that are tried until one answers. `provider=…`, which asks a cloud, is refused."
    "retry_interval" "-retry-interval", TIME, of(|config| time(config.join.interval)), RESTART;
    "The longest pause between two tries. The first is a quarter of a second, each one twice as long as the last."
    "retry_max" "-retry-max", NUMBER, of(|config| code(config.join.max)), RESTART;
    "So many tries, and the agent ends. 0: it never gives up."
    "start_join_wan" "-join-wan", HOSTS, NOTHING, RESTART;
    "Servers of other datacenters that are joined once, at the start. Refused on sidecars."
    "retry_join_wan" "-retry-join-wan", HOSTS, NOTHING, RESTART;
    "Servers of other datacenters that are tried until one answers. No effect on sidecars."
    "retry_interval_wan" "-retry-interval-wan", TIME, of(|_| time(wan().interval)), RESTART;
    "The longest pause between two tries."
    "retry_max_wan" "-retry-max-wan", NUMBER, of(|_| code(wan().max)), RESTART;
    "So many tries, and the agent ends. 0: it never gives up."
};

fn wan() -> crate::config::Join {
    with("server = true data_dir = \"/x\"").join_wan
}

const GOSSIP: &[Row] = rows! {
    "encrypt" "-encrypt", kind("key", "\"MDEyMzQ1Njc4OWFiY2RlZg==\""), NOTHING, RESTART;
    "The key that gossip is encrypted with: 16 or 32 bytes in base64, from `lictor keygen`. It counts until there is a \
     keyring in `data_dir`; then `lictor keyring` changes it."
    "encrypt_verify_incoming" "", FLAG, of(|config| flag(config.gossip.verify_incoming)), RESTART;
    "Whether what is not encrypted is refused, where there is a key. Off only while a key is rolled out."
    "encrypt_verify_outgoing" "", FLAG, of(|config| flag(config.gossip.verify_outgoing)), RESTART;
    "Whether what is sent is encrypted, where there is a key. Off needs `encrypt_verify_incoming` to be off too."
    "disable_keyring_file" "-disable-keyring-file", FLAG, of(|config| flag(!config.gossip.keeps_keyring)), RESTART;
    "Whether keys are kept in memory alone."
    "reconnect_timeout" "", TIME, of(|config| time(config.gossip.reconnect_timeout)), RESTART;
    "How long a failed member is remembered, and tried; 8 hours or more."
    "reconnect_timeout_wan" "", TIME, of(|config| time(config.gossip.reconnect_timeout_wan)), RESTART;
    "The same among the servers of all datacenters."
    "left_timeout" "", TIME, of(|config| time(config.gossip.left_timeout)), RESTART;
    "How long a member that has left is remembered; 1 hour or more."
    "failing_nodes_share" "", SHARE, of(|config| code(config.gossip.failing_nodes_share)), RESTART;
    "The share of all nodes that may turn critical within 10 seconds because gossip calls them failed, since so many \
     are seldom lost by their own fault. 1: all. It counts at the leader."
};

const DNS: &[Row] = rows! {
    "domain" "-domain", TEXT, of(|config| code(&config.dns.domain)), RESTART;
    "The domain that is answered for. Certificates of nodes have names in it, too."
    "alt_domain" "-alt-domain", TEXT, NOTHING, RESTART;
    "A second domain with the same content."
    "recursors" "-recursor", kind("list of addresses", "[\"127.0.0.3\"]"), NOTHING, RESTART;
    "DNS servers that all other names are asked of, each `ADDRESS` or `ADDRESS:PORT`. Without one, such questions are \
     refused."
    "recursor" "", IP, NOTHING, RESTART;
    "One more of them."
    "dns_config.recursor_timeout" "", TIME, of(|config| time(config.dns.recursor_timeout)), RESTART;
    "How long one of them may take."
    "dns_config.recursor_strategy" "", kind("`sequential` or `random`", "\"random\""), words("`sequential`"), RESTART;
    "In which order they are asked: as written, or drawn anew each time. One that did not answer lately comes last."
    "dns_config.recursion_networks" "", NETWORKS, words("loopback, private and link-local networks"), RESTART;
    "Who may have other names asked for; this host always may."
    "dns_config.node_ttl" "", TIME, of(|config| time(config.dns.node_ttl)), RESTART;
    "How long answers about nodes may be kept."
    "dns_config.service_ttl" "", kind("map of times", "{\"web*\": \"36h\"}"), words("`0s` for all"), RESTART;
    "How long answers about a service may be kept, by its name. A name that ends in `*` is for all that begin so; the \
     exact one goes first, then the longest."
    "dns_config.only_passing" "", FLAG, of(|config| flag(config.dns.only_passing)), RESTART;
    "Whether instances in the state `warning` are left out, as critical ones always are."
    "dns_config.enable_truncate" "", FLAG, of(|config| flag(config.dns.enable_truncate)), RESTART;
    "Whether an answer by UDP that was cut says so, so that clients ask again by TCP."
    "dns_config.udp_answer_limit" "", NUMBER, of(|config| code(config.dns.udp_answer_limit)), RESTART;
    "So many records an answer by UDP has at most, for a client that does not say how much it takes."
    "dns_config.a_record_limit" "", NUMBER, of(|config| code(config.dns.a_record_limit)), RESTART;
    "So many addresses an answer has at most, however it is asked for. 0: any number."
    "dns_config.disable_compression" "", FLAG, of(|config| flag(config.dns.disable_compression)), RESTART;
    "Whether every name is written out in full."
    "dns_config.enable_additional_node_meta_txt" "", FLAG, of(|config| flag(config.dns.node_meta_txt)), RESTART;
    "Whether answers that name a node have its `node_meta` as TXT records."
    "dns_config.soa.refresh" "", SECONDS, of(|config| code(config.dns.soa.refresh)), RESTART;
    "In SOA records: before a secondary looks again."
    "dns_config.soa.retry" "", SECONDS, of(|config| code(config.dns.soa.retry)), RESTART;
    "... before it tries again when that failed."
    "dns_config.soa.expire" "", SECONDS, of(|config| code(config.dns.soa.expire)), RESTART;
    "... after which it gives up."
    "dns_config.soa.min_ttl" "", SECONDS, of(|config| code(config.dns.soa.min_ttl)), RESTART;
    "... how long it may be kept that a name is not there."
    "dns_config.response_rate_limit" "", RATE, of(|config| {
        code(config.dns.responses.map_or(0.0, |rate| rate.interval.as_secs_f64().recip().round()))
    }), RESTART;
    "So many answers by UDP a network outside this host gets, so that forged questions flood nobody. 0: any number."
};

const HTTP: &[Row] = rows! {
    "http_config.allow_write_http_from" "-allow-write-http-from", NETWORKS, words("everywhere"), RESTART;
    "Networks that requests which may change something must come from. Callers on a socket in the file system come \
     from none."
    "http_config.block_endpoints" "", kind("list of paths", "[\"/v1/x\"]"), NOTHING, RESTART;
    "No path that begins with one of these is answered: 403."
    "http_config.response_headers http_api_response_headers" "", PAIRS, NOTHING, RESTART;
    "Headers that every answer has."
    "http_config.max_header_bytes" "", BYTES, of(|config| code(config.http_limits.headers_bytes)), RESTART;
    "The longest headers of a request together, up to 61440. 0: the default."
};

const PAGE: &[Row] = rows! {
    "ui_config.enabled ui" "-ui", FLAG, words("`false`; with `-dev` `true`"), RESTART;
    "Whether there is a web page."
    "ui_config.content_path ui_content_path" "-ui-content-path", PATH, of(|config| code(&config.page.path)), RESTART;
    "The path that it is found at."
    "ui_config.dashboard_url_templates" "", kind("map of texts", "{\"service\": \"https://x/\"}"), NOTHING, RESTART;
    "`service` is the address of a service's dashboard elsewhere, in which `{{Service.Name}}` and `{{Datacenter}}` are \
     filled in. Nothing else has an effect."
};

const TLS: &[Row] = rows! {
    "tls.*.ca_file ca_file" "", PATH, NOTHING, RELOAD;
    "The certificates of those who are trusted to issue others, in PEM."
    "tls.*.ca_path ca_path" "", PATH, NOTHING, RELOAD;
    "A directory of such files."
    "tls.*.cert_file cert_file" "", PATH, NOTHING, RELOAD;
    "This node's certificate, and those between it and its CA. With one, servers take TLS at their port."
    "tls.*.key_file key_file" "", PATH, NOTHING, RELOAD;
    "The certificate's key."
    "tls.*.tls_min_version tls_min_version" "", kind("`TLSv1_2` or `TLSv1_3`", "\"TLSv1_3\""), words("`TLSv1_2`"),
        RELOAD;
    "The oldest version that is spoken. Older ones may be written, and mean 1.2."
    "tls.*.verify_incoming verify_incoming" "", FLAG, OFF, RELOAD;
    "Whether whoever connects must have a certificate of the CA."
    "verify_incoming_rpc" "", FLAG, words("`verify_incoming`"), RELOAD;
    "The older key of `tls.internal_rpc.verify_incoming`. It goes before `tls.defaults`."
    "verify_incoming_https" "", FLAG, words("`verify_incoming`"), RELOAD;
    "The older key of `tls.https.verify_incoming`. It goes before `tls.defaults`."
    "tls.*.verify_outgoing verify_outgoing" "", FLAG, OFF, RELOAD;
    "Whether this node asks others by TLS alone, and only those with a certificate of the CA. It counts for \
     `internal_rpc`."
    "tls.*.verify_server_hostname verify_server_hostname" "", FLAG, OFF, RELOAD;
    "Whether a server that is asked must have `server.DATACENTER.DOMAIN` in its certificate. It counts for \
     `internal_rpc`."
};

const ACCESS: &[Row] = rows! {
    "acl.enabled" "", FLAG, of(|config| flag(config.acl.settings.enabled)), RESTART;
    "Whether there is access control. Otherwise everybody may do everything. The older key `acl_datacenter` turns it \
     on, too."
    "acl.default_policy acl_default_policy" "", kind("`allow` or `deny`", "\"deny\""), of(|config| {
        code(if config.acl.settings.allowed_otherwise { "allow" } else { "deny" })
    }), RESTART;
    "Whether what no rule is about is allowed."
    "acl.down_policy acl_down_policy" "", kind("`extend-cache`, `allow` or `deny`", "\"deny\""), of(|config| {
        code(config.acl.settings.down_policy.as_str())
    }), RESTART;
    "What counts at a sidecar that has heard of no leader for `policy_ttl`: what it knew, everything is allowed, or \
     nothing is. `async-cache` means `extend-cache`."
    "acl.policy_ttl acl.token_ttl acl.role_ttl acl_ttl" "", TIME, of(|config| {
        config.acl.settings.staleness.map(time).unwrap_or_default()
    }), RESTART;
    "How long a sidecar may have heard of no leader until `down_policy` counts. Of the first three the least counts, \
     before the last."
    "acl.enable_key_list_policy acl_enable_key_list_policy" "", FLAG, of(|config| {
        flag(config.acl.settings.key_list_policy)
    }), RESTART;
    "Whether to list keys takes the right `list` and not only `read`."
    "acl.enable_token_persistence" "", FLAG, of(|config| flag(config.acl.keeps_tokens)), RESTART;
    "Whether tokens that are set while the agent runs (`lictor acl set-agent-token`) are kept in `data_dir`. They go \
     before those of files."
    "acl.enable_token_replication enable_acl_replication" "", FLAG, of(|config| flag(config.acl.replicates_tokens)),
        RESTART;
    "Whether the servers of another than the primary datacenter copy global tokens, and not only policies and roles."
    "primary_datacenter acl_datacenter" "", TEXT, words("the node's own"), RESTART;
    "The datacenter that keeps policies, roles and global tokens."
    "acl.tokens.initial_management acl.tokens.master acl_master_token" "", UUID, NOTHING, RESTART;
    "The secret of a token that may do everything. The first leader puts it into the registry."
    "acl.tokens.default acl_token" "", TEXT, NOTHING, RELOAD;
    "The secret that counts for callers who show none."
    "acl.tokens.agent acl_agent_token" "", TEXT, NOTHING, RELOAD;
    "The secret by which the agent does what it does by itself, such as to write its own node."
    "acl.tokens.agent_recovery acl.tokens.agent_master acl_agent_master_token" "", TEXT, NOTHING, RELOAD;
    "A secret that may always do everything with this agent itself, and look at all nodes, whatever the servers say."
    "acl.tokens.replication acl_replication_token" "", TEXT, NOTHING, RELOAD;
    "The secret by which a server copies from the primary datacenter."
    "acl.tokens.dns" "", TEXT, NOTHING, RELOAD;
    "The secret that counts for questions by DNS, in place of `default`."
};

const LIMITS: &[Row] = rows! {
    "limits.http_max_conns_per_client" "", NUMBER, of(|config| code(config.http_limits.connections_per_client)),
        RESTART;
    "Connections of one address by HTTP; those beyond are answered 429. 0: any number."
    "limits.http_max_watches_per_client" "", NUMBER, words("any number"), RESTART;
    "Reads of one address that wait for a change; those beyond are answered 429. 0: any number."
    "limits.http_rate_per_client" "", RATE, words("any number"), RESTART;
    "Requests of one address; those beyond are answered 429. All programs of a host ask from the same address. 0 or \
     less: any number."
    "limits.http_burst_per_client" "", NUMBER, words("twice the rate"), RESTART;
    "So many of them may come at once after a pause."
    "limits.http_rate_per_token" "", RATE, words("any number"), RESTART;
    "Requests with one token; those beyond are answered 429."
    "limits.http_burst_per_token" "", NUMBER, words("twice the rate"), RESTART;
    "So many of them may come at once after a pause."
    "limits.kv_max_value_size" "", BYTES, of(|config| code(config.http_limits.kv_value_bytes)), RESTART;
    "The longest value of a key, up to 4194304."
    "limits.txn_max_req_len" "", kind("number of bytes", "1048576"), of(|config| {
        code(config.http_limits.transaction_bytes)
    }), RESTART;
    "The longest body of a transaction, up to 4194304; never less than `kv_max_value_size`."
    "limits.txn_max_ops" "", NUMBER, of(|config| code(config.http_limits.transaction_operations)), RESTART;
    "Operations of one transaction."
    "limits.grpc_max_conns_per_client" "", NUMBER, of(|config| code(config.grpc_limits.per_client)), RESTART;
    "Connections of one address by gRPC. 0: any number."
    "limits.grpc_max_streams_per_client" "", NUMBER, of(|config| code(config.grpc_streams_per_client)), RESTART;
    "Watch streams of one address by gRPC. 0: any number."
    "limits.rpc_max_conns_per_client" "", NUMBER, of(|config| code(config.rpc_limits.per_client)), RESTART;
    "Connections of one address to a server's port. 0: any number."
    "limits.rpc_handshake_timeout" "", TIME, of(|config| time(config.rpc_limits.first_words)), RESTART;
    "How long whoever connects to a server's port may take for the first words, TLS included. `0s`: the default."
    "limits.rpc_rate" "", RATE, words("any number"), RESTART;
    "Requests of this agent to the servers. 0 or less: any number."
    "limits.rpc_max_burst" "", NUMBER, of(|_| {
        code(with("limits { rpc_rate = 1 }").rpc_rate.map_or(0, |rate| rate.burst))
    }), RESTART;
    "So many of them may be made at once after a pause, where there is a rate. 0: the default."
};

const WITHOUT_SERVERS: &[Row] = rows! {
    "discovery_max_stale" "", TIME, of(|config| time(config.discovery_max_stale)), RESTART;
    "How old the last word of a leader may be while the catalog, health and DNS are still answered from the agent's \
     copy. `0s`: never without a leader."
    "local_registrations_without_servers" "", kind("`queue` or `refuse`", "\"refuse\""), of(|config| {
        code(match config.without_servers { WithoutServers::Queue => "queue", WithoutServers::Refuse => "refuse" })
    }), RESTART;
    "What becomes of a service that is registered at this agent while no server answers: it is served by this agent at \
     once and written when they are back, or it is refused."
    "discovery_protection.threshold" "", kind("share, 0 to less than 1", "0.3"), of(|config| {
        let protection = with("discovery_protection {}").protection;
        let threshold = protection.map_or(0.0, |protection| protection.threshold);
        assert!(config.protection.is_none(), "it is off");
        format!("off; {} where the stanza is there", code(threshold))
    }), RESTART;
    "When more than this share of a service's instances vanish with their nodes within the window, they are still \
     served. Instances whose own checks fail are not."
    "discovery_protection.window" "", TIME, of(|_| {
        with("discovery_protection {}").protection.map(|protection| time(protection.window)).unwrap_or_default()
    }), RESTART;
    "Within which time."
    "cache.remote" "", kind("list of texts", "[\"dc2:web\"]"), of(|_| format!("none; at most {MAX_COPIES}")), RESTART;
    "Services of other datacenters, each `DATACENTER:SERVICE`, that the agent keeps a copy of, for when the way there \
     is cut."
};

const CHECKS: &[Row] = rows! {
    "enable_script_checks" "-enable-script-checks", FLAG, OFF, RESTART;
    "Whether checks may run commands, whoever registers them. Who may register a check may then run anything as the \
     agent's user."
    "enable_local_script_checks" "-enable-local-script-checks", FLAG, OFF, RESTART;
    "Whether checks of files may run commands."
    "check_update_interval" "", TIME, of(|config| time(config.check_update_interval)), RESTART;
    "How long a change of a check's output alone may wait until it is written. A change of its state never waits."
};

const LOG: &[Row] = rows! {
    "log_level" "-log-level", kind("`trace`, `debug`, `info`, `warn` or `err`", "\"debug\""), of(|config| {
        code(&config.log.level)
    }), RELOAD;
    "How much is said."
    "log_json" "-log-json", FLAG, of(|config| flag(config.log.json)), RESTART;
    "Whether each line is a JSON object."
    "log_file" "-log-file", PATH, NOTHING, RESTART;
    "A file that the log is written to as well. A name without an ending gets `.log`; a directory, which ends in `/`, \
     gets a file `consul.log`. Files before it have the time in their names."
    "log_rotate_bytes" "-log-rotate-bytes", BYTES, words("`0`"), RESTART;
    "A new file is begun before the file is larger than this. 0: no limit."
    "log_rotate_duration" "-log-rotate-duration", TIME, of(|_| time(LOG_ROTATE_AFTER)), RESTART;
    "A new file is begun after this time."
    "log_rotate_max_files" "-log-rotate-max-files", NUMBER, words("`0`"), RESTART;
    "So many older files are kept. 0: all; -1: none."
};

const AUDIT: &[Row] = rows! {
    "audit.enabled" "", FLAG, words("`true` where there is a sink"), RESTART;
    "Whether requests are written down."
    "audit.sink.path" "", PATH, NOTHING, RESTART;
    "The file."
    "audit.sink.type" "", kind("`file`", "\"file\""), words("`file`"), RESTART;
    "Nothing else is available."
    "audit.sink.format" "", kind("`json`", "\"json\""), words("`json`"), RESTART;
    "Nothing else is available."
    "audit.sink.rotate_bytes" "", BYTES, words("`0`"), RESTART;
    "A new file is begun before the file is larger than this. 0: no limit."
    "audit.sink.rotate_duration" "", TIME, of(|_| time(LOG_ROTATE_AFTER)), RESTART;
    "A new file is begun after this time."
    "audit.sink.rotate_max_files" "", NUMBER, words("`0`"), RESTART;
    "So many older files are kept. 0: all; -1: none."
};

const TRACES: &[Row] = rows! {
    "traces.otlp_endpoint" "", kind("address", "\"http://127.0.0.1:4317\""), NOTHING, RESTART;
    "The collector that takes traces by gRPC: `http://HOST:PORT`, or `https` with a certificate that the system trusts. \
     Without one, none are made."
    "traces.sample_ratio" "", SHARE, words("`1`"), RESTART;
    "The share of those requests that come without a trace of which one is made. Where the caller has one \
     (`traceparent`), it decides."
    "traces.headers" "", PAIRS, NOTHING, RESTART;
    "What is sent along: what a hosted collector knows its customers by."
};

/// What a file registers. Their keys stand below that of the stanza.
pub const DEFINITIONS: &[Section] = &[
    Section {
        title: "Fields of a service",
        intro: "Each `service` is one instance; `services` is a list of them. A body of `/v1/agent/service/register` \
                has the same fields, written like `EnableTagOverride`. Names, tags and pairs have \
                [bounds](operations/sizing.md#limits).",
        rows: SERVICE,
    },
    Section {
        title: "Fields of a check",
        intro: "A `check` inside a service is about that instance. At the top level it is about the node, or about \
                what `service_id` says. What it does is said by one of `http`, `tcp`, `udp`, `grpc`, `h2ping`, `args`, \
                `docker_container_id`, `alias_service`, `alias_node` and `os_service`; with none of them it waits to \
                be told, within each `ttl`.",
        rows: CHECK,
    },
    Section {
        title: "Fields of a watch",
        intro: "`watches` is a list; at each change of what is watched, and once at the start, a program is run or a \
                URL is sent to. A program reads JSON on its standard input. `args`, `handler` or `http_handler_config` \
                is needed, and only one. A watch's program may be run without `enable_script_checks`.",
        rows: WATCH,
    },
];

const SERVICE: &[Row] = rows! {
    "name" "", TEXT, words("needed"), RELOAD;
    "The service."
    "id" "", TEXT, words("`name`"), RELOAD;
    "The instance: unique on the node."
    "tags" "", TEXTS, NOTHING, RELOAD;
    "What callers can choose instances by; by DNS `TAG.NAME.service.consul`."
    "address" "", TEXT, words("the node's"), RELOAD;
    "Where the instance is."
    "port" "", NUMBER, words("`0`"), RELOAD;
    "Its port. 0: none."
    "meta" "", PAIRS, NOTHING, RELOAD;
    "Free pairs: at most 64, keys of letters, digits, dashes and underscores."
    "tagged_addresses.*.address" "", TEXT, NOTHING, RELOAD;
    "Its address in the network `*`, such as `wan`."
    "tagged_addresses.*.port" "", NUMBER, words("`0`"), RELOAD;
    "Its port there."
    "weights.passing" "", NUMBER, of(|_| code(Weights::default().passing)), RELOAD;
    "Its weight in SRV records while its checks pass, 1 to 65535."
    "weights.warning" "", NUMBER, of(|_| code(Weights::default().warning)), RELOAD;
    "Its weight while one of them warns, 0 to 65535."
    "enable_tag_override" "", FLAG, OFF, RELOAD;
    "Whether tags that others write to the registry stay. Otherwise the agent puts its own back."
    "check checks" "", kind("check, or list of them", "{\"ttl\": \"10s\"}"), NOTHING, RELOAD;
    "Its checks."
    "token" "", TEXT, words("`acl.tokens.default`"), RELOAD;
    "The secret by which the instance is written to the registry."
};

const CHECK: &[Row] = rows! {
    "name" "", TEXT, words("`Service 'NAME' check` inside a service; else needed"), RELOAD;
    "For people."
    "id check_id" "", TEXT, words("`service:ID`, with a number if there are several; else `name`"), RELOAD;
    "Unique on the node."
    "notes" "", TEXT, NOTHING, RELOAD;
    "For people."
    "service_id" "", TEXT, words("the node"), RELOAD;
    "The instance that it is about. Inside a service it is that one."
    "status" "", kind("`passing`, `warning` or `critical`", "\"passing\""), words("`critical`"), RELOAD;
    "Its state until the first run."
    "interval" "", TIME, words("needed by what is run"), RELOAD;
    "The time from one run to the next. The first comes at a random moment of it."
    "timeout" "", TIME, words("`10s`; `30s` where a process is started"), RELOAD;
    "The longest a run may take."
    "ttl" "", TIME, NOTHING, RELOAD;
    "How long what the check was told counts; then it is critical. Not together with `interval`."
    "http" "", TEXT, NOTHING, RELOAD;
    "A URL that is requested: 2xx passes, 429 warns, the rest is critical. Up to ten redirects are followed."
    "method" "", TEXT, words("`GET`"), RELOAD;
    "The request's method."
    "header" "", HEADERS, NOTHING, RELOAD;
    "Its headers."
    "body" "", TEXT, NOTHING, RELOAD;
    "Its body."
    "disable_redirects" "", FLAG, OFF, RELOAD;
    "Whether redirects are the answer."
    "tcp" "", TEXT, NOTHING, RELOAD;
    "`HOST:PORT` that a connection is opened to."
    "udp" "", TEXT, NOTHING, RELOAD;
    "`HOST:PORT` that a datagram is sent to. Silence passes; that nobody listens is critical."
    "grpc" "", TEXT, NOTHING, RELOAD;
    "`HOST:PORT`, or `HOST:PORT/SERVICE`, whose gRPC health service is asked."
    "grpc_use_tls" "", FLAG, OFF, RELOAD;
    "Whether by TLS."
    "h2ping" "", TEXT, NOTHING, RELOAD;
    "`HOST:PORT` that an HTTP/2 ping is sent to."
    "h2ping_use_tls" "", FLAG, words("`true`"), RELOAD;
    "Whether by TLS."
    "tls_server_name" "", TEXT, words("the host's name in the URL or address"), RELOAD;
    "The name in the certificate of who is asked."
    "tls_skip_verify" "", FLAG, OFF, RELOAD;
    "Whether any certificate is taken."
    "args script_args" "", TEXTS, NOTHING, RELOAD;
    "A program and its arguments, run without a shell: exit code 0 passes, 1 warns, the rest is critical. It takes \
     `enable_script_checks` or `enable_local_script_checks`."
    "docker_container_id" "", TEXT, NOTHING, RELOAD;
    "A container of Docker's in which `args` is run."
    "shell" "", TEXT, NOTHING, RELOAD;
    "Kept and shown; no effect."
    "alias_service" "", TEXT, NOTHING, RELOAD;
    "The ID of an instance: as well as its checks are."
    "alias_node" "", TEXT, words("this node"), RELOAD;
    "The node of that instance; without `alias_service`, as well as that node is."
    "os_service" "", TEXT, NOTHING, RELOAD;
    "A unit of systemd's: `active` passes, on the way there or from there warns, the rest is critical."
    "success_before_passing" "", NUMBER, words("`0`"), RELOAD;
    "It passes after so many successes in a row."
    "failures_before_warning" "", NUMBER, words("`failures_before_critical`"), RELOAD;
    "It warns after so many failures in a row."
    "failures_before_critical" "", NUMBER, words("`0`"), RELOAD;
    "It is critical after so many failures in a row."
    "deregister_critical_service_after" "", TIME, words("never"), RELOAD;
    "Once it was critical for so long, its instance is deregistered; by the leader if the node is gone."
    "output_max_size" "", BYTES, of(|_| code(OUTPUT_MAX)), RELOAD;
    "So much of what it said is kept, up to 65536."
    "token" "", TEXT, words("`acl.tokens.default`"), RELOAD;
    "The secret by which the check is written to the registry. Inside a service the service has it."
};

const WATCH: &[Row] = rows! {
    "type" "", kind("word", "\"nodes\""), words("needed"), RELOAD;
    "What is watched: `service`, `services`, `nodes`, `checks`, `key`, `keyprefix` or `event`."
    "service" "", TEXT, NOTHING, RELOAD;
    "The service (`service`, `checks`)."
    "tag" "", kind("text, or list of texts", "[\"x\"]"), NOTHING, RELOAD;
    "Only instances with all of these (`service`)."
    "passingonly" "", FLAG, OFF, RELOAD;
    "Only instances whose checks all pass (`service`)."
    "state" "", TEXT, NOTHING, RELOAD;
    "Only checks in this state (`checks`)."
    "name" "", TEXT, NOTHING, RELOAD;
    "Only events of this name (`event`)."
    "filter" "", TEXT, NOTHING, RELOAD;
    "Only what this expression is true for (`service`, `services`, `nodes`, `checks`)."
    "key" "", TEXT, NOTHING, RELOAD;
    "The key (`key`)."
    "prefix" "", TEXT, NOTHING, RELOAD;
    "What the keys begin with (`keyprefix`)."
    "datacenter" "", TEXT, words("the node's"), RELOAD;
    "The datacenter (all but `event`)."
    "stale" "", FLAG, OFF, RELOAD;
    "Whether an answer that may be old will do (all but `event`)."
    "token" "", TEXT, words("`acl.tokens.default`"), RELOAD;
    "The secret to ask with."
    "args" "", TEXTS, NOTHING, RELOAD;
    "A program and its arguments, run without a shell."
    "handler" "", TEXT, NOTHING, RELOAD;
    "A line for the shell."
    "handler_type" "", kind("`script` or `http`", "\"script\""), words("what the others say"), RELOAD;
    "How changes are handled."
    "http_handler_config.path" "", kind("URL", "\"http://x/\""), words("needed"), RELOAD;
    "Where the change is sent to."
    "http_handler_config.method" "", TEXT, words("`POST`"), RELOAD;
    "By which method."
    "http_handler_config.header" "", HEADERS, NOTHING, RELOAD;
    "With which headers."
    "http_handler_config.timeout" "", TIME, words("`10s`"), RELOAD;
    "How long that may take."
    "http_handler_config.tls_skip_verify" "", FLAG, OFF, RELOAD;
    "Whether any certificate is taken."
};

/// Flags that stand in no file.
pub const FLAGS: &[(&str, &str)] = &[
    (
        "-config-file",
        "A file, `.json` or `.hcl`, or a directory whose files are read in name order; may be given several times.",
    ),
    ("-config-dir", "The same."),
    ("-config-format", "`json` or `hcl`: the format of all files, whatever their names say."),
    ("-hcl", "Settings as in a file, in HCL, read after the files; may be given several times."),
    (
        "-dev",
        "One server that keeps nothing on disk, listens on this host alone and has the web page: to try things out.",
    ),
];

/// Flags of Consul's that have no effect.
pub const IGNORED_FLAGS: &[&str] = &[
    "-auto-reload-config",
    "-check_output_max_size",
    "-default-query-time",
    "-disable-host-node-id",
    "-max-query-time",
    "-non-voting-server",
    "-primary-gateway",
    "-protocol",
    "-raft-protocol",
    "-read-replica",
    "-rejoin",
    "-segment",
    "-syslog",
    "-ui-dir",
];

/// Flags of Consul's that are refused, as the keys of the same names are.
pub const REFUSED_FLAGS: &[&str] = &["-serf-lan-allowed-cidrs", "-serf-wan-allowed-cidrs"];

/// Keys inside stanzas that have no meaning here.
pub const IGNORED_WITHIN: &[(&str, &[&str])] = &[
    ("acl", &["disabled_ttl", "msp"]),
    ("acl.tokens", &["config_file_service_registration", "managed_service_provider"]),
    ("audit.sink", &["delivery_guarantee", "mode"]),
    ("cache", &["entry_fetch_max_burst", "entry_fetch_rate"]),
    ("dns_config", &["allow_stale", "cache_max_age", "max_stale", "prefer_namespace", "use_cache"]),
    ("http_config", &["use_cache"]),
    ("limits", &["https_handshake_timeout", "request_limits", "rpc_client_timeout"]),
    ("performance", &["grpc_keepalive_interval", "grpc_keepalive_timeout", "leave_drain_time", "rpc_hold_timeout"]),
    ("ports", &["expose_max_port", "expose_min_port", "sidecar_max_port", "sidecar_min_port"]),
    ("tls.*", &["tls_cipher_suites", "use_auto_cert"]),
    (
        "ui_config",
        &["dir", "metrics_provider", "metrics_provider_files", "metrics_provider_options_json", "metrics_proxy"],
    ),
];

/// Keys of a service or check that have no meaning here.
pub const IGNORED_IN_DEFINITIONS: &[&str] =
    &["connect", "kind", "locality", "namespace", "ns", "partition", "proxy", "socket_path"];
