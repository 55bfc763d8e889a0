//! The table `auth`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::FunctionTable;
use crate::config::values::some_timeout;

/// How requests are authenticated. `gateway.toml` describes each key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuthTable {
    pub(crate) basic: Option<BasicTable>,
    pub(crate) api_key: Option<Spanned<ApiKeyTable>>,
    pub(crate) client_certificate: Option<Spanned<CertificateAuthTable>>,
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
    const VALID: &'static str = "a table such as { basic = { users_file = \"users\" } }";
    const OFF: Option<&'static str> = Some("none");
}

/// User names and passwords.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicTable {
    pub(crate) users_file: Spanned<PathBuf>,
    /// Whether the backend gets the name and the password.
    #[serde(default)]
    pub(crate) forward: bool,
    /// For how long a verified password is not verified again.
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) cache_time: Option<Spanned<Duration>>,
    pub(crate) max_verifications: Option<usize>,
    pub(crate) max_waiting: Option<usize>,
}

/// The certificates of clients of TLS.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateAuthTable {
    pub(crate) name: CertificateNameKind,
    /// The names that are accepted.
    pub(crate) allow: Option<Vec<String>>,
    pub(crate) issuer: Option<Vec<String>>,
    pub(crate) fingerprint: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) revoked: Vec<String>,
    /// Whether a certificate that has expired since the handshake is refused.
    #[serde(default)]
    pub(crate) check_expiry: bool,
}

/// What of a certificate is the name of the client.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CertificateNameKind {
    Subject,
    CommonName,
    Uri,
    Dns,
    Email,
    Fingerprint,
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
