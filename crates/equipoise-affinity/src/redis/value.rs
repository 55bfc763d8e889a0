use equipoise_core::EndpointId;

/// Maximum length of an endpoint id in a pool, in bytes.
const MAX_ID: usize = 255;

/// Maximum number of digits of a birth. Larger numbers are not exact in Lua, whose numbers are floating point.
const MAX_BIRTH_DIGITS: usize = 15;

/// A value in Redis: `1 <birth> <endpoint id>`. `1` is the version of the format. The birth is the time of the
/// session's first binding, in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) endpoint: EndpointId,
    pub(super) born: u64,
}

impl Binding {
    /// Parses a value.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the value. The text does not contain the value, which may be data of another
    /// application.
    pub(super) fn parse(value: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(value).map_err(|_| "a value that is not UTF-8")?;
        let (version, rest) = text.split_once(' ').ok_or("a value without a version")?;
        if version != "1" {
            return Err(if is_number(version) { "a value of another version" } else { "a value without a version" });
        }
        let (born, id) = rest.split_once(' ').ok_or("a value without an endpoint")?;
        if !is_number(born) {
            return Err("a value without a time of birth");
        }
        if born.len() > MAX_BIRTH_DIGITS {
            return Err("a time of birth out of range");
        }
        let born = born.parse().map_err(|_| "a time of birth out of range")?;
        if !is_valid(id) {
            return Err("a value whose endpoint is none");
        }
        Ok(Self { endpoint: EndpointId::from(id), born })
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `id` is a valid endpoint id.
pub(super) fn is_valid(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && !id.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_binding_is_a_version_a_birth_and_an_id() {
        let read = Binding::parse(b"1 1700000000 10.0.0.7:80 b").unwrap();
        assert_eq!(read, Binding { endpoint: EndpointId::from("10.0.0.7:80 b"), born: 1_700_000_000 });
    }

    #[test]
    fn what_is_none_is_refused_with_what_is_wrong_with_it() {
        for (value, wrong) in [
            (&b""[..], "a value without a version"),
            (b"hello world", "a value without a version"),
            (b"2 1 a", "a value of another version"),
            (b"1 5", "a value without an endpoint"),
            (b"1 5 ", "a value whose endpoint is none"),
            (b"1 +5 a", "a value without a time of birth"),
            (b"1  a", "a value without a time of birth"),
            (b"1 18446744073709551616 a", "a time of birth out of range"),
            (b"1 1000000000000000 a", "a time of birth out of range"),
            (b"1 5 a\r\nb", "a value whose endpoint is none"),
            (b"1 5 \xff", "a value that is not UTF-8"),
            (&[&b"1 5 "[..], &[b'a'; 256]].concat(), "a value whose endpoint is none"),
        ] {
            assert_eq!(Binding::parse(value), Err(wrong), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_binding_or_refused(value in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Binding::parse(&value);
        }

        #[test]
        fn every_valid_id_comes_back(born in 0..1_000_000_000_000_000_u64, id in "[^\\p{Cc}]{1,60}") {
            prop_assume!(is_valid(&id));
            let read = Binding::parse(format!("1 {born} {id}").as_bytes()).unwrap();
            prop_assert_eq!((read.born, read.endpoint.as_str()), (born, &*id));
        }
    }
}
