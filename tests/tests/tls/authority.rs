//! A certificate authority, made by `lictor tls`; and certificates that the command does not make: expired ones.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lictor_tests::binary;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use tempfile::TempDir;

/// A certificate and its key, in files.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

pub struct Authority {
    directory: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { directory: tempfile::tempdir().unwrap() };
        authority.lictor(&["ca", "create"]);
        authority
    }

    fn lictor(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary::path("lictor"));
        let output = command.current_dir(self.directory.path()).arg("tls").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn ca(&self) -> PathBuf {
        self.path("consul-agent-ca.pem")
    }

    /// Has the command make a certificate with these flags.
    pub fn issue(&self, flags: &[&str]) -> Pair {
        let said = self.lictor(&[&["cert", "create"], flags].concat());
        let saved: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("==> Saved ")).collect();
        let [certificate, key] = saved[..] else { panic!("{said}") };
        Pair { certificate: self.path(certificate), key: self.path(key) }
    }

    /// A certificate for this name that held until the last day of that year.
    pub fn issue_until(&self, name: &str, year: i32) -> Pair {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap();
        let key = KeyPair::from_pem(&read("consul-agent-ca-key.pem")).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&read("consul-agent-ca.pem"), key).unwrap();
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(year, 12, 31);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &issuer).unwrap();
        let pair = Pair {
            certificate: self.path(&format!("{name}-{year}.pem")),
            key: self.path(&format!("{name}-{year}-key.pem")),
        };
        fs::write(&pair.certificate, certificate.pem()).unwrap();
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}

impl Pair {
    /// Puts it into a directory as `own.pem` and `own-key.pem`, in the place of what is there.
    pub fn put_into(&self, directory: &Path) {
        for (from, name) in [(&self.certificate, "own.pem"), (&self.key, "own-key.pem")] {
            let beside = directory.join("own.new");
            fs::copy(from, &beside).unwrap();
            fs::rename(&beside, directory.join(name)).unwrap();
        }
    }
}
