//! The words of a command line as clap reads them: Go's flags, and what has another name with Consul.
//!
//! `help X` is `X --help`, `-v` is `version`, `-autocomplete-install` is `completion --install`. A command that runs a
//! program of the caller's (`watch`) has its flags before that program: from there on all words stay as they are.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};
use lictor_shared::config::go_style_args;

/// Turns the words of a command line into those that `line` reads; the first is the name it was called by.
pub fn translated(words: impl IntoIterator<Item = OsString>, line: &Command) -> Vec<OsString> {
    let mut words = with_other_names(words.into_iter().collect());
    let program = own_flags(&words, line).map(|own| words.split_off(own));
    let mut words = go_style_args(words);
    if let Some(program) = program
        && !program.is_empty()
    {
        words.push("--".into());
        words.extend(program);
    }
    words
}

fn with_other_names(mut words: Vec<OsString>) -> Vec<OsString> {
    let other = match words.get(1).and_then(|word| word.to_str()) {
        Some("-v" | "--version" | "-version") => &["version"][..],
        Some("-autocomplete-install" | "--autocomplete-install") => &["completion", "--install"],
        Some("-autocomplete-uninstall" | "--autocomplete-uninstall") => &["completion", "--uninstall"],
        Some("help") => {
            words.remove(1);
            words.push("--help".into());
            return words;
        }
        _ => return words,
    };
    words.splice(1..2, other.iter().map(OsString::from));
    words
}

/// How many words come before the program of a command that runs one; nothing for other commands.
fn own_flags(words: &[OsString], line: &Command) -> Option<usize> {
    let command = line.find_subcommand(words.get(1)?)?;
    command.get_positionals().find(|argument| argument.is_trailing_var_arg_set())?;
    let mut count = 2;
    while let Some(word) = words.get(count).and_then(|word| word.to_str()) {
        let Some(flag) = word.strip_prefix('-').filter(|_| word != "--" && word != "-") else { break };
        count += 1;
        let name = flag.strip_prefix('-').unwrap_or(flag);
        let found = command.get_arguments().find(|argument| argument.get_long() == Some(name));
        count += usize::from(found.is_some_and(takes_next_word));
    }
    if words.get(count).map(OsString::as_os_str) == Some(OsStr::new("--")) {
        return None;
    }
    Some(count.min(words.len()))
}

fn takes_next_word(argument: &Arg) -> bool {
    argument.get_action().takes_values() && !argument.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;

    fn line() -> Command {
        let switch = Arg::new("shell").long("shell").num_args(0..=1).require_equals(true);
        let help = Arg::new("verbose").long("verbose").action(ArgAction::SetTrue);
        let program = Arg::new("program").num_args(0..).trailing_var_arg(true);
        let watch = Command::new("watch").args([Arg::new("type").long("type"), switch, help, program]);
        Command::new("lictor").subcommands([watch, Command::new("members"), Command::new("version")])
    }

    #[test]
    fn words_are_translated() {
        for (given, expected) in [
            ("members -wan -status=x", "members --wan --status=x"),
            ("-v", "version"),
            ("--version", "version"),
            ("help", "--help"),
            ("help catalog nodes", "catalog nodes --help"),
            ("-autocomplete-install", "completion --install"),
            ("watch -type nodes ./run -fast -type x", "watch --type nodes -- ./run -fast -type x"),
            ("watch -shell=false -verbose -type=nodes cat", "watch --shell=false --verbose --type=nodes -- cat"),
            ("watch -shell cat -n", "watch --shell -- cat -n"),
            ("watch -type=nodes -- cat -long", "watch --type=nodes -- cat -long"),
            ("watch -type=nodes", "watch --type=nodes"),
            ("watch -type", "watch --type"),
            ("watch -help", "watch --help"),
            ("", ""),
        ] {
            let words = std::iter::once("lictor").chain(given.split_whitespace()).map(OsString::from);
            let expected: Vec<OsString> =
                std::iter::once("lictor").chain(expected.split_whitespace()).map(OsString::from).collect();
            assert_eq!(translated(words, &line()), expected, "{given}");
        }
    }
}
