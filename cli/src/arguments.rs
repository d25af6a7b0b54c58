//! The command line: every command with its flags, and what is said when it is wrong.
//!
//! Flags may be written as Consul's are, `-flag` and `-flag=value`, or with two dashes. Nothing here runs a command:
//! `main.rs` does, and a command's own flags are in the command's file. Exit codes are Consul's: 1 for a wrong flag,
//! 127 where no command or an unknown one was named.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::bail;
use clap::{ArgAction::Set, Args, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
pub use lictor_shared::config::go_bool;
use lictor_shared::{agent::duration, config::AgentFlags};

use crate::{
    acl::{AclCommand, LoginFlags, LogoutFlags},
    catalog::CatalogCommand,
    completion::CompletionFlags,
    debug::DebugFlags,
    event::EventFlags,
    help,
    info::InfoFlags,
    keyring::KeyringFlags,
    kv::KvCommand,
    lock::LockFlags,
    maint::MaintFlags,
    man::ManFlags,
    members::MembersFlags,
    membership::{ForceLeaveFlags, JoinFlags},
    monitor::MonitorFlags,
    operator::OperatorCommand,
    rtt::RttFlags,
    services::ServicesCommand,
    snapshot::SnapshotCommand,
    target::HttpFlags,
    tls::TlsCommand,
    validate::ValidateFlags,
    version::VersionFlags,
    watch::WatchFlags,
    words,
};

/// Characters of the parts of an ID (RFC 9562).
const ID_PARTS: [usize; 5] = [8, 4, 4, 4, 12];
/// Exit code when no command or an unknown one is named.
const NO_SUCH_COMMAND: u8 = 127;

/// A service registry that speaks Consul's interfaces.
#[derive(Debug, Parser)]
#[command(name = "lictor", disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look after access control: tokens, and the policies and roles that say what they allow
    #[command(subcommand)]
    Acl(Box<AclCommand>),
    /// Run an agent: a server or a sidecar
    Agent(Box<AgentFlags>),
    /// List datacenters, nodes and services
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Print what makes a shell complete lictor's commands and flags
    Completion(CompletionFlags),
    /// Capture an agent's log, metrics and state over some time, in an archive
    Debug(Box<DebugFlags>),
    /// Send an event to all nodes, or some of them
    Event(EventFlags),
    /// Make a failed member a left one
    ForceLeave(ForceLeaveFlags),
    /// Print what an agent says about itself
    Info(InfoFlags),
    /// Tell an agent to join a cluster
    Join(JoinFlags),
    /// Make a key to encrypt gossip with
    Keygen,
    /// List and change the keys that gossip is encrypted with
    Keyring(KeyringFlags),
    /// Read and write keys
    #[command(subcommand)]
    Kv(KvCommand),
    /// Tell an agent to leave its cluster and stop
    Leave(HttpFlags),
    /// Run a program while a lock, or one of a number of places, is held
    Lock(Box<LockFlags>),
    /// Exchange what another system vouches for against a token
    Login(Box<LoginFlags>),
    /// Delete the token of a login
    Logout(LogoutFlags),
    /// Take this host or one of its services out of the answers, and back
    Maint(MaintFlags),
    /// Write the manual pages of all commands
    #[command(hide = true)]
    Man(ManFlags),
    /// List the members of the cluster
    Members(MembersFlags),
    /// Follow an agent's log
    Monitor(MonitorFlags),
    /// Look after the servers: who they are, who leads, how they are kept
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Tell an agent to read its files again
    Reload(HttpFlags),
    /// Estimate the round-trip time between two nodes
    Rtt(RttFlags),
    /// Register and deregister services of this host
    #[command(subcommand)]
    Services(ServicesCommand),
    /// Save the whole registry to a file, restore it, look into one
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Make a certificate authority, and certificates for servers, sidecars and callers
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Say whether configuration files are right, without starting anything
    Validate(ValidateFlags),
    /// Print the version
    Version(VersionFlags),
    /// Print or run something at each change of services, nodes, checks, keys or events
    Watch(Box<WatchFlags>),
    /// Show all of it working on this machine: three servers, two sidecars, two instances of a service
    Demo(DemoFlags),
    /// The service of the demo: a line echo
    #[command(hide = true)]
    Hello(hello::Options),
}

/// Flags of `demo`.
#[derive(Args, Debug)]
pub struct DemoFlags {
    /// Leave it running afterwards, until Ctrl-C, and print the addresses
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub keep: bool,
}

/// `KEY=VALUE`, split at the first `=`; the value may be empty.
///
/// # Errors
/// There is no key.
pub fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("not KEY=VALUE"),
    }
}

/// Checks a duration that is sent on as it was written.
///
/// # Errors
/// It is none; the flag is named.
pub fn duration(flag: &str, text: Option<&str>) -> anyhow::Result<()> {
    match text.map(duration::parse) {
        Some(Err(problem)) => bail!("-{flag}: {}", problem.explain()),
        _ => Ok(()),
    }
}

/// Why there is no command to run.
#[derive(Debug)]
pub enum Refusal {
    /// Help was asked for.
    Help(String),
    /// No command was named: the help, as an error.
    NoCommand {
        /// The help.
        help: String,
        /// The exit code.
        code: u8,
    },
    /// One line that says what is wrong.
    Wrong {
        /// The line.
        line: String,
        /// The exit code.
        code: u8,
    },
}

impl Refusal {
    /// Prints it where it belongs and gives the exit code.
    pub fn print(self) -> ExitCode {
        // Nothing is left to do if the terminal is gone.
        let (_, code) = match self {
            Self::Help(text) => (write!(io::stdout(), "{text}"), 0),
            Self::NoCommand { help, code } => (write!(io::stderr(), "{help}"), code),
            Self::Wrong { line, code } => (writeln!(io::stderr(), "{line}"), code),
        };
        ExitCode::from(code)
    }
}

/// Reads the command line; `words` begins with the name the program was invoked under.
///
/// # Errors
/// There is no command to run: help was asked for, or the command line is wrong.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Refusal> {
    let mut line = command_line();
    let words = words::translated(words, &line);
    let (called, no_such_command) = called(&words, &line);
    let matches = line.try_get_matches_from_mut(words);
    let read = matches.and_then(|matches| CommandLine::from_arg_matches(&matches));
    read.map(|line| line.command).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp => Refusal::Help(error.render().to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Refusal::NoCommand { help: error.render().to_string(), code: no_such_command }
        }
        ErrorKind::InvalidSubcommand => Refusal::Wrong { line: one_line(&error, &called), code: no_such_command },
        _ => Refusal::Wrong { line: one_line(&error, &called), code: 1 },
    })
}

/// The whole command line, for those who describe it.
pub fn command_line() -> clap::Command {
    help::grouped(CommandLine::command())
}

/// The first paragraph of clap's message as one line, and whose help to read. An ID in a wrong place may be a token's secret
/// and is not repeated.
fn one_line(error: &clap::Error, command: &str) -> String {
    let text = error.render().to_string();
    let paragraph: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let message = paragraph.join(" ");
    format!("{} (see {command} --help)", without_ids(message.strip_prefix("error: ").unwrap_or(&message)))
}

fn without_ids(text: &str) -> String {
    let is_between = |character: char| !character.is_ascii_hexdigit() && character != '-';
    let hidden = |piece: &str| {
        let word = piece.trim_end_matches(is_between);
        if word.split('-').map(str::len).eq(ID_PARTS) { piece.replace(word, "<ID>") } else { piece.to_owned() }
    };
    text.split_inclusive(is_between).map(hidden).collect()
}

/// The command as it was called, its parents before it; and the exit code if it names no command of theirs.
fn called(words: &[OsString], line: &clap::Command) -> (String, u8) {
    let program = words.first().and_then(|path| Path::new(path).file_name()).map(OsStr::to_string_lossy);
    let mut called = program.unwrap_or("lictor".into()).into_owned();
    let (mut command, mut code) = (line, NO_SUCH_COMMAND);
    for word in words.iter().skip(1) {
        let Some(found) = command.find_subcommand(word) else { break };
        called.push(' ');
        called.push_str(found.get_name());
        (command, code) = (found, 1);
    }
    (called, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn flags_are_written_with_one_dash_or_two() {
        for line in [
            "lictor members -http-addr=127.0.0.1:1 -status=^alive$ -detailed",
            "lictor members --http-addr 127.0.0.1:1 --status ^alive$ --detailed=true",
            "consul members -detailed=1 -http-addr 127.0.0.1:1 -status ^alive$ -wan=false",
        ] {
            let Ok(Command::Members(flags)) = parse(words(line)) else { panic!("{line}") };
            assert_eq!(flags.http.http_addr.as_deref(), Some("127.0.0.1:1"), "{line}");
            assert_eq!((flags.status.as_str(), flags.detailed, flags.wan), ("^alive$", true, false), "{line}");
        }
    }

    #[test]
    fn words_after_the_flags_are_the_commands() {
        let Ok(Command::Join(flags)) = parse(words("lictor join -wan 10.0.0.1 10.0.0.2:8301")) else { panic!() };
        assert_eq!((flags.wan, flags.addresses.len()), (true, 2));
        let Ok(Command::ForceLeave(flags)) = parse(words("lictor force-leave -prune web-1")) else { panic!() };
        assert_eq!((flags.prune, flags.node.as_str()), (true, "web-1"));
        for line in ["lictor version", "lictor -version", "lictor --version", "lictor -v"] {
            assert!(matches!(parse(words(line)), Ok(Command::Version(_))), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_one_line_with_an_exit_code() {
        for (line, code, part) in [
            ("lictor members -colour=red", 1, "unexpected argument '--colour' found (see lictor members --help)"),
            ("lictor members -detailed=maybe", 1, "neither true nor false (see lictor members --help)"),
            ("/usr/bin/consul agent -retry-max=many", 1, "(see consul agent --help)"),
            ("lictor join", 1, "not provided: <ADDRESS>... (see lictor join --help)"),
            ("lictor force-leave", 1, "<NODE>"),
            ("lictor catalog nodes -near", 1, "(see lictor catalog nodes --help)"),
            ("lictor catalog sevices", 1, "(see lictor catalog --help)"),
            ("lictor services register -meta=x", 1, "not KEY=VALUE (see lictor services register --help)"),
            ("lictor memmbers", NO_SUCH_COMMAND, "unrecognized subcommand 'memmbers' (see lictor --help)"),
        ] {
            let Err(Refusal::Wrong { line: said, code: given }) = parse(words(line)) else { panic!("{line}") };
            assert_eq!((given, said.lines().count()), (code, 1), "{said}");
            assert!(said.contains(part), "{said}");
        }
        assert!(
            matches!(parse(words("lictor")), Err(Refusal::NoCommand { help, code: NO_SUCH_COMMAND }) if help.contains("force-leave"))
        );
        assert!(matches!(parse(words("lictor catalog")), Err(Refusal::NoCommand { code: 1, .. })));
        assert!(
            matches!(parse(words("lictor help catalog nodes")), Err(Refusal::Help(help)) if help.contains("--near"))
        );
        assert!(matches!(parse(words("lictor members -help")), Err(Refusal::Help(help)) if help.contains("--status")));
        assert!(matches!(parse(words("lictor -h")), Err(Refusal::Help(help)) if !help.contains("hello")));
    }

    #[test]
    fn a_secret_in_a_wrong_place_is_not_repeated() {
        let secret = "5ec2e700-0000-4000-8000-00000000000A";
        for line in [
            format!("lictor acl set-agent-token {secret} agent"),
            format!("lictor acl set-agent-token agent x {secret}"),
            format!("lictor kv get -tokn={secret} a"),
            format!("lictor {secret}"),
        ] {
            let Err(Refusal::Wrong { line: said, .. }) = parse(words(&line)) else { panic!("{line}") };
            assert!(!said.contains("5ec2e700"), "{said}");
        }
        for (text, expected) in [
            (secret, "<ID>"),
            ("'a5ec2e700-0000-4000-8000-00000000000a'", "'a5ec2e700-0000-4000-8000-00000000000a'"),
            ("é 5ec2e700-0000-4000-8000-00000000000a, --a-b-c", "é <ID>, --a-b-c"),
        ] {
            assert_eq!(without_ids(text), expected);
        }
    }

    #[test]
    fn the_flags_are_well_formed() {
        CommandLine::command().debug_assert();
    }
}
