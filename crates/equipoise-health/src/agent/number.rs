//! Parses numbers as C's `strtol` does, because HAProxy uses `strtol` for the numbers in an agent's reply.

/// Returns the number at the beginning of `text` and the rest of the text, or `None` if `text` does not begin with a
/// number. White space and a sign may precede the digits. A number that is out of the range of `i64` becomes the
/// nearest `i64`.
pub(super) fn leading(text: &[u8]) -> Option<(i64, &[u8])> {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let text = &text[blanks..];
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (digits, rest) = digits.split_at(length);
    let value = digits.iter().map(|digit| i64::from(digit - b'0')).fold(0_i64, |value, digit| {
        let value = value.saturating_mul(10);
        if negative { value.saturating_sub(digit) } else { value.saturating_add(digit) }
    });
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_ends_where_its_digits_do() {
        assert_eq!(leading(b"12.5%"), Some((12, &b".5%"[..])));
        assert_eq!(leading(b" \x0b+7"), Some((7, &b""[..])));
        assert_eq!(leading(b"-5"), Some((-5, &b""[..])));
        assert_eq!(leading(b"0x1f"), Some((0, &b"x1f"[..])));
    }

    #[test]
    fn no_digits_are_no_number() {
        for text in [&b""[..], b"-", b"+", b"x1", b"--1", b"- 1"] {
            assert_eq!(leading(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_number_too_large_ends_at_the_limits() {
        assert_eq!(leading(b"99999999999999999999"), Some((i64::MAX, &b""[..])));
        assert_eq!(leading(b"-99999999999999999999"), Some((i64::MIN, &b""[..])));
        assert_eq!(leading(b"-9223372036854775808"), Some((i64::MIN, &b""[..])));
    }
}
