use std::io;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};

/// Serializes a value to JSON without line breaks.
///
/// In texts, `<`, `>`, `&` and the line separators of Unicode are written as `\u` escapes: such JSON stays a single
/// value even where a program puts it into HTML or into a script.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, serde_json::Error> {
    let mut json = Vec::with_capacity(1024);
    value.serialize(&mut Serializer::with_formatter(&mut json, Escaping))?;
    Ok(json.into())
}

struct Escaping;

impl Formatter for Escaping {
    /// Writes a part of a text. `serde_json` has taken out quotes, backslashes and control characters before.
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            let mut chars = special.chars();
            let code = chars.next().map_or(0, u32::from);
            write!(writer, "{plain}\\u{code:04x}")?;
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_end_a_script_element_or_a_line() {
        let hostile = "</script><!-- &amp; \u{2028}\u{2029}\r\n\u{0}\"\\ é 😀";
        let json = to_json(hostile).expect("a text");
        let json = std::str::from_utf8(&json).expect("UTF-8");
        for part in ["<", ">", "&", "\u{2028}", "\u{2029}", "\r", "\n", "\u{0}"] {
            assert!(!json.contains(part), "{part:?} in {json}");
        }
        assert_eq!(serde_json::from_str::<String>(json).expect("JSON"), hostile);
    }
}
