use std::io;
#[cfg(feature = "redis-tls")]
use std::sync::Arc;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

#[cfg(feature = "redis-tls")]
use super::tls::Tls;

/// The address of the server, and how to connect to it.
pub(super) struct Server {
    info: ConnectionInfo,
    #[cfg(feature = "redis-tls")]
    tls: Option<Tls>,
}

impl Server {
    /// Reads the URL of a server.
    ///
    /// # Errors
    ///
    /// [`InvalidRedisStore`] if the URL is invalid, or if there is a TLS configuration but the URL is not for TLS.
    pub(super) fn new(
        url: &str,
        #[cfg(feature = "redis-tls")] config: Option<Arc<rustls::ClientConfig>>,
    ) -> Result<Self, InvalidRedisStore> {
        let wrong = |reason: &str| InvalidRedisStore::Url { reason: reason.to_owned() };
        // The store does TLS itself, so that a URL cannot turn off the verification of certificates.
        let (plain, encrypted) = match url.split_once("s://") {
            Some((scheme @ ("redis" | "valkey"), rest)) => (format!("{scheme}://{rest}"), true),
            _ => (url.to_owned(), false),
        };
        if encrypted && !cfg!(feature = "redis-tls") {
            let reason = "a store's URL with rediss:// needs the feature affinity-redis-tls of equipoise (or \
                          redis-tls of equipoise-affinity)";
            return Err(InvalidRedisStore::Tls { reason });
        }
        if plain.contains('#') {
            return Err(wrong("it has a fragment"));
        }
        let info = plain.as_str().into_connection_info().map_err(|error| wrong(&error.to_string()))?;
        if !info.addr().is_supported() {
            return Err(wrong("this platform does not support such a connection"));
        }
        #[cfg(feature = "redis-tls")]
        let tls = match (info.addr(), encrypted) {
            (ConnectionAddr::Tcp(host, _), true) => {
                let reason = "the host in the store's URL cannot be the name in a certificate: use a host name or an \
                              IP address";
                Some(Tls::new(config, host).ok_or(InvalidRedisStore::Tls { reason })?)
            }
            _ if config.is_some() => {
                let reason = "a TLS configuration needs a store's URL with rediss://, but the URL has another scheme";
                return Err(InvalidRedisStore::Tls { reason });
            }
            _ => None,
        };
        let redis = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP2)
            .set_lib_name("equipoise", env!("CARGO_PKG_VERSION"));
        Ok(Self {
            info: info.set_redis_settings(redis),
            #[cfg(feature = "redis-tls")]
            tls,
        })
    }

    /// Returns the address of the server, without user and password.
    pub(super) fn address(&self) -> &ConnectionAddr {
        self.info.addr()
    }

    pub(super) fn handshake(&self) -> &RedisConnectionInfo {
        self.info.redis_settings()
    }

    pub(super) async fn open(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                #[cfg(feature = "redis-tls")]
                if let Some(tls) = &self.tls {
                    return Ok(Box::new(tls.shake_hands(stream).await?));
                }
                Box::new(stream)
            }
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => Box::new(tokio::net::UnixStream::connect(path).await?),
            // `new` refuses all other addresses.
            _ => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

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
