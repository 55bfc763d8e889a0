//! The table `auth`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::{FunctionTable, OneOrMany, jwt::JwtTable};
use crate::config::values::{some_filled, some_positive, some_timeout, timeout};

/// How requests are authenticated. `gateway.toml` describes each key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuthTable {
    pub(crate) basic: Option<BasicTable>,
    pub(crate) api_key: Option<Spanned<ApiKeyTable>>,
    /// Tokens, of one issuer or of several ones with their own keys.
    pub(crate) jwt: Option<Spanned<OneOrMany<JwtTable>>>,
    pub(crate) client_certificate: Option<Spanned<CertificateAuthTable>>,
    pub(crate) external: Option<Spanned<ExternalTable>>,
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
    /// How many verified passwords are remembered.
    pub(crate) max_cached: Option<usize>,
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
    pub(crate) fingerprint: Option<Spanned<Vec<String>>>,
    pub(crate) revoked: Option<Spanned<Vec<String>>>,
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

/// A service that decides about requests.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExternalTable {
    pub(crate) pool: Spanned<String>,
    /// The target of requests to the service.
    pub(crate) uri: Spanned<String>,
    /// Whether the service gets the method of the request, and its path after `uri`.
    #[serde(default)]
    pub(crate) with_method: bool,
    #[serde(default)]
    pub(crate) with_path: bool,
    /// Whether requests pass whose path has several meanings.
    #[serde(default)]
    pub(crate) ambiguous_paths: bool,
    /// The fields that the service gets. Default: those for authentication.
    pub(crate) send_headers: Option<Vec<Spanned<String>>>,
    /// Whether the service gets all fields, instead of those in `send_headers`.
    #[serde(default)]
    pub(crate) send_all_headers: bool,
    /// The field of its response with the name of the identity.
    pub(crate) name_header: Option<Spanned<String>>,
    /// The attributes of the identity, with the fields of the response that have them.
    #[serde(default)]
    pub(crate) attribute_headers: BTreeMap<String, Spanned<String>>,
    /// The fields of the response that the backend gets.
    #[serde(default)]
    pub(crate) forward_headers: Vec<Spanned<String>>,
    /// The fields of a denying response that the client gets. Default: those for logins.
    pub(crate) denial_headers: Option<Vec<Spanned<String>>>,
    /// The fields of an allowing response that the client gets.
    #[serde(default)]
    pub(crate) response_headers: Vec<Spanned<String>>,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) timeout: Option<Spanned<Duration>>,
    pub(crate) max_requests: Option<usize>,
    #[serde(default)]
    pub(crate) fail_open: bool,
    /// The challenge of responses with status 401.
    pub(crate) challenge: Option<Spanned<String>>,
    pub(crate) cache: Option<DecisionCacheTable>,
}

/// For how long decisions of a service are used again.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionCacheTable {
    #[serde(deserialize_with = "timeout")]
    pub(crate) time: Duration,
    /// The only fields that the service decides by.
    pub(crate) by_headers: Option<Vec<Spanned<String>>>,
    #[serde(default, deserialize_with = "some_positive")]
    pub(crate) max_bytes: Option<u64>,
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
    #[serde(deserialize_with = "some_filled")]
    pub(crate) name: Option<Vec<String>>,
    /// One of these mechanisms.
    #[serde(deserialize_with = "some_filled")]
    pub(crate) mechanism: Option<Vec<MechanismKind>>,
    /// All of these scopes.
    #[serde(deserialize_with = "some_filled")]
    pub(crate) scope: Option<Vec<String>>,
    /// For each attribute, one of these values.
    pub(crate) attribute: BTreeMap<String, Vec<String>>,
    /// For each attribute that is a list, one of these elements.
    pub(crate) contains: BTreeMap<String, Vec<String>>,
}

/// How an identity was verified.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MechanismKind {
    Basic,
    ApiKey,
    Jwt,
    ClientCertificate,
    External,
}
