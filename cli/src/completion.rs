//! `lictor completion`: a script that makes a shell complete commands and flags; with `-install`, put where the shell
//! finds it. It asks no agent.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};
use clap::{ArgAction::SetTrue, Args, ValueEnum};
use clap_complete::generate;

use crate::arguments;

const EXAMPLES: &str = "\
Examples:
  For the shell that runs now:
    source <(lictor completion bash)
    source <(lictor completion zsh)
    lictor completion fish | source
  For bash or fish from the next login on:
    lictor completion -install
  For zsh, into a directory of its fpath:
    lictor completion zsh > \"${fpath[1]}/_lictor\"";

/// Flags of `completion`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct CompletionFlags {
    /// The shell [with -install: the one of SHELL]
    #[arg(value_enum, value_name = "SHELL", required_unless_present_any = ["install", "uninstall"])]
    shell: Option<Shell>,
    /// Write it where the shell finds it; bash and fish
    #[arg(long, action = SetTrue, conflicts_with = "uninstall")]
    install: bool,
    /// Remove what -install wrote
    #[arg(long, action = SetTrue)]
    uninstall: bool,
}

/// The shells that a script is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints, installs or removes the script.
///
/// # Errors
/// `SHELL` is none of the shells, or the file cannot be written or removed.
pub fn run(flags: &CompletionFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let program = program();
    if !flags.install && !flags.uninstall {
        let shell = flags.shell.ok_or_else(|| anyhow!("name a shell: bash, zsh or fish"))?;
        out.write_all(&script(shell, &program))?;
        return Ok(ExitCode::SUCCESS);
    }
    let shell = flags.shell.map_or_else(own_shell, Ok)?;
    let path = place(shell, &program, |variable| env::var_os(variable).map(PathBuf::from))?;
    if flags.install {
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&path, script(shell, &program)))
            .with_context(|| format!("cannot write {path:?}"))?;
        writeln!(out, "Completion written to {}; it works from the next shell on.", path.display())?;
    } else {
        fs::remove_file(&path).with_context(|| format!("cannot remove {path:?}"))?;
        writeln!(out, "Removed {}.", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The name the program was called by: completion is for that name.
fn program() -> String {
    let called = env::args_os().next().map(PathBuf::from);
    let name = called.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    name.unwrap_or("lictor").into()
}

fn script(shell: Shell, program: &str) -> Vec<u8> {
    let mut script = Vec::new();
    let mut line = arguments::command_line();
    match shell {
        Shell::Bash => generate(clap_complete::Shell::Bash, &mut line, program, &mut script),
        Shell::Zsh => generate(clap_complete::Shell::Zsh, &mut line, program, &mut script),
        Shell::Fish => generate(clap_complete::Shell::Fish, &mut line, program, &mut script),
    }
    script
}

fn own_shell() -> anyhow::Result<Shell> {
    let shell = env::var_os("SHELL").map(PathBuf::from).unwrap_or_default();
    match shell.file_name().and_then(|name| name.to_str()) {
        Some("bash") => Ok(Shell::Bash),
        Some("zsh") => Ok(Shell::Zsh),
        Some("fish") => Ok(Shell::Fish),
        _ => bail!("SHELL is {shell:?}, which is not known; name a shell: bash, zsh or fish"),
    }
}

/// Where bash-completion and fish look by themselves. Zsh looks only where its user said.
fn place(shell: Shell, program: &str, variable: impl Fn(&str) -> Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let base = |name: &str, default: &str| {
        let named = variable(name).filter(|path| path.is_absolute());
        let home = || variable("HOME").filter(|home| home.is_absolute()).map(|home| home.join(default));
        named.or_else(home).ok_or_else(|| anyhow!("HOME names no directory to write into"))
    };
    match shell {
        Shell::Bash => Ok(base("XDG_DATA_HOME", ".local/share")?.join("bash-completion/completions").join(program)),
        Shell::Fish => Ok(base("XDG_CONFIG_HOME", ".config")?.join("fish/completions").join(format!("{program}.fish"))),
        Shell::Zsh => bail!(
            "zsh has no place of its own for this: write `{program} completion zsh` to the file _{program} in a \
             directory of your fpath"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_the_commands_and_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell, "consul")).unwrap();
            for part in ["consul", "force-leave", "node-meta", "datacenters", "set-agent-token", "binding-rule"] {
                assert!(script.contains(part), "{shell:?}: {part}");
            }
        }
    }

    #[test]
    fn scripts_are_put_where_shells_look() {
        let variable = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/a"));
        let path = |shell| place(shell, "lictor", variable).map(|path| path.display().to_string());
        assert_eq!(path(Shell::Bash).unwrap(), "/home/a/.local/share/bash-completion/completions/lictor");
        assert_eq!(path(Shell::Fish).unwrap(), "/home/a/.config/fish/completions/lictor.fish");
        assert!(path(Shell::Zsh).unwrap_err().to_string().contains("fpath"));
        assert!(place(Shell::Bash, "lictor", |_| None).is_err());
    }
}
