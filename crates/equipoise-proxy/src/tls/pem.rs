use std::path::Path;

use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::error::InvalidTls;

pub(super) const CERTIFICATE: &str = "certificate: give PEM with a block that begins with -----BEGIN CERTIFICATE-----";

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, InvalidTls> {
    std::fs::read(path).map_err(|source| InvalidTls::Unreadable { path: path.to_owned(), source })
}

/// Returns the certificates in a text, at least one.
pub(super) fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| InvalidTls::Pem { what: what.to_owned() })?;
    if certificates.is_empty() {
        return Err(InvalidTls::Empty { what: what.to_owned(), missing: CERTIFICATE });
    }
    Ok(certificates)
}
