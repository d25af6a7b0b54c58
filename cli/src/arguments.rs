//! The command line: every command with its flags, and what is said when it is wrong.
//!
//! Flags may be written as Consul's are, `-flag` and `-flag=value`, or with two dashes. Nothing here runs a command:
//! `main.rs` does. Exit codes are Consul's: 1 for a wrong flag, 127 where no command or an unknown one was named.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::{
    ArgAction::Set, Args, CommandFactory, Parser, Subcommand, builder::NonEmptyStringValueParser, error::ErrorKind,
};
use lictor_shared::config::{AgentFlags, go_style_args};

/// Exit code when no command or an unknown one is named.
const NO_SUCH_COMMAND: u8 = 127;

/// A service registry that speaks Consul's interfaces.
#[derive(Debug, Parser)]
#[command(name = "lictor", disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an agent: a server or a sidecar
    Agent(Box<AgentFlags>),
    /// List the members of the cluster
    Members(MembersFlags),
    /// Tell an agent to join a cluster
    Join(JoinFlags),
    /// Tell an agent to leave its cluster and stop
    Leave(HttpFlags),
    /// Make a failed member a left one
    ForceLeave(ForceLeaveFlags),
    /// Tell an agent to read its files again
    Reload(HttpFlags),
    /// Print what an agent says about itself
    Info(HttpFlags),
    /// Print the version
    Version,
    /// Show all of it working on this machine: three servers, two sidecars, two instances of a service
    Demo(DemoFlags),
    /// The service of the demo: a line echo
    #[command(hide = true)]
    Hello(hello::Options),
}

/// Which agent to ask, and as whom. What is absent is taken from the environment: see `target.rs`.
#[derive(Args, Clone, Debug, Default)]
pub struct HttpFlags {
    /// HTTP address of the agent (else CONSUL_HTTP_ADDR, else 127.0.0.1:8500)
    #[arg(long, value_name = "HOST:PORT")]
    pub http_addr: Option<String>,
    /// Token to ask with (else CONSUL_HTTP_TOKEN)
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// File with the token to ask with (else CONSUL_HTTP_TOKEN_FILE)
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
}

/// Flags of `members`.
#[derive(Args, Debug)]
pub struct MembersFlags {
    /// Every tag of each member
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub detailed: bool,
    /// The servers of all datacenters instead
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub wan: bool,
    /// Only members whose status matches: alive, leaving, left, failed
    #[arg(long, value_name = "REGEX", default_value = ".*", hide_default_value = true)]
    pub status: String,
    /// Only members of this segment
    #[arg(long, value_name = "NAME", default_value = "_all", hide = true)]
    pub segment: String,
    #[command(flatten)]
    pub http: HttpFlags,
}

/// Flags of `join`.
#[derive(Args, Debug)]
pub struct JoinFlags {
    /// Join the servers of another datacenter
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub wan: bool,
    /// Addresses of members of that cluster
    #[arg(value_name = "ADDRESS", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub addresses: Vec<String>,
    #[command(flatten)]
    pub http: HttpFlags,
}

/// Flags of `force-leave`.
#[derive(Args, Debug)]
pub struct ForceLeaveFlags {
    /// Forget the member altogether
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub prune: bool,
    /// Name of the member
    #[arg(value_name = "NODE", value_parser = NonEmptyStringValueParser::new())]
    pub node: String,
    #[command(flatten)]
    pub http: HttpFlags,
}

/// Flags of `demo`.
#[derive(Args, Debug)]
pub struct DemoFlags {
    /// Leave it running afterwards, until Ctrl-C, and print the addresses
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pub keep: bool,
}

/// The words Go's `flag` package takes for a boolean.
fn go_bool(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("neither true nor false"),
    }
}

/// Why there is no command to run.
#[derive(Debug)]
pub enum Refusal {
    /// Help was asked for.
    Help(String),
    /// No command was named: the help, as an error.
    NoCommand(String),
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
            Self::NoCommand(text) => (write!(io::stderr(), "{text}"), NO_SUCH_COMMAND),
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
    let words = with_version_command(go_style_args(words));
    let called = called(&words);
    CommandLine::try_parse_from(words).map(|line| line.command).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp => Refusal::Help(error.render().to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Refusal::NoCommand(error.render().to_string()),
        ErrorKind::InvalidSubcommand => Refusal::Wrong { line: one_line(&error, &called), code: NO_SUCH_COMMAND },
        _ => Refusal::Wrong { line: one_line(&error, &called), code: 1 },
    })
}

/// `lictor -v` and `lictor --version` are the command `version`.
fn with_version_command(mut words: Vec<OsString>) -> Vec<OsString> {
    if let Some(first) = words.get_mut(1)
        && ["-v", "--version"].iter().any(|flag| first == flag)
    {
        *first = "version".into();
    }
    words
}

/// The first paragraph of clap's message as one line, and whose help to read.
fn one_line(error: &clap::Error, command: &str) -> String {
    let text = error.render().to_string();
    let paragraph: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let message = paragraph.join(" ");
    format!("{} (see {command} --help)", message.strip_prefix("error: ").unwrap_or(&message))
}

/// The command as it was called: the program's name, and the command's if there is one of that name.
fn called(words: &[OsString]) -> String {
    let program = words.first().and_then(|path| Path::new(path).file_name()).map(OsStr::to_string_lossy);
    let program = program.unwrap_or("lictor".into());
    match words.get(1).and_then(|word| word.to_str()) {
        Some(word) if CommandLine::command().find_subcommand(word).is_some() => format!("{program} {word}"),
        _ => program.into_owned(),
    }
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
            assert!(matches!(parse(words(line)), Ok(Command::Version)), "{line}");
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
            ("lictor memmbers", NO_SUCH_COMMAND, "unrecognized subcommand 'memmbers' (see lictor --help)"),
        ] {
            let Err(Refusal::Wrong { line: said, code: given }) = parse(words(line)) else { panic!("{line}") };
            assert_eq!((given, said.lines().count()), (code, 1), "{said}");
            assert!(said.contains(part), "{said}");
        }
        assert!(matches!(parse(words("lictor")), Err(Refusal::NoCommand(help)) if help.contains("force-leave")));
        assert!(matches!(parse(words("lictor members -help")), Err(Refusal::Help(help)) if help.contains("--status")));
        assert!(matches!(parse(words("lictor -h")), Err(Refusal::Help(help)) if !help.contains("hello")));
    }

    #[test]
    fn the_flags_are_well_formed() {
        CommandLine::command().debug_assert();
    }
}
