//! Texts of the server, made harmless for a terminal.

use std::fmt::{self, Write};

use serde::{Deserialize, Deserializer};

/// A text of the server in which no character controls the terminal or changes the direction of the text. Such characters
/// are written as escapes, for example `\u{1b}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn new(text: &str) -> Self {
        if !text.chars().any(is_harmful) {
            return Self(text.to_owned());
        }
        let mut harmless = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            match is_harmful(c) {
                // Writing to a string does not fail.
                true => drop(write!(harmless, "{}", c.escape_unicode())),
                false => harmless.push(c),
            }
        }
        Self(harmless)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns whether a character controls the terminal, is invisible, or changes the direction of what follows it.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_control_a_terminal_are_written_as_escapes() {
        for (text, harmless) in [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("größer → 端点", "größer → 端点"),
            ("\u{1b}[2J\u{1b}]0;owned\u{7}", "\\u{1b}[2J\\u{1b}]0;owned\\u{7}"),
            ("a\r\nb\tc\u{8}\u{7f}", "a\\u{d}\\u{a}b\\u{9}c\\u{8}\\u{7f}"),
            ("\u{9b}31m\u{90}", "\\u{9b}31m\\u{90}"),
            ("\u{202e}dne\u{2066}", "\\u{202e}dne\\u{2066}"),
            ("\u{200b}\u{feff}", "\\u{200b}\\u{feff}"),
        ] {
            assert_eq!(Text::new(text).as_str(), harmless);
        }
    }
}
