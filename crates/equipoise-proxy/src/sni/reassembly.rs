use bytes::{Bytes, BytesMut};

use super::hello::{ClientHello, InvalidHello};

/// The type of a TLS record of the handshake.
const HANDSHAKE: u8 = 22;
/// The types of TLS records: a change of the cipher, an alert, the handshake, and data.
const TYPES: std::ops::RangeInclusive<u8> = 20..=23;
/// The first byte of the version in each record, from SSL 3.0 to TLS 1.3.
const MAJOR: u8 = 3;
/// The maximum length of the content of a record, in bytes.
const MAX_RECORD: usize = 1 << 14;
/// The type of the message.
const CLIENT_HELLO: u8 = 1;
/// The size of the type and the length of a message, in bytes.
const MESSAGE_HEADER: usize = 4;

/// The size of the type, version and length of a record, in bytes.
const RECORD_HEADER: usize = 5;
/// The maximum number of bytes that are read. Each record has a header, and usual clients send few records.
const MAX_READ: usize = ClientHello::MAX_LEN + 1024;

/// Assembles a ClientHello from the bytes of a connection. Each byte is looked at once, however the bytes are divided into
/// reads.
pub(super) struct Reassembly {
    read: BytesMut,
    /// Where the next record begins in `read`.
    next: usize,
    /// The content of the records before it.
    message: Vec<u8>,
}

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    Tls(ClientHello),
    Other,
}

impl Reassembly {
    pub(super) fn new() -> Self {
        Self { read: BytesMut::new(), next: 0, message: Vec::new() }
    }

    /// Returns the buffer to whose end the bytes of the connection are read.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.read
    }

    /// Returns all bytes that were read.
    pub(super) fn into_read(self) -> Bytes {
        self.read.freeze()
    }

    /// Looks at what was read since the last call. Returns `None` if more is needed.
    pub(super) fn advance(&mut self) -> Result<Option<Start>, InvalidHello> {
        if self.next == 0 {
            match *self.read {
                [] => return Ok(None),
                [kind, major, ..] if !TYPES.contains(&kind) || major != MAJOR => return Ok(Some(Start::Other)),
                [kind] if !TYPES.contains(&kind) => return Ok(Some(Start::Other)),
                _ => {}
            }
        }
        while let Some(hello) = self.record()? {
            if let Some(hello) = hello {
                return Ok(Some(Start::Tls(hello)));
            }
        }
        Ok(None)
    }

    /// Takes the next record. Returns `None` if it is not complete, and the message if it ends with this record.
    fn record(&mut self) -> Result<Option<Option<ClientHello>>, InvalidHello> {
        let rest = self.read.get(self.next..).unwrap_or_default();
        let Some((&[kind, major, _, high, low], rest)) = rest.split_first_chunk::<RECORD_HEADER>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || major != MAJOR || !(1..=MAX_RECORD).contains(&length) {
            return Err(InvalidHello::Record);
        }
        if self.next + RECORD_HEADER + length > MAX_READ {
            return Err(InvalidHello::TooLong { max: MAX_READ });
        }
        let Some(content) = rest.get(..length) else { return Ok(None) };
        self.message.extend_from_slice(content);
        self.next += RECORD_HEADER + length;
        self.hello().map(Some)
    }

    /// Returns the message if it is complete.
    fn hello(&self) -> Result<Option<ClientHello>, InvalidHello> {
        if self.message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(InvalidHello::Message);
        }
        let Some((&[_, high, middle, low], content)) = self.message.split_first_chunk::<MESSAGE_HEADER>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX);
        if length > ClientHello::MAX_LEN - MESSAGE_HEADER {
            return Err(InvalidHello::TooLong { max: ClientHello::MAX_LEN });
        }
        content.get(..length).map(ClientHello::read).transpose()
    }
}

impl ClientHello {
    /// Reads the ClientHello at the start of `bytes`, which must be all bytes that the connection has brought so far.
    /// Returns `None` if it is not complete: read more bytes, and call this function again with all of them. It takes time
    /// that is linear in the number of bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidHello`] as soon as the bytes cannot become a valid ClientHello: [`InvalidHello::Record`] if they do not
    /// begin like TLS.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, InvalidHello> {
        let mut reassembly = Reassembly { read: bytes.into(), next: 0, message: Vec::new() };
        match reassembly.advance()? {
            Some(Start::Tls(hello)) => Ok(Some(hello)),
            Some(Start::Other) => Err(InvalidHello::Record),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn vec8(bytes: &[u8]) -> Vec<u8> {
        [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn vec16(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vec16(data)].concat()
    }

    fn server_names(names: &[(u8, &str)]) -> Vec<u8> {
        let names: Vec<u8> =
            names.iter().flat_map(|(kind, name)| [&[*kind][..], &vec16(name.as_bytes())].concat()).collect();
        extension(0, &vec16(&names))
    }

    fn alpn(protocols: &[&str]) -> Vec<u8> {
        let protocols: Vec<u8> = protocols.iter().flat_map(|protocol| vec8(protocol.as_bytes())).collect();
        extension(16, &vec16(&protocols))
    }

    /// A message with these extensions.
    fn message(extensions: Option<&[u8]>) -> Vec<u8> {
        let fixed = [&[3, 3][..], &[7; 32], &vec8(&[9; 32]), &vec16(&[0x13, 0x01, 0x0a, 0x0a]), &vec8(&[0])].concat();
        let content = [fixed, extensions.map(vec16).unwrap_or_default()].concat();
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[1], &length[1..], &content].concat()
    }

    /// The message in records of this size.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &vec16(part)].concat()).collect()
    }

    fn hello(extensions: &[&[u8]]) -> Vec<u8> {
        records(&message(Some(&extensions.concat())), MAX_RECORD)
    }

    fn read(bytes: &[u8]) -> (Option<String>, Vec<String>) {
        let hello = ClientHello::parse(bytes).expect("valid").expect("complete");
        let alpn = hello.alpn().map(|protocol| String::from_utf8(protocol.to_vec()).unwrap()).collect();
        (hello.server_name().map(str::to_owned), alpn)
    }

    /// A key share of X25519MLKEM768, and one of GREASE.
    fn key_share() -> Vec<u8> {
        let shares = [&[0x2a, 0x2a][..], &vec16(&[0]), &[0x11, 0xec], &vec16(&[5; 1216])].concat();
        extension(51, &vec16(&shares))
    }

    #[test]
    fn the_name_and_the_protocols_are_read() {
        let grease = extension(0x1a1a, &[]);
        let all = hello(&[&grease, &server_names(&[(0, "Shop.Example.")]), &key_share(), &alpn(&["h2", "http/1.1"])]);
        assert_eq!(read(&all), (Some("shop.example".to_owned()), vec!["h2".to_owned(), "http/1.1".to_owned()]));
        assert_eq!(read(&hello(&[&server_names(&[(0, "192.0.2.1")])])), (None, vec![]));
        assert_eq!(read(&hello(&[])), (None, vec![]));
        // TLS 1.0 without extensions.
        assert_eq!(read(&records(&message(None), MAX_RECORD)), (None, vec![]));
    }

    #[test]
    fn a_hello_is_assembled_from_segments_and_records_of_any_size() {
        let message = message(Some(&[key_share(), server_names(&[(0, "shop.example")])].concat()));
        for size in [1, 2, 3, 4, 5, 100, 1_400, MAX_RECORD] {
            let sent = records(&message, size);
            let mut reassembly = Reassembly::new();
            for (at, byte) in sent.iter().enumerate() {
                reassembly.buffer().extend_from_slice(&[*byte]);
                let start = reassembly.advance().expect("valid");
                assert_eq!(start.is_some(), at + 1 == sent.len(), "{size} {at}");
            }
            assert_eq!(reassembly.into_read(), sent);
            for at in 0..sent.len() {
                let mut reassembly = Reassembly::new();
                reassembly.buffer().extend_from_slice(&sent[..at]);
                assert_eq!(reassembly.advance(), Ok(None), "{size} {at}");
                reassembly.buffer().extend_from_slice(&sent[at..]);
                assert!(matches!(reassembly.advance(), Ok(Some(Start::Tls(_)))), "{size} {at}");
            }
        }
    }

    #[test]
    fn what_follows_the_hello_is_kept() {
        let mut sent = hello(&[&server_names(&[(0, "a")])]);
        sent.extend_from_slice(&[23, 3, 3, 0, 2, 1, 2]);
        let mut reassembly = Reassembly::new();
        reassembly.buffer().extend_from_slice(&sent);
        assert!(matches!(reassembly.advance(), Ok(Some(Start::Tls(_)))));
        assert_eq!(reassembly.into_read(), sent);
    }

    #[test]
    fn what_is_not_tls_is_known_at_its_first_bytes() {
        for bytes in [&b"G"[..], b"GET / HTTP/1.1", b"SSH-2.0", &[22, 2], &[22, 4, 1], &[0x80, 0x2e, 1], &[0], &[21, 1]]
        {
            let mut reassembly = Reassembly::new();
            reassembly.buffer().extend_from_slice(bytes);
            assert_eq!(reassembly.advance(), Ok(Some(Start::Other)), "{bytes:?}");
            assert_eq!(ClientHello::parse(bytes), Err(InvalidHello::Record));
        }
        for bytes in [&[][..], &[22], &[22, 3], &[22, 3, 1, 0]] {
            assert_eq!(ClientHello::parse(bytes), Ok(None));
        }
    }

    #[test]
    fn a_hello_that_is_wrong_is_refused() {
        let message = message(Some(&server_names(&[(0, "a")])));
        let second = |kind: u8| [records(&message[..9], 9), vec![kind, 3, 1, 0, 1, 0]].concat();
        let longer = |by: u8| {
            let mut message = message.clone();
            message[3] += by;
            message.extend(vec![0; by.into()]);
            records(&message, MAX_RECORD)
        };
        let names = |names: &[(u8, &str)]| hello(&[&server_names(names)]);
        let one = server_names(&[(0, "a")]);
        for (bytes, why) in [
            (vec![22, 3, 1, 0, 0], InvalidHello::Record),
            (vec![21, 3, 1, 0, 2], InvalidHello::Record),
            (vec![23, 3, 3, 0, 2], InvalidHello::Record),
            (vec![22, 3, 1, 0x40, 1], InvalidHello::Record),
            (second(21), InvalidHello::Record),
            (second(23), InvalidHello::Record),
            (records(&[2], 1), InvalidHello::Message),
            (records(&[1, 0, 0x40, 0], 4), InvalidHello::TooLong { max: ClientHello::MAX_LEN }),
            (records(&[1, 1, 0, 0], 4), InvalidHello::TooLong { max: ClientHello::MAX_LEN }),
            (longer(1), InvalidHello::Malformed),
            (hello(&[&[0, 5, 0, 1]]), InvalidHello::Malformed),
            (hello(&[&[0]]), InvalidHello::Malformed),
            (hello(&[&one, &one]), InvalidHello::ServerName),
            (hello(&[&extension(0, &[])]), InvalidHello::ServerName),
            (hello(&[&extension(0, &[0, 0])]), InvalidHello::ServerName),
            (hello(&[&extension(0, &[0, 4, 0, 0, 2, b'a'])]), InvalidHello::ServerName),
            (hello(&[&extension(0, &[0, 4, 0, 0, 1, b'a', 0])]), InvalidHello::ServerName),
            (names(&[(0, "a"), (0, "b")]), InvalidHello::ServerName),
            (names(&[(9, "x"), (0, "a")]), InvalidHello::ServerName),
            (names(&[(9, "x")]), InvalidHello::ServerName),
            (names(&[(0, "")]), InvalidHello::ServerName),
            (names(&[(0, ".")]), InvalidHello::ServerName),
            (names(&[(0, "*.a")]), InvalidHello::ServerName),
            (names(&[(0, "a b")]), InvalidHello::ServerName),
            (names(&[(0, "a\0")]), InvalidHello::ServerName),
            (names(&[(0, "é")]), InvalidHello::ServerName),
            (names(&[(0, &"a".repeat(256))]), InvalidHello::ServerName),
            (hello(&[&alpn(&["h2"]), &alpn(&["h2"])]), InvalidHello::Alpn),
            (hello(&[&alpn(&[])]), InvalidHello::Alpn),
            (hello(&[&alpn(&["h2", ""])]), InvalidHello::Alpn),
        ] {
            assert_eq!(ClientHello::parse(&bytes), Err(why), "{bytes:?}");
        }
        assert!(names(&[(0, &"a".repeat(255))]).len() > 255);
    }

    #[test]
    fn a_hello_has_at_most_16_kibibytes() {
        let empty = message(Some(&[])).len();
        let padded = |length: usize| message(Some(&extension(21, &vec![0; length - empty - 4])));
        let longest = padded(ClientHello::MAX_LEN);
        assert_eq!(longest.len(), ClientHello::MAX_LEN);
        assert!(matches!(ClientHello::parse(&records(&longest, 1_000)), Ok(Some(_))));
        let too_long = Err(InvalidHello::TooLong { max: ClientHello::MAX_LEN });
        assert_eq!(ClientHello::parse(&records(&padded(ClientHello::MAX_LEN + 1), 1_000)), too_long);
        // Records of one byte each.
        let too_long = Err(InvalidHello::TooLong { max: MAX_READ });
        assert_eq!(ClientHello::parse(&records(&longest[..ClientHello::MAX_LEN / 4], 1)), too_long);
    }

    #[test]
    fn many_protocols_take_no_more_than_their_bytes() {
        let protocols = vec!["x"; 8_000];
        let sent = hello(&[&alpn(&protocols)]);
        let hello = ClientHello::parse(&sent).expect("valid").expect("complete");
        assert_eq!(hello.alpn().count(), 8_000);
        assert_eq!(hello.alpn_bytes(), 16_000);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much_and_more_of_them_change_no_verdict(
            extensions in vec(any::<u8>(), 0..40),
            size in 1..60_usize,
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = records(&message(Some(&extensions)), size);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let mut before = Ok(None);
            let mut reassembly = Reassembly::new();
            for end in 0..=bytes.len() {
                let now = ClientHello::parse(&bytes[..end]);
                if before != Ok(None) {
                    prop_assert_eq!(&now, &before);
                } else if end > 0 {
                    // Read byte by byte, it is the same.
                    reassembly.buffer().extend_from_slice(&bytes[end - 1..end]);
                    let step = reassembly.advance().and_then(|start| match start {
                        Some(Start::Tls(hello)) => Ok(Some(hello)),
                        Some(Start::Other) => Err(InvalidHello::Record),
                        None => Ok(None),
                    });
                    prop_assert_eq!(&step, &now);
                }
                before = now;
            }
        }
    }
}
