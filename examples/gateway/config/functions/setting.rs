//! What a key of a function says: a table, or a word that turns the function off.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
        value::SeqAccessDeserializer,
    },
};

use crate::config::values::filled;

/// The value of a key of a function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Setting<T> {
    /// The function is off, also if the listener has it.
    Off,
    On(T),
}

/// The table of a function.
pub(crate) trait FunctionTable: DeserializeOwned {
    /// What is right, for errors: `a table such as …`.
    const VALID: &'static str;
    /// The word that turns the function off, if `false` does not.
    const OFF: Option<&'static str> = None;

    /// Returns the table that `true` stands for. `None` if the function needs settings.
    fn plain() -> Option<Self> {
        None
    }
}

/// One table or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<T>);

impl<'de, T: FunctionTable> Deserialize<'de> for Setting<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SettingVisitor(PhantomData))
    }
}

struct SettingVisitor<T>(PhantomData<T>);

impl<'de, T: FunctionTable> Visitor<'de> for SettingVisitor<T> {
    type Value = Setting<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match T::OFF {
            None => write!(f, "{}, or false", T::VALID),
            Some(off) => write!(f, "{}, or {off:?}", T::VALID),
        }
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<Setting<T>, E> {
        match (on, T::OFF) {
            (true, _) => match T::plain() {
                Some(table) => Ok(Setting::On(table)),
                None => Err(E::custom(format_args!("true says too little: write {}", T::VALID))),
            },
            (false, None) => Ok(Setting::Off),
            (false, Some(off)) => Err(E::custom(format_args!("to turn it off, write {off:?} instead of false"))),
        }
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Setting<T>, E> {
        match T::OFF {
            Some(off) if off == word => Ok(Setting::Off),
            Some(off) => Err(E::custom(format_args!("{word:?} is unknown: write {}, or {off:?}", T::VALID))),
            None => Err(E::custom(format_args!("{word:?} is unknown: write {}, or false", T::VALID))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Setting<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Setting::On)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Setting<T>, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(list)).map(Setting::On)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor<T>(PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for OneOrManyVisitor<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table, or a list of tables")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany<T>, A::Error> {
                Ok(OneOrMany(vec![T::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneOrMany<T>, A::Error> {
                filled(SeqAccessDeserializer::new(list)).map(OneOrMany)
            }
        }

        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}
