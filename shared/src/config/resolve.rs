//! Defaults, and what must fit together: from what was said to what is meant.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use smol_str::SmolStr;
use uuid::Uuid;

use super::{
    Config, Join, Listen, Log, LogFile, RoleConfig, acl, audit, error::ConfigError, gossip, host::Host, http_config,
    limits, partial::Partial, tls, traces,
};
use crate::{
    agent::{ScriptChecks, WithoutServers},
    catalog::Protection,
    dns,
    http::{MAX_COPIES, RemoteService},
    model::Meta,
};

const HTTP_PORT: u16 = 8500;
const DNS_PORT: u16 = 8600;
const GRPC_PORT: u16 = 8502;
const GRPC_TLS_PORT: u16 = 8503;
const SERF_LAN_PORT: u16 = 8301;
const SERF_WAN_PORT: u16 = 8302;
const SERVER_PORT: u16 = 8300;
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
const DISCOVERY_MAX_STALE: Duration = Duration::from_secs(72 * 3600);
const PROTECTION_WINDOW: Duration = Duration::from_secs(60);
const CHECK_UPDATE_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// A name must fit into a DNS label (RFC 1035, section 2.3.4); longer nodes work but cannot be found by DNS.
const NAME_BYTES_MAX: usize = 128;
const RECURSOR_PORT: u16 = 53;
pub(super) const LOG_ROTATE_AFTER: Duration = Duration::from_secs(24 * 3600);
/// The file that Consul's own tools look for in a directory of logs.
const LOG_FILE_NAME: &str = "consul.log";
const RAFT_MULTIPLIER_MAX: u32 = 10;
/// How the address of a socket in the file system begins.
const UNIX: &str = "unix://";

pub(super) type Resolved<T> = Result<T, ConfigError>;

/// Makes a configuration of what was said.
pub fn resolve(said: Partial, host: Host) -> Resolved<Config> {
    let dev = said.dev.unwrap_or(false);
    let role = role(&said, dev)?;
    let is_server = role != RoleConfig::Sidecar;
    if is_server && !dev && said.data_dir.is_none() {
        return Err(ConfigError::setting(
            "-data-dir",
            "a server needs a directory for its log (or -dev to keep nothing)",
        ));
    }
    let bind = match &said.bind_addr {
        Some(text) => ip("-bind", text, host)?,
        None if dev => Ipv4Addr::LOCALHOST.into(),
        None => Ipv4Addr::UNSPECIFIED.into(),
    };
    let node_name = node_name(&said)?;
    let datacenter = datacenter(&said)?;
    let listen = listen(&said, bind, is_server, host)?;
    let dns = dns_settings(&said, &datacenter, &node_name, &listen, host)?;
    let in_wan_pool = is_server && listen.serf_wan > 0;
    let ignored = ignored(&said, in_wan_pool);
    let (http_limits, rpc_limits, rpc_rate) = (limits::http(&said)?, limits::rpc(&said), limits::rpc_rate(&said)?);
    let (grpc_limits, grpc_streams_per_client) = (limits::grpc(&said), limits::grpc_streams(&said));
    Ok(Config {
        node_id: node_id(&said)?,
        role,
        advertise: advertise(&said, bind, host)?,
        tagged_addresses: tagged_addresses(&said, host)?,
        script_checks: script_checks(&said),
        without_servers: without_servers(&said)?,
        protection: protection(&said)?,
        tls: tls::settings(&said, &datacenter, &dns.domain.to_string(), &listen)?,
        dns,
        gossip: gossip::gossip(&said)?,
        acl: acl::acl(&said, &datacenter, &node_name, is_server)?,
        audit: audit::audit(&said)?,
        traces: traces::traces(&said)?,
        listen,
        http_access: http_config::access(&said)?,
        page: http_config::page(&said, dev)?,
        remote_copies: remote_copies(&said, &datacenter)?,
        log: log(&said)?,
        join: join(
            ["-join", "-retry-join"],
            [&said.start_join, &said.retry_join],
            said.retry_interval,
            said.retry_max,
            host,
        )?,
        join_wan: join_wan(&said, in_wan_pool, host)?,
        pid_file: said.pid_file,
        enable_debug: said.enable_debug.unwrap_or(dev),
        node_name,
        node_meta: said.node_meta,
        datacenter,
        data_dir: if dev { None } else { said.data_dir },
        discovery_max_stale: said.discovery_max_stale.unwrap_or(DISCOVERY_MAX_STALE),
        check_update_interval: said.check_update_interval.unwrap_or(CHECK_UPDATE_INTERVAL),
        http_limits,
        rpc_limits,
        rpc_rate,
        grpc_limits,
        grpc_streams_per_client,
        services: said.services,
        checks: said.checks,
        watches: said.watches,
        leave_on_terminate: said.leave_on_terminate.unwrap_or(!is_server),
        skip_leave_on_interrupt: said.skip_leave_on_interrupt.unwrap_or(is_server),
        ignored,
    })
}

/// The services that `cache.remote` names, each as `DATACENTER:SERVICE`.
fn remote_copies(said: &Partial, own: &str) -> Resolved<Vec<RemoteService>> {
    let wrong = |problem: String| ConfigError::setting("cache.remote", problem);
    if said.cache_remote.len() > MAX_COPIES {
        return Err(wrong(format!("{} services, more than {MAX_COPIES}", said.cache_remote.len())));
    }
    let service = |text: &String| match text.split_once(':') {
        Some((datacenter, service)) if !datacenter.is_empty() && !service.is_empty() && !service.contains(':') => {
            if datacenter.eq_ignore_ascii_case(own) {
                return Err(wrong(format!(
                    "{text:?} is of this datacenter, of which every node has a copy (remove it)"
                )));
            }
            Ok(RemoteService { datacenter: datacenter.into(), service: service.into() })
        }
        _ => Err(wrong(format!("{text:?} names no service of a datacenter (write \"dc2:payments\")"))),
    };
    said.cache_remote.iter().map(service).collect()
}

fn protection(said: &Partial) -> Resolved<Option<Protection>> {
    let Some(threshold) = said.protection_threshold else { return Ok(None) };
    if !(0.0..1.0).contains(&threshold) {
        let problem = format!("{threshold} is no share (give 0 to less than 1, such as 0.5)");
        return Err(ConfigError::setting("discovery_protection.threshold", problem));
    }
    let window = said.protection_window.unwrap_or(PROTECTION_WINDOW);
    Ok(Some(Protection { threshold, window }))
}

fn without_servers(said: &Partial) -> Resolved<WithoutServers> {
    match said.local_registrations.as_deref() {
        None | Some("queue") => Ok(WithoutServers::Queue),
        Some("refuse") => Ok(WithoutServers::Refuse),
        Some(other) => {
            let problem = format!("{other:?} is no way to go on (give \"queue\" or \"refuse\")");
            Err(ConfigError::setting("local_registrations_without_servers", problem))
        }
    }
}

fn script_checks(said: &Partial) -> ScriptChecks {
    match (said.enable_script_checks.unwrap_or(false), said.enable_local_script_checks.unwrap_or(false)) {
        (true, _) => ScriptChecks::Everywhere,
        (false, true) => ScriptChecks::FromFiles,
        (false, false) => ScriptChecks::Off,
    }
}

fn role(said: &Partial, dev: bool) -> Resolved<RoleConfig> {
    let bootstrap = said.bootstrap.unwrap_or(false);
    let expect = said.bootstrap_expect.unwrap_or(0);
    if !said.server.unwrap_or(dev) {
        let problem = "only a server can form a cluster (add -server)";
        return match (bootstrap, expect) {
            (true, _) => Err(ConfigError::setting("-bootstrap", problem)),
            (_, 1..) => Err(ConfigError::setting("-bootstrap-expect", problem)),
            _ => Ok(RoleConfig::Sidecar),
        };
    }
    if bootstrap && expect > 1 {
        return Err(ConfigError::setting(
            "-bootstrap",
            format!("does not go with -bootstrap-expect={expect} (give one)"),
        ));
    }
    let raft_multiplier = said.raft_multiplier.unwrap_or(1);
    if !(1..=RAFT_MULTIPLIER_MAX).contains(&raft_multiplier) {
        let problem = format!("{raft_multiplier} is not between 1 and {RAFT_MULTIPLIER_MAX}");
        return Err(ConfigError::setting("performance.raft_multiplier", problem));
    }
    let expect = if bootstrap || (dev && expect == 0) { 1 } else { expect };
    let snapshot_entries = said.raft_snapshot_threshold;
    if snapshot_entries == Some(0) {
        return Err(ConfigError::setting(
            "raft_snapshot_threshold",
            "0 log entries cannot be counted (give 1 or more)",
        ));
    }
    Ok(RoleConfig::Server { expect, raft_multiplier, snapshot_entries, kept_entries: said.raft_trailing_logs })
}

fn node_name(said: &Partial) -> Resolved<String> {
    let name = match &said.node_name {
        Some(name) => name.to_string(),
        None => host_name().ok_or_else(|| ConfigError::setting("-node", "the host has no name (give one)"))?,
    };
    let printable = |c: char| !c.is_control() && !c.is_whitespace() && c != '/';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(printable) {
        let problem = format!("{name:?} is no node name (1 to {NAME_BYTES_MAX} letters, digits, dashes, dots)");
        return Err(ConfigError::setting("-node", problem));
    }
    Ok(name)
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_string())
}

fn datacenter(said: &Partial) -> Resolved<String> {
    let name = said.datacenter.as_deref().unwrap_or("dc1").to_lowercase();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) {
        let problem = format!("{name:?} is no datacenter (letters, digits, dashes and underscores)");
        return Err(ConfigError::setting("-datacenter", problem));
    }
    Ok(name)
}

fn node_id(said: &Partial) -> Resolved<Option<Uuid>> {
    let Some(text) = &said.node_id else { return Ok(None) };
    let id = Uuid::parse_str(text);
    id.map(Some).map_err(|_| ConfigError::setting("-node-id", format!("{text:?} is no UUID (leave it out to get one)")))
}

fn ip(setting: &'static str, text: &str, host: Host) -> Resolved<IpAddr> {
    let text = host.expand(setting, text)?;
    parse_ip(setting, text.trim())
}

fn parse_ip(setting: &'static str, text: &str) -> Resolved<IpAddr> {
    let text = text.trim_matches(['[', ']']);
    text.parse().map_err(|_| ConfigError::setting(setting, format!("{text:?} is no IP address (such as 10.0.0.1)")))
}

/// The bind address or, where that is a wildcard, the host's only private address.
fn advertise(said: &Partial, bind: IpAddr, host: Host) -> Resolved<IpAddr> {
    if let Some(text) = &said.advertise_addr {
        let address = ip("-advertise", text, host)?;
        if address.is_unspecified() {
            return Err(ConfigError::setting("-advertise", format!("{text} is no address others can reach")));
        }
        return Ok(address);
    }
    if !bind.is_unspecified() {
        return Ok(bind);
    }
    let interfaces = host.interfaces("-bind")?;
    let private = interfaces.into_iter().map(|interface| interface.address).filter(is_private);
    match private.collect::<Vec<_>>()[..] {
        [one] => Ok(one),
        [] => {
            Err(ConfigError::setting("-advertise", "the host has no private IPv4 address (give -bind or -advertise)"))
        }
        [first, second, ..] => {
            let problem =
                format!("the host has several private addresses, {first} and {second} (give -bind or -advertise)");
            Err(ConfigError::setting("-advertise", problem))
        }
    }
}

fn is_private(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_private())
}

fn listen(said: &Partial, bind: IpAddr, is_server: bool, host: Host) -> Resolved<Listen> {
    let client = said.client_addr.as_deref().unwrap_or("127.0.0.1");
    let needed = |setting, said: Option<i32>, default| {
        let port = port(setting, said, default)?;
        port.ok_or_else(|| ConfigError::setting(setting, "this port cannot be off (give 1 to 65535)"))
    };
    let client = host.expand("-client", client)?;
    let client = client.as_str();
    let of = |setting, said: &Option<SmolStr>| said.as_deref().map(|text| host.expand(setting, text)).transpose();
    let (http, dns) = (of("addresses.http", &said.http_addr)?, of("addresses.dns", &said.dns_addr)?);
    let grpc = of("addresses.grpc", &said.grpc_addr)?;
    let grpc_port = port("-grpc-port", said.grpc_port, GRPC_PORT)?;
    let bound = |setting, said: &Option<SmolStr>| said.as_deref().map_or(Ok(bind), |text| ip(setting, text, host));
    let http_port = port("-http-port", said.http_port, HTTP_PORT)?;
    let http = http.as_deref().unwrap_or(client).split_whitespace();
    let (http_paths, http): (Vec<_>, Vec<_>) = http.partition(|text| text.starts_with(UNIX));
    let http_paths = http_paths.into_iter().filter(|_| http_port.is_some());
    let https = of("addresses.https", &said.https_addr)?;
    let https_port = said.https_port.map_or(Ok(None), |said| port("-https-port", Some(said), 0))?;
    let grpc_tls = of("addresses.grpc_tls", &said.grpc_tls_addr)?;
    let grpc_tls_is_wanted = said.grpc_tls_port.is_some() || said.grpc_tls_addr.is_some();
    let grpc_tls_port = match grpc_tls_is_wanted || (is_server && tls::has_certificate(said, "grpc")) {
        true => port("-grpc-tls-port", said.grpc_tls_port, GRPC_TLS_PORT)?,
        false => None,
    };
    Ok(Listen {
        bind,
        serf_lan_bind: bound("-serf-lan-bind", &said.serf_lan_addr)?,
        serf_wan_bind: bound("-serf-wan-bind", &said.serf_wan_addr)?,
        serf_lan: needed("-serf-lan-port", said.serf_lan_port, SERF_LAN_PORT)?,
        serf_wan: port("-serf-wan-port", said.serf_wan_port, SERF_WAN_PORT)?.unwrap_or(0),
        server: needed("-server-port", said.server_port, SERVER_PORT)?,
        http: sockets("addresses.http", &http.join(" "), http_port)?,
        http_paths: http_paths.map(|text| text.trim_start_matches(UNIX).into()).collect(),
        unix_sockets: http_config::unix_sockets(said)?,
        dns: sockets("addresses.dns", dns.as_deref().unwrap_or(client), port("-dns-port", said.dns_port, DNS_PORT)?)?,
        grpc: sockets("addresses.grpc", grpc.as_deref().unwrap_or(client), grpc_port)?,
        grpc_is_wanted: said.grpc_port.is_some() || said.grpc_addr.is_some(),
        https: sockets("addresses.https", https.as_deref().unwrap_or(client), https_port)?,
        grpc_tls: sockets("addresses.grpc_tls", grpc_tls.as_deref().unwrap_or(client), grpc_tls_port)?,
        grpc_tls_is_wanted,
    })
}

/// None where it is off (zero or less, as in Consul).
fn port(setting: &'static str, said: Option<i32>, default: u16) -> Resolved<Option<u16>> {
    match said {
        None => Ok(Some(default)),
        Some(..=0) => Ok(None),
        Some(number) => u16::try_from(number).map(Some).map_err(|_| {
            ConfigError::setting(setting, format!("{number} is no port (give 1 to 65535, or -1 for off)"))
        }),
    }
}

fn sockets(setting: &'static str, addresses: &str, port: Option<u16>) -> Resolved<Vec<SocketAddr>> {
    let Some(port) = port else { return Ok(Vec::new()) };
    if addresses.starts_with(UNIX) {
        return Err(ConfigError::setting(
            setting,
            "only the HTTP interface can be on a unix socket (give an IP address)",
        ));
    }
    addresses.split_whitespace().map(|text| Ok(SocketAddr::new(parse_ip(setting, text)?, port))).collect()
}

/// The addresses for certain networks; a template stands for one.
fn tagged_addresses(said: &Partial, host: Host) -> Resolved<Meta> {
    let of = |(network, address): (&SmolStr, &SmolStr)| {
        let setting = if network == "wan" { "-advertise-wan" } else { "tagged_addresses" };
        Ok((network.clone(), ip(setting, address, host)?.to_string().into()))
    };
    said.tagged_addresses.iter().map(of).collect()
}

/// The recursors, each once: an address, with a port where it is not 53. One of our own addresses would have us ask
/// ourselves for ever.
fn recursors(said: &Partial, listen: &Listen, host: Host) -> Resolved<Vec<SocketAddr>> {
    let mut recursors: Vec<SocketAddr> = Vec::new();
    let expanded = |text: &SmolStr| host.expand("recursors", text);
    let written = said.recursors.iter().map(expanded).collect::<Resolved<Vec<String>>>()?;
    for text in written.iter().flat_map(|text| text.split_whitespace()) {
        let problem = |why| ConfigError::setting("recursors", format!("{text:?} {why}"));
        let address = match text.parse() {
            Ok(address) => address,
            Err(_) => {
                text.trim_matches(['[', ']']).parse().map(|ip: IpAddr| SocketAddr::new(ip, RECURSOR_PORT)).map_err(
                    |_| problem("is no IP address, with or without a port (such as 10.0.0.53 or 10.0.0.53:5353)"),
                )?
            }
        };
        if address.port() == 0 || address.ip().is_unspecified() {
            return Err(problem("is nobody's address (give one that a DNS server listens on)"));
        }
        if listen.dns.contains(&address) {
            return Err(problem("is this agent's own DNS interface (give another DNS server)"));
        }
        if !recursors.contains(&address) {
            recursors.push(address);
        }
    }
    Ok(recursors)
}

fn recursor_strategy(said: &Partial) -> Resolved<dns::RecursorStrategy> {
    match said.recursor_strategy.as_deref() {
        None | Some("sequential") => Ok(dns::RecursorStrategy::Sequential),
        Some("random") => Ok(dns::RecursorStrategy::Random),
        Some(other) => {
            let problem = format!("{other:?} is no strategy (give \"sequential\" or \"random\")");
            Err(ConfigError::setting("dns_config.recursor_strategy", problem))
        }
    }
}

/// Only servers are in the WAN pool. To join it at the start is refused elsewhere, as Consul does; to try is
/// pointless and named among what has no effect (see [`ignored`]).
fn join_wan(said: &Partial, in_pool: bool, host: Host) -> Resolved<Join> {
    if !in_pool && !said.start_join_wan.is_empty() {
        let problem = "only a server whose WAN port is on is in the WAN pool (add -server, or remove this)";
        return Err(ConfigError::setting("-join-wan", problem));
    }
    if !in_pool {
        return Ok(Join::default());
    }
    let targets = [&said.start_join_wan, &said.retry_join_wan];
    join(["-join-wan", "-retry-join-wan"], targets, said.retry_interval_wan, said.retry_max_wan, host)
}

fn join(
    settings: [&'static str; 2],
    [start, retry]: [&Vec<String>; 2],
    interval: Option<Duration>,
    max: Option<u32>,
    host: Host,
) -> Resolved<Join> {
    let targets = |setting: &'static str, given: &[String]| {
        let mut targets = Vec::new();
        for text in given {
            if text.contains("provider=") {
                let problem = format!("{text:?}: a cloud cannot be asked for its machines (give addresses or names)");
                return Err(ConfigError::setting(setting, problem));
            }
            targets.extend(host.expand(setting, text)?.split_whitespace().map(String::from));
        }
        Ok(targets)
    };
    Ok(Join {
        start: targets(settings[0], start)?,
        retry: targets(settings[1], retry)?,
        interval: interval.unwrap_or(RETRY_INTERVAL).max(Duration::from_secs(1)),
        max: max.unwrap_or(0),
    })
}

/// What has no effect on this node. Two files may name the same setting; the warning names it once.
fn ignored(said: &Partial, in_wan_pool: bool) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let wan = (!in_wan_pool && !said.retry_join_wan.is_empty()).then(|| "retry_join_wan".to_string());
    said.ignored.iter().cloned().chain(wan).filter(|name| seen.insert(name.clone())).collect()
}

fn dns_settings(
    said: &Partial,
    datacenter: &str,
    node_name: &str,
    listen: &Listen,
    host: Host,
) -> Resolved<dns::Settings> {
    let default = dns::Settings::default();
    let domain = |setting, text: &Option<SmolStr>| match text {
        None => Ok(None),
        Some(text) => dns::domain(text).map(Some).map_err(|error| ConfigError::setting(setting, error.to_string())),
    };
    Ok(dns::Settings {
        domain: domain("-domain", &said.domain)?.unwrap_or(default.domain),
        alt_domain: domain("-alt-domain", &said.alt_domain)?,
        datacenter: datacenter.into(),
        node_name: node_name.into(),
        node_ttl: said.node_ttl.unwrap_or(default.node_ttl),
        service_ttl: said.service_ttl.clone(),
        udp_answer_limit: said.udp_answer_limit.unwrap_or(default.udp_answer_limit),
        a_record_limit: said.a_record_limit.unwrap_or(default.a_record_limit),
        enable_truncate: said.enable_truncate.unwrap_or(default.enable_truncate),
        only_passing: said.only_passing.unwrap_or(default.only_passing),
        protection: protection(said)?,
        node_meta_txt: said.node_meta_txt.unwrap_or(default.node_meta_txt),
        disable_compression: said.disable_compression.unwrap_or(default.disable_compression),
        recursors: recursors(said, listen, host)?,
        recursion_networks: limits::recursion_networks(said)?,
        responses: limits::dns_responses(said),
        recursor_timeout: said.recursor_timeout.unwrap_or(default.recursor_timeout),
        recursor_strategy: recursor_strategy(said)?,
        soa: dns::Soa {
            refresh: said.soa_refresh.unwrap_or(default.soa.refresh),
            retry: said.soa_retry.unwrap_or(default.soa.retry),
            expire: said.soa_expire.unwrap_or(default.soa.expire),
            min_ttl: said.soa_min_ttl.unwrap_or(default.soa.min_ttl),
        },
    })
}

fn log(said: &Partial) -> Resolved<Log> {
    let level = said.log_level.as_deref().unwrap_or("info").to_lowercase();
    if !["trace", "debug", "info", "warn", "err", "error"].contains(&level.as_str()) {
        let problem = format!("{level:?} is no log level (give trace, debug, info, warn or err)");
        return Err(ConfigError::setting("-log-level", problem));
    }
    Ok(Log { level: level.into(), json: said.log_json.unwrap_or(false), file: log_file(said)? })
}

/// As in Consul: a directory (it ends in `/`) gets a file of a fixed name, a name without an ending gets `.log`.
fn log_file(said: &Partial) -> Resolved<Option<LogFile>> {
    let Some(written) = said.log_file.as_deref() else { return Ok(None) };
    let mut path = PathBuf::from(written);
    if written.ends_with('/') || path.is_dir() {
        path.push(LOG_FILE_NAME);
    } else if path.extension().is_none() {
        path.set_extension("log");
    }
    let bytes = said.log_rotate_bytes.unwrap_or(0);
    let rotate_bytes = u64::try_from(bytes)
        .map_err(|_| ConfigError::setting("-log-rotate-bytes", format!("{bytes} is no size (0: any size)")))?;
    let keep = match said.log_rotate_max_files.unwrap_or(0) {
        0 => None,
        count => Some(usize::try_from(count).unwrap_or(0)),
    };
    let rotate_after = said.log_rotate_duration.filter(|after| !after.is_zero()).unwrap_or(LOG_ROTATE_AFTER);
    Ok(Some(LogFile { path, rotate_bytes, rotate_after, keep }))
}
