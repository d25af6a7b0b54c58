//! `lictor tls cert create`.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{ArgAction::Set, Args};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{files, part, times};
use crate::arguments::go_bool;

/// Flags of `tls cert create`.
#[derive(Args, Debug)]
pub struct CertificateFlags {
    /// For a server: the right to take part in Raft and to answer sidecars
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    server: bool,
    /// For a sidecar
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    client: bool,
    /// For the command line and other callers of HTTPS: no right between nodes
    #[arg(long, value_parser = go_bool, action = Set, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false", hide_default_value = true)]
    cli: bool,
    /// The certificate of the CA [default: DOMAIN-agent-ca.pem]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The key of the CA [default: DOMAIN-agent-ca-key.pem]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// How many days it holds
    #[arg(long, value_name = "N", default_value_t = 365)]
    days: i64,
    /// The datacenter of the node
    #[arg(long, value_name = "NAME", default_value = "dc1")]
    dc: String,
    /// The domain of the registry
    #[arg(long, value_name = "DOMAIN", default_value = "consul")]
    domain: String,
    /// The node's name: it is for this server alone, too
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// A further name that it is for (repeatable)
    #[arg(long, value_name = "NAME")]
    additional_dnsname: Vec<String>,
    /// A further address that it is for (repeatable)
    #[arg(long, value_name = "IP")]
    additional_ipaddress: Vec<IpAddr>,
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Server,
    Client,
    CommandLine,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::CommandLine => "cli",
        }
    }
}

/// Makes a certificate.
///
/// # Errors
/// Wrong flags, or the CA's files are not there, or not a CA's.
pub fn run(flags: &CertificateFlags, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    make(flags, Path::new("."), out)
}

fn make(flags: &CertificateFlags, directory: &Path, out: &mut impl io::Write) -> anyhow::Result<ExitCode> {
    let purpose = match (flags.server, flags.client, flags.cli) {
        (true, false, false) => Purpose::Server,
        (false, true, false) => Purpose::Client,
        (false, false, true) => Purpose::CommandLine,
        (false, false, false) => bail!("say what it is for: -server, -client or -cli"),
        _ => bail!("a certificate is for one purpose: give one of -server, -client and -cli"),
    };
    let (domain, datacenter) = (part("-domain", &flags.domain)?, part("-dc", &flags.dc)?);
    let parameters = parameters(flags, purpose, datacenter, domain)?;
    let [usual_ca, usual_key] = files::of_authority(directory, domain);
    let (ca, ca_key) = (flags.ca.clone().unwrap_or(usual_ca), flags.key.clone().unwrap_or(usual_key));
    let issuer = issuer(&ca, &ca_key)?;
    let key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&key, &issuer)?;
    if purpose == Purpose::Server {
        writeln!(out, "==> Whoever has this key can be a server: keep it on that server alone")?;
    }
    writeln!(out, "==> Using {} and {}", files::shown(directory, &ca), files::shown(directory, &ca_key))?;
    let stem = format!("{datacenter}-{}-{domain}", purpose.word());
    let [certificate_path, key_path] = files::next(directory, &stem)?;
    files::write_pair([(&certificate_path, &certificate.pem()), (&key_path, &key.serialize_pem())])?;
    files::say_saved(out, directory, [&certificate_path, &key_path])?;
    Ok(ExitCode::SUCCESS)
}

fn parameters(
    flags: &CertificateFlags,
    purpose: Purpose,
    datacenter: &str,
    domain: &str,
) -> anyhow::Result<CertificateParams> {
    let word = purpose.word();
    let name = format!("{word}.{datacenter}.{domain}");
    let mut names = Vec::new();
    if let Some(node) = &flags.node {
        anyhow::ensure!(purpose == Purpose::Server, "-node: only a server's certificate names its node (add -server)");
        names.push(format!("{}.{name}", part("-node", node)?));
    }
    names.extend([name.clone(), "localhost".into()]);
    names.extend(flags.additional_dnsname.iter().cloned());
    let mut parameters = CertificateParams::new(names).context("-additional-dnsname")?;
    if purpose != Purpose::CommandLine {
        parameters.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    }
    parameters.subject_alt_names.extend(flags.additional_ipaddress.iter().copied().map(SanType::IpAddress));
    parameters.distinguished_name.push(DnType::CommonName, name);
    (parameters.not_before, parameters.not_after) = times(flags.days)?;
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    parameters.extended_key_usages = match purpose {
        // A server asks others, and a sidecar has interfaces of its own.
        Purpose::Server | Purpose::Client => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
        Purpose::CommandLine => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    Ok(parameters)
}

fn issuer(ca: &Path, key: &Path) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let read = |path: &Path| {
        let missing = || format!("{}: cannot be read (lictor tls ca create makes one)", path.display());
        fs::read_to_string(path).with_context(missing)
    };
    let (ca_text, key_text) = (read(ca)?, read(key)?);
    let key = KeyPair::from_pem(&key_text).with_context(|| format!("{}: no private key", key.display()))?;
    let public = key.public_key_raw().to_vec();
    let issuer =
        Issuer::from_ca_cert_pem(&ca_text, key).with_context(|| format!("{}: no certificate", ca.display()))?;
    let may_sign = issuer.key_usages().is_empty() || issuer.key_usages().contains(&KeyUsagePurpose::KeyCertSign);
    anyhow::ensure!(may_sign, "{}: is no certificate of a CA", ca.display());
    // The certificate has its public key in it as it is.
    let der = CertificateDer::from_pem_slice(ca_text.as_bytes())
        .with_context(|| format!("{}: no certificate", ca.display()))?;
    let is_its = der.windows(public.len()).any(|window| window == public);
    anyhow::ensure!(is_its, "{}: is the certificate of another key", ca.display());
    Ok(issuer)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use lictor_shared::tls::{Settings, Tls, settings::Source};

    use super::{super::authority, *};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: CertificateFlags,
    }

    fn made(arguments: &[&str], directory: &Path) -> Result<String, String> {
        let line = Line::try_parse_from([&["create"], arguments].concat()).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        make(&line.flags, directory, &mut out).map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn files(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_have_their_names_are_private_and_never_written_over() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let ca = authority::tests::made(&["--name-constraint", "--additional-name-constraint=example"], path).unwrap();
        assert_eq!(ca, "==> Saved consul-agent-ca.pem\n==> Saved consul-agent-ca-key.pem\n");
        let again = authority::tests::made(&[], path).unwrap_err();
        assert!(again.contains("consul-agent-ca.pem: is there already"), "{again}");
        made(&["--server", "--node=node-1", "--additional-ipaddress=10.0.0.1"], path).unwrap();
        made(&["--server", "--additional-dnsname=a.example"], path).unwrap();
        made(&["--client", "--dc=dc2"], path).unwrap();
        made(&["--cli"], path).unwrap();
        let expected = [
            "consul-agent-ca-key.pem",
            "consul-agent-ca.pem",
            "dc1-cli-consul-0-key.pem",
            "dc1-cli-consul-0.pem",
            "dc1-server-consul-0-key.pem",
            "dc1-server-consul-0.pem",
            "dc1-server-consul-1-key.pem",
            "dc1-server-consul-1.pem",
            "dc2-client-consul-0-key.pem",
            "dc2-client-consul-0.pem",
        ];
        assert_eq!(files(path), expected);
        for name in expected.iter().filter(|name| name.ends_with("-key.pem")) {
            let mode = fs::metadata(path.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        // An agent takes them.
        let file = |name: &str| Source::new("file", path.join(name));
        let mut settings = Settings { verify_server_hostname: true, ..Settings::default() };
        settings.internal_rpc.ca_file = Some(file("consul-agent-ca.pem"));
        let (certificate, key) = (file("dc1-server-consul-0.pem"), file("dc1-server-consul-0-key.pem"));
        settings.internal_rpc.pair = Some(lictor_shared::tls::settings::Pair { certificate, key });
        assert!(Tls::open(&settings).unwrap().secures_rpc());
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let error = made(&["--server"], path).unwrap_err();
        assert!(error.contains("consul-agent-ca.pem: cannot be read (lictor tls ca create makes one)"), "{error}");
        authority::tests::made(&[], path).unwrap();
        authority::tests::made(&["--domain=other"], path).unwrap();
        let other = format!("--key={}", path.join("other-agent-ca-key.pem").display());
        for (arguments, expected) in [
            (&["--server", "--client"][..], "one purpose"),
            (&[], "say what it is for"),
            (&["--client", "--node=a"], "-node: only a server's"),
            (&["--server", "--dc=../x"], "-dc: \"../x\" is no name"),
            (&["--server", "--additional-dnsname=ä"], "-additional-dnsname"),
            (&["--server", "--additional-ipaddress=x"], "invalid"),
            (&["--server", &other], "consul-agent-ca.pem: is the certificate of another key"),
        ] {
            let error = made(arguments, path).unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
        assert_eq!(files(path).len(), 4, "{:?}", files(path));
    }
}
