//! The public keys of a method, from PEM or a JSON Web Key Set (RFC 7517), and the algorithms that they check (RFC 7518,
//! section 3). Those with a shared secret (HS256 and its kin), and `none`, do not exist here.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use rustls::{
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer, pem::PemObject},
    server::ParsedCertificate,
};
use serde_json::Value;

use super::der::{Public, unwrap_key, without_zeros};

/// The sizes of RSA's modulus that are taken, in bits: smaller ones are broken, greater ones are slow.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// How something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    const NAMES: [(&'static str, Self); 9] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// The one of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    /// The names of all.
    pub fn names() -> String {
        Self::NAMES.map(|(name, _)| name).join(", ")
    }
}

/// A key and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    public: Public,
    /// Its `kid`; one without may be meant by any.
    id: Option<String>,
    /// The only algorithm it is for, where it says so.
    only: Option<Algorithm>,
}

impl Key {
    /// Reads a `PUBLIC KEY`, or takes that of a `CERTIFICATE`, whose dates and names do not matter.
    pub fn of_pem(text: &str) -> Result<Self, &'static str> {
        let info = match SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()) {
            Ok(info) => info,
            Err(_) => {
                let certificate = CertificateDer::from_pem_slice(text.as_bytes())
                    .map_err(|_| "it is neither a PUBLIC KEY nor a CERTIFICATE in PEM")?;
                let parsed = ParsedCertificate::try_from(&certificate).map_err(|_| "the certificate cannot be read")?;
                parsed.subject_public_key_info()
            }
        };
        let public = unwrap_key(&info).ok_or("it is neither RSA, nor of P-256 or P-384, nor Ed25519")?;
        Self { public, id: None, only: None }.looked_over()
    }

    /// Reads one key of a set; none where it is of a kind, or for a use, that this is not about (RFC 7517, section 5).
    pub fn of_set(jwk: &Value) -> Result<Option<Self>, &'static str> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| {
            let text = text(name).ok_or("a part of the key is missing")?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| "a part of the key is not base64url without padding")
        };
        let point = |length: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            let fits = x.len() == length && y.len() == length;
            if fits { Ok([&[4], &x[..], &y[..]].concat()) } else { Err("its point has another size than its curve") }
        };
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return Ok(None);
        }
        let only = match text("alg").map(Algorithm::parse) {
            Some(None) => return Ok(None),
            Some(only) => only,
            None => None,
        };
        let public = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                Public::Rsa { modulus: without_zeros(&modulus).to_vec(), exponent: without_zeros(&exponent).to_vec() }
            }
            (Some("EC"), Some("P-256")) => Public::P256(point(32)?),
            (Some("EC"), Some("P-384")) => Public::P384(point(48)?),
            (Some("OKP"), Some("Ed25519")) => Public::Ed25519(bytes("x")?),
            _ => return Ok(None),
        };
        Self { public, id: text("kid").map(str::to_owned), only }.looked_over().map(Some)
    }

    fn looked_over(self) -> Result<Self, &'static str> {
        let is_point = |point: &[u8], length: usize| point.len() == 2 * length + 1 && point[0] == 4;
        match &self.public {
            Public::Rsa { modulus, exponent } => {
                let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
                let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
                if !RSA_BITS.contains(&bits) {
                    return Err("its modulus has not 2048 to 8192 bits");
                }
                let is_exponent = is_odd(exponent) && exponent.len() <= 4 && exponent[..] != [1];
                if is_odd(modulus) && is_exponent { Ok(self) } else { Err("it is no key of RSA") }
            }
            Public::P256(point) if !is_point(point, 32) => Err("it is no uncompressed point of P-256"),
            Public::P384(point) if !is_point(point, 48) => Err("it is no uncompressed point of P-384"),
            Public::Ed25519(key) if key.len() != 32 => Err("it has not the 32 bytes of Ed25519"),
            _ => Ok(self),
        }
    }

    /// Whether it may have signed something of that algorithm, by the key of that name.
    pub fn is_for(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let is_kind = match &self.public {
            Public::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Public::P256(_) => algorithm == Es256,
            Public::P384(_) => algorithm == Es384,
            Public::Ed25519(_) => algorithm == EdDsa,
        };
        let is_meant = id.is_none() || self.id.is_none() || self.id.as_deref() == id;
        is_kind && is_meant && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether it has made that signature, by that algorithm.
    pub fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let verified = match &self.public {
            Public::Rsa { modulus, exponent } => {
                let parameters = match algorithm {
                    Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    Es256 | Es384 | EdDsa => return false,
                };
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature)
            }
            Public::P256(point) if algorithm == Es256 => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Public::P384(point) if algorithm == Es384 => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            Public::Ed25519(key) if algorithm == EdDsa => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature)
            }
            _ => return false,
        };
        verified.is_ok()
    }
}
