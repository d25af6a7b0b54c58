//! Configuration files: those named, and in a directory named every `.json` and `.hcl` file, in name order.
//!
//! This finds and reads them; `hcl` and `serde_json` make trees of them, `decode` makes settings of the trees.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use smol_str::SmolStr;

use super::{decode::decode, error::ConfigError, hcl, partial::Partial};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// HCL, version 1.
    Hcl,
}

impl Format {
    /// By its word, which is also a file's ending.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "json" => Some(Self::Json),
            "hcl" => Some(Self::Hcl),
            _ => None,
        }
    }

    fn of_file(path: &Path) -> Option<Self> {
        path.extension().and_then(|ending| ending.to_str()).and_then(Self::of)
    }
}

/// Reads a file, or those of a directory in name order. With a format given, it counts and not a file's ending.
pub fn read(path: &Path, format: Option<Format>) -> Result<Vec<Partial>, ConfigError> {
    let unreadable = |reason| ConfigError::Unreadable { path: path.into(), reason };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_dir() {
        let format = format.or(Format::of_file(path)).ok_or_else(|| ConfigError::File {
            path: path.into(),
            problem: "its name ends neither in .json nor in .hcl (rename it, or give -config-format)".into(),
        })?;
        return Ok(vec![read_file(path, format)?]);
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
    // What cannot be looked at stays, to be named: what it defines must not vanish without a word.
    let may_be_file = |path: &PathBuf| fs::metadata(path).map_or(true, |metadata| metadata.is_file());
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(may_be_file).collect();
    files.sort();
    // Files with another ending lie beside them for other programs.
    let ours = files.iter().filter_map(|file| Some((file, format.or(Format::of_file(file))?)));
    ours.map(|(file, format)| read_file(file, format)).collect()
}

/// Reads a text given on the command line; `name` is how an error names it.
pub fn read_text(name: &str, text: &str) -> Result<Partial, ConfigError> {
    settings(Path::new(name), Format::Hcl, text)
}

fn read_file(path: &Path, format: Format) -> Result<Partial, ConfigError> {
    let unreadable = |reason| ConfigError::Unreadable { path: path.into(), reason };
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        let problem = format!("larger than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(ConfigError::File { path: path.into(), problem });
    }
    settings(path, format, &fs::read_to_string(path).map_err(unreadable)?)
}

fn settings(path: &Path, format: Format, text: &str) -> Result<Partial, ConfigError> {
    let wrong = |problem| ConfigError::File { path: path.into(), problem };
    if text.trim().is_empty() {
        return Ok(Partial::default());
    }
    let value = match format {
        Format::Hcl => hcl::parse(text).map(Value::Object),
        Format::Json => hcl::parse_json(text),
    };
    let value = value.map_err(|error| ConfigError::Syntax { path: path.into(), error })?;
    if !value.is_object() {
        return Err(wrong("expected an object of settings, such as {\"node_name\": \"n1\"}".into()));
    }
    let mut partial = decode(&value).map_err(|error| wrong(error.explain()))?;
    let name: SmolStr = path.to_string_lossy().into();
    let nested = partial.services.iter_mut().flat_map(|definition| &mut definition.checks);
    nested.chain(&mut partial.checks).for_each(|check| check.file = name.clone());
    partial.services.iter_mut().for_each(|definition| definition.file = name.clone());
    Ok(partial)
}
