use std::fmt;

use ::serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::AffinitySpec;

impl Serialize for AffinitySpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AffinitySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl de::Visitor<'_> for Text {
    type Value = AffinitySpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mode of affinity by name, such as cookie(name=SRV, indirect)")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AffinitySpec, E> {
        text.parse().map_err(E::custom)
    }
}
