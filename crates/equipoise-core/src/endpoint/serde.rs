use std::fmt;

use ::serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, value::MapAccessDeserializer},
};

use super::spec::EndpointSpec;
use crate::ids::{EndpointId, Tier};

impl Serialize for EndpointId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EndpointId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl Serialize for Tier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.get())
    }
}

impl<'de> Deserialize<'de> for Tier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl de::Visitor<'_> for Number {
            type Value = Tier;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tier: a number from 0 (primary) to 255, \"primary\" or \"backup\"")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Tier, E> {
                let wrong = || E::invalid_value(de::Unexpected::Unsigned(number), &self);
                number.try_into().map(Tier::new).map_err(|_| wrong())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Tier, E> {
                let wrong = || E::invalid_value(de::Unexpected::Signed(number), &self);
                number.try_into().map(Tier::new).map_err(|_| wrong())
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Tier, E> {
                match name {
                    "primary" => Ok(Tier::PRIMARY),
                    "backup" => Ok(Tier::BACKUP),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_any(Number)
    }
}

/// The serialized form of an [`EndpointSpec`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "EndpointSpec")]
struct Table<T> {
    address: T,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    id: Option<T>,
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    tier: Tier,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_in_flight: Option<u32>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    zone: Option<T>,
}

fn one() -> u32 {
    1
}

/// Used instead of `Default`, which would require `T: Default`.
fn none<T>() -> Option<T> {
    None
}

impl Serialize for EndpointSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let table = Table {
            address: self.address(),
            id: Some(self.id().as_str()).filter(|id| *id != self.address()),
            weight: self.weight_value(),
            tier: self.tier_value(),
            max_in_flight: self.max_in_flight_value(),
            zone: self.zone_name().map(|zone| &**zone),
        };
        table.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EndpointSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;

        impl<'de> de::Visitor<'de> for TextOrTable {
            type Value = EndpointSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an endpoint: its address, or a table with the field address")
            }

            fn visit_str<E: de::Error>(self, address: &str) -> Result<EndpointSpec, E> {
                Ok(EndpointSpec::new(address))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<EndpointSpec, A::Error> {
                let table = Table::<String>::deserialize(MapAccessDeserializer::new(map))?;
                let mut spec = EndpointSpec::new(table.address).weight(table.weight).tier(table.tier);
                if let Some(id) = table.id {
                    spec = spec.with_id(id);
                }
                if let Some(limit) = table.max_in_flight {
                    spec = spec.max_in_flight(limit);
                }
                Ok(spec.zone(table.zone.unwrap_or_default()))
            }
        }

        deserializer.deserialize_any(TextOrTable)
    }
}
