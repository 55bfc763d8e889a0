//! Session affinity: a table of the configuration is another way of writing the text of an affinity.

use std::{collections::BTreeMap, fmt::Write};

use equipoise::affinity::AffinitySpec;
use toml::Value;

use crate::config::AffinityTable;

/// Reads an affinity, such as `source(by=table)` or `{ kind = "cookie", mode = "insert", name = "SRV" }`.
pub(crate) fn spec(table: &AffinityTable) -> Result<AffinitySpec, String> {
    let text = match table {
        AffinityTable::Text(text) => text.clone(),
        AffinityTable::Table(table) => text(table)?,
    };
    text.parse().map_err(|error: <AffinitySpec as std::str::FromStr>::Err| error.to_string())
}

fn text(table: &BTreeMap<String, Value>) -> Result<String, String> {
    let mut parameters = table.clone();
    let mut word = |key| match parameters.remove(key) {
        Some(Value::String(word)) => Ok(Some(word)),
        Some(_) => Err(format!("`{key}` must be a text")),
        None => Ok(None),
    };
    let kind = word("kind")?.ok_or("`kind` is missing: write kind = \"cookie\", or the affinity as a text")?;
    let name = match (kind.as_str(), word("mode")?.as_deref()) {
        ("cookie", None | Some("insert")) => "cookie".to_owned(),
        ("cookie", Some(mode @ ("prefix" | "rewrite"))) => mode.to_owned(),
        ("cookie", Some(mode)) => return Err(format!("there is no mode {mode:?}: use insert, prefix or rewrite")),
        (_, Some(_)) => return Err(format!("`mode` has no effect with kind = {kind:?}: only cookies have modes")),
        _ => kind.clone(),
    };
    // As with HAProxy, the cookie names the endpoint. Signed values need a secret.
    if kind == "cookie" {
        parameters.entry("values".to_owned()).or_insert_with(|| "id".into());
    }
    let mut text = format!("{name}(");
    for (key, value) in &parameters {
        let value = match value {
            Value::String(value) if is_plain(value) => value.clone(),
            Value::String(value) => format!("{value:?}"),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
            _ => return Err(format!("`{key}` must be a text, a number or a boolean")),
        };
        // Writing to a text cannot fail.
        let _ = write!(text, "{}={value}, ", key.replace('_', "-"));
    }
    Ok(text.trim_end_matches(", ").to_owned() + ")")
}

/// Returns whether a value needs no quotes: words, times, and values with brackets such as `wait(2s)`.
fn is_plain(value: &str) -> bool {
    let bracketed = value.ends_with([')', '}']) && value.contains(['(', '{']);
    bracketed || !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || "-_.:/+".contains(c))
}
