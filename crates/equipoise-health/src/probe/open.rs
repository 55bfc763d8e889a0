//! Connections of the HTTP and gRPC probes, with and without TLS, and the tasks that hyper starts for them.

use std::sync::{Arc, Weak};

use http::{Uri, uri::Authority};
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};

#[cfg(feature = "tls")]
use super::TlsProbe;
use super::{InvalidProbe, ProbeError, Target, connect::connect};

/// The TLS settings of a probe.
#[derive(Clone, Debug, Default)]
pub(super) struct Security {
    #[cfg(feature = "tls")]
    pub(super) tls: Option<TlsProbe>,
}

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Security {
    /// Returns whether to use TLS: if TLS settings were set, or if the address is an `https` URL.
    pub(super) fn is_https(&self, target: &Target) -> Result<bool, ProbeError> {
        let by_address = target.parsed()?.has_scheme("https");
        #[cfg(feature = "tls")]
        return Ok(by_address || self.tls.is_some());
        #[cfg(not(feature = "tls"))]
        return match by_address {
            true => Err(target.refuse("https needs the feature health-tls of equipoise (or tls of equipoise-health)")),
            false => Ok(false),
        };
    }

    /// Opens a connection, with TLS if needed. `protocols` are offered by ALPN. Also returns whether HTTP/2 was
    /// negotiated.
    pub(super) async fn open(&self, target: &Target, protocols: &[&[u8]]) -> Result<(Box<dyn Io>, bool), ProbeError> {
        let https = self.is_https(target)?;
        let stream = connect(target).await?;
        #[cfg(feature = "tls")]
        if https {
            let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            let tls = self.tls.clone().unwrap_or_default();
            let stream = tls.handshake(stream, target, Some(protocols)).await?;
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            return Ok((Box::new(stream), h2));
        }
        let _ = (https, protocols);
        Ok((Box::new(stream), false))
    }

    /// Returns the URL of a path on the target. If `authority` is `None`, the URL contains the host and port of the
    /// target.
    pub(super) fn url(&self, target: &Target, authority: Option<&Authority>, path: &str) -> Result<Uri, ProbeError> {
        let https = self.is_https(target)?;
        let authority = match authority {
            Some(authority) => authority.to_string(),
            None => {
                let (host, port) = target.host_and_port()?;
                let host = host.split('%').next().unwrap_or_default();
                let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
                if port == if https { 443 } else { 80 } { host } else { format!("{host}:{port}") }
            }
        };
        let scheme = if https { "https" } else { "http" };
        let url = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
        url.map_err(|_| target.refuse("its host cannot stand in a URL"))
    }
}

pub(super) fn authority(setting: &'static str, text: &str) -> Result<Authority, InvalidProbe> {
    let refused = || InvalidProbe {
        setting,
        value: text.to_owned(),
        expected: "use a host with or without a port, like \"example.com:8080\"".into(),
    };
    Authority::try_from(text).ok().filter(|authority| !authority.as_str().contains('@')).ok_or_else(refused)
}

/// The tasks that hyper starts for a connection. They end when this value is dropped.
#[derive(Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

/// Starts tasks for hyper but does not own them. A task may contain this value, so owning the tasks would be a
/// reference cycle.
#[derive(Clone)]
pub(super) struct Spawn(Weak<Mutex<JoinSet<()>>>);

impl Tasks {
    pub(super) fn run(&self, connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static) {
        // The future of the request gets the same error and reports it.
        self.0.lock().spawn(async { drop(connection.await) });
    }

    pub(super) fn spawner(&self) -> Spawn {
        Spawn(Arc::downgrade(&self.0))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawn {
    fn execute(&self, future: F) {
        if let Some(tasks) = self.0.upgrade() {
            tasks.lock().spawn(future);
        }
    }
}

/// Converts an error of hyper to the error of a probe.
pub(super) fn failed(error: &hyper::Error) -> ProbeError {
    let reason = ProbeError::chain(error);
    if error.is_parse() { ProbeError::Unexpected(reason) } else { ProbeError::Failed(reason) }
}
