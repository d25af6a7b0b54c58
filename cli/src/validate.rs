//! `lictor validate`: whether an agent would take these files. Nothing is started, bound or written.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{ArgAction::Set, Args};
use lictor_shared::{
    config::{AgentFlags, Config},
    tls::Tls,
};

use crate::arguments::go_bool;

/// Flags of `validate`.
#[derive(Args, Debug)]
pub struct ValidateFlags {
    /// The format of files whose name does not tell it: json or hcl
    #[arg(long, value_name = "FORMAT")]
    pub config_format: Option<String>,
    /// Print nothing where they are right
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub quiet: bool,
    /// Files, and directories whose files are read in name order; merged as an agent does
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
}

/// Reads the files as `agent` does and says that they are right, in Consul's words.
///
/// # Errors
/// What is wrong with the first one that is: the file, the place in it, and what would be right.
pub fn run(flags: ValidateFlags, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let failed = "Config validation failed";
    let agent = AgentFlags::of_files(flags.paths, flags.config_format.as_deref()).context(failed)?;
    let config = Config::load(&agent).context(failed)?;
    Tls::read(&config.tls).context(failed)?;
    if !flags.quiet {
        writeln!(out, "Configuration is valid!")?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(text: &str, name: &str, format: Option<&str>, quiet: bool) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut out = Vec::new();
        let flags = ValidateFlags { config_format: format.map(String::from), quiet, paths: vec![file] };
        run(flags, &mut out).map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn files_are_judged_as_an_agent_would() {
        let valid = Ok("Configuration is valid!\n".to_string());
        let hcl = "bind_addr = \"127.0.0.1\" service { name = \"web\" }";
        assert_eq!(validate(hcl, "a.hcl", None, false), valid);
        assert_eq!(validate(hcl, "a.conf", Some("hcl"), false), valid);
        assert_eq!(validate(hcl, "a.hcl", None, true), Ok(String::new()));
        for (text, name, format, expected) in [
            ("bind_addr = ", "a.hcl", None, "a.hcl:1:13: expected a value, found the end of the file"),
            ("bind = 1", "a.hcl", None, "a.hcl: unknown key \"bind\""),
            ("{}", "a.conf", None, "a.conf: its name ends neither in .json nor in .hcl"),
            ("{}", "a.json", Some("yaml"), "-config-format: \"yaml\" is neither json nor hcl"),
            (
                "{\"server\": true, \"bind_addr\": \"127.0.0.1\"}",
                "a.json",
                None,
                "-data-dir: a server needs a directory",
            ),
        ] {
            let error = validate(text, name, format, false).unwrap_err();
            assert!(error.starts_with("Config validation failed: ") && error.contains(expected), "{text}: {error}");
        }
    }
}
