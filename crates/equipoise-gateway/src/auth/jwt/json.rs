use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// Reads a JSON object of UTF-8 bytes. `None` for anything else, and if a member occurs twice in one object at any
/// depth: the backend could read the other one (RFC 7515, section 4 and RFC 7519, section 4 allow to refuse it). The
/// depth is at most 127. O(length).
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    // The first pass only looks at names. One pass that also builds values would depend on how serde_json represents
    // numbers, which a feature that the application may enable changes.
    serde_json::from_slice::<UniqueNames>(bytes).ok()?;
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// Any JSON value in which no object has two members of the same name.
struct UniqueNames;

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueNames)
    }
}

impl<'de> Visitor<'de> for UniqueNames {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value in which no object has two members of the same name")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member occurs twice"));
            }
            members.next_value::<Self>()?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_that_occur_twice_are_refused_at_any_depth() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"b":{"a":1,"a":2}}"#, r#"{"b":[0,{"a":1,"c":2,"a":3}]}"#]
        {
            assert!(object(text.as_bytes()).is_none(), "{text}");
        }
        let text = r#"{"a":{"a":[{"a":1},{"a":2.5}]},"A":null,"b":-1,"c":true,"d":"x","e":[]}"#;
        assert_eq!(object(text.as_bytes()).expect("an object").len(), 6);
    }

    #[test]
    fn only_objects_of_utf8_are_read() {
        for bytes in
            [&b""[..], b"[]", b"1", b"null", b"{", b"{}x", b"{\"a\":\"\xff\"}", b"\xef\xbb\xbf{}", b"{\"a\":NaN}"]
        {
            assert!(object(bytes).is_none(), "{bytes:?}");
        }
        assert!(object(b" {} \n").is_some());
    }

    #[test]
    fn deep_values_are_refused_without_a_stack_overflow() {
        let nested = |depth: usize| [r#"{"a":"#.repeat(depth), "1".into(), "}".repeat(depth)].concat();
        assert!(object(nested(100).as_bytes()).is_some());
        assert!(object(nested(128).as_bytes()).is_none());
        assert!(object(nested(100_000).as_bytes()).is_none());
        assert!(object(format!("{{\"a\":{}", "[".repeat(1_000_000)).as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read(names in proptest::collection::hash_set(".{0,4}", 0..6), number: f64) {
            let written: Map<String, Value> = names.into_iter().map(|name| (name, number.into())).collect();
            let text = serde_json::to_vec(&written).expect("JSON");
            let read = object(&text).expect("an object");
            prop_assert_eq!(read.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>());
        }
    }
}
