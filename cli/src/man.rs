//! `lictor man`: the manual pages of all commands (`lictor.1`, `lictor-kv-get.1`, ...), made of the same words as their
//! help. It is for who makes a package, is not shown in the help, and asks no agent.

use std::{fs, io, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Command};
use clap_mangen::Man;

use crate::{arguments, help};

/// How a flag begins in what is generated, and how it is written here: with one dash, as in all examples.
const FLAG: (&str, &str) = (r"\fB\-\-", r"\fB\-");
/// The title of what follows the flags.
const MORE: (&str, &str) = (".SH EXTRA\n", ".SH NOTES\n");

/// Flags of `man`.
#[derive(Args, Debug)]
pub struct ManFlags {
    /// Directory to write them into; it is made
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

/// Writes them.
///
/// # Errors
/// The directory or a file cannot be written.
pub fn run(flags: &ManFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let failed = || format!("cannot write {}", flags.output.display());
    fs::create_dir_all(&flags.output).with_context(failed)?;
    let pages = pages()?;
    for (name, page) in &pages {
        fs::write(flags.output.join(name), page).with_context(failed)?;
    }
    writeln!(out, "{} manual pages written to {}", pages.len(), flags.output.display())?;
    Ok(ExitCode::SUCCESS)
}

/// The pages by the names of their files. They say no date: the same program always writes the same.
fn pages() -> anyhow::Result<Vec<(String, String)>> {
    // The list of commands is there already, and need not be shown in groups once more.
    let mut line = arguments::command_line().after_help(help::MORE);
    line.build();
    let mut pages = Vec::new();
    add(&line, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, pages: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    let man = Man::new(command.clone()).manual("Lictor").source(concat!("Lictor ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render(&mut page)?;
    let page = String::from_utf8(page)?.replace(FLAG.0, FLAG.1).replace(MORE.0, MORE.1);
    pages.push((man.get_filename(), page));
    command.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|command| add(command, pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let pages = pages().unwrap();
        let page = |name: &str| {
            let found = pages.iter().find(|(file, _)| file == name);
            &found.unwrap_or_else(|| panic!("no {name}")).1
        };
        for (name, part) in [
            ("lictor.1", "lictor\\-force\\-leave(1)"),
            ("lictor.1", ".SH NOTES\nBegin with"),
            ("lictor-agent.1", r"\fB\-retry\-join\fR"),
            ("lictor-kv.1", "lictor\\-kv\\-get(1)"),
            ("lictor-kv-get.1", r"\fB\-recurse\fR"),
            ("lictor-acl-token-create.1", ".SH NAME\nlictor\\-acl\\-token\\-create"),
        ] {
            assert!(page(name).contains(part), "{name}: {part}: {}", page(name));
        }
        for (name, page) in &pages {
            assert!(!page.contains(r"\fB\-\-") && !page.contains("EXTRA"), "{name}: {page}");
        }
        assert!(!pages.iter().any(|(name, _)| name.contains("hello") || name.contains("man")), "hidden commands");
    }
}
