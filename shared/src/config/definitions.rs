//! What the definitions of all files say together: an ID stands for one thing. Of two services with the same ID one would
//! be lost, and which would hang on the names of the files.
//!
//! What one definition says is `agent::definition`'s matter; whether a check's service is there is for the agent to say,
//! which knows those that came by HTTP, too.

use std::{collections::BTreeMap, path::PathBuf};

use smol_str::SmolStr;

use super::{error::ConfigError, partial::Partial};
use crate::model::Key;

/// Refuses two services, or two checks, with the same ID.
pub fn refuse_repeated_ids(said: &Partial) -> Result<(), ConfigError> {
    let services = said.services.iter().map(|definition| {
        let id = &definition.service.id;
        (id.key(), id.as_str(), &definition.file)
    });
    refuse("service", services)?;
    let nested = said.services.iter().flat_map(|definition| &definition.checks);
    refuse("check", nested.chain(&said.checks).map(|check| (check.id.key(), check.id.as_str(), &check.file)))
}

fn refuse<'a>(what: &str, definitions: impl Iterator<Item = (Key, &'a str, &'a SmolStr)>) -> Result<(), ConfigError> {
    let mut seen: BTreeMap<Key, &SmolStr> = BTreeMap::new();
    for (key, id, file) in definitions {
        let Some(first) = seen.insert(key, file) else { continue };
        let place = if first == file { "in this file".into() } else { format!("in {first}") };
        let problem = format!("{what} {id:?}: its id is already that of a {what} {place} (give it another id)");
        return Err(ConfigError::File { path: PathBuf::from(file.as_str()), problem });
    }
    Ok(())
}
