//! The key `jwt` of the table `auth`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use crate::config::values::{some_filled, some_timeout};

/// Which JSON Web Tokens are accepted. It has one of `keys_file`, `jwks` and `secret_file`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct JwtTable {
    /// A file with a JWK set, or with public keys in PEM.
    pub(crate) keys_file: Option<Spanned<PathBuf>>,
    pub(crate) jwks: Option<JwksTable>,
    /// A file with the secret of one algorithm with HMAC.
    pub(crate) secret_file: Option<Spanned<PathBuf>>,
    pub(crate) algorithm: Option<Spanned<Vec<String>>>,
    pub(crate) issuer: Vec<String>,
    pub(crate) any_issuer: bool,
    pub(crate) audience: Vec<String>,
    pub(crate) any_audience: bool,
    pub(crate) token_type: Option<Vec<String>>,
    pub(crate) any_token_type: bool,
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) leeway: Option<Spanned<Duration>>,
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) max_lifetime: Option<Spanned<Duration>>,
    pub(crate) max_bytes: Option<usize>,
    /// How many verified tokens are remembered.
    pub(crate) max_cached: Option<usize>,
    /// All of these scopes.
    #[serde(deserialize_with = "some_filled")]
    pub(crate) scope: Option<Vec<String>>,
    /// One of these scopes.
    #[serde(deserialize_with = "some_filled")]
    pub(crate) any_scope: Option<Vec<String>>,
    /// For each claim, one of these values.
    pub(crate) require: BTreeMap<String, Vec<String>>,
    /// The claims that must be there, with any value.
    pub(crate) require_present: Vec<String>,
    /// The claim with the name of the identity.
    pub(crate) name_claim: Option<String>,
    /// Whether the name also has the issuer. Default: true if there are several tables.
    pub(crate) name_with_issuer: Option<bool>,
    /// The attributes of the identity, with their claims.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) cookie: Option<String>,
    pub(crate) header: Option<Spanned<String>>,
    /// Whether the backend gets the token.
    pub(crate) forward: Option<bool>,
}

/// A URL with a JWK set, which is read again and again.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, expecting = "a table such as { pool = \"issuer\", uri = \"https://issuer.test/jwks\" }")]
pub(crate) struct JwksTable {
    /// The pool that requests are sent to.
    pub(crate) pool: Spanned<String>,
    pub(crate) uri: Spanned<String>,
    /// Whether keys may be read by http from another host.
    #[serde(default)]
    pub(crate) insecure: bool,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) refresh_interval: Option<Spanned<Duration>>,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) cool_down: Option<Spanned<Duration>>,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) timeout: Option<Spanned<Duration>>,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) max_age: Option<Spanned<Duration>>,
}
