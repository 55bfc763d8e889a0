use std::{fmt, marker::PhantomData, str::FromStr};

use ::serde::{Deserializer, de};

/// Deserializes a value from its text. `expected` describes the value for error messages, such as `a strategy by name`.
///
/// # Errors
///
/// Returns an error if the data is not a text, or if the text cannot be parsed as a `T`.
pub fn deserialize<'de, T, D>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(Text { expected, spec: PhantomData })
}

struct Text<T> {
    expected: &'static str,
    spec: PhantomData<T>,
}

impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
