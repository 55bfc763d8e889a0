//! The events of a server.

use serde_json::Value;

use crate::{text::Text, wire::Fields};

/// Something that has happened, such as a change of the health of an endpoint.
pub(crate) struct Event {
    /// The seconds since 1970.
    pub(crate) at: f64,
    /// The kind, such as `health`.
    pub(crate) kind: Text,
    /// The other fields, as text.
    pub(crate) details: Text,
}

impl Event {
    /// Reads an event of any kind, so that new kinds are shown too.
    pub(crate) fn read(fields: &Fields) -> Self {
        let mut shown: Vec<_> = fields.iter().collect();
        // The order is that of the names otherwise.
        shown.sort_by_key(|(name, _)| match name.as_str() {
            "pool" => 0,
            "endpoint" => 1,
            "from" => 2,
            "to" => 3,
            _ => 4,
        });
        let details: Vec<_> = shown
            .into_iter()
            .filter(|(name, value)| !matches!(name.as_str(), "at" | "id" | "kind") && !is_empty(value))
            .map(|(name, value)| format!("{name}={}", plain(value)))
            .collect();
        Self {
            at: fields.get("at").and_then(Value::as_f64).unwrap_or_default(),
            kind: Text::new(fields.get("kind").and_then(Value::as_str).unwrap_or_default()),
            details: Text::new(&details.join(" ")),
        }
    }

    /// Returns the time of day in UTC, as `hh:mm:ss`.
    pub(crate) fn time(&self) -> String {
        let second = (self.at.max(0.0) as u64) % 86_400;
        format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
    }
}

/// Returns a value as people write it: texts without quotes, if they have no spaces.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains(char::is_whitespace) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        value => value.to_string(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}
