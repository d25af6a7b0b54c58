//! What is set about the audit log: Consul's `audit` stanza, with one sink that is a file.

use std::{path::Path, time::Duration};

use serde_json::Value;

use super::{LogFile, error::ConfigError, partial::Partial, resolve::LOG_ROTATE_AFTER};
use crate::agent::definition::{DefinitionError, Fields};

/// Reads the stanza.
pub(super) fn decode(fields: &mut Fields<'_>, partial: &mut Partial) -> Result<(), DefinitionError> {
    let Some(mut audit) = fields.fields("audit")? else { return Ok(()) };
    partial.audit_enabled = audit.optional_flag("enabled")?;
    if let Some((_, sinks)) = audit.take("sink") {
        // `sink "name" { ... }`, or the block itself.
        let named = |value: &Value| value.as_object().is_some_and(|map| map.values().all(Value::is_object));
        let sinks: Vec<&Value> = match sinks {
            Value::Object(map) if named(sinks) => map.values().collect(),
            one => vec![one],
        };
        let [sink] = sinks[..] else {
            return Err(DefinitionError::invalid(format!("audit: there are {} sinks, and may be one", sinks.len())));
        };
        read_sink(sink, partial).map_err(|error| error.within("audit: sink"))?;
    }
    audit.finish().map_err(|error| error.within("audit"))
}

fn read_sink(sink: &Value, partial: &mut Partial) -> Result<(), DefinitionError> {
    let mut sink = Fields::of(sink, crate::agent::definition::Strictness::File)?;
    for (key, only) in [("type", "file"), ("format", "json")] {
        let given = sink.text(key)?;
        if !given.is_empty() && given != only {
            return Err(DefinitionError::invalid(format!("{key}: {given:?} is not available (give {only:?})")));
        }
    }
    let path = sink.text("path")?;
    partial.audit_path = (!path.is_empty()).then(|| Path::new(path.as_str()).to_path_buf());
    partial.audit_rotate_bytes = sink.number("rotatebytes")?;
    partial.audit_rotate_duration = sink.optional_duration("rotateduration")?;
    partial.audit_rotate_max_files = sink.number("rotatemaxfiles")?;
    sink.ignore(&["deliveryguarantee", "mode"]);
    sink.finish()
}

/// What was said of it.
pub(super) fn audit(said: &Partial) -> Result<Option<LogFile>, ConfigError> {
    if said.audit_enabled == Some(false) || (said.audit_enabled.is_none() && said.audit_path.is_none()) {
        return Ok(None);
    }
    let Some(path) = said.audit_path.clone() else {
        let problem = "there is no sink (give sink \"file\" { type = \"file\" path = \"/var/log/lictor/audit.json\" })";
        return Err(ConfigError::setting("audit", problem));
    };
    let rotate_after = said.audit_rotate_duration.filter(|after| *after > Duration::ZERO).unwrap_or(LOG_ROTATE_AFTER);
    let keep = said.audit_rotate_max_files.filter(|keep| *keep != 0).map(|keep| usize::try_from(keep).unwrap_or(0));
    let rotate_bytes = u64::try_from(said.audit_rotate_bytes.unwrap_or(0)).unwrap_or(0);
    Ok(Some(LogFile { path, rotate_bytes, rotate_after, keep }))
}
