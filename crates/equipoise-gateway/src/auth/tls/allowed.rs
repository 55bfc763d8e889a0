use std::collections::BTreeSet;

use equipoise_proxy::tls::ClientCertificate;

/// Which of the verified certificates are accepted. All rules have to be met. By default, all are accepted.
///
/// The list can be [replaced](crate::auth::Live::replace) while requests are served.
#[derive(Clone, Debug, Default)]
pub struct AllowedCertificates {
    names: Option<BTreeSet<String>>,
    issuers: Option<BTreeSet<String>>,
    fingerprints: Option<BTreeSet<String>>,
    revoked: BTreeSet<String>,
}

impl AllowedCertificates {
    /// Creates a list without rules, which accepts all certificates that the listener has verified.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires that the [name](super::CertificateName) is one of these. Default: any name. An empty list accepts no
    /// certificate.
    #[must_use]
    pub fn names<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Requires that the distinguished name of the issuer (RFC 4514) is one of these, such as `CN=Inner CA,O=Example`.
    /// Default: any issuer. An empty list accepts no certificate.
    #[must_use]
    pub fn issuers<T: Into<String>>(mut self, issuers: impl IntoIterator<Item = T>) -> Self {
        self.issuers = Some(issuers.into_iter().map(Into::into).collect());
        self
    }

    /// Requires that the fingerprint is one of these: the SHA-256 hash of the certificate in 64 hexadecimal digits,
    /// with or without `:` between bytes, as `openssl x509 -fingerprint -sha256` prints it. Default: any fingerprint.
    /// An empty list accepts no certificate.
    ///
    /// # Errors
    ///
    /// [`InvalidFingerprint`] with the first text that is no fingerprint.
    pub fn fingerprints<T: AsRef<str>>(
        mut self,
        fingerprints: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidFingerprint> {
        self.fingerprints = Some(fingerprints.into_iter().map(normal).collect::<Result<_, _>>()?);
        Ok(self)
    }

    /// Refuses certificates with these fingerprints, which are written as for [`fingerprints`](Self::fingerprints).
    /// Default: none. Use it for a certificate that was lost, while clients have connections with it.
    ///
    /// # Errors
    ///
    /// [`InvalidFingerprint`] with the first text that is no fingerprint.
    pub fn revoked<T: AsRef<str>>(
        mut self,
        fingerprints: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidFingerprint> {
        for text in fingerprints {
            self.revoked.insert(normal(text)?);
        }
        Ok(self)
    }

    pub(super) fn contain(&self, name: &str, certificate: &ClientCertificate) -> bool {
        let is_in = |list: &Option<BTreeSet<String>>, text: &str| list.as_ref().is_none_or(|list| list.contains(text));
        let needs_fingerprint = self.fingerprints.is_some() || !self.revoked.is_empty();
        let fingerprint = if needs_fingerprint { certificate.fingerprint_hex() } else { String::new() };
        is_in(&self.names, name)
            && is_in(&self.issuers, certificate.issuer())
            && is_in(&self.fingerprints, &fingerprint)
            && !self.revoked.contains(&fingerprint)
    }
}

/// Returns a fingerprint in lower case and without colons.
fn normal(text: impl AsRef<str>) -> Result<String, InvalidFingerprint> {
    let digits = text.as_ref().chars().filter(|char| *char != ':').map(|char| char.to_ascii_lowercase());
    let fingerprint: String = digits.collect();
    match fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(fingerprint),
        false => Err(InvalidFingerprint { text: text.as_ref().to_owned() }),
    }
}

/// A text is no fingerprint of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{text:?} is no fingerprint: use the 64 hexadecimal digits of the certificate's SHA-256 hash")]
pub struct InvalidFingerprint {
    /// The text that was refused.
    pub text: String,
}
