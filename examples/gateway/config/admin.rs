//! The table of the admin interface.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::values::address;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminTable {
    #[serde(deserialize_with = "address")]
    pub(crate) bind: Spanned<SocketAddr>,
    /// Whether the states of endpoints can be set. Default: true with `users_file`, and otherwise false.
    pub(crate) changes: Option<Spanned<bool>>,
    /// A file with the operators who may do so.
    pub(crate) users_file: Option<Spanned<PathBuf>>,
    /// The names under which the interface answers, besides addresses and `localhost`.
    #[serde(default)]
    pub(crate) hosts: Vec<Spanned<String>>,
}
