//! The server of limits and caches in Redis, from its URL.

use equipoise_affinity::__private::{Server, WrongUrl};

/// How servers with a `rediss://` URL are verified.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// `None`: by the public root certificates.
    #[cfg(feature = "redis-tls")]
    pub(crate) config: Option<std::sync::Arc<rustls::ClientConfig>>,
}

impl Tls {
    /// Reads the URL of a server. The error says what is wrong with it, and does not contain it.
    pub(crate) fn server(&self, url: &str) -> Result<Server, String> {
        let server = Server::new(url);
        #[cfg(feature = "redis-tls")]
        let server = match &self.config {
            Some(config) => server.and_then(|server| server.tls(std::sync::Arc::clone(config))),
            None => server,
        };
        server.map_err(|wrong| match wrong {
            WrongUrl::Invalid(reason) => reason,
            WrongUrl::NoTls => {
                "rediss:// needs the feature gateway-redis-tls of equipoise, or redis-tls of equipoise-gateway"
                    .to_owned()
            }
            WrongUrl::Host => "its host cannot be the name in a certificate".to_owned(),
            WrongUrl::NotForTls => "a configuration for TLS needs a URL with rediss://".to_owned(),
        })
    }
}
