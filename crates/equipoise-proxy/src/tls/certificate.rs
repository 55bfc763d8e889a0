use std::{fmt, path::Path, sync::Arc};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{Error as PemError, PemObject},
    },
    sign::CertifiedKey,
};

use super::{
    client_auth::ClientAuth,
    error::InvalidTls,
    pem::{self, CERTIFICATE},
    x509::Fields,
};

/// A certificate of the server: the chain, the private key, and the names for which it is chosen.
///
/// ```no_run
/// use equipoise_proxy::tls::Certificate;
///
/// let certificate = Certificate::from_files("app.pem", "app.key")?.names(["app.example", "*.app.example"]);
/// # drop(certificate);
/// # Ok::<(), equipoise_proxy::tls::InvalidTls>(())
/// ```
#[derive(Clone)]
pub struct Certificate {
    /// What the chain was read from.
    pub(super) source: String,
    key_source: String,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    /// The fields of the first certificate of the chain. Its times are those in which the whole chain is valid.
    pub(super) fields: Arc<Fields>,
    names: Option<Vec<String>>,
    ocsp: Option<Vec<u8>>,
    pub(super) client_auth: Option<ClientAuth>,
}

impl Certificate {
    /// Reads a certificate from two texts in PEM, which may be the same. `chain` has the certificate of the server first,
    /// and then those of its issuers, without the root. `key` has the private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    /// Other blocks are skipped.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Pem`], [`InvalidTls::Empty`] and [`InvalidTls::Certificate`]. Whether the key belongs to the
    /// certificate is checked when the certificate is used.
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, InvalidTls> {
        Self::parse("the certificate chain".to_owned(), chain.as_ref(), "the private key".to_owned(), key.as_ref())
    }

    /// Reads a certificate from two files in PEM, as [`from_pem`](Self::from_pem) does. It blocks the thread while the
    /// files are read.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Unreadable`], and those of [`from_pem`](Self::from_pem), which name the file.
    pub fn from_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, InvalidTls> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let texts = (pem::read(chain)?, pem::read(key)?);
        Self::parse(chain.display().to_string(), &texts.0, key.display().to_string(), &texts.1)
    }

    fn parse(source: String, chain: &[u8], key_source: String, key: &[u8]) -> Result<Self, InvalidTls> {
        let chain = pem::certificates(&source, chain)?;
        let mut first: Option<Fields> = None;
        for (at, certificate) in chain.iter().enumerate() {
            let fields = Fields::parse(certificate);
            let fields = fields.ok_or_else(|| InvalidTls::Certificate { what: source.clone(), number: at + 1 })?;
            // Without its issuers, a certificate is not valid.
            let first = first.get_or_insert_with(|| fields.clone());
            first.not_after = first.not_after.min(fields.not_after);
            first.not_before = first.not_before.max(fields.not_before);
        }
        let Some(fields) = first else { return Err(InvalidTls::Empty { what: source, missing: CERTIFICATE }) };
        let key = match PrivateKeyDer::from_pem_slice(key) {
            Ok(key) => key,
            Err(PemError::NoItemsFound) => return Err(InvalidTls::Empty { what: key_source, missing: KEY }),
            Err(_) => return Err(InvalidTls::Pem { what: key_source }),
        };
        let (key, fields) = (Arc::new(key), Arc::new(fields));
        Ok(Self { source, key_source, chain, key, fields, names: None, ocsp: None, client_auth: None })
    }

    /// Sets the names for which this certificate is chosen (SNI), in any case: DNS names, and names such as
    /// `*.app.example`, which stand for all names with exactly one more label. Internationalized names are in their ASCII
    /// form (`xn--`). Default: the DNS names among the subject alternative names of the certificate.
    #[must_use]
    pub fn names<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the OCSP response that clients get with the certificate if they ask for it ("stapling"): the DER bytes that
    /// the certificate authority's responder has signed. It is sent as long as it is set, so get a new one before its
    /// `nextUpdate`, and replace the settings. Default: none.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Ocsp`] if it is not a successful OCSP response. Its signature is not checked.
    pub fn ocsp_response(self, der: impl Into<Vec<u8>>) -> Result<Self, InvalidTls> {
        self.stapled("the OCSP response".to_owned(), der.into())
    }

    /// Sets the OCSP response from a file, as [`ocsp_response`](Self::ocsp_response) does. It blocks the thread while the
    /// file is read.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Unreadable`] and [`InvalidTls::Ocsp`], which name the file.
    pub fn ocsp_file(self, path: impl AsRef<Path>) -> Result<Self, InvalidTls> {
        let der = pem::read(path.as_ref())?;
        self.stapled(path.as_ref().display().to_string(), der)
    }

    fn stapled(mut self, what: String, der: Vec<u8>) -> Result<Self, InvalidTls> {
        if !is_successful_ocsp(&der) {
            return Err(InvalidTls::Ocsp { what });
        }
        self.ocsp = Some(der);
        Ok(self)
    }

    /// Sets which certificates are asked of clients that ask for a name of this certificate. Default: as
    /// [`TlsSettings::client_auth`](super::TlsSettings::client_auth) says for all names.
    #[must_use]
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = Some(client_auth);
        self
    }

    /// Returns the names for which this certificate is chosen, in lower case.
    pub(super) fn sni_names(&self) -> Result<Vec<String>, InvalidTls> {
        let Some(names) = &self.names else {
            // Names that are not valid cannot be asked for.
            return Ok(self.fields.dns_names.iter().filter_map(|name| normal_name(name)).collect());
        };
        let normal = |name: &String| {
            let invalid = || InvalidTls::Name { certificate: self.source.clone(), name: name.clone() };
            normal_name(name).ok_or_else(invalid)
        };
        names.iter().map(normal).collect()
    }

    /// Returns the certificate with its key in the form of rustls.
    pub(super) fn certified_key(&self, provider: &CryptoProvider) -> Result<CertifiedKey, InvalidTls> {
        let invalid = |source| InvalidTls::Key { what: self.key_source.clone(), source };
        let key = provider.key_provider.load_private_key(self.key.clone_key()).map_err(invalid)?;
        let mut certified = CertifiedKey::new(self.chain.clone(), key);
        match certified.keys_match() {
            // Some providers cannot compare them.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(InvalidTls::KeyMismatch { certificate: self.source.clone(), key: self.key_source.clone() });
            }
            Err(_) => return Err(InvalidTls::Certificate { what: self.source.clone(), number: 1 }),
        }
        certified.ocsp = self.ocsp.clone();
        Ok(certified)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.as_ref().unwrap_or(&self.fields.dns_names);
        f.debug_struct("Certificate").field("source", &self.source).field("names", names).finish_non_exhaustive()
    }
}

const KEY: &str = "private key that is not encrypted: give PEM with a block that begins with -----BEGIN PRIVATE KEY-----, -----BEGIN RSA PRIVATE KEY----- or -----BEGIN EC PRIVATE KEY-----";

/// Returns a DNS name in lower case, or a wildcard of one. `None` if it is not valid.
fn normal_name(name: &str) -> Option<String> {
    let without_wildcard = name.strip_prefix("*.").unwrap_or(name);
    rustls::pki_types::DnsName::try_from(without_wildcard).ok()?;
    let name = name.strip_suffix('.').unwrap_or(name);
    Some(name.to_ascii_lowercase())
}

/// Returns whether bytes are an OCSP response (RFC 6960, section 4.2.1) with the status "successful" and with content:
/// a sequence of an enumeration that is 0, and an element with the tag 0.
fn is_successful_ocsp(der: &[u8]) -> bool {
    use x509_parser::asn1_rs::{Any, Class, Enumerated, FromDer, Sequence};

    let Ok((rest, response)) = Sequence::from_der(der) else { return false };
    let Ok((content, status)) = Enumerated::from_der(&response.content) else { return false };
    let is_content = |content| {
        Any::from_der(content).is_ok_and(|(rest, content): (&[u8], _)| {
            rest.is_empty() && content.class() == Class::ContextSpecific && content.tag().0 == 0
        })
    };
    rest.is_empty() && status.0 == 0 && is_content(content)
}
