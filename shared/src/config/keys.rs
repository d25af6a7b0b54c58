//! Consul's keys that this program does not carry out: those it can do without, and those it must not run without.
//!
//! Keys are folded (lower case, no underscores). What is carried out stands in `decode`.

use serde_json::Value;

use crate::agent::definition::{DefinitionError, Fields};

/// Keys that have no meaning here (service mesh, enterprise, Consul's own housekeeping): accepted, said in one warning.
pub const IGNORED: &[&str] = &[
    "advertisereconnecttimeout",
    "autopilot",
    "autoreloadconfig",
    "checkoutputmaxsize",
    "cloud",
    "configentries",
    "connect",
    "defaultintentionpolicy",
    "defaultquerytime",
    "disableanonymoussignature",
    "disablecoordinates",
    "disablehostnodeid",
    "disablehttpunprintablecharfilter",
    "disableremoteexec",
    "disableupdatecheck",
    "discardcheckoutput",
    "dogstatsdaddr",
    "dogstatsdtags",
    "enablecentralserviceconfig",
    "enabledebug",
    "enablesyslog",
    "experiments",
    "gossiplan",
    "gossipwan",
    "license",
    "licensepath",
    "locality",
    "maxquerytime",
    "nonvotingserver",
    "partition",
    "peering",
    "primarygateways",
    "primarygatewaysinterval",
    "protocol",
    "raftboltdb",
    "raftlogstore",
    "raftprevotedisabled",
    "raftprotocol",
    "raftsnapshotinterval",
    "readreplica",
    "rejoinafterleave",
    "reporting",
    "rpc",
    "segment",
    "segments",
    "serverrejoinagemax",
    "sessionttlmin",
    "statsdaddr",
    "statsiteaddr",
    "statsiteprefix",
    "syslogfacility",
    "telemetry",
    "servername",
    "tlsciphersuites",
    "tlsprefserverciphersuites",
    "tlspreferserverciphersuites",
    "uidir",
    "usestreamingbackend",
    "xds",
];

pub const ALLOWED_NETWORKS: &str = "keeping members out by their network is not available in this version";

/// Keys that an operator relies on: to run without what they promise would be worse than not to run.
const REFUSED: &[(&str, &str)] = &[
    ("autoconfig", "getting tokens and keys from the servers is not available in this version"),
    ("autoencrypt", "certificates are not given out by the servers in this version; give each node its own"),
    ("enableagenttlsforchecks", "checks show no certificate in this version"),
    ("serflanallowedcidrs", ALLOWED_NETWORKS),
    ("serfwanallowedcidrs", ALLOWED_NETWORKS),
];

/// What to do about a setting that is refused.
pub const REMEDY: &str = "remove it, or do not use this version";

/// Refuses the keys that protect something.
///
/// # Errors
/// Names the first one.
pub fn refuse(fields: &mut Fields<'_>) -> Result<(), DefinitionError> {
    for (key, reason) in REFUSED {
        if let Some((written, value)) = fields.take(key)
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
