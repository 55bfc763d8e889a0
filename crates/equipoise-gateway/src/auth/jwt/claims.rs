use std::fmt;

use serde_json::{Map, Value};

use super::Refusal;
use crate::auth::join_list;

/// Where a value is in the claims of a token.
///
/// - A text that begins with `/` is a JSON pointer (RFC 6901), such as `/realm_access/roles` or `/groups/0`.
/// - Any other text is the name of a claim, such as `email` or `https://a.test/roles`. If a token has no claim of this
///   name, the text is a path whose names are separated by dots, such as `realm_access.roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimPath(Box<str>);

impl ClaimPath {
    /// `None` if the text is no path: it is empty, or has an empty name, or an escape that JSON pointers do not have.
    pub(super) fn new(path: &str) -> Option<Self> {
        let is_valid = match path.strip_prefix('/') {
            Some(pointer) => pointer.split('~').skip(1).all(|after| after.starts_with(['0', '1'])),
            None => !path.is_empty(),
        };
        is_valid.then(|| Self(path.into()))
    }

    /// O(length of the path · log of the number of members).
    pub(super) fn of<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        match self.0.strip_prefix('/') {
            None => claims.get(&*self.0).or_else(|| {
                let (first, rest) = self.0.split_once('.')?;
                rest.split('.').try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
            }),
            Some(pointer) => {
                let (first, rest) = match pointer.split_once('/') {
                    Some((first, _)) => (first, pointer.get(first.len()..)?),
                    None => (pointer, ""),
                };
                claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
            }
        }
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns a claim as text: texts as they are, numbers and booleans as JSON writes them, and arrays as [`join_list`]
/// does. Members of arrays that are arrays, objects or null are left out. `None` for an object and for null.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Array(elements) => Some(join_list(elements.iter().filter_map(scalar))),
        value => scalar(value),
    }
}

/// Returns whether a claim has a value: it is this text, number or boolean, or an array with it.
pub(super) fn has_value(value: &Value, wanted: &str) -> bool {
    let is_wanted = |value: &Value| match value {
        Value::String(text) => text == wanted,
        value => scalar(value).is_some_and(|text| text == wanted),
    };
    match value {
        Value::Array(elements) => elements.iter().any(is_wanted),
        value => is_wanted(value),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns the scopes of a token, without duplicates removed: those of `scope` (RFC 8693, section 4.2: a text separated
/// by spaces), or if it is missing, those of `scp`, which some issuers write instead. Both can be a text or an array.
/// What is no scope (RFC 6749, section 3.3) is left out, so that an element of an array cannot be two scopes.
pub(super) fn scopes(claims: &Map<String, Value>) -> Vec<&str> {
    match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(text)) => text.split(' ').filter(|scope| is_scope(scope)).collect(),
        Some(Value::Array(elements)) => {
            elements.iter().filter_map(Value::as_str).filter(|scope| is_scope(scope)).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns whether a text is one scope (RFC 6749, section 3.3).
pub(super) fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
}

/// Returns a claim in seconds since 1970 (RFC 7519, section 2: NumericDate). It can have a fraction.
///
/// # Errors
///
/// [`Refusal::ClaimType`] if it is no number.
pub(super) fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().filter(|value| value.is_finite()).map(Some).ok_or(Refusal::ClaimType),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn paths_name_members_at_any_depth() {
        let claims = claims(json!({
            "email": "a@b", "a.b": 1, "a": { "b": 2, "c.d": 3, "c": { "d": 4 } }, "https://a.test/roles": ["x"], "l": [5, { "m": 6 }],
            "": 7, "~": 8, "s/t": 9,
        }));
        for (path, expected) in [
            ("email", json!("a@b")),
            ("a.b", json!(1)),
            ("a.c.d", json!(4)),
            ("/a/b", json!(2)),
            ("/a/c.d", json!(3)),
            ("https://a.test/roles", json!(["x"])),
            ("/l/0", json!(5)),
            ("/l/1/m", json!(6)),
            ("/", json!(7)),
            ("/~0", json!(8)),
            ("/s~1t", json!(9)),
        ] {
            assert_eq!(ClaimPath::new(path).expect("a path").of(&claims), Some(&expected), "{path}");
        }
        for path in ["x", "a.x", "email.x", "l.0", "/l/2", "/l/-1", "/l/01", "/email/0", "/a/b/", "a.", ".a", "/x"] {
            assert_eq!(ClaimPath::new(path).expect("a path").of(&claims), None, "{path}");
        }
        for path in ["", "/~", "/a~2", "/~0~"] {
            assert_eq!(ClaimPath::new(path), None, "{path}");
        }
    }

    #[test]
    fn values_are_text() {
        for (value, expected) in [
            (json!("a"), Some("a")),
            (json!(17), Some("17")),
            (json!(-1.5), Some("-1.5")),
            (json!(true), Some("true")),
            (json!(["a", 1, false, null, ["b"], {}]), Some("a,1,false")),
            (json!([]), Some("")),
            (json!({}), None),
            (json!(null), None),
        ] {
            assert_eq!(text_of(&value).as_deref(), expected, "{value}");
        }
        assert!(has_value(&json!(["a", 1]), "1") && has_value(&json!(true), "true") && !has_value(&json!("ab"), "a"));
        assert!(!has_value(&json!(null), "null") && !has_value(&json!([["a"]]), "a"));
    }

    #[test]
    fn scopes_are_a_text_or_an_array() {
        let read = |value| scopes(&claims(value)).join(" ");
        assert_eq!(read(json!({ "scope": "a b  c:d" })), "a b c:d");
        assert_eq!(read(json!({ "scp": ["a", "b c", 1, "", "d\"", "e"] })), "a e");
        assert_eq!(read(json!({ "scope": "a", "scp": ["admin"] })), "a");
        assert_eq!(read(json!({ "scope": ["x"] })), "x");
        assert_eq!(read(json!({ "scope": null, "scp": "admin" })), "");
        assert_eq!(read(json!({ "scope": "a\nb \u{e4}" })), "");
    }

    #[test]
    fn times_are_numbers() {
        let read = |value: Value| seconds(&claims(json!({ "exp": value })), "exp");
        assert_eq!(read(json!(1_300_819_380)), Ok(Some(1_300_819_380.0)));
        assert_eq!(read(json!(1.5)), Ok(Some(1.5)));
        assert_eq!(read(json!(-1)), Ok(Some(-1.0)));
        for value in [json!("1300819380"), json!(null), json!([1]), json!(true)] {
            assert_eq!(read(value), Err(Refusal::ClaimType));
        }
        assert_eq!(seconds(&Map::new(), "exp"), Ok(None));
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "[/a~.01-]{0,12}") {
            if let Some(path) = ClaimPath::new(&path) {
                let _ = path.of(&claims(json!({ "a": { "a": [{ "": 1 }] }, "0": [], "": { "": {} } })));
            }
        }
    }
}
