use std::fmt;

use crate::check::server_name;

/// The number of the extension with the server name (RFC 6066, section 3).
const SERVER_NAME: u16 = 0;
/// The type of a server name that is a host name.
const HOST_NAME: u8 = 0;
/// The number of the extension with the protocols above TLS (RFC 7301).
const ALPN: u16 = 16;

/// What a client has sent to begin TLS: the name of the server that it asks for, and the protocols that it offers.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientHello {
    server_name: Option<Box<str>>,
    /// As it was sent: each protocol after its length. It was checked.
    alpn: Box<[u8]>,
}

/// Why the first bytes of a connection, which begin like TLS, are not a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHello {
    /// A TLS record is empty, too long, or of another type than a handshake.
    #[error("the ClientHello is not in valid TLS records")]
    Record,
    /// The first message of the handshake is not a ClientHello.
    #[error("the first TLS message is not a ClientHello")]
    Message,
    /// The ClientHello is too long.
    #[error("the ClientHello has more than {max} bytes")]
    TooLong {
        /// The maximum length, in bytes.
        max: usize,
    },
    /// A length in the ClientHello is wrong, or a part is missing.
    #[error("the ClientHello is malformed")]
    Malformed,
    /// The extension with the server name is malformed, is there twice, has two names or one of an unknown type, or the name
    /// is not one of letters, digits, `-` and `_` in labels, with 1 to 255 bytes.
    #[error("the server name in the ClientHello is malformed")]
    ServerName,
    /// The extension for ALPN is malformed, or is there twice.
    #[error("the list of protocols (ALPN) in the ClientHello is malformed")]
    Alpn,
}

impl ClientHello {
    /// The maximum length of a ClientHello, in bytes: 16 KiB, as in a TLS record. With the headers of its records, it may
    /// have 1 KiB more, which is enough for 200 records.
    pub const MAX_LEN: usize = 16 * 1024;

    #[cfg(test)]
    pub(super) fn of(server_name: Option<&str>, alpn: &[&str]) -> Self {
        let length = |protocol: &&str| u8::try_from(protocol.len()).expect("short");
        let alpn = alpn.iter().flat_map(|protocol| [&[length(protocol)], protocol.as_bytes()].concat()).collect();
        Self { server_name: server_name.map(Into::into), alpn }
    }

    #[cfg(test)]
    pub(super) fn alpn_bytes(&self) -> usize {
        self.alpn.len()
    }

    /// Returns the server name (SNI), in lower case and without a dot at its end. `None` if the client asked for none, or
    /// for an IP address.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Returns the protocols that the client offers (ALPN), such as `h2`, in its order of preference.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Reader(&self.alpn);
        std::iter::from_fn(move || rest.vec8())
    }

    /// Reads the content of the message, after its type and length (RFC 8446, section 4.1.2).
    pub(super) fn read(message: &[u8]) -> Result<Self, InvalidHello> {
        let mut rest = Reader(message);
        let extensions = fixed(&mut rest).ok_or(InvalidHello::Malformed)?;
        let (mut name, mut alpn) = (None, None);
        let mut extensions = Reader(extensions);
        while !extensions.0.is_empty() {
            let extension = extensions.u16().and_then(|kind| Some((kind, extensions.vec16()?)));
            let (kind, data) = extension.ok_or(InvalidHello::Malformed)?;
            match kind {
                SERVER_NAME => {
                    let read = host_name(data).ok_or(InvalidHello::ServerName)?;
                    if name.replace(read).is_some() {
                        return Err(InvalidHello::ServerName);
                    }
                }
                ALPN => {
                    let protocols = protocols(data).ok_or(InvalidHello::Alpn)?;
                    if alpn.replace(protocols).is_some() {
                        return Err(InvalidHello::Alpn);
                    }
                }
                _ => {}
            }
        }
        Ok(Self { server_name: name.flatten(), alpn: alpn.unwrap_or_default() })
    }
}

/// Reads what is before the extensions. Returns the extensions: a client of TLS 1.2 or older may send none.
fn fixed<'a>(rest: &mut Reader<'a>) -> Option<&'a [u8]> {
    let _version = rest.u16()?;
    let _random = rest.take(32)?;
    let session = rest.vec8()?;
    let ciphers = rest.vec16()?;
    let compressions = rest.vec8()?;
    let is_valid = session.len() <= 32 && !ciphers.is_empty() && ciphers.len() % 2 == 0 && !compressions.is_empty();
    let extensions = if rest.0.is_empty() { &[] } else { rest.vec16()? };
    (is_valid && rest.0.is_empty()).then_some(extensions)
}

/// Reads the list of server names. `Some(None)` if the name is an IP address. The list must have one name only, and of the
/// known type: servers disagree about what follows a name of another type.
fn host_name(data: &[u8]) -> Option<Option<Box<str>>> {
    let mut names = list(data)?;
    let (kind, name) = (names.u8()?, names.vec16()?);
    if kind == HOST_NAME && names.0.is_empty() { server_name(name) } else { None }
}

/// Returns the list of protocols as it is sent, if it is valid.
fn protocols(data: &[u8]) -> Option<Box<[u8]>> {
    let all = list(data)?;
    let mut rest = Reader(all.0);
    while !rest.0.is_empty() {
        rest.vec8().filter(|protocol| !protocol.is_empty())?;
    }
    Some(all.0.into())
}

/// Reads a list that is all of an extension, and has at least one element.
fn list(data: &[u8]) -> Option<Reader<'_>> {
    let mut data = Reader(data);
    let list = data.vec16()?;
    (data.0.is_empty() && !list.is_empty()).then_some(Reader(list))
}

/// Reads values from the front of bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// Reads bytes after their length, which has one byte.
    fn vec8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// Reads bytes after their length, which has two bytes.
    fn vec16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }
}

impl fmt::Debug for ClientHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alpn: Vec<_> = self.alpn().map(String::from_utf8_lossy).collect();
        f.debug_struct("ClientHello").field("server_name", &self.server_name).field("alpn", &alpn).finish()
    }
}
