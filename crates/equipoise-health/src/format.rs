//! The serde formats of values in settings and in serialized status. Durations are written as text with a unit, such
//! as `10s` or `250ms`, as in the textual specs of strategies (`peak-ewma(decay=10s)`).

use std::{fmt, marker::PhantomData, str::FromStr, time::Duration};

use equipoise_core::{Timestamp, spec::time};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer, value::MapAccessDeserializer},
};

/// A duration that is written as text with a unit, such as `10s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The parser accepts at most `u64::MAX` nanoseconds (584 years).
        time::write(self.0.min(Duration::from_nanos(u64::MAX)), f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time with its unit, such as \"10s\" or \"250ms\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                time::read(text).map(Time).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// Serializes a value as its `Display` text.
pub(crate) fn display<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Serializes a timestamp as nanoseconds since the origin of its clock.
pub(crate) fn nanos<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(at.as_nanos())
}

/// The value of a setting that can be turned off by the text `"off"`.
pub(crate) enum Switch<T> {
    On(T),
    Off,
}

const OFF: &str = "off";

impl<T> Switch<T> {
    pub(crate) fn into_option(self) -> Option<T> {
        match self {
            Self::On(value) => Some(value),
            Self::Off => None,
        }
    }
}

impl<T: Serialize> Serialize for Switch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::On(value) => value.serialize(serializer),
            Self::Off => serializer.serialize_str(OFF),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchVisitor(PhantomData))
    }
}

struct SwitchVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for SwitchVisitor<T> {
    type Value = Switch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the setting's value, or \"off\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Switch<T>, E> {
        if text == OFF { Ok(Switch::Off) } else { T::deserialize(text.into_deserializer()).map(Switch::On) }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Switch<T>, E> {
        T::deserialize(number.into_deserializer()).map(Switch::On)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Switch<T>, E> {
        T::deserialize(number.into_deserializer()).map(Switch::On)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Switch<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
    }
}

/// Deserializes settings `T` from the name of a preset or from a table.
pub(crate) struct NameOrTable<T, Table> {
    expected: &'static str,
    kinds: PhantomData<(T, Table)>,
}

impl<T, Table> NameOrTable<T, Table> {
    pub(crate) fn new(expected: &'static str) -> Self {
        Self { expected, kinds: PhantomData }
    }
}

impl<'de, T, Table> de::Visitor<'de> for NameOrTable<T, Table>
where
    T: FromStr<Err: fmt::Display> + From<Table>,
    Table: Deserialize<'de>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<T, E> {
        name.parse().map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(map)).map(T::from)
    }
}

/// Deserializes settings from the name of a preset.
pub(crate) fn preset<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let name = String::deserialize(deserializer)?;
    name.parse().map(Some).map_err(de::Error::custom)
}
