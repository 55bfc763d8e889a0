use std::{fmt, path::Path, sync::Arc};

use ring::digest;
use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{
    error::InvalidTls,
    pem::{certificates, read},
};

/// Which certificates the server asks of clients (mutual TLS).
///
/// A certificate must be issued by one of the authorities, be valid at this time, and allow the authentication of
/// clients. Requests get the client's certificate in the extension [`ConnectionInfo`](crate::headers::ConnectionInfo),
/// and a [`ReverseProxy`](crate::ReverseProxy) tells it to endpoints:
/// [`ForwardingFields`](crate::headers::ForwardingFields).
///
/// Each connection makes a full handshake, in which the certificate is verified: names for which certificates are asked
/// have no [resumption](super::TlsSettings::resumption), also if they are optional. Connections that are open stay open,
/// also when the certificate expires, or the settings are replaced with other authorities or revocation lists.
///
/// This protects names, not routes: a route for another host, or for all hosts, can be reached without a certificate. A
/// name at any depth below a wildcard such as `*.app.example`, which has no certificate of its own, is refused if the
/// default certificate asks for other client certificates.
///
/// ```no_run
/// use equipoise_proxy::tls::ClientAuth;
///
/// let client_auth = ClientAuth::from_file("clients-ca.pem")?.optional();
/// # drop(client_auth);
/// # Ok::<(), equipoise_proxy::tls::InvalidTls>(())
/// ```
#[derive(Clone)]
pub struct ClientAuth(Arc<Policy>);

#[derive(Clone)]
struct Policy {
    what: String,
    authorities: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    is_optional: bool,
}

impl ClientAuth {
    /// Requires a certificate that one of the authorities in `pem` has issued.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Pem`], [`InvalidTls::Empty`], and [`InvalidTls::ClientAuth`] if a certificate cannot be used.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, InvalidTls> {
        Self::parse("the certificate authorities of clients".to_owned(), pem.as_ref())
    }

    /// Requires a certificate that one of the authorities in a file has issued. It blocks the thread while the file is
    /// read.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Unreadable`], and those of [`from_pem`](Self::from_pem), which name the file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, InvalidTls> {
        let pem = read(path.as_ref())?;
        Self::parse(path.as_ref().display().to_string(), &pem)
    }

    fn parse(what: String, pem: &[u8]) -> Result<Self, InvalidTls> {
        let authorities = certificates(&what, pem)?;
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            let added = roots.add(authority.clone());
            added.map_err(|source| InvalidTls::ClientAuth { what: what.clone(), source })?;
        }
        Ok(Self(Arc::new(Policy {
            what,
            authorities,
            roots: Arc::new(roots),
            revoked: Vec::new(),
            is_optional: false,
        })))
    }

    /// Accepts clients without a certificate too. Those with a certificate that is not valid are still refused. Default:
    /// a certificate is required.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.changed().is_optional = true;
        self
    }

    /// Adds the certificate revocation lists in `pem`, of at least one. Then each certificate of a client's chain, except
    /// the authority's own, must be covered by a list of its issuer and not be on it. A list is used after its
    /// `nextUpdate` too. Default: no lists, and nothing is checked.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Pem`], [`InvalidTls::Empty`], and [`InvalidTls::ClientAuth`] if a list is not valid.
    pub fn revocation_lists(self, pem: impl AsRef<[u8]>) -> Result<Self, InvalidTls> {
        self.revoked("the revocation lists", pem.as_ref())
    }

    /// Adds the certificate revocation lists in a file, as [`revocation_lists`](Self::revocation_lists) does. It blocks the
    /// thread while the file is read.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Unreadable`], and those of [`revocation_lists`](Self::revocation_lists), which name the file.
    pub fn revocation_list_file(self, path: impl AsRef<Path>) -> Result<Self, InvalidTls> {
        let pem = read(path.as_ref())?;
        self.revoked(&path.as_ref().display().to_string(), &pem)
    }

    fn revoked(mut self, what: &str, pem: &[u8]) -> Result<Self, InvalidTls> {
        let lists = CertificateRevocationListDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let lists = lists.map_err(|_| InvalidTls::Pem { what: what.to_owned() })?;
        if lists.is_empty() {
            let missing = "revocation list: give PEM with a block that begins with -----BEGIN X509 CRL-----";
            return Err(InvalidTls::Empty { what: what.to_owned(), missing });
        }
        let policy = self.changed();
        policy.revoked.extend(lists);
        // Parses the lists, so that the error names where they are from.
        what.clone_into(&mut policy.what);
        let checked = self.verifier(&Arc::new(rustls::crypto::ring::default_provider()));
        checked.map(|_| self)
    }

    fn changed(&mut self) -> &mut Policy {
        Arc::make_mut(&mut self.0)
    }

    pub(super) fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, InvalidTls> {
        let policy = &*self.0;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&policy.roots), Arc::clone(provider));
        let builder = builder.with_crls(policy.revoked.iter().cloned());
        let builder = if policy.is_optional { builder.allow_unauthenticated() } else { builder };
        builder.build().map_err(|error| {
            let source = match error {
                VerifierBuilderError::InvalidCrl(error) => rustls::Error::InvalidCertRevocationList(error),
                error => rustls::Error::General(error.to_string()),
            };
            InvalidTls::ClientAuth { what: policy.what.clone(), source }
        })
    }

    /// Returns a hash of all that decides which clients are accepted. A client that was accepted under one policy must not
    /// be served under another one.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut add = |kind: u8, bytes: &[u8]| {
            // The same on all platforms.
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            context.update(&[kind]);
            context.update(&length.to_be_bytes());
            context.update(bytes);
        };
        add(0, &[u8::from(self.0.is_optional)]);
        for authority in &self.0.authorities {
            add(1, authority);
        }
        for list in &self.0.revoked {
            add(2, list);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuth")
            .field("authorities", &self.0.authorities.len())
            .field("revocation_lists", &self.0.revoked.len())
            .field("optional", &self.0.is_optional)
            .finish()
    }
}
