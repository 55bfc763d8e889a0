use crate::link::WrongUrl;

/// Why a [`RedisStore`](super::RedisStore) cannot be created. Returned by
/// [`RedisStoreBuilder::build`](super::RedisStoreBuilder::build). A server that is unavailable is not an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRedisStore {
    /// The URL of the server is invalid. The error does not contain the URL, which may contain a password.
    #[error(
        "the store's URL is invalid ({reason}): use redis://[user[:password]@]host[:port][/database] or \
         redis+unix:///path[?db=database]"
    )]
    Url {
        /// What is wrong with the URL, as a text for people.
        reason: String,
    },
    /// TLS cannot be used for one of these reasons:
    ///
    /// - The URL begins with `rediss://`, but the feature `redis-tls` of this crate (`affinity-redis-tls` of
    ///   `equipoise`) is off.
    /// - A TLS configuration is set, but the URL does not begin with `rediss://`.
    /// - The host in the URL cannot be the name in a certificate.
    #[error("{reason}")]
    Tls {
        /// Why TLS cannot be used, as a text for people.
        reason: &'static str,
    },
    /// A setting of the store is out of range.
    #[error("{setting} cannot be {value}: {expected}")]
    Setting {
        /// The name of the setting that is out of range.
        setting: &'static str,
        /// The value that was set, as text.
        value: String,
        /// The valid range of the setting, as text.
        expected: &'static str,
    },
    /// There is no Tokio runtime for the connection to the server. Call [`build`](super::RedisStoreBuilder::build) in
    /// async code, or enter a runtime before the call: `let _guard = runtime.enter();`.
    #[error(
        "there is no Tokio runtime for the connection to Redis: build the store in async code, or after \
         `let _guard = runtime.enter();`"
    )]
    NoRuntime,
}

impl From<WrongUrl> for InvalidRedisStore {
    fn from(wrong: WrongUrl) -> Self {
        let reason = match wrong {
            WrongUrl::Invalid(reason) => return Self::Url { reason },
            WrongUrl::NoTls => {
                "a store's URL with rediss:// needs the feature affinity-redis-tls of equipoise (or redis-tls of \
                 equipoise-affinity)"
            }
            WrongUrl::Host => {
                "the host in the store's URL cannot be the name in a certificate: use a host name or an IP address"
            }
            WrongUrl::NotForTls => {
                "a TLS configuration needs a store's URL with rediss://, but the URL has another scheme"
            }
        };
        Self::Tls { reason }
    }
}
