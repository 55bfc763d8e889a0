//! Textual specs: strategies and affinity modes written as text, such as `peak-ewma(decay=10s)`. This module contains
//! the grammar, the parser, the types of parameters and the errors for both.
//!
//! A spec begins with a name. Parameters may follow in brackets. A parameter that the spec does not set has its
//! default. A [`Vocabulary`] is a set of names that specs can use. There are two vocabularies: strategies
//! ([`strategy::by_name`](crate::strategy::by_name)) and affinity modes (`equipoise_affinity::by_name`). A vocabulary
//! has a [`Definition`] for each of its names. If a text is not a valid spec, parsing fails with [`InvalidText`].
//!
//! # Grammar
//!
//! ```text
//! spec      = name [ "(" [ argument { "," argument } ] ")" ]
//! argument  = name "=" value        sets a parameter, at most once each, in any order
//!           | name                  sets a flag: the same as name=true
//!           | spec                  the strategy that a combinator wraps: exactly one, at any position in the brackets
//! ```
//!
//! | [kind of value](Kind) | examples |
//! | --- | --- |
//! | whole number | `3`, `65537`, `0x5eed` |
//! | number | `1.25`, `2` |
//! | time | `10s`, `2.5s`, `250ms`, `1m`, `1h`, `10us`, `1ns` |
//! | boolean, flag | `true`, `false` |
//! | text | `eu-1a`; in quotes if it has characters other than letters, digits and `-_.:/+`: `"in \"quotes\""` |
//! | one character | `.`, `"!"` |
//! | one of several words | `table`, `token`, `Lax` |
//! | word with a time | `wait(5s)` |
//! | range, both ends included | `1024..65536` |
//! | numbers by name | `{eu-1a=3, eu-1b=2}` |
//! | list of texts | `{10.0.0.0/8, loopback}` |
//! | texts by name | `{10.0.0.1:80=A, 10.0.0.2:80=B}` |
//! | strategy | `peak-ewma(decay=5s)` |
//!
//! White space between the parts of a spec is ignored. Names are in lower case. Specs can be nested, at most
//! [`MAX_DEPTH`] levels deep. Parsing takes time linear in the length of the text.

mod error;
mod param;
mod parser;
mod scanner;
#[cfg(feature = "serde")]
mod serde;
mod suggestion;
#[cfg(all(test, not(loom)))]
mod tests;
pub mod time;
mod value;
mod vocabulary;

#[cfg(feature = "serde")]
#[doc(hidden)]
pub use self::serde::deserialize;
pub use self::{
    error::InvalidText,
    param::{Parameter, Preset},
    scanner::Position,
    suggestion::most_similar,
    value::Kind,
    vocabulary::{Definition, MAX_DEPTH, Vocabulary},
};
#[doc(hidden)]
pub use self::{
    param::{Nested, Param, ParamBuilder, Setting},
    value::{Value, either},
    vocabulary::{Settings, Spec},
};

/// Implements parsing and formatting as text, and serialization as text, for a newtype of [`Spec`].
#[doc(hidden)]
#[macro_export]
macro_rules! __spec_as_text {
    ($spec:ident, $vocabulary:ty, $expected:literal) => {
        impl ::std::str::FromStr for $spec {
            type Err = $crate::spec::InvalidText<$vocabulary>;

            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                $crate::spec::Spec::parse(text).map(Self)
            }
        }

        impl ::std::convert::TryFrom<&str> for $spec {
            type Error = $crate::spec::InvalidText<$vocabulary>;

            fn try_from(text: &str) -> ::std::result::Result<Self, Self::Error> {
                text.parse()
            }
        }

        /// Formats the spec as the shortest text that is parsed to an equal value.
        impl ::std::fmt::Display for $spec {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.fmt(f)
            }
        }

        #[cfg(feature = "serde")]
        impl ::serde::Serialize for $spec {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> ::serde::Deserialize<'de> for $spec {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                $crate::spec::deserialize(deserializer, $expected)
            }
        }
    };
}
