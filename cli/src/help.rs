//! `lictor help`: the commands in groups, so that a person finds the one that is needed.

use clap::Command;

use crate::table;

/// The commands by what they are for, in the order of the help. One that is named nowhere is shown last.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Run an agent", &["agent", "validate", "reload", "leave", "maint", "info", "monitor", "debug"]),
    (
        "Look after the cluster",
        &["members", "join", "force-leave", "operator", "keygen", "keyring", "tls", "snapshot", "event", "rtt"],
    ),
    ("Register and find services", &["services", "catalog", "watch"]),
    ("Configuration and locks", &["kv", "lock"]),
    ("Say who may do what", &["acl", "login", "logout"]),
    ("Learn", &["demo", "completion", "version"]),
];

const TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}{after-help}";

/// What is said after the commands.
pub const MORE: &str = "\
Begin with
  lictor demo                     see all of it working on this machine
  lictor agent -dev               run one server that keeps nothing on disk
  lictor COMMAND -help            what a command does, its flags, and examples

Flags are written -flag or --flag, -flag=value or -flag value. Commands ask the agent of this host at 127.0.0.1:8500;
-http-addr or CONSUL_HTTP_ADDR names another. Running commands on other hosts (exec) is not offered.
";

/// The command line with its commands in groups.
pub fn grouped(line: Command) -> Command {
    let text = commands(&line);
    line.help_template(TEMPLATE).after_help(text)
}

fn commands(line: &Command) -> String {
    let named: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let shown = || line.get_subcommands().filter(|command| !command.is_hide_set());
    let others: Vec<&str> = shown().map(Command::get_name).filter(|name| !named.contains(name)).collect();
    let groups = GROUPS.iter().copied().chain(std::iter::once(("Others", others.as_slice())));
    let mut text = String::new();
    for (title, names) in groups {
        let found = names.iter().filter_map(|name| shown().find(|command| command.get_name() == *name));
        let rows: Vec<Vec<String>> = found.map(row).collect();
        if !rows.is_empty() {
            text.push_str(&format!("{title}\n{}\n", table::lines(&rows, "  ")));
        }
    }
    text + MORE
}

fn row(command: &Command) -> Vec<String> {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    vec![format!("  {:<14}", command.get_name()), about]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_shown_once() {
        let line = Command::new("lictor").about("A registry").subcommands([
            Command::new("agent").about("Run"),
            Command::new("newcomer").about("New"),
            Command::new("secret").about("Hidden").hide(true),
        ]);
        let text = grouped(line).render_help().to_string();
        assert!(text.starts_with("A registry\n\nUsage: lictor"), "{text}");
        assert!(
            text.contains("Run an agent\n  agent           Run\n\nOthers\n  newcomer        New\n\nBegin"),
            "{text}"
        );
        assert!(!text.contains("secret"));
    }
}
