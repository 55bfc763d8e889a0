use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use bytes::Bytes;

use super::{
    ssl::Ssl,
    tlv::{self, TlvTooLong, Tlvs, kind},
};

/// The size of the fixed fields of a header of version 2, in bytes.
pub(super) const FIXED: usize = 16;

/// The size of one path in a header for Unix sockets, in bytes.
pub(super) const UNIX_PATH: usize = 108;

/// A header of the PROXY protocol. The [module](super) has an example.
///
/// Cloning is cheap: the extensions are shared.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxyHeader {
    pub(super) addresses: Addresses,
    /// The extensions as they are sent.
    pub(super) tlvs: Bytes,
}

/// What a header says about the addresses.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Addresses {
    /// The connection is the sender's own.
    Local,
    /// They are not known.
    Unknown,
    /// Both of the same family.
    Ip { source: SocketAddr, destination: SocketAddr, transport: Transport },
    /// The two paths, each padded with zeros.
    Unix { paths: Bytes, transport: Transport },
}

/// How the client's data is transported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// A stream of bytes: TCP, or a Unix stream socket.
    Stream,
    /// Datagrams: UDP, or a Unix datagram socket.
    Datagram,
}

impl ProxyHeader {
    /// The maximum size of a header, in bytes: 4 096, as in nginx. A header of version 1 has at most 107 bytes. In
    /// version 2, the fixed fields and IP addresses take at most 52 bytes. The other bytes are for extensions.
    pub const MAX_LEN: usize = tlv::MAX_LEN;

    /// Creates a header for the TCP connection of a client: from which address it came, and to which it was opened.
    ///
    /// IPv4-mapped IPv6 addresses become IPv4 addresses. If only one of the two addresses is IPv4, both are sent as IPv6
    /// addresses.
    #[must_use]
    pub fn proxied(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::of(source, destination, Transport::Stream)
    }

    /// Creates a header for a datagram of a client: from which address it came, and to which it was sent. Addresses are
    /// treated as in [`proxied`](Self::proxied). Version 1 cannot express it.
    ///
    /// The specification does not say where the header stands in a sequence of datagrams. dnsdist, PowerDNS and BIND
    /// begin each datagram with it, so none of them has to arrive first.
    #[must_use]
    pub fn datagram(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::of(source, destination, Transport::Datagram)
    }

    /// Creates a header for a connection that the sender opens for itself, for example for a health check. The receiver
    /// uses the addresses of the connection.
    #[must_use]
    pub const fn local() -> Self {
        Self { addresses: Addresses::Local, tlvs: Bytes::new() }
    }

    /// Creates a header for the connection of a client without an IP address, for example one of a Unix socket.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { addresses: Addresses::Unknown, tlvs: Bytes::new() }
    }

    fn of(source: SocketAddr, destination: SocketAddr, transport: Transport) -> Self {
        let (mut from, mut to) = (source.ip().to_canonical(), destination.ip().to_canonical());
        if from.is_ipv4() != to.is_ipv4() {
            (from, to) = (mapped(from), mapped(to));
        }
        // Without the zone of an IPv6 address, which means nothing to the receiver.
        let (source, destination) = (SocketAddr::new(from, source.port()), SocketAddr::new(to, destination.port()));
        Self { addresses: Addresses::Ip { source, destination, transport }, tlvs: Bytes::new() }
    }

    /// Appends an extension. Only version 2 has them. For [`kind::SSL`] and [`kind::CRC32C`], use
    /// [`ssl_tlv`](Self::ssl_tlv) and [`checksum`](Self::checksum): receivers refuse other values.
    ///
    /// # Errors
    ///
    /// [`TlvTooLong`] if the header would exceed [`MAX_LEN`](Self::MAX_LEN), or a [`kind::UNIQUE_ID`] has more than 128
    /// bytes.
    pub fn tlv(mut self, kind: u8, value: &[u8]) -> Result<Self, TlvTooLong> {
        self.append(kind, value)?;
        Ok(self)
    }

    /// Appends the extension [`kind::SSL`].
    ///
    /// # Errors
    ///
    /// [`TlvTooLong`] if the header would exceed [`MAX_LEN`](Self::MAX_LEN).
    pub fn ssl_tlv(self, ssl: &Ssl) -> Result<Self, TlvTooLong> {
        self.tlv(kind::SSL, &ssl.value())
    }

    /// Appends the extension [`kind::CRC32C`]. [`encode`](Self::encode) computes the checksum.
    ///
    /// # Errors
    ///
    /// [`TlvTooLong`] if the header would exceed [`MAX_LEN`](Self::MAX_LEN).
    pub fn checksum(self) -> Result<Self, TlvTooLong> {
        self.tlv(kind::CRC32C, &[0; 4])
    }

    /// Appends an extension, as [`tlv`](Self::tlv) does. If it is too long, the header stays as it is.
    ///
    /// # Errors
    ///
    /// [`TlvTooLong`] in the same cases as `tlv`.
    pub fn append(&mut self, kind: u8, value: &[u8]) -> Result<(), TlvTooLong> {
        let max = Self::MAX_LEN - FIXED - self.addresses.len();
        tlv::append(&mut self.tlvs, kind, value, max)
    }

    /// Returns the address of the client. `None` if the header has no IP addresses. Then the addresses of the connection
    /// are all that is known.
    pub fn source(&self) -> Option<SocketAddr> {
        match self.addresses {
            Addresses::Ip { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Returns the address to which the client connected. `None` if the header has no IP addresses.
    pub fn destination(&self) -> Option<SocketAddr> {
        match self.addresses {
            Addresses::Ip { destination, .. } => Some(destination),
            _ => None,
        }
    }

    /// Returns the paths of the client's socket and of the socket to which it connected, if these are Unix sockets. A
    /// client's socket usually has an empty path. Paths of the abstract namespace begin with a zero.
    pub fn unix_paths(&self) -> Option<(&[u8], &[u8])> {
        let Addresses::Unix { paths, .. } = &self.addresses else { return None };
        let (source, destination) = paths.split_at_checked(UNIX_PATH)?;
        Some((unpadded(source), unpadded(destination)))
    }

    /// Returns how the client's data is transported. `None` if the header has no addresses.
    pub fn transport(&self) -> Option<Transport> {
        match self.addresses {
            Addresses::Ip { transport, .. } | Addresses::Unix { transport, .. } => Some(transport),
            Addresses::Local | Addresses::Unknown => None,
        }
    }

    /// Returns whether the sender has opened the connection for itself (the command `LOCAL`).
    pub fn is_local(&self) -> bool {
        self.addresses == Addresses::Local
    }

    /// Returns the extensions, in their order.
    pub fn tlvs(&self) -> Tlvs<'_> {
        Tlvs(&self.tlvs)
    }

    /// Returns the value of the first extension of a type, for example of an application's own type.
    pub fn value(&self, kind: u8) -> Option<&[u8]> {
        tlv::find(&self.tlvs, kind)
    }

    /// Returns the protocol above TLS that was negotiated with the client, such as `h2`.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.value(kind::ALPN)
    }

    /// Returns the host name that the client has sent: with TLS, its server name. `None` if it is not UTF-8.
    pub fn authority(&self) -> Option<&str> {
        tlv::find_text(&self.tlvs, kind::AUTHORITY)
    }

    /// Returns the identifier that the proxy has given to the connection.
    pub fn unique_id(&self) -> Option<&[u8]> {
        self.value(kind::UNIQUE_ID)
    }

    /// Returns the name of the proxy's network namespace.
    pub fn netns(&self) -> Option<&str> {
        tlv::find_text(&self.tlvs, kind::NETNS)
    }

    /// Returns what is known of the client's TLS connection.
    pub fn ssl(&self) -> Option<Ssl> {
        let value = self.value(kind::SSL)?;
        Ssl::read(&self.tlvs.slice_ref(value))
    }
}

impl Addresses {
    /// Returns their size in a header of version 2, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Local | Self::Unknown => 0,
            Self::Ip { source: SocketAddr::V4(_), .. } => 12,
            Self::Ip { .. } => 36,
            Self::Unix { .. } => 2 * UNIX_PATH,
        }
    }
}

fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(_) => address,
    }
}

/// Returns a path without the zeros after it. The first byte may be a zero of the path.
fn unpadded(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    path.get(..end).unwrap_or_default()
}

impl fmt::Debug for ProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("ProxyHeader");
        match &self.addresses {
            Addresses::Local => fields.field("command", &"LOCAL"),
            Addresses::Unknown => fields.field("addresses", &"unknown"),
            Addresses::Ip { source, destination, transport } => {
                fields.field("source", source).field("destination", destination).field("transport", transport)
            }
            Addresses::Unix { transport, .. } => fields.field("addresses", &"unix").field("transport", transport),
        };
        fields.field("tlvs", &self.tlvs().collect::<Vec<_>>()).finish()
    }
}
