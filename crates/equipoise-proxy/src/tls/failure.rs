use std::io;

/// Why a handshake has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// It was not complete within [`handshake_timeout`](super::TlsSettings::handshake_timeout).
    Timeout,
    /// It had taken more than a second when another one waited for
    /// [`max_handshakes`](super::TlsSettings::max_handshakes).
    Displaced,
    /// The client has closed the connection, or it has broken.
    Closed,
    /// The client has sent something that is not valid TLS.
    Malformed,
    /// There is no certificate for the name, and [`strict_sni`](super::TlsSettings::strict_sni) is set.
    UnknownName,
    /// The client offers no version, cipher suite, group, signature or application protocol that the server allows.
    Incompatible,
    /// The client has not sent a certificate although one is required, or one that is not valid.
    ClientCertificate,
    /// The client has refused the handshake with an alert, for example because it does not trust the certificate.
    Alert,
    /// Something has failed on this side, such as the system's random numbers.
    Internal,
    /// The server has given it up before its end: at its limit of connections, or by a shutdown.
    Abandoned,
}

impl HandshakeFailure {
    /// All reasons, for metrics.
    pub const ALL: [Self; 10] = [
        Self::Timeout,
        Self::Displaced,
        Self::Closed,
        Self::Malformed,
        Self::UnknownName,
        Self::Incompatible,
        Self::ClientCertificate,
        Self::Alert,
        Self::Internal,
        Self::Abandoned,
    ];

    /// Returns this reason as a stable label for metrics and logs, such as `unknown_name`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Displaced => "displaced",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::UnknownName => "unknown_name",
            Self::Incompatible => "incompatible",
            Self::ClientCertificate => "client_certificate",
            Self::Alert => "alert",
            Self::Internal => "internal",
            Self::Abandoned => "abandoned",
        }
    }

    /// Returns the reason of an error of the TLS library.
    pub(super) fn of(error: &io::Error) -> Self {
        use rustls::Error as E;

        let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<E>()) else { return Self::Closed };
        match error {
            E::NoCertificatesPresented | E::InvalidCertificate(_) => Self::ClientCertificate,
            E::PeerIncompatible(_) | E::NoApplicationProtocol => Self::Incompatible,
            E::AlertReceived(_) => Self::Alert,
            E::InappropriateMessage { .. }
            | E::InappropriateHandshakeMessage { .. }
            | E::InvalidMessage(_)
            | E::DecryptError
            | E::PeerMisbehaved(_)
            | E::PeerSentOversizedRecord => Self::Malformed,
            _ => Self::Internal,
        }
    }
}

/// The error of a handshake.
#[derive(Debug, thiserror::Error)]
#[error("the TLS handshake has failed: {}", reason.as_str())]
#[non_exhaustive]
pub struct HandshakeError {
    /// Why it has failed.
    pub reason: HandshakeFailure,
    /// The error of the TLS library or of the connection, if there is one.
    pub source: Option<io::Error>,
}

impl HandshakeError {
    pub(super) fn new(reason: HandshakeFailure) -> Self {
        Self { reason, source: None }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self { reason: HandshakeFailure::of(&error), source: Some(error) }
    }
}
