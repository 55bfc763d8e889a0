use http::{HeaderMap, header::ACCEPT_ENCODING};

use super::{
    choice::Preference,
    encoding::{COUNT, Encoding},
};

/// A weight of `Accept-Encoding` in thousandths: 0 means that the encoding is not acceptable.
type Weight = u16;

/// What a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// The best encoding. `None` if the response should be sent as it is.
    pub(super) encoding: Option<Encoding>,
    /// Whether the client does not accept a response without an encoding.
    pub(super) refuses_identity: bool,
}

impl Accepted {
    /// Reads `Accept-Encoding` (RFC 9110, section 12.5.3). The acceptable encoding with the highest weight is chosen.
    /// Of several with the same weight, the first of the preference is chosen. Elements that are malformed or not known
    /// are ignored. A request without the field accepts only responses without an encoding, because such clients are
    /// seldom able to decode. O(length of the field).
    pub(super) fn of(headers: &HeaderMap, preference: &Preference) -> Self {
        let mut weights: [Option<Weight>; COUNT] = [None; COUNT];
        let (mut identity, mut any) = (None, None);
        for value in headers.get_all(ACCEPT_ENCODING) {
            for element in value.as_bytes().split(|byte| *byte == b',') {
                let Some((name, weight)) = element_of(element) else { continue };
                let slot = match name {
                    b"*" => &mut any,
                    name if name.eq_ignore_ascii_case(b"identity") => &mut identity,
                    name => match Encoding::of(name).and_then(|encoding| weights.get_mut(encoding.index())) {
                        Some(slot) => slot,
                        None => continue,
                    },
                };
                *slot = Some(weight);
            }
        }
        let weight_of = |encoding: Encoding| weights.get(encoding.index()).copied().flatten().or(any).unwrap_or(0);
        let best = preference.iter().fold(None, |best: Option<(Encoding, Weight)>, encoding| {
            let weight = weight_of(encoding);
            if weight > best.map_or(0, |(_, weight)| weight) { Some((encoding, weight)) } else { best }
        });
        // Without a weight of its own, identity is acceptable, but less than what the client lists.
        let refuses_identity = identity.or(any) == Some(0);
        let encoding = best.filter(|(_, weight)| identity.is_none_or(|identity| *weight >= identity));
        Self { encoding: encoding.map(|(encoding, _)| encoding), refuses_identity }
    }
}

/// Reads the name and the weight of an element. `None` if it is malformed or empty.
fn element_of(element: &[u8]) -> Option<(&[u8], Weight)> {
    let mut parts = element.splitn(2, |byte| *byte == b';');
    let name = parts.next()?.trim_ascii();
    let weight = parts.next().map_or(Some(1000), weight_of)?;
    (!name.is_empty()).then_some((name, weight))
}

/// Reads `q=0.5`. At most three digits may follow the point.
fn weight_of(parameter: &[u8]) -> Option<Weight> {
    let parameter = parameter.trim_ascii();
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
    let (whole, fraction) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let whole = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    let weight = fraction.iter().zip([100, 10, 1]).try_fold(whole, |sum: Weight, (digit, factor)| {
        digit.is_ascii_digit().then(|| sum + Weight::from(digit - b'0') * factor)
    })?;
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn accepted(values: &[&str]) -> Accepted {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_str(value).expect("a value"));
        }
        Accepted::of(&headers, &Preference::default())
    }

    fn chosen(values: &[&str]) -> Option<Encoding> {
        accepted(values).encoding
    }

    #[test]
    fn the_highest_weight_is_chosen_and_then_the_preference() {
        assert_eq!(chosen(&["gzip, deflate, br, zstd"]), Some(Encoding::Zstd));
        assert_eq!(chosen(&["gzip, deflate, br"]), Some(Encoding::Brotli));
        assert_eq!(chosen(&["gzip;q=1.0, br;q=0.999"]), Some(Encoding::Gzip));
        assert_eq!(chosen(&["gzip;q=0.1", "br; q=0.2"]), Some(Encoding::Brotli));
        assert_eq!(chosen(&["X-GZIP"]), Some(Encoding::Gzip));
        let gzip_first = Preference::new([Encoding::Gzip, Encoding::Brotli]).expect("a list");
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("zstd, br, gzip"))]);
        assert_eq!(Accepted::of(&headers, &gzip_first).encoding, Some(Encoding::Gzip));
    }

    #[test]
    fn nothing_is_encoded_without_the_consent_of_the_client() {
        for values in [&[][..], &[""], &["identity"], &["gzip;q=0"], &["compress"], &["gzip;q=2"], &["gzip;q=0.0000"]] {
            assert_eq!(accepted(values), Accepted { encoding: None, refuses_identity: false }, "{values:?}");
        }
        assert_eq!(chosen(&["*;q=0"]), None);
        assert_eq!(chosen(&["gzip;q=0.5, identity"]), None);
    }

    #[test]
    fn a_wildcard_stands_for_all_that_are_not_listed() {
        assert_eq!(chosen(&["*"]), Some(Encoding::Zstd));
        assert_eq!(chosen(&["zstd;q=0, br;q=0, *;q=0.5"]), Some(Encoding::Gzip));
        assert_eq!(chosen(&["gzip, *;q=0"]), Some(Encoding::Gzip));
    }

    #[test]
    fn identity_can_be_refused() {
        assert!(accepted(&["gzip, identity;q=0"]).refuses_identity);
        assert!(accepted(&["gzip, *;q=0"]).refuses_identity);
        assert!(!accepted(&["gzip, identity, *;q=0"]).refuses_identity);
        assert!(!accepted(&["gzip"]).refuses_identity);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4)) {
            let values = values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok());
            let headers: HeaderMap = values.map(|value| (ACCEPT_ENCODING, value)).collect();
            Accepted::of(&headers, &Preference::default());
        }

        #[test]
        fn a_weight_is_read_as_it_was_written(weight in 0_u16..=1000) {
            let text = format!("q={}.{:03}", weight / 1000, weight % 1000);
            prop_assert_eq!(weight_of(text.as_bytes()), Some(weight));
        }
    }
}
