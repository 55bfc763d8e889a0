/// Why a [`RedisStore`](super::RedisStore) cannot be built. That the server is away is no reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRedisStore {
    /// The URL does not say where the server is. It is not repeated here: it may hold a password.
    #[error(
        "the store's URL is not one ({why}): redis://[user[:password]@]host[:port][/database] or \
         redis+unix:///path[?db=database] is"
    )]
    Url {
        /// What is wrong with it.
        why: String,
    },
    /// A `rediss://` URL without feature `redis-tls`, a configuration for TLS without such a URL, or a host that no
    /// certificate can have.
    #[error("{why}")]
    Tls {
        /// What does not fit.
        why: &'static str,
    },
    /// A setting is out of bounds.
    #[error("{setting} cannot be {given}: {wanted}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What it was.
        given: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// There is no runtime to connect on.
    #[error("a store needs a Tokio runtime: build it within one, or give it a handle")]
    NoRuntime,
}
