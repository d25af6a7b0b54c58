//! Configuration files: every `.json` file named, or in a directory named, in name order. A file may hold settings,
//! `service`, `services`, `check` and `checks` in any mixture. A key that nobody knows is an error.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{error::ConfigError, partial::Partial};
use crate::agent::{
    definition::{CheckRegistration, DefinitionError, Fields, ServiceDefinition, Strictness},
    duration,
};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Keys of Consul that have no meaning here (service mesh, enterprise, its own housekeeping): accepted, folded.
const IGNORED: &[&str] = &[
    "acldatacenter",
    "audit",
    "autoconfig",
    "autoencrypt",
    "autopilot",
    "cache",
    "checkoutputmaxsize",
    "cloud",
    "configentries",
    "connect",
    "defaultquerytime",
    "disableanonymoussignature",
    "disablecoordinates",
    "disablehostnodeid",
    "disablehttpunprintablecharfilter",
    "disablekeyringfile",
    "disableremoteexec",
    "disableupdatecheck",
    "enablecentralserviceconfig",
    "enabledebug",
    "enablesyslog",
    "encryptverifyincoming",
    "encryptverifyoutgoing",
    "gossiplan",
    "gossipwan",
    "httpconfig",
    "license",
    "licensepath",
    "logfile",
    "logrotatebytes",
    "logrotateduration",
    "logrotatemaxfiles",
    "maxquerytime",
    "nonvotingserver",
    "partition",
    "peering",
    "pidfile",
    "primarydatacenter",
    "protocol",
    "raftboltdb",
    "raftlogstore",
    "raftprotocol",
    "raftsnapshotinterval",
    "raftsnapshotthreshold",
    "rafttrailinglogs",
    "readreplica",
    "reconnecttimeout",
    "reconnecttimeoutwan",
    "rejoinafterleave",
    "reporting",
    "retryintervalwan",
    "retryjoinwan",
    "retrymaxwan",
    "rpc",
    "segment",
    "segments",
    "sessionttlmin",
    "startjoinwan",
    "syslogfacility",
    "telemetry",
    "translatewanaddrs",
    "ui",
    "uiconfig",
    "uicontentpath",
    "uidir",
    "xds",
];

/// Keys that an operator relies on: to run without what they promise would be worse than not to run.
const REFUSED: &[(&str, &str)] = &[
    ("acl", "access control is not available in this version"),
    ("aclagenttoken", "access control is not available in this version"),
    ("aclagentmastertoken", "access control is not available in this version"),
    ("acldefaultpolicy", "access control is not available in this version"),
    ("acldownpolicy", "access control is not available in this version"),
    ("aclmastertoken", "access control is not available in this version"),
    ("acltoken", "access control is not available in this version"),
    ("encrypt", "gossip encryption is not available in this version"),
    ("cafile", "TLS is not available in this version"),
    ("capath", "TLS is not available in this version"),
    ("certfile", "TLS is not available in this version"),
    ("keyfile", "TLS is not available in this version"),
    ("tls", "TLS is not available in this version"),
    ("verifyincoming", "TLS is not available in this version"),
    ("verifyincominghttps", "TLS is not available in this version"),
    ("verifyincomingrpc", "TLS is not available in this version"),
    ("verifyoutgoing", "TLS is not available in this version"),
    ("verifyserverhostname", "TLS is not available in this version"),
    ("unixsockets", "listening on unix sockets is not available in this version"),
    ("watches", "running handlers on changes is not available in this version"),
];

/// Reads a file, or the `.json` files of a directory in name order.
pub fn read(path: &Path) -> Result<Vec<Partial>, ConfigError> {
    let unreadable = |reason| ConfigError::Unreadable { path: path.into(), reason };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_dir() {
        return Ok(vec![read_file(path)?]);
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(|p| is_ours(p)).collect();
    files.sort();
    files.iter().map(|file| read_file(file)).collect()
}

/// Files with another ending lie beside them for other programs; those in HCL must not be passed over in silence.
fn is_ours(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|ending| ending == "json" || ending == "hcl")
}

fn read_file(path: &Path) -> Result<Partial, ConfigError> {
    let unreadable = |reason| ConfigError::Unreadable { path: path.into(), reason };
    let wrong = |problem| ConfigError::File { path: path.into(), problem };
    if path.extension().is_some_and(|ending| ending == "hcl") {
        return Err(wrong("files in HCL cannot be read by this version (write the same in JSON)".into()));
    }
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(wrong(format!("larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    let text = fs::read(path).map_err(unreadable)?;
    let value: Value = serde_json::from_slice(&text).map_err(|error| wrong(format!("not JSON: {error}")))?;
    if !value.is_object() {
        return Err(wrong("expected an object of settings, such as {\"node_name\": \"n1\"}".into()));
    }
    decode(&value).map_err(|error| wrong(error.explain()))
}

fn decode(value: &Value) -> Result<Partial, DefinitionError> {
    let mut owned = Fields::of(value, Strictness::File)?;
    let fields = &mut owned;
    for (key, reason) in REFUSED {
        if let Some((written, value)) = fields.take(key)
            && protects(value)
        {
            return Err(DefinitionError::invalid(format!(
                "{written}: {reason} (remove it, or do not use this version)"
            )));
        }
    }
    let mut partial = Partial::default();
    node(fields, &mut partial)?;
    addresses(fields, &mut partial)?;
    ports(fields, &mut partial)?;
    joining(fields, &mut partial)?;
    dns(fields, &mut partial)?;
    agent(fields, &mut partial)?;
    definitions(fields, &mut partial)?;
    partial.ignored.extend(fields.ignore(IGNORED).into_iter().map(String::from));
    owned.finish()?;
    Ok(partial)
}

/// Whether a protecting key asks for protection at all: `false`, `""` and `{"enabled": false}` do not.
fn protects(value: &Value) -> bool {
    match value {
        Value::Bool(on) => *on,
        Value::String(text) => !text.is_empty(),
        Value::Object(map) => {
            map.get("enabled").is_none_or(|enabled| enabled != &Value::Bool(false)) && !map.is_empty()
        }
        Value::Array(list) => !list.is_empty(),
        _ => true,
    }
}

fn some_text(fields: &mut Fields<'_>, name: &str) -> Result<Option<smol_str::SmolStr>, DefinitionError> {
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
    if let Some(mut performance) = fields.fields("performance")? {
        partial.raft_multiplier = performance.number("raftmultiplier")?;
        performance.ignore(&["leavedraintime", "rpcholdtimeout"]);
        performance.finish().map_err(|error| error.within("performance"))?;
    }
    Ok(())
}

fn addresses(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    partial.bind_addr = some_text(fields, "bindaddr")?;
    partial.advertise_addr = some_text(fields, "advertiseaddr")?;
    partial.client_addr = some_text(fields, "clientaddr")?;
    partial.ignored.extend(fields.ignore(&["advertiseaddrwan", "serflan", "serfwan"]).into_iter().map(String::from));
    if let Some(mut addresses) = fields.fields("addresses")? {
        partial.http_addr = some_text(&mut addresses, "http")?;
        partial.dns_addr = some_text(&mut addresses, "dns")?;
        partial.ignored.extend(addresses.ignore(&["https", "grpc"]).into_iter().map(|key| format!("addresses.{key}")));
        addresses.finish().map_err(|error| error.within("addresses"))?;
    }
    Ok(())
}

fn ports(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let Some(mut ports) = fields.fields("ports")? else { return Ok(()) };
    partial.http_port = ports.number("http")?;
    partial.dns_port = ports.number("dns")?;
    partial.serf_lan_port = ports.number("serflan")?;
    partial.serf_wan_port = ports.number("serfwan")?;
    partial.server_port = ports.number("server")?;
    let unused = ["https", "grpc", "grpctls", "sidecarminport", "sidecarmaxport", "exposeminport", "exposemaxport"];
    partial.ignored.extend(ports.ignore(&unused).into_iter().map(|key| format!("ports.{key}")));
    ports.finish().map_err(|error| error.within("ports"))
}

fn joining(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let texts = |list: Vec<smol_str::SmolStr>| list.into_iter().map(String::from).collect();
    partial.start_join = texts(fields.texts("startjoin")?);
    partial.retry_join = texts(fields.texts("retryjoin")?);
    partial.retry_interval = fields.optional_duration("retryinterval")?;
    partial.retry_max = fields.number("retrymax")?;
    Ok(())
}

fn dns(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    partial.domain = some_text(fields, "domain")?;
    partial.alt_domain = some_text(fields, "altdomain")?;
    partial.recursors = fields.texts("recursors")?;
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
    partial.recursor_timeout = dns.optional_duration("recursortimeout")?;
    partial.recursor_strategy = some_text(&mut dns, "recursorstrategy")?;
    if let Some(mut soa) = dns.fields("soa")? {
        partial.soa_refresh = soa.number("refresh")?;
        partial.soa_retry = soa.number("retry")?;
        partial.soa_expire = soa.number("expire")?;
        partial.soa_min_ttl = soa.number("minttl")?;
        soa.finish().map_err(|error| error.within("dns_config: soa"))?;
    }
    let unused = ["allowstale", "maxstale", "usecache", "cachemaxage"];
    partial.ignored.extend(dns.ignore(&unused).into_iter().map(|key| format!("dns_config.{key}")));
    dns.finish().map_err(|error| error.within("dns_config"))
}

fn agent(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    partial.discovery_max_stale = fields.optional_duration("discoverymaxstale")?;
    partial.check_update_interval = fields.optional_duration("checkupdateinterval")?;
    partial.log_level = some_text(fields, "loglevel")?;
    partial.log_json = fields.optional_flag("logjson")?;
    partial.leave_on_terminate = fields.optional_flag("leaveonterminate")?;
    partial.skip_leave_on_interrupt = fields.optional_flag("skipleaveoninterrupt")?;
    partial.enable_script_checks = fields.optional_flag("enablescriptchecks")?;
    partial.enable_local_script_checks = fields.optional_flag("enablelocalscriptchecks")?;
    if let Some(mut limits) = fields.fields("limits")? {
        partial.http_max_conns_per_client = limits.number("httpmaxconnsperclient")?;
        let unused = ["rpcrate", "rpcmaxburst", "rpcmaxconnsperclient", "rpchandshaketimeout", "httpshandshaketimeout"];
        partial.ignored.extend(limits.ignore(&unused).into_iter().map(|key| format!("limits.{key}")));
        limits.ignore(&["kvmaxvaluesize", "txnmaxreqlen", "txnmaxops"]);
        limits.finish().map_err(|error| error.within("limits"))?;
    }
    Ok(())
}

fn definitions(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let service = fields.take("service").map(|(_, service)| service);
    for service in service.into_iter().chain(fields.list("services")?) {
        partial.services.push(ServiceDefinition::from_file(service)?);
    }
    let check = fields.take("check").map(|(_, check)| check);
    for check in check.into_iter().chain(fields.list("checks")?) {
        partial.checks.push(CheckRegistration::from_file(check)?);
    }
    Ok(())
}
