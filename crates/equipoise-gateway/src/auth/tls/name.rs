use std::{fmt, sync::Arc};

use equipoise_core::__private::guarded;
use equipoise_proxy::tls::ClientCertificate;

type NameFn = dyn Fn(&ClientCertificate) -> Option<String> + Send + Sync;

/// The part of a certificate that becomes the name of the [`Identity`](crate::Identity). A certificate without it is
/// not valid.
#[derive(Clone)]
#[non_exhaustive]
pub enum CertificateName {
    /// The distinguished name of the subject (RFC 4514), such as `CN=orders,O=Example`.
    Subject,
    /// The first common name of the subject.
    CommonName,
    /// The only URI among the subject alternative names, such as that of a SPIFFE identity. With several, the
    /// certificate is not valid, as SPIFFE says.
    Uri,
    /// The first DNS name among the subject alternative names, in lower case.
    Dns,
    /// The first e-mail address among the subject alternative names.
    Email,
    /// The SHA-256 hash of the certificate as 64 lower-case hexadecimal digits.
    Fingerprint,
    /// What a closure returns. If it returns `None`, the certificate is not valid. See [`custom`](Self::custom).
    Custom(CustomName),
}

/// A closure that reads the name of an [`Identity`](crate::Identity) from a certificate.
#[derive(Clone)]
pub struct CustomName(Arc<NameFn>);

impl CertificateName {
    /// Reads the name with a closure. A panic of it makes the certificate not valid.
    #[must_use]
    pub fn custom(name: impl Fn(&ClientCertificate) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::Custom(CustomName(Arc::new(name)))
    }

    pub(super) fn of(&self, certificate: &ClientCertificate) -> Option<String> {
        let first = |text: Option<&str>| text.map(str::to_owned);
        let name = match self {
            Self::Subject => Some(certificate.subject().to_owned()),
            Self::CommonName => first(certificate.common_name()),
            Self::Uri => {
                let mut uris = certificate.uris();
                first(uris.next()).filter(|_| uris.next().is_none())
            }
            Self::Dns => certificate.dns_names().next().map(str::to_ascii_lowercase),
            Self::Email => first(certificate.emails().next()),
            Self::Fingerprint => Some(certificate.fingerprint_hex()),
            Self::Custom(name) => guarded(|| (name.0)(certificate)).flatten(),
        };
        name.filter(|name| !name.is_empty())
    }
}

impl fmt::Debug for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "Subject",
            Self::CommonName => "CommonName",
            Self::Uri => "Uri",
            Self::Dns => "Dns",
            Self::Email => "Email",
            Self::Fingerprint => "Fingerprint",
            Self::Custom(_) => "Custom(..)",
        })
    }
}

impl fmt::Debug for CustomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomName(..)")
    }
}
