//! Go's flags in clap's form: `-flag`, `-flag=value` and `-flag value` become `--flag ...`; Go's truth values.

use std::ffi::OsString;

/// Turns Go-style arguments into ones that clap reads. Single letters (`-h`), numbers (`-1`), `-` and all that follows
/// `--` stay as they are.
pub fn go_style_args(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut literal = false;
    let translate = |argument: OsString| {
        literal |= argument == "--";
        match argument.to_str() {
            Some(text) if !literal && is_go_flag(text) => OsString::from(format!("-{text}")),
            _ => argument,
        }
    };
    arguments.into_iter().map(translate).collect()
}

fn is_go_flag(text: &str) -> bool {
    let Some(name) = text.strip_prefix('-') else { return false };
    let name = name.split('=').next().unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.len() > 1 && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(allowed)
}

/// Reads a truth value in the words of Go's `flag` package.
///
/// # Errors
/// Any other word.
pub fn go_bool(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("neither true nor false"),
    }
}
