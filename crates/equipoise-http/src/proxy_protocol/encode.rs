use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    decode::{V2_SIGNATURE, crc32c_of},
    header::{Addresses, FIXED, ProxyHeader, Transport},
};

/// The version of the PROXY protocol in which a header is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Version {
    /// A line of text. It has the IP addresses of TCP connections, and nothing else: for all others, it says `UNKNOWN`.
    V1,
    /// Binary, with extensions (TLVs). This is the default.
    #[default]
    V2,
}

impl ProxyHeader {
    /// Returns the header as it is sent. A checksum that the header has is computed anew.
    ///
    /// In [`Version::V1`], extensions are left out, and a header without the IP addresses of a TCP connection is
    /// `PROXY UNKNOWN`.
    pub fn encode(&self, version: Version) -> Bytes {
        match version {
            Version::V1 => self.v1().into(),
            Version::V2 => self.v2(),
        }
    }

    fn v1(&self) -> String {
        let Addresses::Ip { source, destination, transport: Transport::Stream } = &self.addresses else {
            return "PROXY UNKNOWN\r\n".to_owned();
        };
        let family = if source.is_ipv4() { 4 } else { 6 };
        let (from, to) = (source.ip(), destination.ip());
        format!("PROXY TCP{family} {from} {to} {} {}\r\n", source.port(), destination.port())
    }

    fn v2(&self) -> Bytes {
        let after = self.addresses.len() + self.tlvs.len();
        let mut header = BytesMut::with_capacity(FIXED + after);
        header.put_slice(V2_SIGNATURE);
        header.put_u8(if self.is_local() { 0x20 } else { 0x21 });
        let family = match &self.addresses {
            Addresses::Local | Addresses::Unknown => 0,
            Addresses::Ip { source: SocketAddr::V4(_), .. } => 0x10,
            Addresses::Ip { .. } => 0x20,
            Addresses::Unix { .. } => 0x30,
        };
        let transport = match self.transport() {
            None => 0,
            Some(Transport::Stream) => 1,
            Some(Transport::Datagram) => 2,
        };
        header.put_u8(family | transport);
        // A header has at most `MAX_LEN` bytes.
        header.put_u16(u16::try_from(after).unwrap_or(u16::MAX));
        match &self.addresses {
            Addresses::Local | Addresses::Unknown => {}
            Addresses::Ip { source, destination, .. } => {
                for address in [source, destination] {
                    match address.ip() {
                        IpAddr::V4(address) => header.put_slice(&address.octets()),
                        IpAddr::V6(address) => header.put_slice(&address.octets()),
                    }
                }
                header.put_u16(source.port());
                header.put_u16(destination.port());
            }
            Addresses::Unix { paths, .. } => header.put_slice(paths),
        }
        header.put_slice(&self.tlvs);
        if let Some((at, _)) = self.stated_checksum() {
            let sum = crc32c_of(&header, FIXED + self.addresses.len() + at);
            let at = FIXED + self.addresses.len() + at;
            if let Some(field) = header.get_mut(at..at + sum.len()) {
                field.copy_from_slice(&sum);
            }
        }
        header.freeze()
    }
}
