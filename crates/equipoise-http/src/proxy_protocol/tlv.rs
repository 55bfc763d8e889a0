use bytes::{BufMut, Bytes, BytesMut};

/// The types of TLVs that the specification defines. Types from 0xE0 to 0xEF are for applications, those from 0xF0 to
/// 0xF7 for experiments.
pub mod kind {
    /// The protocol above TLS that was negotiated, as in the ALPN extension, such as `h2`.
    pub const ALPN: u8 = 0x01;
    /// The host name that the client has sent: with TLS, its server name (SNI). UTF-8.
    pub const AUTHORITY: u8 = 0x02;
    /// The CRC32C checksum of the header: 4 bytes, big-endian.
    pub const CRC32C: u8 = 0x03;
    /// Padding. Its value is ignored.
    pub const NOOP: u8 = 0x04;
    /// An identifier of the connection: at most 128 bytes.
    pub const UNIQUE_ID: u8 = 0x05;
    /// What is known of the client's TLS connection: see [`Ssl`](crate::proxy_protocol::Ssl).
    pub const SSL: u8 = 0x20;
    /// In [`SSL`]: the version of TLS, such as `TLSv1.3`.
    pub const SSL_VERSION: u8 = 0x21;
    /// In [`SSL`]: the common name of the client certificate. UTF-8.
    pub const SSL_CN: u8 = 0x22;
    /// In [`SSL`]: the cipher, such as `ECDHE-RSA-AES128-GCM-SHA256`.
    pub const SSL_CIPHER: u8 = 0x23;
    /// In [`SSL`]: the algorithm with which the server's certificate was signed, such as `SHA256`.
    pub const SSL_SIG_ALG: u8 = 0x24;
    /// In [`SSL`]: the algorithm of the key of the server's certificate, such as `RSA2048`.
    pub const SSL_KEY_ALG: u8 = 0x25;
    /// The name of the network namespace of the sender. US-ASCII.
    pub const NETNS: u8 = 0x30;
}

/// The maximum size of a header, in bytes.
pub(super) const MAX_LEN: usize = 4096;

/// The size of the type and the length of a TLV, in bytes.
pub(super) const OVERHEAD: usize = 3;

/// The maximum length of a [`kind::UNIQUE_ID`], in bytes.
pub(super) const MAX_UNIQUE_ID: usize = 128;

/// An extension of a header: type, length and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Tlv<'a> {
    /// The type: one of [`kind`], or any other.
    pub kind: u8,
    /// The value. At most 65 535 bytes.
    pub value: &'a [u8],
}

/// The extensions of a header, in their order.
#[derive(Clone, Debug)]
pub struct Tlvs<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let (tlv, rest) = split(self.0)?;
        self.0 = rest;
        Some(tlv)
    }
}

/// Splits off the first TLV. `None` at the end, or if the length exceeds the bytes.
fn split(bytes: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    Some((Tlv { kind, value }, rest))
}

/// Returns whether the bytes are TLVs to their end.
pub(super) fn are_complete(bytes: &[u8]) -> bool {
    let mut tlvs = Tlvs(bytes);
    tlvs.by_ref().for_each(drop);
    tlvs.0.is_empty()
}

/// Returns the value of the first TLV of a type.
pub(super) fn find(bytes: &[u8], kind: u8) -> Option<&[u8]> {
    Tlvs(bytes).find(|tlv| tlv.kind == kind).map(|tlv| tlv.value)
}

/// Returns the value of the first TLV of a type, if it is UTF-8.
pub(super) fn find_text(bytes: &[u8], kind: u8) -> Option<&str> {
    find(bytes, kind).and_then(|value| std::str::from_utf8(value).ok())
}

/// Appends a TLV. All of them together must not have more than `max` bytes.
pub(super) fn append(tlvs: &mut Bytes, kind: u8, value: &[u8], max: usize) -> Result<(), TlvTooLong> {
    let left = max.checked_sub(tlvs.len() + OVERHEAD);
    let max = left.map(|left| if kind == kind::UNIQUE_ID { left.min(MAX_UNIQUE_ID) } else { left });
    let length = u16::try_from(value.len()).ok().filter(|_| max.is_some_and(|max| value.len() <= max));
    let length = length.ok_or(TlvTooLong { kind, length: value.len(), max: max.unwrap_or(0) })?;
    let mut all = BytesMut::with_capacity(tlvs.len() + OVERHEAD + value.len());
    all.put_slice(tlvs);
    all.put_u8(kind);
    all.put_u16(length);
    all.put_slice(value);
    *tlvs = all.freeze();
    Ok(())
}

/// A TLV was not added, because its value is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the TLV of type {kind:#04x} has {length} bytes: at most {max} are allowed here")]
#[non_exhaustive]
pub struct TlvTooLong {
    /// The type of the TLV.
    pub kind: u8,
    /// The length of its value, in bytes.
    pub length: usize,
    /// How many bytes the value may have. It depends on the TLVs that are there already. With 0, there may be no room for
    /// the TLV itself.
    pub max: usize,
}
