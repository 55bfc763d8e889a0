//! The tables of caches: stores, and what a route caches in them.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::FunctionTable;
use crate::config::values::{positive, some_positive, some_time, some_timeout, timeout};

/// A store of responses, which listeners and routes name. `gateway.toml` describes each key.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct CacheStoreTable {
    /// The size of a store in memory.
    #[serde(default, deserialize_with = "some_positive")]
    pub(crate) max_bytes: Option<u64>,
    #[serde(default, deserialize_with = "some_positive")]
    pub(crate) max_entry_bytes: Option<u64>,
    /// Of all responses that are being received for the store.
    #[serde(default, deserialize_with = "some_positive")]
    pub(crate) max_filling_bytes: Option<u64>,
    /// Of one key.
    #[serde(default, deserialize_with = "some_positive")]
    pub(crate) max_variants: Option<usize>,
    /// The server of a store that several gateways share.
    pub(crate) redis: Option<Spanned<RedisStoreTable>>,
}

/// A store in Redis.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedisStoreTable {
    pub(crate) url: Option<Spanned<String>>,
    /// A file with the URL, which may have a password.
    pub(crate) url_file: Option<Spanned<PathBuf>>,
    /// The root certificates of a server with a `rediss://` URL. Default: the public ones.
    pub(crate) ca_file: Option<Spanned<PathBuf>>,
    pub(crate) prefix: Option<String>,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) lookup_timeout: Option<Spanned<Duration>>,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) write_timeout: Option<Spanned<Duration>>,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) connect_timeout: Option<Spanned<Duration>>,
    #[serde(default, deserialize_with = "some_timeout")]
    pub(crate) max_ttl: Option<Spanned<Duration>>,
    /// What is also kept in memory for a short time.
    pub(crate) local: Option<LocalTable>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocalTable {
    #[serde(deserialize_with = "positive")]
    pub(crate) max_bytes: u64,
    #[serde(deserialize_with = "timeout")]
    pub(crate) ttl: Duration,
}

/// What is cached.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CacheTable {
    /// Default: the only store.
    pub(crate) store: Option<Spanned<String>>,
    pub(crate) key: CacheKeyTable,
    /// Whether identities get the responses to each other's requests.
    pub(crate) shared: Option<Spanned<bool>>,
    #[serde(deserialize_with = "some_positive")]
    pub(crate) max_entry_bytes: Option<u64>,
    #[serde(deserialize_with = "some_time")]
    pub(crate) max_wait: Option<Duration>,
    /// Until the head of a response.
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) fetch_timeout: Option<Spanned<Duration>>,
    /// Between two pieces of a body.
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) fetch_idle_timeout: Option<Spanned<Duration>>,
    #[serde(deserialize_with = "some_time")]
    pub(crate) remember_uncacheable: Option<Duration>,
    /// Whether `no-cache` and others in requests are obeyed.
    pub(crate) obey_requests: Option<bool>,
    pub(crate) heuristic: Option<Spanned<HeuristicTable>>,
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) stale_while_revalidate: Option<Spanned<Duration>>,
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) stale_if_error: Option<Spanned<Duration>>,
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) max_stale: Option<Spanned<Duration>>,
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) keep_stale: Option<Spanned<Duration>>,
    pub(crate) set_cookie: Option<SetCookieTable>,
    pub(crate) refuse_deception: Option<bool>,
    /// The fields that replace `Cache-Control` for this cache.
    pub(crate) targeted_header: Option<Vec<Spanned<String>>>,
    /// The fields with tags.
    pub(crate) tag_header: Option<Vec<Spanned<String>>>,
    /// Whether clients get no tags.
    pub(crate) strip_tags: bool,
    /// The name in `Cache-Status`, or false.
    pub(crate) status: Option<Spanned<StatusName>>,
    /// Whether `Cache-Status` has the URL of the key.
    pub(crate) status_key: bool,
}

impl FunctionTable for CacheTable {
    const VALID: &'static str = "true, or a table such as { store = \"main\" }";

    fn plain() -> Option<Self> {
        Some(Self::default())
    }
}

/// Which requests may get the same response.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CacheKeyTable {
    /// Whether each identity has its own responses.
    pub(crate) identity: bool,
    pub(crate) query: QueryKey,
    /// The parameters of the query that make no difference.
    pub(crate) without: Option<Spanned<Vec<String>>>,
    /// The only parameters of the query that make a difference.
    pub(crate) only: Option<Spanned<Vec<String>>>,
    /// Whether the pool gets the parameters that make no difference.
    pub(crate) forward_ignored: bool,
    pub(crate) header: Vec<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum QueryKey {
    #[default]
    All,
    Sorted,
    None,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeuristicTable {
    pub(crate) part: f32,
    #[serde(default = "one_day", deserialize_with = "timeout")]
    pub(crate) max: Duration,
}

fn one_day() -> Duration {
    Duration::from_secs(86_400)
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SetCookieTable {
    Refuse,
    Strip,
    Store,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "write a name such as \"gateway\", or false for none")]
pub(crate) enum StatusName {
    Shown(bool),
    Name(String),
}
