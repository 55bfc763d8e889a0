use std::{net::IpAddr, time::SystemTime};

use ring::digest;
use rustls::pki_types::CertificateDer;

use super::x509::{Fields, hex};

/// The certificate of a client that the TLS handshake has verified (mutual TLS).
///
/// Texts have only printable ASCII characters, except for the common name and alternative names, which are as the
/// certificate has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and then those of its issuers, as far as the client sent them.
    chain: Vec<CertificateDer<'static>>,
    fields: Fields,
    fingerprint: [u8; 32],
}

impl ClientCertificate {
    /// Creates it from a chain in DER, with the certificate of the client first. The chain is not verified. `None` if it
    /// is empty, or the first certificate is not valid.
    ///
    /// A listener with another TLS library can set it with [`TlsSession::client_certificate`](super::TlsSession).
    #[must_use]
    pub fn new<D: Into<Vec<u8>>>(chain: impl IntoIterator<Item = D>) -> Option<Self> {
        Self::of(chain.into_iter().map(|der| CertificateDer::from(der.into())).collect())
    }

    pub(super) fn of(chain: Vec<CertificateDer<'static>>) -> Option<Self> {
        let der = chain.first()?;
        let fields = Fields::parse(der)?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Some(Self { chain, fields, fingerprint })
    }

    /// Returns the certificate in DER.
    pub fn der(&self) -> &[u8] {
        self.chain.first().map_or(&[], |der| der)
    }

    /// Returns the other certificates that the client has sent, in DER and in its order: usually those of the issuers. They
    /// are not verified, except for those that were needed to verify the certificate of the client.
    pub fn issuers(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.iter().skip(1).map(|der| &**der)
    }

    /// Returns the distinguished name of the subject as text (RFC 4514), such as `CN=orders,O=Example`. A character
    /// outside printable ASCII is written as `\` and two hexadecimal digits for each of its bytes.
    pub fn subject(&self) -> &str {
        &self.fields.subject
    }

    /// Returns the first common name of the subject. `None` if there is none, or it has control characters, which another
    /// program may take for its end.
    pub fn common_name(&self) -> Option<&str> {
        self.fields.common_name.as_deref()
    }

    /// Returns the distinguished name of the issuer as text, in the form of [`subject`](Self::subject).
    pub fn issuer(&self) -> &str {
        &self.fields.issuer
    }

    /// Returns the serial number as lower-case hexadecimal digits, two for each byte.
    pub fn serial_number(&self) -> &str {
        &self.fields.serial
    }

    /// Returns the DNS names among the subject alternative names.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.fields.dns_names.iter().map(String::as_str)
    }

    /// Returns the URIs among the subject alternative names, such as that of a SPIFFE identity.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.fields.uris.iter().map(String::as_str)
    }

    /// Returns the e-mail addresses among the subject alternative names.
    pub fn emails(&self) -> impl Iterator<Item = &str> {
        self.fields.emails.iter().map(String::as_str)
    }

    /// Returns the IP addresses among the subject alternative names.
    pub fn ip_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.fields.ip_addresses.iter().copied()
    }

    /// Returns the time from which the certificate is valid.
    pub fn not_before(&self) -> SystemTime {
        self.fields.not_before
    }

    /// Returns the time until which the certificate is valid.
    pub fn not_after(&self) -> SystemTime {
        self.fields.not_after
    }

    /// Returns the SHA-256 hash of the certificate in DER.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Returns the SHA-256 hash of the certificate in DER as 64 lower-case hexadecimal digits.
    pub fn fingerprint_hex(&self) -> String {
        hex(&self.fingerprint)
    }
}
