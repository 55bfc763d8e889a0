//! The tables of filters of bodies.

use serde::Deserialize;
use toml::Spanned;

use super::FunctionTable;
use crate::config::values::some_positive;

/// The table `request_body`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RequestBodyTable {
    /// Texts whose requests are refused.
    pub(crate) reject: Option<Spanned<Vec<String>>>,
    pub(crate) replace: Option<Spanned<Vec<ReplaceTable>>>,
    pub(crate) ignore_case: bool,
}

impl FunctionTable for RequestBodyTable {
    const VALID: &'static str = "a table such as { reject = [\"<script\"] }";
}

/// The table `response_body`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ResponseBodyTable {
    pub(crate) replace: Option<Spanned<Vec<ReplaceTable>>>,
    pub(crate) ignore_case: bool,
    /// Whether only the first text of a body is replaced.
    pub(crate) once: bool,
    pub(crate) content_type: Option<Vec<String>>,
    #[serde(deserialize_with = "some_positive")]
    pub(crate) max_bytes: Option<u64>,
}

impl FunctionTable for ResponseBodyTable {
    const VALID: &'static str = "a table such as { replace = [{ find = \"a\", with = \"b\" }] }";
}

/// A text, and what is written instead of it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplaceTable {
    pub(crate) find: String,
    pub(crate) with: String,
}
