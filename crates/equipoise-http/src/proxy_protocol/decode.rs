use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use bytes::Bytes;

use super::{
    header::{Addresses, FIXED, ProxyHeader, Transport, UNIX_PATH},
    ssl::Ssl,
    tlv::{self, MAX_UNIQUE_ID, OVERHEAD, kind},
};

pub(super) const V1_PREFIX: &[u8] = b"PROXY ";
pub(super) const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The maximum size of a header of version 1, in bytes.
const V1_MAX_LEN: usize = 107;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

impl ProxyHeader {
    /// Reads the header at the start of `bytes`, which must be all bytes that the connection has brought so far. Returns
    /// it with its length: the bytes after it are the first ones of the client. Returns `None` if it is not complete:
    /// read more bytes, and call this function again with all of them. Limit the total time, because the rest may never
    /// come.
    ///
    /// It takes time that is linear in the length of the header.
    ///
    /// # Errors
    ///
    /// [`InvalidProxyHeader`] if the bytes cannot become a valid header: with version 2 as soon as this is certain, with
    /// version 1 when the line is complete. Close the connection then.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, InvalidProxyHeader> {
        if begins(bytes, V1_PREFIX) {
            v1(bytes)
        } else if begins(bytes, V2_SIGNATURE) {
            v2(bytes)
        } else {
            Err(InvalidProxyHeader::Signature)
        }
    }

    /// Returns the value of the checksum, and where it is in the extensions.
    pub(super) fn stated_checksum(&self) -> Option<(usize, [u8; 4])> {
        let mut at = 0;
        for tlv in self.tlvs() {
            if tlv.kind == kind::CRC32C {
                return Some((at + OVERHEAD, tlv.value.try_into().ok()?));
            }
            at += OVERHEAD + tlv.value.len();
        }
        None
    }
}

/// Returns whether `bytes` begin with `prefix`, or are too short but can still become such bytes.
fn begins(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.iter().zip(prefix).all(|(byte, expected)| byte == expected)
}

/// Reads a header of version 1, such as `PROXY TCP4 192.0.2.7 192.0.2.1 40312 443\r\n`.
fn v1(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, InvalidProxyHeader> {
    let seen = bytes.get(..V1_MAX_LEN).unwrap_or(bytes);
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        let too_long = seen.len() == V1_MAX_LEN;
        return if too_long { Err(InvalidProxyHeader::TooLong { max: V1_MAX_LEN }) } else { Ok(None) };
    };
    let line = seen.get(V1_PREFIX.len()..end).unwrap_or_default();
    let mut words = line.splitn(2, |byte| *byte == b' ');
    let (protocol, addresses) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let addresses = match protocol {
        b"TCP4" => v1_addresses::<Ipv4Addr>(addresses)?,
        b"TCP6" => v1_addresses::<Ipv6Addr>(addresses)?,
        // The rest of the line is ignored.
        b"UNKNOWN" => Addresses::Unknown,
        _ => return Err(InvalidProxyHeader::Protocol),
    };
    Ok(Some((ProxyHeader { addresses, tlvs: Bytes::new() }, end + 2)))
}

fn v1_addresses<A: FromStr + Into<IpAddr>>(fields: &[u8]) -> Result<Addresses, InvalidProxyHeader> {
    let mut fields = std::str::from_utf8(fields).map_err(|_| InvalidProxyHeader::Addresses)?.split(' ');
    let mut field = || fields.next().ok_or(InvalidProxyHeader::Addresses);
    let address = |text: &str| text.parse::<A>().map(Into::into).map_err(|_| InvalidProxyHeader::Addresses);
    let (source, destination) = (address(field()?)?, address(field()?)?);
    let (source_port, destination_port) = (port(field()?)?, port(field()?)?);
    if fields.next().is_some() {
        return Err(InvalidProxyHeader::Addresses);
    }
    let (source, destination) = (SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port));
    Ok(Addresses::Ip { source, destination, transport: Transport::Stream })
}

/// Reads a decimal number. Leading zeros are refused, because some parsers read such a number as octal.
fn port(text: &str) -> Result<u16, InvalidProxyHeader> {
    let has_zeros = text.len() > 1 && text.starts_with('0');
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal && !has_zeros).ok_or(InvalidProxyHeader::Addresses)
}

/// Reads a header of version 2: the signature, version and command, family and transport, the number of bytes that
/// follow, and these bytes.
fn v2(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, InvalidProxyHeader> {
    let command = match bytes.get(V2_SIGNATURE.len()) {
        None => return Ok(None),
        Some(command @ (&LOCAL | &PROXY)) => *command,
        Some(0x22..=0x2f) => return Err(InvalidProxyHeader::Command),
        Some(_) => return Err(InvalidProxyHeader::Version),
    };
    let Some(&[_, kind, high, low]) = bytes.get(V2_SIGNATURE.len()..FIXED).and_then(<[u8]>::first_chunk) else {
        return Ok(None);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > ProxyHeader::MAX_LEN {
        return Err(InvalidProxyHeader::TooLong { max: ProxyHeader::MAX_LEN });
    }
    let transport = if kind & 0xf == 2 { Transport::Datagram } else { Transport::Stream };
    // How many bytes the addresses take.
    let size = match kind {
        0x00 => Some(0),
        0x11 | 0x12 => Some(12),
        0x21 | 0x22 => Some(36),
        0x31 | 0x32 => Some(2 * UNIX_PATH),
        _ => None,
    };
    if command == LOCAL {
        let Some(header) = bytes.get(..length) else { return Ok(None) };
        return Ok(Some((without_addresses(Addresses::Local, header, size), length)));
    }
    let size = size.ok_or(InvalidProxyHeader::Protocol)?;
    if length < FIXED + size {
        return Err(InvalidProxyHeader::Addresses);
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    let (_, block) = header.split_at_checked(FIXED).unwrap_or_default();
    let (block, tlvs) = block.split_at_checked(size).unwrap_or_default();
    let addresses = match size {
        0 => return Ok(Some((without_addresses(Addresses::Unknown, header, Some(0)), length))),
        12 => pair::<4>(block, transport),
        36 => pair::<16>(block, transport),
        _ => Some(Addresses::Unix { paths: Bytes::copy_from_slice(block), transport }),
    };
    let addresses = addresses.ok_or(InvalidProxyHeader::Addresses)?;
    let read = ProxyHeader { addresses, tlvs: Bytes::copy_from_slice(tlvs) };
    check(&read, header, FIXED + size)?;
    Ok(Some((read, length)))
}

/// Reads a header whose addresses must be ignored. They have this `size`, if it is known. What follows is kept only if it
/// is valid, because it may be something else.
fn without_addresses(addresses: Addresses, header: &[u8], size: Option<usize>) -> ProxyHeader {
    let begin = size.map(|size| FIXED + size);
    let tlvs = begin.and_then(|begin| Some((header.get(begin..)?, begin)));
    if let Some((tlvs, begin)) = tlvs {
        let read = ProxyHeader { addresses: addresses.clone(), tlvs: Bytes::copy_from_slice(tlvs) };
        if check(&read, header, begin).is_ok() {
            return read;
        }
    }
    ProxyHeader { addresses, tlvs: Bytes::new() }
}

/// Reads two addresses of `N` bytes and two ports.
fn pair<const N: usize>(block: &[u8], transport: Transport) -> Option<Addresses>
where
    IpAddr: From<[u8; N]>,
{
    let (source, block) = block.split_first_chunk::<N>()?;
    let (destination, block) = block.split_first_chunk::<N>()?;
    let (source_port, block) = block.split_first_chunk()?;
    let (destination_port, _) = block.split_first_chunk()?;
    let address = |address: &[u8; N], port: &[u8; 2]| SocketAddr::new((*address).into(), u16::from_be_bytes(*port));
    let (source, destination) = (address(source, source_port), address(destination, destination_port));
    Some(Addresses::Ip { source, destination, transport })
}

/// Checks the extensions of a header, which begin at `tlvs` in its `bytes`.
fn check(header: &ProxyHeader, bytes: &[u8], tlvs: usize) -> Result<(), InvalidProxyHeader> {
    if !tlv::are_complete(&header.tlvs) {
        return Err(InvalidProxyHeader::Tlvs);
    }
    for tlv in header.tlvs() {
        let is_valid = match tlv.kind {
            kind::CRC32C => tlv.value.len() == 4,
            kind::UNIQUE_ID => tlv.value.len() <= MAX_UNIQUE_ID,
            kind::SSL => Ssl::read(&header.tlvs.slice_ref(tlv.value)).is_some(),
            _ => true,
        };
        if !is_valid {
            return Err(InvalidProxyHeader::Tlv { kind: tlv.kind });
        }
    }
    match header.stated_checksum() {
        Some((at, stated)) if crc32c_of(bytes, tlvs + at) != stated => Err(InvalidProxyHeader::Checksum),
        _ => Ok(()),
    }
}

/// Returns the checksum of a header: its CRC32C, with zeros in place of the checksum at `at`.
pub(super) fn crc32c_of(header: &[u8], at: usize) -> [u8; 4] {
    static CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let mut digest = CRC32C.digest();
    digest.update(header.get(..at).unwrap_or_default());
    digest.update(&[0; 4]);
    digest.update(header.get(at + 4..).unwrap_or_default());
    digest.finalize().to_be_bytes()
}

/// Why the first bytes of a connection are not a valid header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProxyHeader {
    /// The bytes do not begin like a header. The peer does not use the protocol.
    #[error("the connection does not begin with a PROXY protocol header; is the peer a proxy that sends one?")]
    Signature,
    /// The header is in binary form, but its version is not 2.
    #[error("the version of the PROXY protocol is neither 1 nor 2")]
    Version,
    /// The header is in binary form, but its command is neither LOCAL nor PROXY.
    #[error("the command of the PROXY protocol header is neither LOCAL nor PROXY")]
    Command,
    /// The header has an unknown address family or transport protocol. Version 1 knows TCP4, TCP6 and UNKNOWN. Version
    /// 2 also knows UDP and UNIX.
    #[error(
        "the PROXY protocol header has an unknown protocol (known: TCP4, TCP6, UNKNOWN; in version 2 UDP and UNIX too)"
    )]
    Protocol,
    /// The addresses or ports in the header are incomplete or invalid.
    #[error("the addresses in the PROXY protocol header are incomplete or invalid")]
    Addresses,
    /// The header is longer than is allowed: 107 bytes in text form, [`ProxyHeader::MAX_LEN`] in binary form.
    #[error("the PROXY protocol header has more than {max} bytes")]
    TooLong {
        /// The maximum length of a header in this form, in bytes.
        max: usize,
    },
    /// The length of an extension exceeds the header.
    #[error("an extension of the PROXY protocol header is longer than the header")]
    Tlvs,
    /// The value of an extension is malformed: a checksum has 4 bytes, a unique id at most 128, and the extension for
    /// TLS has complete extensions in it.
    #[error("the extension of type {kind:#04x} in the PROXY protocol header is malformed")]
    Tlv {
        /// The type of the extension.
        kind: u8,
    },
    /// The checksum of the header is wrong.
    #[error("the checksum of the PROXY protocol header is wrong")]
    Checksum,
}
