//! Connections and calls that TLS refuses: counted by reason, and told in the log, but not each of them.

use std::{
    error::Error,
    fmt::{Debug, Display},
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustls::CertificateError;

use crate::metrics::TLS_REFUSED;

/// Of one reason, the log has one line in so long; the next says how many there were meanwhile.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Why a connection or a call is refused; a place in the labels of [`TLS_REFUSED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No TLS where there must be.
    Plain = 0,
    /// A certificate of a CA that is not trusted, or a forged one.
    Untrusted = 1,
    /// A certificate that has expired.
    Expired = 2,
    /// A certificate that does not hold yet: clocks differ.
    NotYetValid = 3,
    /// No certificate where there must be one.
    NoCertificate = 4,
    /// The certificate's name does not allow what was tried.
    Role = 5,
    /// No version, algorithm or protocol is spoken by both.
    Unsupported = 6,
    /// No handshake in time.
    TooSlow = 7,
    /// The other end has refused this node.
    ByPeer = 8,
    /// Not TLS, or broken.
    Malformed = 9,
}

/// The values of the label, in the order of [`Refusal`].
pub const REASONS: [&str; 10] = [
    "plain",
    "untrusted",
    "expired",
    "not_yet_valid",
    "no_certificate",
    "role",
    "unsupported",
    "too_slow",
    "by_peer",
    "malformed",
];

/// What of a reason the log does not have yet.
#[derive(Clone, Copy)]
struct Told {
    last: Option<Instant>,
    untold: u64,
}

static TOLD: Mutex<[Told; REASONS.len()]> = Mutex::new([Told { last: None, untold: 0 }; REASONS.len()]);

impl Refusal {
    /// Why a handshake failed; none where the other end just went away.
    pub fn of(error: &io::Error) -> Option<Self> {
        if error.kind() == io::ErrorKind::TimedOut {
            return Some(Self::TooSlow);
        }
        let tls =
            error.get_ref().and_then(|inner| (inner as &(dyn Error + 'static)).downcast_ref::<rustls::Error>())?;
        Some(match tls {
            rustls::Error::InvalidCertificate(reason) => match reason {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
                CertificateError::Other(_)
                | CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Self::Role,
                _ => Self::Untrusted,
            },
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::AlertReceived(_) => Self::ByPeer,
            rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Self::Unsupported,
            _ => Self::Malformed,
        })
    }

    /// Counts it and, now and then, says it. `port` is which of this node's interfaces, or `outgoing`.
    pub fn count(self, port: &'static str, peer: impl Debug, detail: impl Display) {
        TLS_REFUSED.count(self as usize);
        let Some(meanwhile) = self.untold(Instant::now()) else { return };
        let reason = REASONS[self as usize];
        tracing::warn!(port, reason, ?peer, %detail, meanwhile, "TLS: refused");
    }

    /// How many were not told since the last line; none: this one is not told either.
    fn untold(self, now: Instant) -> Option<u64> {
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        let told = &mut told[self as usize];
        if told.last.is_some_and(|last| now.saturating_duration_since(last) < TOLD_EVERY) {
            told.untold += 1;
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_some_are_told() {
        let start = Instant::now();
        let told: Vec<Option<u64>> =
            [0, 1, 2, 10, 11, 25].map(|second| Refusal::Malformed.untold(start + Duration::from_secs(second))).into();
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn reasons_of_failed_handshakes() {
        let of = |error: rustls::Error| Refusal::of(&io::Error::new(io::ErrorKind::InvalidData, error));
        for (error, expected) in [
            (rustls::Error::InvalidCertificate(CertificateError::Expired), Refusal::Expired),
            (rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), Refusal::Untrusted),
            (rustls::Error::InvalidCertificate(CertificateError::BadSignature), Refusal::Untrusted),
            (rustls::Error::NoCertificatesPresented, Refusal::NoCertificate),
            (rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA), Refusal::ByPeer),
            (rustls::Error::DecryptError, Refusal::Malformed),
        ] {
            assert_eq!(of(error.clone()), Some(expected), "{error}");
        }
        assert_eq!(Refusal::of(&io::ErrorKind::UnexpectedEof.into()), None);
    }
}
