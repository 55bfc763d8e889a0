//! The tables `cors`, `csrf` and `request_id`.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::FunctionTable;
use crate::config::values::some_timeout;

/// Which other sites may read responses. `gateway.toml` describes each key.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct CorsTable {
    /// Origins, or "*" for any.
    pub(crate) origin: Names,
    pub(crate) method: Option<Vec<Spanned<String>>>,
    pub(crate) header: Option<Names>,
    pub(crate) expose: Option<Names>,
    #[serde(default)]
    pub(crate) credentials: bool,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) max_age: Option<Spanned<Duration>>,
}

impl FunctionTable for CorsTable {
    const VALID: &'static str = "a table such as { origin = [\"https://app.test\"] }";
}

/// A list, or "*" for all.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "write a list of texts, or \"*\" for any")]
pub(crate) enum Names {
    All(Star),
    List(Vec<String>),
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(crate) enum Star {
    #[serde(rename = "*")]
    Star,
}

/// Which requests that other sites cause are passed on.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CsrfTable {
    pub(crate) trusted_origin: Vec<Spanned<String>>,
    /// Paths whose requests are passed on.
    pub(crate) except: Vec<Spanned<String>>,
}

impl FunctionTable for CsrfTable {
    const VALID: &'static str = "true, or a table such as { trusted_origin = [\"https://login.test\"] }";

    fn plain() -> Option<Self> {
        Some(Self::default())
    }
}

/// How requests get ids.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RequestIdTable {
    pub(crate) header: Option<Spanned<String>>,
    /// Whether ids of trusted proxies are kept.
    pub(crate) keep: bool,
    pub(crate) in_response: bool,
}

impl Default for RequestIdTable {
    fn default() -> Self {
        Self { header: None, keep: true, in_response: true }
    }
}

impl FunctionTable for RequestIdTable {
    const VALID: &'static str = "true, or a table such as { header = \"x-request-id\" }";

    fn plain() -> Option<Self> {
        Some(Self::default())
    }
}
