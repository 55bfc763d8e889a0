//! The values of keys: texts and numbers that only some values of their type are valid for.

use std::{fmt, net::SocketAddr, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use toml::Spanned;

/// The least that hyper accepts for a buffer.
const MIN_BUFFER_BYTES: u32 = 8 * 1024;

/// Enough for the head of a plain request of a browser.
const MIN_HEADER_BYTES: u32 = 1024;

pub(crate) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Spanned<SocketAddr>, D::Error> {
    let text = Spanned::<String>::deserialize(deserializer)?;
    match text.get_ref().parse() {
        Ok(address) => Ok(Spanned::new(text.span(), address)),
        Err(_) => Err(D::Error::custom(format_args!(
            "{:?} is not an address to listen on: write it as \"127.0.0.1:8080\" or \"[::]:8080\"",
            text.get_ref()
        ))),
    }
}

pub(crate) fn positive<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default + PartialEq,
{
    match T::deserialize(deserializer)? {
        zero if zero == T::default() => Err(D::Error::custom("0 would admit nothing: use 1 or more")),
        number => Ok(number),
    }
}

/// Reads a number of 1 or more that has no default.
pub(crate) fn some_positive<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default + PartialEq,
{
    positive(deserializer).map(Some)
}

/// Reads a list of one or more elements. An empty one would demand nothing, or match everything.
pub(crate) fn filled<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    match Vec::deserialize(deserializer)? {
        empty if empty.is_empty() => {
            Err(D::Error::custom("the list is empty: write at least one, or leave the key out"))
        }
        list => Ok(list),
    }
}

/// Reads a list of one or more elements that has no default.
pub(crate) fn some_filled<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    filled(deserializer).map(Some)
}

pub(crate) fn header_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    at_least(deserializer, MIN_HEADER_BYTES)
}

pub(crate) fn buffer_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    at_least(deserializer, MIN_BUFFER_BYTES)
}

fn at_least<'de, D: Deserializer<'de>>(deserializer: D, min: u32) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        small if small < min => Err(D::Error::custom(format_args!("{small} bytes are too few: use {min} or more"))),
        bytes => Ok(bytes),
    }
}

/// Reads a time, which may be 0.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    read(&Text::deserialize(deserializer)?.0)
}

/// Reads a time that has no default, and which may be 0.
pub(crate) fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    time(deserializer).map(Some)
}

/// The text of a time. What is none, such as a number, is refused with an example.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"30s\" or \"1h\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

fn read<E: Error>(text: &str) -> Result<Duration, E> {
    let invalid = || {
        E::custom(format_args!(
            "{text:?} is not a duration: write a number and one of the units ms, s, m and h, such as \"30s\""
        ))
    };
    equipoise::spec::time::read(text).ok_or_else(invalid)
}

/// Reads a time of 1 ms or more.
pub(crate) fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    not_too_short(time(deserializer)?)
}

/// Reads a time of 1 ms or more, and its place.
pub(crate) fn spanned_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Spanned<Duration>, D::Error> {
    let text = Spanned::<Text>::deserialize(deserializer)?;
    Ok(Spanned::new(text.span(), not_too_short(read(&text.get_ref().0)?)?))
}

/// Reads a time of 1 ms or more that has no default, and its place.
pub(crate) fn some_timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Spanned<Duration>>, D::Error> {
    spanned_timeout(deserializer).map(Some)
}

/// A time, or `None` for "off".
#[derive(Clone, Copy)]
pub(crate) struct OrOff(pub(crate) Option<Duration>);

/// Reads a time of 1 ms or more, or "off".
pub(crate) fn timeout_or_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OrOff, D::Error> {
    match &*String::deserialize(deserializer)? {
        "off" => Ok(OrOff(None)),
        text => Ok(OrOff(Some(not_too_short(read(text)?)?))),
    }
}

fn not_too_short<E: Error>(timeout: Duration) -> Result<Duration, E> {
    match timeout {
        short if short < Duration::from_millis(1) => {
            Err(E::custom(format_args!("{short:?} is too short: use \"1ms\" or more, such as \"30s\"")))
        }
        timeout => Ok(timeout),
    }
}
