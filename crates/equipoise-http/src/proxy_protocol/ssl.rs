use bytes::{BufMut, Bytes, BytesMut};

use super::tlv::{self, TlvTooLong, Tlvs, kind};

const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT_CONN: u8 = 0x02;
const CLIENT_CERT_SESS: u8 = 0x04;

/// The flags and the result of the verification.
const FIXED: usize = 5;

/// What a proxy tells about the TLS connection of its client: the TLV [`kind::SSL`].
///
/// ```
/// use equipoise_http::proxy_protocol::{ProxyHeader, Ssl, Version, kind};
///
/// let ssl = Ssl::new().tlv(kind::SSL_VERSION, b"TLSv1.3")?.client_certificate(true).tlv(kind::SSL_CN, b"alice")?;
/// let header = ProxyHeader::proxied("203.0.113.9:40312".parse()?, "192.0.2.1:443".parse()?).ssl_tlv(&ssl)?;
/// let (header, _) = ProxyHeader::decode(&header.encode(Version::V2))?.ok_or("incomplete")?;
/// let ssl = header.ssl().ok_or("no TLS")?;
/// assert!(ssl.is_tls() && ssl.is_verified());
/// assert_eq!((ssl.version(), ssl.common_name()), (Some("TLSv1.3"), Some("alice")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ssl {
    client: u8,
    verify: u32,
    tlvs: Bytes,
}

impl Ssl {
    /// Creates the description of a TLS connection without a client certificate.
    #[must_use]
    pub const fn new() -> Self {
        Self { client: CLIENT_SSL, verify: 1, tlvs: Bytes::new() }
    }

    /// Sets that the client has presented a certificate on this connection, and whether it was verified. Default: no
    /// certificate.
    #[must_use]
    pub fn client_certificate(mut self, is_verified: bool) -> Self {
        self.client |= CLIENT_CERT_CONN | CLIENT_CERT_SESS;
        self.verify = u32::from(!is_verified);
        self
    }

    /// Sets that the client has presented a certificate on an earlier connection of the same TLS session, but not on this
    /// one, and whether it was verified. Default: no certificate.
    #[must_use]
    pub fn session_certificate(mut self, is_verified: bool) -> Self {
        self.client = self.client & !CLIENT_CERT_CONN | CLIENT_CERT_SESS;
        self.verify = u32::from(!is_verified);
        self
    }

    /// Appends a TLV, such as [`kind::SSL_CIPHER`].
    ///
    /// # Errors
    ///
    /// [`TlvTooLong`] if the value does not fit into a header.
    pub fn tlv(mut self, kind: u8, value: &[u8]) -> Result<Self, TlvTooLong> {
        tlv::append(&mut self.tlvs, kind, value, tlv::MAX_LEN)?;
        Ok(self)
    }

    /// Returns whether the client has used TLS.
    pub const fn is_tls(&self) -> bool {
        self.client & CLIENT_SSL != 0
    }

    /// Returns whether the client has presented a certificate, on this connection or on an earlier one of the same TLS
    /// session.
    pub const fn has_client_certificate(&self) -> bool {
        self.client & (CLIENT_CERT_CONN | CLIENT_CERT_SESS) != 0
    }

    /// Returns whether the client has presented a certificate, and the proxy has verified it with success.
    pub const fn is_verified(&self) -> bool {
        self.has_client_certificate() && self.verify == 0
    }

    /// Returns the result of the verification: 0 for success. Other values are those of the proxy's TLS library. Some
    /// proxies send 0 for a client without a certificate.
    pub const fn verify(&self) -> u32 {
        self.verify
    }

    /// Returns the version of TLS, such as `TLSv1.3`.
    pub fn version(&self) -> Option<&str> {
        tlv::find_text(&self.tlvs, kind::SSL_VERSION)
    }

    /// Returns the common name of the client certificate.
    pub fn common_name(&self) -> Option<&str> {
        tlv::find_text(&self.tlvs, kind::SSL_CN)
    }

    /// Returns the cipher.
    pub fn cipher(&self) -> Option<&str> {
        tlv::find_text(&self.tlvs, kind::SSL_CIPHER)
    }

    /// Returns the algorithm with which the server's certificate was signed.
    pub fn signature_algorithm(&self) -> Option<&str> {
        tlv::find_text(&self.tlvs, kind::SSL_SIG_ALG)
    }

    /// Returns the algorithm of the key of the server's certificate.
    pub fn key_algorithm(&self) -> Option<&str> {
        tlv::find_text(&self.tlvs, kind::SSL_KEY_ALG)
    }

    /// Returns all TLVs in it.
    pub fn tlvs(&self) -> Tlvs<'_> {
        Tlvs(&self.tlvs)
    }

    /// Reads the value of a TLV. `None` if it is malformed.
    pub(super) fn read(value: &Bytes) -> Option<Self> {
        let (&[client, verify @ ..], tlvs) = value.split_first_chunk::<FIXED>()?;
        tlv::are_complete(tlvs).then(|| Self { client, verify: u32::from_be_bytes(verify), tlvs: value.slice(FIXED..) })
    }

    /// Returns the value of the TLV.
    pub(super) fn value(&self) -> Bytes {
        let mut value = BytesMut::with_capacity(FIXED + self.tlvs.len());
        value.put_u8(self.client);
        value.put_u32(self.verify);
        value.put_slice(&self.tlvs);
        value.freeze()
    }
}

impl Default for Ssl {
    fn default() -> Self {
        Self::new()
    }
}
