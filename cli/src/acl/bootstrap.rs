//! `lictor acl bootstrap`: the first token of a cluster. It allows everything, and is made once.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::{
    asked::Asked,
    show::{self, ShowFlags},
};
use crate::{data, query::Query, target::HttpFlags};

const EXAMPLES: &str = "\
Examples:
  The first token, with a secret that the servers make:
    lictor acl bootstrap
  With a secret of one's own, a UUID in a file or on stdin:
    lictor acl bootstrap secret.txt
    uuidgen | lictor acl bootstrap -

Whoever has the secret may do everything. It is printed this once: keep it where few can read it, and make tokens that
allow less for all daily work.";

const WARNING: &str = "Warning: whoever has this SecretID may do everything. Keep it safe and keep it now: it is not \
shown again to anyone who does not have it or another token that may change access control.";

/// Flags of `acl bootstrap`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct BootstrapFlags {
    /// File with the secret that the token is to have, a UUID; - for stdin [default: the servers make one]
    #[arg(value_name = "SECRET-FILE")]
    secret_file: Option<String>,
    #[command(flatten)]
    show: ShowFlags,
    #[command(flatten)]
    http: HttpFlags,
}

/// Makes it and prints it. The warning goes to stderr, so that a program can read what is printed.
///
/// # Errors
/// There is one already; the file has no secret; the agent could not be asked or refused.
pub async fn run(flags: BootstrapFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let secret = flags.secret_file.as_deref().map(secret).transpose()?;
    let asked = Asked::new(&flags.http)?;
    let query = Query::new("/v1/acl/bootstrap");
    let made = match secret {
        None => asked.put_nothing(query).await,
        Some(secret) => asked.put(query, json!({ "BootstrapSecret": secret })).await,
    };
    let answer = made.context("Failed ACL bootstrapping")?;
    flags.show.one(out, &answer, show::token)?;
    out.flush()?;
    // Nothing is left to do where stderr is gone.
    let _ = writeln!(io::stderr(), "{WARNING}");
    Ok(ExitCode::SUCCESS)
}

fn secret(file: &str) -> anyhow::Result<String> {
    let argument = if file == "-" { file.to_owned() } else { format!("@{file}") };
    let secret = data::text(&argument)?.trim().to_owned();
    if secret.is_empty() {
        bail!("{file} has no secret in it (give a UUID, such as uuidgen makes)");
    }
    Ok(secret)
}
