//! TLS for servers: certificates, client certificates and handshakes.
//!
//! [`Tls`] is a [`Listener`](crate::listen::Listener) around another one, for a
//! [`Server`](crate::server::Server) of HTTP or any other server of this crate. One line makes it from a certificate in
//! PEM, for HTTP/1.1 and HTTP/2:
//!
//! ```no_run
//! # async fn listener() -> Result<(), Box<dyn std::error::Error>> {
//! use equipoise_proxy::tls::{Certificate, Tls};
//! use tokio::net::TcpListener;
//!
//! let listener = Tls::new(TcpListener::bind("[::]:443").await?, Certificate::from_files("app.pem", "app.key")?)?;
//! # drop(listener);
//! # Ok(())
//! # }
//! ```
//!
//! [`TlsSettings`] has everything else: several certificates, [client certificates](ClientAuth) (mutual TLS), session
//! tickets that [several balancers](TlsSettings::ticket_secrets) accept, limits, or a
//! [complete configuration](TlsSettings::with_config) of rustls. A [`TlsAcceptor`] replaces the settings while the server
//! runs, and no connection is closed:
//!
//! ```
//! use equipoise_proxy::tls::{Certificate, InvalidTls, TlsAcceptor, TlsSettings};
//!
//! fn renew(acceptor: &TlsAcceptor) -> Result<(), InvalidTls> {
//!     let certificate = Certificate::from_files("app.pem", "app.key")?;
//!     // After an error, the old settings are kept.
//!     acceptor.replace(&TlsSettings::new(certificate))
//! }
//! ```
//!
//! # Certificates
//!
//! A certificate is chosen by the name that the client asks for (SNI): first an exact name, then a wildcard, which stands
//! for one label, then the default, which is the first certificate. With
//! [`strict_sni`](TlsSettings::strict_sni), there is no default.
//!
//! A certificate that has expired is used nevertheless: see [`TlsAcceptor::new`]. [`TlsAcceptor::certificates`] tells when
//! each one expires.
//!
//! # What requests and endpoints learn
//!
//! Requests have what the handshake has agreed on in their extension
//! [`ConnectionInfo`](crate::headers::ConnectionInfo): a [`TlsSession`] with the name, the protocol, and the
//! [certificate of the client](ClientCertificate). A [`ReverseProxy`](crate::ReverseProxy) tells endpoints about that
//! certificate in fields that clients cannot forge: see [`ForwardingFields`](crate::headers::ForwardingFields).
//!
//! Requests whose host has another certificate, or needs other client certificates, get status 421: see
//! [`check_authority`](TlsSettings::check_authority).
//!
//! # Clients that are slow or hostile
//!
//! [`handshake_timeout`](TlsSettings::handshake_timeout) limits the time of a handshake, and
//! [`max_handshakes`](TlsSettings::max_handshakes) their number. A client whose handshake fails gets an alert, and the
//! connection is closed. [`TlsStats`] counts the [reasons](HandshakeFailure).
//!
//! An idle connection of HTTP/1.1 holds some 12 KB. A connection that is used also holds the record that is received, of at
//! most 16 KiB, and up to 64 KiB of what the client has not taken yet.

mod acceptor;
mod certificate;
mod client_auth;
mod client_certificate;
mod error;
mod failure;
mod limit;
mod listener;
mod pem;
mod session;
mod settings;
mod sites;
mod stats;
mod status;
mod stream;
mod tickets;
mod version;
mod x509;

pub use self::{
    acceptor::TlsAcceptor,
    certificate::Certificate,
    client_auth::ClientAuth,
    client_certificate::ClientCertificate,
    error::InvalidTls,
    failure::{HandshakeError, HandshakeFailure},
    listener::Tls,
    session::TlsSession,
    settings::TlsSettings,
    stats::TlsStats,
    status::CertificateStatus,
    stream::TlsStream,
    tickets::TicketSecret,
    version::TlsVersion,
};
