//! The tables `filter` and `paths`.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

use super::FunctionTable;
use crate::config::values::filled;

/// Which requests are let through. `gateway.toml` describes each key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FilterTable {
    pub(crate) rule: Vec<Spanned<FilterRule>>,
    /// Whether requests without a matching rule are denied.
    pub(crate) default: Option<FilterAction>,
    /// Whether rules are only counted.
    pub(crate) dry_run: bool,
    pub(crate) max_body_bytes: Option<u64>,
    pub(crate) max_uri_bytes: Option<usize>,
    pub(crate) max_headers: Option<usize>,
    pub(crate) max_header_bytes: Option<usize>,
}

impl FilterTable {
    /// Returns whether requests without a matching rule are denied.
    pub(crate) fn denies_others(&self) -> bool {
        self.default == Some(FilterAction::Deny)
    }

    /// Returns whether the filter lets each request through.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self { default: self.default, dry_run: self.dry_run, ..Self::default() } && !self.denies_others()
    }
}

impl FilterRule {
    /// Returns whether the rule decides on each request, so that no later rule is looked at.
    pub(crate) fn decides_all(&self) -> bool {
        let decides = matches!(self.action, RuleAction::Allow | RuleAction::Deny) && !self.dry_run;
        let has_addresses = [&self.address, &self.not_address].into_iter().any(Option::is_some)
            || [&self.address_file, &self.not_address_file].into_iter().any(Option::is_some);
        let has_fields = !self.header.is_empty() || !self.query.is_empty();
        decides
            && self.method.is_empty()
            && self.host.is_empty()
            && (self.path.is_empty() || self.path.iter().any(|path| path == "/**"))
            && !has_fields
            && !has_addresses
    }
}

impl FunctionTable for FilterTable {
    const VALID: &'static str = "a table such as { rule = [{ action = \"deny\", path = [\"/admin/**\"] }] }";
}

/// A rule. All of its conditions must be met; of a list, one element is enough.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterRule {
    pub(crate) action: RuleAction,
    /// Default: the number of the rule, such as `rule 1`.
    pub(crate) name: Option<String>,
    pub(crate) status: Option<Spanned<u16>>,
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// The limit of a rule that limits bodies.
    pub(crate) max_body_bytes: Option<Spanned<u64>>,
    #[serde(default, deserialize_with = "filled")]
    pub(crate) method: Vec<Spanned<String>>,
    #[serde(default, deserialize_with = "filled")]
    pub(crate) host: Vec<String>,
    #[serde(default, deserialize_with = "filled")]
    pub(crate) path: Vec<String>,
    #[serde(default)]
    pub(crate) header: BTreeMap<String, Matching>,
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Matching>,
    pub(crate) address: Option<Spanned<Vec<String>>>,
    pub(crate) not_address: Option<Spanned<Vec<String>>>,
    pub(crate) address_file: Option<Spanned<PathBuf>>,
    pub(crate) not_address_file: Option<Spanned<PathBuf>>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FilterAction {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RuleAction {
    Allow,
    Deny,
    /// Denies other methods than those of the rule.
    OnlyMethods,
    /// Limits the length of bodies.
    LimitBody,
}

/// What a field or a query parameter must be.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "write true, false, a text, or a table such as { contains = \"x\" }")]
pub(crate) enum Matching {
    /// Whether it is there.
    Present(bool),
    Equal(String),
    Part(PartTable),
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PartTable {
    Contains(String),
    StartsWith(String),
}

/// What happens to paths that servers read differently: a word, or a table with an action for each fault.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PathsTable {
    Refuse,
    Normalize,
    Each(EachPath),
}

impl<'de> Deserialize<'de> for PathsTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;

        impl<'de> Visitor<'de> for WordOrTable {
            type Value = PathsTable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"refuse\", \"normalize\", or a table such as { encoded_slash = \"allow\" }")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<PathsTable, E> {
                match word {
                    "refuse" => Ok(PathsTable::Refuse),
                    "normalize" => Ok(PathsTable::Normalize),
                    _ => {
                        Err(E::custom(format_args!("{word:?} is unknown: write \"refuse\", \"normalize\", or a table")))
                    }
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PathsTable, A::Error> {
                EachPath::deserialize(MapAccessDeserializer::new(map)).map(PathsTable::Each)
            }
        }

        deserializer.deserialize_any(WordOrTable)
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EachPath {
    pub(crate) invalid_encoding: Option<PathsAction>,
    pub(crate) control: Option<PathsAction>,
    pub(crate) not_utf8: Option<PathsAction>,
    pub(crate) double_encoding: Option<PathsAction>,
    pub(crate) encoded_slash: Option<PathsAction>,
    pub(crate) backslash: Option<PathsAction>,
    pub(crate) parameters: Option<PathsAction>,
    pub(crate) dot_segments: Option<PathsAction>,
    pub(crate) empty_segments: Option<PathsAction>,
    /// Whether encodings stay as the client wrote them.
    pub(crate) keep_encodings: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PathsAction {
    Refuse,
    Normalize,
    Allow,
}
