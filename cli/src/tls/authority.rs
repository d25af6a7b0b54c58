//! `lictor tls ca create`.

use std::{io, path::Path, process::ExitCode};

use clap::{ArgAction::Set, Args};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
};

use super::{files, part, times};
use crate::arguments::go_bool;

/// Flags of `tls ca create`.
#[derive(Args, Debug)]
pub struct AuthorityFlags {
    /// The domain of the names that it issues certificates for
    #[arg(long, value_name = "DOMAIN", default_value = "consul")]
    domain: String,
    /// How many days it holds
    #[arg(long, value_name = "N", default_value_t = 1825)]
    days: i64,
    /// Its name
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,
    /// Have nobody take certificates of it for names outside the domain, localhost and -additional-name-constraint
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    name_constraint: bool,
    /// A further domain that certificates may be for (repeatable)
    #[arg(long, value_name = "DOMAIN")]
    additional_name_constraint: Vec<String>,
}

/// Makes a CA.
///
/// # Errors
/// Wrong flags, or there is a CA already.
pub fn run(flags: &AuthorityFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    make(flags, Path::new("."), out)
}

fn make(flags: &AuthorityFlags, directory: &Path, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let domain = part("-domain", &flags.domain)?;
    anyhow::ensure!(
        flags.name_constraint || flags.additional_name_constraint.is_empty(),
        "-additional-name-constraint: has no effect alone (add -name-constraint)"
    );
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::default();
    (parameters.not_before, parameters.not_after) = times(flags.days)?;
    let common_name =
        flags.common_name.clone().unwrap_or_else(|| format!("Lictor Agent CA {:016x}", rand::random::<u64>()));
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if flags.name_constraint {
        let more = flags.additional_name_constraint.iter().map(|name| part("-additional-name-constraint", name));
        let names = [Ok(domain), Ok("localhost")].into_iter().chain(more).collect::<anyhow::Result<Vec<_>>>()?;
        let permitted_subtrees = names.into_iter().map(|name| GeneralSubtree::DnsName(name.into())).collect();
        parameters.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    }
    let certificate = parameters.self_signed(&key)?;
    let [certificate_path, key_path] = files::of_authority(directory, domain);
    files::write_pair([(&certificate_path, &certificate.pem()), (&key_path, &key.serialize_pem())])?;
    files::say_saved(out, directory, [&certificate_path, &key_path])?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
pub mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: AuthorityFlags,
    }

    /// Makes a CA as the command does, there.
    pub fn made(arguments: &[&str], directory: &Path) -> Result<String, String> {
        let line = Line::try_parse_from([&["create"], arguments].concat()).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        make(&line.flags, directory, &mut out).map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for (arguments, expected) in [
            (&["--days=0"][..], "-days: 0 is not between"),
            (&["--days=99999999"], "-days: 99999999"),
            (&["--domain=a/b"], "-domain: \"a/b\" is no name"),
            (&["--domain=a..b"], "-domain:"),
            (&["--additional-name-constraint=a"], "add -name-constraint"),
        ] {
            let error = made(arguments, directory.path()).unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
