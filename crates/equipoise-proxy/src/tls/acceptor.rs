use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::Instant,
};
use tokio_rustls::LazyConfigAcceptor;

use super::{
    error::InvalidTls,
    failure::{HandshakeError, HandshakeFailure},
    limit::{Displaced, HandshakeLimit},
    session::TlsSession,
    settings::TlsSettings,
    sites::Sites,
    stats::{Counters, TlsStats},
    status::CertificateStatus,
    stream::TlsStream,
};
use crate::timing::within;

/// The time between two checks whether a certificate expires.
const CHECK_INTERVAL: u64 = 24 * 60 * 60;

/// A fatal alert `unrecognized_name` (RFC 6066, section 3) as the first record of a server.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// How long the client may take to receive the alert.
const ALERT_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes the server's side of TLS handshakes, with settings that can be replaced at any time. Clones share everything.
///
/// [`Tls`](super::Tls) makes a listener of it. Several listeners may share one acceptor.
#[derive(Clone)]
pub struct TlsAcceptor {
    shared: Arc<Shared>,
}

struct Shared {
    state: ArcSwap<State>,
    counters: Counters,
    /// When it is next checked whether a certificate expires, in seconds since 1970.
    check_at: AtomicU64,
}

struct State {
    sites: Arc<Sites>,
    limit: Arc<HandshakeLimit>,
    timeout: Duration,
}

impl State {
    fn new(settings: &TlsSettings, previous: Option<&Self>) -> Result<Self, InvalidTls> {
        let sites = Sites::new(settings, previous.map(|state| &*state.sites))?;
        let limit = match previous.filter(|state| state.limit.max == settings.max_handshakes) {
            Some(state) => Arc::clone(&state.limit),
            None => Arc::new(HandshakeLimit::new(settings.max_handshakes)),
        };
        Ok(Self { sites: Arc::new(sites), limit, timeout: settings.handshake_timeout })
    }
}

impl TlsAcceptor {
    /// Creates an acceptor. Logs a warning for each certificate that has expired or expires soon: within 14 days, or a
    /// quarter of its validity if that is shorter. It checks this again every day, with the next handshake.
    ///
    /// # Errors
    ///
    /// The first reason why the settings cannot be used.
    pub fn new(settings: &TlsSettings) -> Result<Self, InvalidTls> {
        let state = ArcSwap::from_pointee(State::new(settings, None)?);
        let shared = Shared { state, counters: Counters::default(), check_at: AtomicU64::new(0) };
        shared.check_certificates();
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns whether an acceptor can use the settings, without logging anything of their certificates. For example, a
    /// configuration can be checked before any part of it is applied.
    ///
    /// # Errors
    ///
    /// The first reason why the settings cannot be used.
    pub fn check(settings: &TlsSettings) -> Result<(), InvalidTls> {
        State::new(settings, None).map(drop)
    }

    /// Replaces the settings. New handshakes use the new ones. Connections, and handshakes that have begun, are not
    /// touched: they keep the old settings with their keys in memory, and stay open even if the new settings would refuse
    /// the client. Sessions of before can be resumed, unless the [secrets](TlsSettings::ticket_secrets) or the lifetime of
    /// tickets have changed, or [certificates of clients](super::ClientAuth) are asked for now.
    ///
    /// If [`max_handshakes`](TlsSettings::max_handshakes) has changed, handshakes that have begun do not count towards the
    /// new limit.
    ///
    /// # Errors
    ///
    /// The first reason why the new settings cannot be used. The old ones are kept then.
    pub fn replace(&self, settings: &TlsSettings) -> Result<(), InvalidTls> {
        let new = State::new(settings, Some(&self.shared.state.load()))?;
        self.shared.state.store(Arc::new(new));
        self.shared.check_at.store(0, Ordering::Relaxed);
        self.shared.check_certificates();
        Ok(())
    }

    /// Returns the certificates that are in use, in the order of the settings.
    pub fn certificates(&self) -> Vec<CertificateStatus> {
        self.shared.state.load().sites.certificates.clone()
    }

    /// Returns the counters.
    pub fn stats(&self) -> TlsStats {
        self.shared.counters.stats()
    }

    /// Makes the handshake with a client.
    ///
    /// # Errors
    ///
    /// Why the handshake has failed. The connection is closed.
    pub fn accept<Io>(&self, io: Io) -> impl Future<Output = Result<TlsStream<Io>, HandshakeError>> + Send + use<Io>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        async move {
            let in_progress = shared.counters.begin();
            shared.check_certificates();
            let state = shared.state.load_full();
            // It has several kilobytes, which are otherwise copied by each future around it.
            let handshake = Box::pin(handshake(Arc::clone(&state.sites), io));
            let began = Instant::now();
            let result = match within(state.timeout, state.limit.enter()).await {
                None => Err(HandshakeFailure::QueueTimeout.into()),
                Some(entered) => {
                    let left = state.timeout.saturating_sub(began.elapsed());
                    match within(left, entered.run(handshake)).await {
                        Some(Ok(result)) => result,
                        Some(Err(Displaced)) => Err(HandshakeFailure::Displaced.into()),
                        None => Err(HandshakeFailure::Timeout.into()),
                    }
                }
            };
            match &result {
                Ok(stream) => in_progress.complete(stream.session()),
                Err(error) => in_progress.fail(error.reason),
            }
            result
        }
    }
}

impl Shared {
    /// Warns of certificates that expire, once a day.
    fn check_certificates(&self) {
        let now = SystemTime::now();
        let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let due = self.check_at.load(Ordering::Relaxed);
        if seconds < due {
            return;
        }
        let next = seconds.saturating_add(CHECK_INTERVAL);
        if self.check_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.state.load().sites.certificates.iter().for_each(|certificate| certificate.warn(now));
        }
    }
}

async fn handshake<Io>(sites: Arc<Sites>, io: Io) -> Result<TlsStream<Io>, HandshakeError>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mut hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), io).await?;
    let Some((served, config)) = sites.find(&hello.client_hello()) else {
        let alert = async {
            hello.io.write_all(&UNRECOGNIZED_NAME).await?;
            hello.io.shutdown().await
        };
        let _ = within(ALERT_TIMEOUT, alert).await;
        return Err(HandshakeFailure::UnknownName.into());
    };
    let mut stream = hello.into_stream(config).await?;
    let session = TlsSession::of(stream.get_ref().1);
    if stream.get_ref().1.peer_certificates().is_some() && session.client_certificate().is_none() {
        // It was verified, but its fields cannot be told. The client must not seem to have none. The handshake is
        // complete, so rustls sends no other alert than close_notify.
        let _ = within(ALERT_TIMEOUT, stream.shutdown()).await;
        let source = io::Error::other("the fields of the certificate cannot be read");
        return Err(HandshakeError { source: Some(source), ..HandshakeFailure::ClientCertificate.into() });
    }
    Ok(TlsStream::new(stream, session.with_served(served)))
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor").field("certificates", &self.certificates()).field("stats", &self.stats()).finish()
    }
}
