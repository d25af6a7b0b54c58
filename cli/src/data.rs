//! What an argument stands for: a text, the contents of a file, or what comes on stdin. It knows no command.

use std::{
    fs,
    io::{self, Read},
};

use anyhow::{Context, anyhow};

/// What an argument stands for: `-` is stdin, `@FILE` a file, all else itself.
///
/// # Errors
/// The file or stdin cannot be read.
pub fn bytes(argument: &str) -> anyhow::Result<Vec<u8>> {
    if argument == "-" {
        let mut data = Vec::new();
        io::stdin().read_to_end(&mut data).context("Failed to read stdin")?;
        return Ok(data);
    }
    match argument.strip_prefix('@') {
        Some(file) => fs::read(file).with_context(|| format!("Failed to read file {file:?}")),
        None => Ok(argument.as_bytes().to_vec()),
    }
}

/// The same where it must be a text. What is read is in no error: it may be a secret.
///
/// # Errors
/// It cannot be read, or is no UTF-8.
pub fn text(argument: &str) -> anyhow::Result<String> {
    let origin = if argument == "-" { "stdin" } else { argument };
    String::from_utf8(bytes(argument)?).map_err(|_| anyhow!("{origin} is no text in UTF-8"))
}
