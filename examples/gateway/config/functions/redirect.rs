//! The table `redirect`.

use serde::Deserialize;
use toml::Spanned;

use super::FunctionTable;

/// The redirects, of which the first one that matches decides.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(transparent)]
pub(crate) struct RedirectTables(pub(crate) Vec<Spanned<RedirectTable>>);

impl FunctionTable for RedirectTables {
    const VALID: &'static str = "a list such as [{ path = \"/old\", to = \"/new\" }]";
}

/// A redirect. It has one of `path`, `path_prefix`, `https`, `apex`, `www` and `trailing_slash`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedirectTable {
    pub(crate) path: Option<String>,
    pub(crate) path_prefix: Option<String>,
    /// The target of a path or prefix.
    pub(crate) to: Option<Spanned<String>>,
    /// Whether clients without TLS are redirected to `https`.
    #[serde(default)]
    pub(crate) https: bool,
    /// A host to which that with `www.` before it is redirected.
    pub(crate) apex: Option<String>,
    /// A host that is redirected to that with `www.` before it.
    pub(crate) www: Option<String>,
    pub(crate) trailing_slash: Option<TrailingSlash>,
    pub(crate) status: Option<Spanned<u16>>,
    #[serde(default)]
    pub(crate) host: Vec<String>,
    /// Paths that are not redirected.
    #[serde(default)]
    pub(crate) except: Vec<String>,
    /// The new query, or false for none. Default: the query of the request.
    pub(crate) query: Option<QueryTable>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TrailingSlash {
    Add,
    Remove,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "write a query such as \"a=b\", or false for none")]
pub(crate) enum QueryTable {
    Keep(bool),
    Set(String),
}
