//! The table `auth`.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::FunctionTable;

/// How requests are authenticated. `gateway.toml` describes each key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuthTable {
    pub(crate) api_key: Option<Spanned<ApiKeyTable>>,
    /// Whether each of several schemes must accept the request, or one of them.
    pub(crate) all: bool,
    /// Whether requests without credentials are passed on.
    pub(crate) optional: bool,
    pub(crate) realm: Option<Spanned<String>>,
    pub(crate) require: RequireTable,
    /// What the backend learns: a field and what it has.
    pub(crate) identity_headers: Option<BTreeMap<String, Spanned<String>>>,
}

impl FunctionTable for AuthTable {
    const VALID: &'static str = "a table such as { api_key = { keys_file = \"keys\" } }";
    const OFF: Option<&'static str> = Some("none");
}

/// API keys, and where requests have them.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyTable {
    pub(crate) keys_file: Spanned<PathBuf>,
    pub(crate) header: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) bearer: bool,
    pub(crate) query: Option<Spanned<String>>,
    /// Whether the backend gets the key.
    #[serde(default)]
    pub(crate) forward: bool,
}

/// What identities need.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RequireTable {
    /// One of these names.
    pub(crate) name: Option<Vec<String>>,
    /// All of these scopes.
    pub(crate) scope: Option<Vec<String>>,
    /// For each attribute, one of these values.
    pub(crate) attribute: BTreeMap<String, Vec<String>>,
    /// For each attribute that is a list, one of these elements.
    pub(crate) contains: BTreeMap<String, Vec<String>>,
}
