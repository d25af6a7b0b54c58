//! From the tree of a file to settings: every key that is carried out, in any letter case. A file may hold settings,
//! `service`, `services`, `check`, `checks` and `watches` in any mixture. A key that nobody knows is an error.
//!
//! `keys` has those that are accepted and ignored, or refused.

use serde_json::Value;
use smol_str::SmolStr;

use super::{acl, audit, keys, partial::Partial, tls, traces};
use crate::{
    agent::{
        definition::{CheckRegistration, DefinitionError, Fields, ServiceDefinition, Strictness},
        duration,
    },
    watch,
};

/// The share of a service's instances, where protection is asked for without one.
const PROTECTION_THRESHOLD: f64 = 0.5;

/// Reads the settings of one file.
///
/// # Errors
/// Names the key: it is unknown, of another shape, or promises what this version does not keep.
pub fn decode(value: &Value) -> Result<Partial, DefinitionError> {
    let mut owned = Fields::of(value, Strictness::File)?;
    let fields = &mut owned;
    keys::refuse(fields)?;
    let mut partial = Partial::default();
    node(fields, &mut partial)?;
    addresses(fields, &mut partial)?;
    ports(fields, &mut partial)?;
    joining(fields, &mut partial)?;
    gossip(fields, &mut partial)?;
    dns(fields, &mut partial)?;
    http(fields, &mut partial)?;
    tls::decode(fields, &mut partial)?;
    agent(fields, &mut partial)?;
    acl::decode(fields, &mut partial)?;
    audit::decode(fields, &mut partial)?;
    traces::decode(fields, &mut partial)?;
    limits(fields, &mut partial)?;
    log(fields, &mut partial)?;
    definitions(fields, &mut partial)?;
    partial.ignored.extend(keys::ignore(fields));
    owned.finish()?;
    Ok(partial)
}

pub(super) fn some_text(fields: &mut Fields<'_>, name: &str) -> Result<Option<SmolStr>, DefinitionError> {
    fields.text(name).map(|text| (!text.is_empty()).then_some(text))
}

fn node(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    partial.node_name = some_text(fields, "nodename")?;
    partial.node_id = some_text(fields, "nodeid")?;
    partial.node_meta = fields.map("nodemeta")?;
    partial.datacenter = some_text(fields, "datacenter")?;
    partial.data_dir = some_text(fields, "datadir")?.map(|dir| dir.as_str().into());
    partial.server = fields.optional_flag("server")?;
    partial.bootstrap = fields.optional_flag("bootstrap")?;
    partial.bootstrap_expect = fields.number("bootstrapexpect")?;
    partial.raft_snapshot_threshold = fields.number("raftsnapshotthreshold")?;
    partial.raft_trailing_logs = fields.number("rafttrailinglogs")?;
    if let Some(mut performance) = fields.fields("performance")? {
        partial.raft_multiplier = performance.number("raftmultiplier")?;
        performance.ignore(&["grpckeepaliveinterval", "grpckeepalivetimeout", "leavedraintime", "rpcholdtimeout"]);
        performance.finish().map_err(|error| error.within("performance"))?;
    }
    Ok(())
}

fn addresses(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    partial.bind_addr = some_text(fields, "bindaddr")?;
    partial.advertise_addr = some_text(fields, "advertiseaddr")?;
    partial.client_addr = some_text(fields, "clientaddr")?;
    partial.serf_lan_addr = some_text(fields, "serflan")?;
    partial.serf_wan_addr = some_text(fields, "serfwan")?;
    partial.translate_wan_addrs = fields.optional_flag("translatewanaddrs")?;
    partial.tagged_addresses = fields.map("taggedaddresses")?;
    for (key, network) in [
        ("advertiseaddrwan", "wan"),
        ("advertiseaddripv4", "lan_ipv4"),
        ("advertiseaddripv6", "lan_ipv6"),
        ("advertiseaddrwanipv4", "wan_ipv4"),
        ("advertiseaddrwanipv6", "wan_ipv6"),
    ] {
        partial.tagged_addresses.extend(some_text(fields, key)?.map(|address| (network.into(), address)));
    }
    if let Some(mut addresses) = fields.fields("addresses")? {
        partial.http_addr = some_text(&mut addresses, "http")?;
        partial.dns_addr = some_text(&mut addresses, "dns")?;
        partial.grpc_addr = some_text(&mut addresses, "grpc")?;
        partial.https_addr = some_text(&mut addresses, "https")?;
        partial.grpc_tls_addr = some_text(&mut addresses, "grpctls")?;
        addresses.finish().map_err(|error| error.within("addresses"))?;
    }
    Ok(())
}

fn ports(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let Some(mut ports) = fields.fields("ports")? else { return Ok(()) };
    partial.http_port = ports.number("http")?;
    partial.dns_port = ports.number("dns")?;
    partial.grpc_port = ports.number("grpc")?;
    partial.serf_lan_port = ports.number("serflan")?;
    partial.serf_wan_port = ports.number("serfwan")?;
    partial.server_port = ports.number("server")?;
    partial.https_port = ports.number("https")?;
    partial.grpc_tls_port = ports.number("grpctls")?;
    let unused = ["sidecarminport", "sidecarmaxport", "exposeminport", "exposemaxport"];
    partial.ignored.extend(ports.ignore(&unused).into_iter().map(|key| format!("ports.{key}")));
    ports.finish().map_err(|error| error.within("ports"))
}

fn joining(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let texts = |list: Vec<SmolStr>| list.into_iter().map(String::from).collect();
    partial.start_join = texts(fields.texts("startjoin")?);
    partial.retry_join = texts(fields.texts("retryjoin")?);
    partial.retry_interval = fields.optional_duration("retryinterval")?;
    partial.retry_max = fields.number("retrymax")?;
    partial.start_join_wan = texts(fields.texts("startjoinwan")?);
    partial.retry_join_wan = texts(fields.texts("retryjoinwan")?);
    partial.retry_interval_wan = fields.optional_duration("retryintervalwan")?;
    partial.retry_max_wan = fields.number("retrymaxwan")?;
    Ok(())
}

fn gossip(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    partial.encrypt = some_text(fields, "encrypt")?;
    partial.encrypt_verify_incoming = fields.optional_flag("encryptverifyincoming")?;
    partial.encrypt_verify_outgoing = fields.optional_flag("encryptverifyoutgoing")?;
    partial.disable_keyring_file = fields.optional_flag("disablekeyringfile")?;
    partial.reconnect_timeout = fields.optional_duration("reconnecttimeout")?;
    partial.reconnect_timeout_wan = fields.optional_duration("reconnecttimeoutwan")?;
    partial.left_timeout = fields.optional_duration("lefttimeout")?;
    let share = fields.take("failingnodesshare").map(|(_, value)| {
        let problem = || DefinitionError::invalid(format!("failing_nodes_share: {value} is no number"));
        value.as_f64().ok_or_else(problem)
    });
    partial.failing_nodes_share = share.transpose()?;
    Ok(())
}

fn http(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let texts = |list: Vec<SmolStr>| list.into_iter().map(String::from).collect();
    partial.http_response_headers = fields.map("httpapiresponseheaders")?;
    if let Some(mut http) = fields.fields("httpconfig")? {
        partial.http_response_headers.extend(http.map("responseheaders")?);
        partial.http_block_endpoints = texts(http.texts("blockendpoints")?);
        partial.http_write_from = texts(http.texts("allowwritehttpfrom")?);
        partial.http_max_header_bytes = http.number("maxheaderbytes")?;
        http.ignore(&["usecache"]);
        http.finish().map_err(|error| error.within("http_config"))?;
    }
    partial.ui = fields.optional_flag("ui")?;
    partial.ui_path = some_text(fields, "uicontentpath")?;
    if let Some(mut page) = fields.fields("uiconfig")? {
        partial.ui = page.optional_flag("enabled")?.or(partial.ui);
        partial.ui_path = some_text(&mut page, "contentpath")?.or(partial.ui_path.take());
        let mut dashboards = page.map("dashboardurltemplates")?;
        partial.ui_dashboard = dashboards.remove("service");
        let unknown = dashboards.keys().map(|name| format!("ui_config.dashboard_url_templates.{name}"));
        partial.ignored.extend(unknown);
        let unused = ["dir", "metricsprovider", "metricsproviderfiles", "metricsprovideroptionsjson", "metricsproxy"];
        partial.ignored.extend(page.ignore(&unused).into_iter().map(|key| format!("ui_config.{key}")));
        page.finish().map_err(|error| error.within("ui_config"))?;
    }
    if let Some(mut sockets) = fields.fields("unixsockets")? {
        partial.unix_user = some_text(&mut sockets, "user")?;
        partial.unix_group = some_text(&mut sockets, "group")?;
        partial.unix_mode = some_text(&mut sockets, "mode")?;
        sockets.finish().map_err(|error| error.within("unix_sockets"))?;
    }
    Ok(())
}

fn dns(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    partial.domain = some_text(fields, "domain")?;
    partial.alt_domain = some_text(fields, "altdomain")?;
    partial.recursors = fields.texts("recursors")?.into_iter().chain(some_text(fields, "recursor")?).collect();
    let Some(mut dns) = fields.fields("dnsconfig")? else { return Ok(()) };
    partial.node_ttl = dns.optional_duration("nodettl")?;
    for (service, ttl) in dns.map("servicettl")? {
        let ttl = duration::parse(&ttl).map_err(|error| {
            DefinitionError::invalid(format!("dns_config: service_ttl: {service}: {}", error.explain()))
        })?;
        partial.service_ttl.insert(service.to_lowercase().into(), ttl);
    }
    partial.only_passing = dns.optional_flag("onlypassing")?;
    partial.enable_truncate = dns.optional_flag("enabletruncate")?;
    partial.udp_answer_limit = dns.number("udpanswerlimit")?;
    partial.a_record_limit = dns.number("arecordlimit")?;
    partial.disable_compression = dns.optional_flag("disablecompression")?;
    partial.node_meta_txt = dns.optional_flag("enableadditionalnodemetatxt")?;
    if let Some(mut soa) = dns.fields("soa")? {
        partial.soa_refresh = soa.number("refresh")?;
        partial.soa_retry = soa.number("retry")?;
        partial.soa_expire = soa.number("expire")?;
        partial.soa_min_ttl = soa.number("minttl")?;
        soa.finish().map_err(|error| error.within("dns_config: soa"))?;
    }
    partial.recursor_timeout = dns.optional_duration("recursortimeout")?;
    partial.recursor_strategy = some_text(&mut dns, "recursorstrategy")?;
    partial.dns_response_rate_limit =
        rate(&mut dns, "responseratelimit").map_err(|error| error.within("dns_config"))?;
    partial.recursion_networks = dns.texts("recursionnetworks")?;
    let unused = ["allowstale", "maxstale", "usecache", "cachemaxage", "prefernamespace"];
    partial.ignored.extend(dns.ignore(&unused).into_iter().map(|key| format!("dns_config.{key}")));
    dns.finish().map_err(|error| error.within("dns_config"))
}

fn agent(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    partial.discovery_max_stale = fields.optional_duration("discoverymaxstale")?;
    protection(fields, partial)?;
    cache(fields, partial)?;
    partial.local_registrations = some_text(fields, "localregistrationswithoutservers")?;
    partial.check_update_interval = fields.optional_duration("checkupdateinterval")?;
    partial.leave_on_terminate = fields.optional_flag("leaveonterminate")?;
    partial.skip_leave_on_interrupt = fields.optional_flag("skipleaveoninterrupt")?;
    partial.enable_script_checks = fields.optional_flag("enablescriptchecks")?;
    partial.enable_local_script_checks = fields.optional_flag("enablelocalscriptchecks")?;
    partial.enable_debug = fields.optional_flag("enabledebug")?;
    partial.pid_file = some_text(fields, "pidfile")?.map(|path| path.as_str().into());
    Ok(())
}

fn cache(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let Some(mut cache) = fields.fields("cache")? else { return Ok(()) };
    partial.cache_remote = cache.texts("remote")?.into_iter().map(String::from).collect();
    let unused = ["entryfetchrate", "entryfetchmaxburst"];
    partial.ignored.extend(cache.ignore(&unused).into_iter().map(|key| format!("cache.{key}")));
    cache.finish().map_err(|error| error.within("cache"))
}

fn protection(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let Some(mut protection) = fields.fields("discoveryprotection")? else { return Ok(()) };
    let threshold = protection.take("threshold").map(|(_, value)| {
        let problem = || DefinitionError::invalid(format!("discovery_protection: threshold: {value} is no number"));
        value.as_f64().ok_or_else(problem)
    });
    partial.protection_threshold = Some(threshold.transpose()?.unwrap_or(PROTECTION_THRESHOLD));
    partial.protection_window = protection.optional_duration("window")?;
    protection.finish().map_err(|error| error.within("discovery_protection"))
}

fn limits(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let Some(mut limits) = fields.fields("limits")? else { return Ok(()) };
    partial.http_max_conns_per_client = limits.number("httpmaxconnsperclient")?;
    partial.http_max_watches_per_client = limits.number("httpmaxwatchesperclient")?;
    partial.http_rate_per_client = rate(&mut limits, "httprateperclient")?;
    partial.http_burst_per_client = limits.number("httpburstperclient")?;
    partial.http_rate_per_token = rate(&mut limits, "httpratepertoken")?;
    partial.http_burst_per_token = limits.number("httpburstpertoken")?;
    partial.rpc_max_conns_per_client = limits.number("rpcmaxconnsperclient")?;
    partial.rpc_handshake_timeout = limits.optional_duration("rpchandshaketimeout")?;
    partial.rpc_rate = rate(&mut limits, "rpcrate")?;
    partial.rpc_max_burst = limits.number("rpcmaxburst")?;
    partial.grpc_max_conns_per_client = limits.number("grpcmaxconnsperclient")?;
    partial.grpc_max_streams_per_client = limits.number("grpcmaxstreamsperclient")?;
    partial.kv_max_value_size = limits.number("kvmaxvaluesize")?;
    partial.txn_max_req_len = limits.number("txnmaxreqlen")?;
    partial.txn_max_ops = limits.number("txnmaxops")?;
    let unused = ["httpshandshaketimeout", "requestlimits", "rpcclienttimeout"];
    partial.ignored.extend(limits.ignore(&unused).into_iter().map(|key| format!("limits.{key}")));
    limits.finish().map_err(|error| error.within("limits"))
}

/// So many a second; a negative number, as in Consul, is no limit.
pub(super) fn rate(fields: &mut Fields<'_>, name: &str) -> Result<Option<f64>, DefinitionError> {
    let read = |(key, value): (&str, &Value)| {
        value.as_f64().ok_or_else(|| DefinitionError::invalid(format!("{key}: {value} is no number")))
    };
    fields.take(name).map(read).transpose()
}

fn log(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    partial.log_level = some_text(fields, "loglevel")?;
    partial.log_json = fields.optional_flag("logjson")?;
    partial.log_file = some_text(fields, "logfile")?;
    partial.log_rotate_bytes = fields.number("logrotatebytes")?;
    partial.log_rotate_duration = fields.optional_duration("logrotateduration")?;
    partial.log_rotate_max_files = fields.number("logrotatemaxfiles")?;
    Ok(())
}

fn definitions(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    for service in fields.one_or_several("service", "services")? {
        partial.services.push(ServiceDefinition::from_file(service)?);
    }
    for check in fields.one_or_several("check", "checks")? {
        partial.checks.push(CheckRegistration::from_file(check)?);
    }
    for (number, watch) in fields.one_or_several("watch", "watches")?.into_iter().enumerate() {
        let read = watch::Definition::from_file(watch);
        partial.watches.push(read.map_err(|error| error.within(format!("watch {}", number + 1)))?);
    }
    Ok(())
}
