use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::HeaderMap;

use crate::auth::{AuthFailure, credentials::authorization};

/// The maximum length of the name and the password together, in bytes.
const MAX_CREDENTIALS: usize = 1024;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password, as a client has sent them (RFC 7617): UTF-8 without control characters. The name ends at the
/// first colon.
pub(super) struct Credentials {
    text: String,
    colon: usize,
}

impl Credentials {
    /// Reads the field `Authorization`.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, AuthFailure> {
        let encoded = authorization(headers, "Basic")?.ok_or(AuthFailure::Missing)?;
        Self::parse(encoded).ok_or(AuthFailure::invalid("malformed_credentials"))
    }

    fn parse(encoded: &[u8]) -> Option<Self> {
        if encoded.len() > MAX_CREDENTIALS.div_ceil(3) * 4 {
            return None;
        }
        let text = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
        let colon = text.find(':')?;
        let is_valid = text.len() <= MAX_CREDENTIALS && !text.chars().any(char::is_control);
        is_valid.then_some(Self { text, colon })
    }

    pub(super) fn user(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    pub(super) fn password(&self) -> &str {
        self.text.get(self.colon.saturating_add(1)..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn read(encoded: &[u8]) -> Option<(String, String)> {
        let credentials = Credentials::parse(encoded)?;
        Some((credentials.user().to_owned(), credentials.password().to_owned()))
    }

    fn read_text(text: &[u8]) -> Option<(String, String)> {
        read(BASE64_STANDARD.encode(text).as_bytes())
    }

    #[test]
    fn the_name_ends_at_the_first_colon() {
        for (text, user, password) in [
            ("ann:a:b ", "ann", "a:b "),
            ("ä:ü", "ä", "ü"),
            (":", "", ""),
            ("ann:", "ann", ""),
            (":secret", "", "secret"),
        ] {
            assert_eq!(read_text(text.as_bytes()), Some((user.into(), password.into())), "{text}");
        }
        // The examples of RFC 7617, sections 2 and 2.1.
        let example = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read(b"QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), example("Aladdin", "open sesame"));
        assert_eq!(read(b"dGVzdDoxMjPCow=="), example("test", "123£"));
        assert_eq!(read(b"dGVzdDoxMjPCow"), example("test", "123£"));
    }

    #[test]
    fn malformed_credentials_are_refused() {
        for text in [&b"ann"[..], b"", b"a\xff:b", b"a\n:b", b"a:\0", b"a:\x7f", "a:\u{85}".as_bytes(), b"\xa3:a"] {
            assert_eq!(read_text(text), None, "{text:?}");
        }
        for encoded in [&b"!"[..], b"YTpi YTpi", b"YTpi=", b"YTp", b"YTpi\0", b"YTp_", b"\xff", b"YTpj, realm=a"] {
            assert_eq!(read(encoded), None, "{encoded:?}");
        }
    }

    #[test]
    fn the_length_is_bounded() {
        assert!(read_text(format!("a:{}", "b".repeat(1022)).as_bytes()).is_some());
        assert!(read_text(format!("a:{}", "b".repeat(1023)).as_bytes()).is_none());
        assert!(read_text(&[b':'; 100_000]).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes: Vec<u8>) {
            let _ = read(&bytes);
            let _ = read_text(&bytes);
        }
    }
}
