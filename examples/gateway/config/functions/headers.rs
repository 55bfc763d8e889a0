//! The tables of changes of header fields.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::FunctionTable;

/// The tables `request_headers` and `response_headers`. The changes are made in the order of these keys.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HeadersTable {
    pub(crate) remove_prefix: Vec<Spanned<String>>,
    pub(crate) remove: Vec<Spanned<String>>,
    /// The old names, with the new ones.
    pub(crate) rename: BTreeMap<String, Spanned<String>>,
    /// The `Host` of requests.
    pub(crate) host: Option<Spanned<String>>,
    pub(crate) set: BTreeMap<String, Spanned<String>>,
    pub(crate) set_if_absent: BTreeMap<String, Spanned<String>>,
    pub(crate) append: BTreeMap<String, Spanned<String>>,
}

impl FunctionTable for HeadersTable {
    const VALID: &'static str = "a table such as { set = { x-a = \"b\" }, remove = [\"x-c\"] }";
}

/// The table `security_headers`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SecurityTable {
    pub(crate) hsts: Option<Hsts>,
    pub(crate) frame_options: Option<WordOrOff>,
    pub(crate) referrer_policy: Option<WordOrOff>,
    pub(crate) content_security_policy: Option<String>,
}

impl FunctionTable for SecurityTable {
    const VALID: &'static str = "true, or a table such as { hsts = { max_age = \"8760h\" } }";

    fn plain() -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hsts {
    #[serde(deserialize_with = "crate::config::values::timeout")]
    pub(crate) max_age: std::time::Duration,
    #[serde(default)]
    pub(crate) subdomains: bool,
}

/// The value of a field, or false for none.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "write the value of the field, or false for none")]
pub(crate) enum WordOrOff {
    Off(bool),
    Word(String),
}
