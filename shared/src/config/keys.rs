//! Consul's keys that this program does not carry out: those it can do without, and those it must not run without.
//!
//! Keys stand here as files usually have them; any letter case counts, with underscores or without. What is carried out
//! stands in `decode`.

use serde_json::Value;

use crate::agent::definition::{DefinitionError, Fields, fold};

/// Keys that have no meaning here (service mesh, enterprise, Consul's own housekeeping): accepted, said in one warning.
pub const IGNORED: &[&str] = &[
    "advertise_reconnect_timeout",
    "auto_reload_config",
    "autopilot",
    "check_output_max_size",
    "cloud",
    "config_entries",
    "connect",
    "default_intention_policy",
    "default_query_time",
    "disable_anonymous_signature",
    "disable_coordinates",
    "disable_host_node_id",
    "disable_http_unprintable_char_filter",
    "disable_remote_exec",
    "disable_update_check",
    "discard_check_output",
    "dogstatsd_addr",
    "dogstatsd_tags",
    "enable_central_service_config",
    "enable_syslog",
    "experiments",
    "gossip_lan",
    "gossip_wan",
    "license",
    "license_path",
    "locality",
    "max_query_time",
    "non_voting_server",
    "partition",
    "peering",
    "primary_gateways",
    "primary_gateways_interval",
    "protocol",
    "raft_boltdb",
    "raft_logstore",
    "raft_prevote_disabled",
    "raft_protocol",
    "raft_snapshot_interval",
    "read_replica",
    "rejoin_after_leave",
    "reporting",
    "rpc",
    "segment",
    "segments",
    "server_name",
    "server_rejoin_age_max",
    "session_ttl_min",
    "statsd_addr",
    "statsite_addr",
    "statsite_prefix",
    "syslog_facility",
    "telemetry",
    "tls_cipher_suites",
    "tls_prefer_server_cipher_suites",
    "ui_dir",
    "use_streaming_backend",
    "xds",
];

pub const ALLOWED_NETWORKS: &str = "keeping members out by their network is not available in this version";

/// Keys that an operator relies on: to run without what they promise would be worse than not to run.
pub const REFUSED: &[(&str, &str)] = &[
    ("auto_config", "getting tokens and keys from the servers is not available in this version"),
    ("auto_encrypt", "certificates are not given out by the servers in this version; give each node its own"),
    ("enable_agent_tls_for_checks", "checks show no certificate in this version"),
    ("serf_lan_allowed_cidrs", ALLOWED_NETWORKS),
    ("serf_wan_allowed_cidrs", ALLOWED_NETWORKS),
];

/// What to do about a setting that is refused.
pub const REMEDY: &str = "remove it, or do not use this version";

/// Drops the keys that have no meaning here, and says which were there, as written.
pub fn ignore(fields: &mut Fields<'_>) -> Vec<String> {
    let folded: Vec<String> = IGNORED.iter().map(|key| fold(key)).collect();
    let names: Vec<&str> = folded.iter().map(String::as_str).collect();
    fields.ignore(&names).into_iter().map(String::from).collect()
}

/// Refuses the keys that protect something.
///
/// # Errors
/// Names the first one.
pub fn refuse(fields: &mut Fields<'_>) -> Result<(), DefinitionError> {
    for (key, reason) in REFUSED {
        if let Some((written, value)) = fields.take(&fold(key))
            && protects(value)
        {
            return Err(DefinitionError::invalid(format!("{written}: {reason} ({REMEDY})")));
        }
    }
    Ok(())
}

/// Whether a protecting key asks for protection at all: `false`, `""`, `{}` and `{"enabled": false, ...}` do not.
fn protects(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => list.iter().any(protects),
        Value::Object(map) => map.get("enabled") != Some(&Value::Bool(false)) && map.values().any(protects),
    }
}
