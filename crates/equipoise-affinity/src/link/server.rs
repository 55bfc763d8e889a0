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
pub struct Server {
    info: ConnectionInfo,
    #[cfg(feature = "redis-tls")]
    tls: Option<Tls>,
}

/// Why there is no server with a URL. It does not contain the URL, which may contain a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrongUrl {
    /// It is invalid, for this reason.
    Invalid(String),
    /// It begins with `rediss://`, but the feature `redis-tls` is off.
    NoTls,
    /// It begins with `rediss://`, but its host cannot be the name in a certificate.
    Host,
    /// It does not begin with `rediss://`, but there is a configuration for TLS.
    NotForTls,
}

impl Server {
    /// Reads the URL of a server: `redis://[user[:password]@]host[:port][/database]`, the same with `rediss://` for TLS, or
    /// `redis+unix:///path[?db=database&user=…&pass=…]`.
    ///
    /// # Errors
    ///
    /// [`WrongUrl`] if the URL is invalid, or if it is for TLS and there is none.
    pub fn new(url: &str) -> Result<Self, WrongUrl> {
        let wrong = |reason: &str| WrongUrl::Invalid(reason.to_owned());
        // The link does TLS itself, so that a URL cannot turn off the verification of certificates.
        let (plain, encrypted) = match url.split_once("s://") {
            Some((scheme @ ("redis" | "valkey"), rest)) => (format!("{scheme}://{rest}"), true),
            _ => (url.to_owned(), false),
        };
        if encrypted && !cfg!(feature = "redis-tls") {
            return Err(WrongUrl::NoTls);
        }
        if plain.contains('#') {
            return Err(wrong("it has a fragment"));
        }
        let info = plain.as_str().into_connection_info().map_err(|error| wrong(&error.to_string()))?;
        if !info.addr().is_supported() {
            return Err(wrong("this platform does not support such a connection"));
        }
        #[cfg(feature = "redis-tls")]
        let tls = match info.addr() {
            ConnectionAddr::Tcp(host, _) if encrypted => Some(Tls::new(host).ok_or(WrongUrl::Host)?),
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

    /// Sets the configuration for TLS. Default: the public root certificates, and no client certificate.
    ///
    /// # Errors
    ///
    /// [`WrongUrl`] if the URL is not for TLS.
    #[cfg(feature = "redis-tls")]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Result<Self, WrongUrl> {
        self.tls.as_mut().ok_or(WrongUrl::NotForTls)?.config = config;
        Ok(self)
    }

    /// Returns the address of the server, without user and password.
    pub fn address(&self) -> &ConnectionAddr {
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
