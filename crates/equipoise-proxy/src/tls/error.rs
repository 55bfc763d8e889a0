use std::{io, path::PathBuf};

/// Why TLS settings were refused. `what` names the file that was read, or the text that was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTls {
    /// A file could not be read.
    #[error("{} cannot be read: give the path of a file that this process may read", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A text is not valid PEM. The error does not contain the text, which may have a private key.
    #[error("{what} is not valid PEM: each block has a BEGIN line, lines of base64, and an END line")]
    Pem {
        /// What was read.
        what: String,
    },
    /// A text in PEM has no block of the kind that is needed.
    #[error("{what} has no {missing}")]
    Empty {
        /// What was read.
        what: String,
        /// What it must contain at least once.
        missing: &'static str,
    },
    /// A certificate is not a valid X.509 certificate.
    #[error("certificate {number} of {what} is not a valid X.509 certificate: create the file again")]
    Certificate {
        /// What was read.
        what: String,
        /// The number of the certificate in the text, from 1.
        number: usize,
    },
    /// A private key is malformed, or of a kind or size that the crypto provider does not support.
    #[error(
        "the private key in {what} cannot be used: give an RSA key of at least 2048 bits, a P-256 or P-384 key, or an Ed25519 key"
    )]
    Key {
        /// What was read.
        what: String,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// A private key is that of another certificate.
    #[error(
        "the private key in {key} is not that of the first certificate in {certificate}: give the key of this certificate, and put the certificate of the server before those of its issuers"
    )]
    KeyMismatch {
        /// The text with the certificate.
        certificate: String,
        /// The text with the private key.
        key: String,
    },
    /// A name for which a certificate is chosen is not a DNS name.
    #[error(
        "{name:?} is no name for {certificate}: use a DNS name such as app.example, or *.app.example for all names with one more label"
    )]
    Name {
        /// The text with the certificate.
        certificate: String,
        /// The name.
        name: String,
    },
    /// No name leads to a certificate, and it is not the default.
    #[error(
        "{certificate} has no DNS name among its subject alternative names: give its names, or make it the first certificate, which is the default"
    )]
    NoName {
        /// The text with the certificate.
        certificate: String,
    },
    /// A stapled OCSP response is not one, or reports an error.
    #[error("{what} is not a successful OCSP response in DER: get it with `openssl ocsp -respout`")]
    Ocsp {
        /// What was read.
        what: String,
    },
    /// Two certificates for one name ask clients for different certificates.
    #[error("two certificates for {name:?} have different settings for client certificates: use the same for both")]
    ClientAuthConflict {
        /// The name that both certificates have.
        name: String,
    },
    /// A certificate authority for client certificates, or a revocation list, is not valid.
    #[error("{what} cannot be used to verify client certificates")]
    ClientAuth {
        /// What was read.
        what: String,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// A secret for session tickets is too short.
    #[error("a secret for session tickets cannot have {len} bytes: use at least 32 random bytes")]
    TicketSecret {
        /// The length of the secret, in bytes.
        len: usize,
    },
    /// An application protocol is not valid.
    #[error("an ALPN protocol must have 1 to 255 bytes, such as h2 or http/1.1")]
    Alpn,
    /// The crypto provider does not support the versions of TLS.
    #[error("the crypto provider has no cipher suite for the allowed versions of TLS")]
    Provider(#[source] rustls::Error),
    /// A setting was made for a complete configuration.
    #[error("{setting} is part of the complete rustls configuration: set it there")]
    Complete {
        /// The name of the setting.
        setting: &'static str,
    },
}
