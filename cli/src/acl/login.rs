//! `lictor login` and `lictor logout`: what another system vouches for against a token in a file, and that token's end.
//!
//! Neither prints a secret. A token that cannot be put into its file is given back at once.

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use hyper::StatusCode;
use serde_json::json;

use super::{asked::Asked, required, sink::Sink};
use crate::{arguments::pair, client::ClientError, query::Query, target::HttpFlags};

const LOGIN_EXAMPLES: &str = "\
Examples:
  A build shows its web token (JWT), and works with what it gets:
    lictor login -method=builds -bearer-token-file=job.jwt -token-sink-file=token
    lictor kv put -token-file=token deployed/web 7
    lictor logout -token-file=token
  With a note of who it was:
    lictor login -method=builds -bearer-token-file=job.jwt -token-sink-file=token -meta=job=42";

/// Flags of `login`.
#[derive(Args, Debug)]
#[command(after_long_help = LOGIN_EXAMPLES)]
pub struct LoginFlags {
    /// The auth method's name
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// File with what the other system vouches for, such as a web token (JWT)
    #[arg(long, value_name = "FILE")]
    bearer_token_file: Option<PathBuf>,
    /// File that gets the token's secret; only its owner can read it
    #[arg(long, value_name = "FILE")]
    token_sink_file: Option<PathBuf>,
    /// A note that the token has; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
    #[command(flatten)]
    http: HttpFlags,
}

/// Flags of `logout`.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:\n  lictor logout -token-file=token")]
pub struct LogoutFlags {
    #[command(flatten)]
    http: HttpFlags,
}

/// Logs in and writes the secret into the file. It prints nothing.
///
/// # Errors
/// Wrong flags or files; the agent could not be asked; it does not take what was shown.
pub async fn login(flags: LoginFlags) -> anyhow::Result<ExitCode> {
    let method = required(flags.method.as_deref(), "-method")?;
    let Some(sink) = &flags.token_sink_file else { bail!("Missing required '-token-sink-file' flag") };
    let Some(bearer) = &flags.bearer_token_file else { bail!("Missing required '-bearer-token-file' flag") };
    let text = fs::read_to_string(bearer).with_context(|| format!("-bearer-token-file: cannot read {bearer:?}"))?;
    let shown = text.trim();
    if shown.is_empty() {
        bail!("-bearer-token-file: there is nothing in {bearer:?}");
    }
    let asked = Asked::new(&flags.http)?;
    // Before there is a token: one that no file can take would be lost.
    let sink = Sink::open(sink).with_context(|| format!("-token-sink-file: cannot write {sink:?}"))?;

    let meta: BTreeMap<&str, &str> = flags.meta.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let body = json!({ "AuthMethod": method, "BearerToken": shown, "Meta": meta });
    let token = asked.post(Query::new("/v1/acl/login"), body).await.map_err(|error| refused(error, method))?;
    let Some(secret) = token.get("SecretID").and_then(|secret| secret.as_str()) else {
        bail!("Error logging in: the agent's answer has no SecretID");
    };
    if let Err(error) = sink.write(secret) {
        // It ends by itself too, but later; what went wrong is what the caller is told.
        let _ = asked.with_token(secret)?.post_nothing(Query::new("/v1/acl/logout")).await;
        return Err(error).context("-token-sink-file: the token cannot be written, and was given back");
    }
    Ok(ExitCode::SUCCESS)
}

/// No right is missing where a login is refused: what was shown is not good for one.
fn refused(error: ClientError, method: &str) -> anyhow::Error {
    match error {
        ClientError::Status { status: StatusCode::FORBIDDEN, reason, .. } => anyhow!(
            "Error logging in: {reason}. There is no auth method {method:?}, or it does not take what is in \
             -bearer-token-file (wrong issuer, signature or time), or none of its binding rules is about it: the server's \
             log says which"
        ),
        error => anyhow::Error::from(error).context("Error logging in"),
    }
}

/// Ends the token that is shown, which must be one of a login. It prints nothing.
///
/// # Errors
/// No token is shown, or none of a login; the agent could not be asked.
pub async fn logout(flags: &LogoutFlags) -> anyhow::Result<ExitCode> {
    let asked = Asked::new(&flags.http)?;
    if !asked.shows_token() {
        bail!("Logout ends the token of a login: show it by -token-file, -token or CONSUL_HTTP_TOKEN");
    }
    asked.post_nothing(Query::new("/v1/acl/logout")).await.context("Error destroying token")?;
    Ok(ExitCode::SUCCESS)
}
