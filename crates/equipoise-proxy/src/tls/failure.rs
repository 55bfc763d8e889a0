use std::{fmt, io, net::SocketAddr};

/// Why a handshake has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// It had begun, and was not complete within [`handshake_timeout`](super::TlsSettings::handshake_timeout).
    Timeout,
    /// It could not begin within [`handshake_timeout`](super::TlsSettings::handshake_timeout), because of
    /// [`max_handshakes`](super::TlsSettings::max_handshakes). The server is overloaded: it is not the client's fault.
    QueueTimeout,
    /// It had taken more than a second when another one waited for
    /// [`max_handshakes`](super::TlsSettings::max_handshakes).
    Displaced,
    /// The client has closed the connection, or it has broken.
    Closed,
    /// The client has sent something that is not valid TLS.
    Malformed,
    /// There is no certificate for the name, and the default one is not used for it: because
    /// [`strict_sni`](super::TlsSettings::strict_sni) is set, or because the name is below a wildcard for which other
    /// [certificates of clients](super::ClientAuth) are asked than for the default.
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
    pub const ALL: [Self; 11] = [
        Self::Timeout,
        Self::QueueTimeout,
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
            Self::QueueTimeout => "queue_timeout",
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
#[error("the TLS handshake with {} has failed: {}", Client(*peer), reason.as_str())]
#[non_exhaustive]
pub struct HandshakeError {
    /// Why it has failed.
    pub reason: HandshakeFailure,
    /// The address of the client. `None` if it is not known: a [`TlsAcceptor`](super::TlsAcceptor) does not know it, and
    /// [`Tls`](super::Tls) knows it from the listener below.
    pub peer: Option<SocketAddr>,
    /// The error of the TLS library or of the connection, if there is one.
    pub source: Option<io::Error>,
}

struct Client(Option<SocketAddr>);

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(peer) => write!(f, "{peer}"),
            None => f.write_str("a client"),
        }
    }
}

impl From<HandshakeFailure> for HandshakeError {
    fn from(reason: HandshakeFailure) -> Self {
        Self { reason, peer: None, source: None }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self { reason: HandshakeFailure::of(&error), peer: None, source: Some(error) }
    }
}
