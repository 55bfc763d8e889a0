use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::scan;

const V1_PREFIX: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// The header of the PROXY protocol, version 1 (text) or 2 (binary). A proxy sends it at the start of a connection. It
/// contains the address of the proxy's client, and the address that the client connected to. haproxy.org's
/// proxy-protocol.txt specifies it.
///
/// A listener must expect this header on all of its connections, or on none. If it expects the header, the server reads
/// it before anything else, and closes connections without it. If the header were optional, a client could send a
/// header of its own.
///
/// Add the client's address to each request of the connection as [`ProxiedAddr`](super::ProxiedAddr).
/// [`ClientAddress`](super::ClientAddress) uses this address if the proxy is trusted.
///
/// ```
/// use equipoise_affinity::source::{ClientAddress, PeerAddr, ProxiedAddr, ProxyHeader};
/// use equipoise_tower::RequestHead;
///
/// let mut read = b"PROXY TCP4 203.0.113.9 192.0.2.1 40312 443\r\nGET / HT".to_vec();
/// let header = ProxyHeader::parse(&read)?.ok_or("read more")?;
/// read.drain(..header.length());
/// assert_eq!(read, b"GET / HT");
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(PeerAddr("10.0.0.1:33333".parse()?));
/// if let Some(source) = header.source() {
///     request.extensions_mut().insert(ProxiedAddr(source));
/// }
/// let client = ClientAddress::behind("10.0.0.0/8".parse()?);
/// assert_eq!(client.of(RequestHead::of(&request)), Some("203.0.113.9".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    length: usize,
    addresses: Option<(SocketAddr, SocketAddr)>,
}

impl ProxyHeader {
    /// Maximum length of a PROXY protocol header, in bytes. It is the default size of HAProxy's buffers.
    ///
    /// A header in text form has at most 107 bytes. In binary form, the fixed fields and the IP addresses take at most
    /// 52 bytes. The other bytes are for extensions, such as a client's certificate.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Parses the PROXY protocol header at the start of `bytes`, which must be all bytes read from the connection so
    /// far. Returns `Ok(None)` if the header is not complete: read more bytes from the connection, and call this
    /// function again with all bytes. Limit the total time for this, because a client may never send the rest.
    ///
    /// If the bytes cannot become a valid header, returns the error at once. Extensions of version 2 (TLVs) are
    /// skipped. A checksum in an extension is not checked.
    ///
    /// # Errors
    ///
    /// Returns why the bytes are not a PROXY protocol header. The connection should then be closed.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, InvalidProxyHeader> {
        if begins(bytes, V1_PREFIX) {
            v1(bytes)
        } else if begins(bytes, V2_SIGNATURE) {
            v2(bytes)
        } else {
            Err(InvalidProxyHeader::Signature)
        }
    }

    /// Returns the length of the PROXY protocol header, in bytes. The bytes after it are the first bytes that the
    /// client sent.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Returns the address of the proxy's client.
    ///
    /// Returns `None` in these cases, in which only the address of the proxy is known ([`PeerAddr`](super::PeerAddr)):
    ///
    /// - The proxy opened the connection for itself, for example for a health check.
    /// - The client's connection has no IP addresses, such as the connection of a Unix domain socket.
    /// - The header does not say which addresses the client's connection has (`UNKNOWN` in version 1).
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        self.addresses.map(|(source, _)| source)
    }

    /// Returns the address of the proxy to which the client connected. Returns `None` if [`source`](Self::source)
    /// returns `None`.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        self.addresses.map(|(_, destination)| destination)
    }
}

/// Whether `bytes` begin with `prefix`, or are too short but can still become such bytes.
fn begins(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.iter().zip(prefix).all(|(byte, expected)| byte == expected)
}

/// Parses a header of version 1, such as `PROXY TCP4 192.0.2.7 192.0.2.1 40312 443\r\n`.
fn v1(bytes: &[u8]) -> Result<Option<ProxyHeader>, InvalidProxyHeader> {
    const MAX_LEN: usize = 107;
    let seen = bytes.get(..MAX_LEN).unwrap_or(bytes);
    let mut last = 0;
    let ends = |byte| std::mem::replace(&mut last, byte) == b'\r' && byte == b'\n';
    let Some(end) = scan::find(seen, ends).map(|at| at - 1) else {
        let long = seen.len() == MAX_LEN;
        return if long { Err(InvalidProxyHeader::TooLong { max: MAX_LEN }) } else { Ok(None) };
    };
    let line = seen.get(V1_PREFIX.len()..end).and_then(|line| std::str::from_utf8(line).ok());
    let line = line.ok_or(InvalidProxyHeader::Addresses)?;
    let mut fields = line.split(' ');
    let addresses = match fields.next() {
        Some("TCP4") => Some(v1_addresses::<Ipv4Addr>(fields)?),
        Some("TCP6") => Some(v1_addresses::<Ipv6Addr>(fields)?),
        // The rest of the line must be ignored.
        Some("UNKNOWN") => None,
        _ => return Err(InvalidProxyHeader::Protocol),
    };
    Ok(Some(ProxyHeader { length: end + 2, addresses }))
}

fn v1_addresses<'a, A: std::str::FromStr + Into<IpAddr>>(
    mut fields: impl Iterator<Item = &'a str>,
) -> Result<(SocketAddr, SocketAddr), InvalidProxyHeader> {
    let mut field = || fields.next().ok_or(InvalidProxyHeader::Addresses);
    let address = |text: &str| text.parse::<A>().map(Into::into).map_err(|_| InvalidProxyHeader::Addresses);
    let (source, destination) = (address(field()?)?, address(field()?)?);
    let (source_port, destination_port) = (port(field()?)?, port(field()?)?);
    match fields.next() {
        None => Ok((SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port))),
        Some(_) => Err(InvalidProxyHeader::Addresses),
    }
}

/// Parses a decimal number. Leading zeros are refused, because some parsers read such a number as octal.
fn port(text: &str) -> Result<u16, InvalidProxyHeader> {
    let zeros = text.len() > 1 && text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits && !zeros).ok_or(InvalidProxyHeader::Addresses)
}

/// Parses a header of version 2. It contains the signature, the version and command, the family and protocol, the
/// number of bytes that follow, and these bytes.
fn v2(bytes: &[u8]) -> Result<Option<ProxyHeader>, InvalidProxyHeader> {
    let local = match bytes.get(V2_SIGNATURE.len()) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(0x22..=0x2f) => return Err(InvalidProxyHeader::Command),
        Some(_) => return Err(InvalidProxyHeader::Version),
    };
    let &[_, kind, high, low] = match bytes.get(V2_SIGNATURE.len()..V2_FIXED).and_then(<[u8]>::first_chunk) {
        Some(fixed) => fixed,
        None => return Ok(None),
    };
    let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > ProxyHeader::MAX_LEN {
        return Err(InvalidProxyHeader::TooLong { max: ProxyHeader::MAX_LEN });
    }
    // TCP and UDP are treated alike, and other protocols are an error. With the command LOCAL, the family and the
    // addresses are ignored.
    let least = match (local, kind >> 4, kind & 0xf) {
        (true, ..) | (false, 0, 0..=2) => 0,
        (false, 1, 0..=2) => 12,
        (false, 2, 0..=2) => 36,
        (false, 3, 0..=2) => 216,
        _ => return Err(InvalidProxyHeader::Protocol),
    };
    if length < V2_FIXED + least {
        return Err(InvalidProxyHeader::Addresses);
    }
    let Some(block) = bytes.get(V2_FIXED..length) else { return Ok(None) };
    let addresses = match (local, kind >> 4) {
        (false, 1) => pair::<4>(block),
        (false, 2) => pair::<16>(block),
        _ => None,
    };
    Ok(Some(ProxyHeader { length, addresses }))
}

/// Parses two addresses of `N` bytes and two ports.
fn pair<const N: usize>(block: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, block) = block.split_first_chunk::<N>()?;
    let (destination, block) = block.split_first_chunk::<N>()?;
    let (source_port, block) = block.split_first_chunk()?;
    let (destination_port, _) = block.split_first_chunk()?;
    let address = |address: &[u8; N], port: &[u8; 2]| SocketAddr::new((*address).into(), u16::from_be_bytes(*port));
    Some((address(source, source_port), address(destination, destination_port)))
}

/// Why the first bytes of a connection are not a valid PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProxyHeader {
    /// The bytes do not begin like a PROXY protocol header. The peer does not use the protocol.
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
}

#[cfg(test)]
mod tests;
