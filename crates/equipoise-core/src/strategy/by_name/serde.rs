use std::fmt;

use ::serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::StrategySpec;

impl Serialize for StrategySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StrategySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = StrategySpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a strategy by name, such as p2c(choices=3)")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<StrategySpec, E> {
        text.parse().map_err(E::custom)
    }
}
