//! `lictor tls`: a certificate authority of one's own, and certificates of it for servers, sidecars and the command line.
//!
//! It asks no agent. Keys are ECDSA on P-256, in files of mode 0600 in the directory where the command is run, by the
//! names that Consul's command gives them; a file that is there is never written over. `authority` makes a CA,
//! `certificate` what it issues, `files` writes.

mod authority;
mod certificate;
mod files;

use std::{io, process::ExitCode};

use clap::Subcommand;
use time::{Duration, OffsetDateTime};

/// What to make.
#[derive(Debug, Subcommand)]
pub enum TlsCommand {
    /// A certificate authority
    #[command(subcommand)]
    Ca(CaCommand),
    /// Certificates of it
    #[command(subcommand)]
    Cert(CertCommand),
}

/// What to do with a CA.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make one: DOMAIN-agent-ca.pem and DOMAIN-agent-ca-key.pem
    Create(authority::AuthorityFlags),
}

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    /// Make one: DATACENTER-server-DOMAIN-0.pem and its key, or the next free number
    Create(certificate::CertificateFlags),
}

/// Makes it.
///
/// # Errors
/// Wrong flags, a file that is there already or that is not a CA's, or the directory cannot be written to.
pub fn run(command: TlsCommand, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    match command {
        TlsCommand::Ca(CaCommand::Create(flags)) => authority::run(&flags, out),
        TlsCommand::Cert(CertCommand::Create(flags)) => certificate::run(&flags, out),
    }
}

/// The most days a certificate may hold: a century.
const MOST_DAYS: i64 = 36_525;
/// Clocks of other hosts may be a little behind.
const BEFORE: Duration = Duration::minutes(5);

/// From when until when a certificate of so many days holds.
fn times(days: i64) -> anyhow::Result<(OffsetDateTime, OffsetDateTime)> {
    anyhow::ensure!((1..=MOST_DAYS).contains(&days), "-days: {days} is not between 1 and {MOST_DAYS}");
    let now = OffsetDateTime::now_utc();
    Ok((now - BEFORE, now + Duration::days(days)))
}

/// A domain or datacenter as a part of names and of file names.
fn part<'t>(flag: &str, text: &'t str) -> anyhow::Result<&'t str> {
    let text = text.trim_end_matches('.');
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let whole = !text.is_empty() && text.chars().all(allowed) && text.split('.').all(|label| !label.is_empty());
    anyhow::ensure!(whole, "{flag}: {text:?} is no name (letters, digits, dashes, underscores, dots between them)");
    Ok(text)
}
