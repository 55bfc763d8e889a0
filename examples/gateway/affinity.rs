//! Session affinity: a table of the configuration is another way of writing the text of an affinity.

use std::collections::BTreeMap;

use equipoise::affinity::{
    AffinitySpec,
    by_name::{self, Kind, Parameter},
};
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
        ("cookie", None | Some("insert")) => "cookie",
        ("cookie", Some("prefix")) => "prefix",
        ("cookie", Some("rewrite")) => "rewrite",
        ("cookie", Some(mode)) => return Err(format!("there is no mode {mode:?}: use insert, prefix or rewrite")),
        (kind, Some(_)) => return Err(format!("`mode` has no effect with kind = {kind:?}: only cookies have modes")),
        (kind, None) => kind,
    };
    // As with HAProxy, the cookie names the endpoint. Signed values need a secret.
    if kind == "cookie" {
        parameters.entry("values".to_owned()).or_insert_with(|| "id".into());
    }
    let definition = by_name::all().iter().find(|mode| mode.name() == name);
    let mut written = Vec::new();
    for (key, value) in &parameters {
        let parameter = key.replace('_', "-");
        let kind = definition.and_then(|mode| mode.parameter(&parameter)).map(Parameter::kind);
        written.push(format!("{parameter}={}", argument(key, value, kind)?));
    }
    Ok(format!("{name}({})", written.join(", ")))
}

/// Writes a value as an argument in a text. Of what kind it must be is known if the parameter is.
fn argument(key: &str, value: &Value, kind: Option<Kind>) -> Result<String, String> {
    let list = |parts: Result<Vec<_>, String>| Ok(format!("{{{}}}", parts?.join(", ")));
    match value {
        Value::String(text) if matches!(kind, Some(Kind::Text | Kind::Character | Kind::List)) => Ok(quoted(text)),
        Value::String(text) => Ok(text.clone()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Ok(value.to_string()),
        Value::Array(values) => list(values.iter().map(|value| argument(key, value, kind)).collect()),
        Value::Table(table) => list(
            table
                .iter()
                .map(|(name, value)| Ok(format!("{}={}", quoted(name), argument(name, value, Some(Kind::Text))?)))
                .collect(),
        ),
        Value::Datetime(_) => Err(format!("`{key}` cannot be a date")),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}
