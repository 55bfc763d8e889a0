use std::{
    error::Error,
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use equipoise_core::{AnyTarget, EndpointId, Failure, Lease, PickError, PickRequest, Pool, Verdict};
use equipoise_http::{
    __private::{Options, Place, Stream, dial, dial_address},
    ConnectError,
};
use socket2::{Domain, Socket, Type};
use tokio::{net::TcpStream, time::Instant};

use super::{
    end::{TcpConnection, TcpEnd},
    key::Key,
    settings::TcpSettings,
    stats::Counters,
    watch::{broken, gone},
};
use crate::{
    attempts::CountAttempts,
    listen::is_out_of_files,
    timing::{Alarm, before, within},
};

/// The endpoints of a proxy, and its settings.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) pool: Box<dyn AnyPool>,
    pub(super) settings: TcpSettings,
}

/// A pool of any type of targets.
pub(super) trait AnyPool: CountAttempts + fmt::Debug + Send + Sync {
    fn pick(&self, request: &PickRequest<'_>) -> Result<Lease<AnyTarget>, PickError>;

    /// Waits until a pick succeeds.
    fn acquire<'a>(&'a self, request: &PickRequest<'_>) -> Acquire<'a>;

    fn places_by_key(&self) -> bool;
}

type Acquire<'a> = Pin<Box<dyn Future<Output = Result<Lease<AnyTarget>, PickError>> + Send + 'a>>;

impl<T: Send + Sync + 'static> AnyPool for Pool<T> {
    fn pick(&self, request: &PickRequest<'_>) -> Result<Lease<AnyTarget>, PickError> {
        Self::pick(self, request).map(Lease::without_target)
    }

    fn acquire<'a>(&'a self, request: &PickRequest<'_>) -> Acquire<'a> {
        let acquire = Self::acquire(self, request);
        Box::pin(async { acquire.await.map(Lease::without_target) })
    }

    fn places_by_key(&self) -> bool {
        Self::places_by_key(self)
    }
}

/// The attempts of one connection to find an endpoint.
pub(super) struct Attempts<'a> {
    backend: &'a Backend,
    counters: &'a Counters,
    key: Key,
    tried: Vec<EndpointId>,
    /// Whether the pool has counted the connection: by a lease, or as one without an attempt.
    is_counted: bool,
    /// Whether the connection has left an endpoint for the queue, and the pool has counted it as a failover.
    has_left: bool,
    /// Why the latest attempt has failed.
    failed: Option<TcpEnd>,
    /// The endpoint of the next attempt, if it was picked already.
    next: Option<Lease<AnyTarget>>,
    /// When the connection waits no longer for an endpoint. `None` before it has waited.
    queue_end: Option<Instant>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(backend: &'a Backend, counters: &'a Counters, key: Key) -> Self {
        Self {
            backend,
            counters,
            key,
            tried: Vec::new(),
            is_counted: false,
            has_left: false,
            failed: None,
            next: None,
            queue_end: None,
        }
    }

    /// Notes that the endpoint of a lease cannot serve this connection.
    pub(super) fn failed(&mut self, lease: Lease<AnyTarget>, verdict: Verdict, end: TcpEnd) {
        tracing::debug!(endpoint = lease.endpoint().id().as_str(), error = &end as &dyn Error, "an attempt has failed");
        self.tried.push(lease.endpoint().id().clone());
        lease.finish(verdict);
        self.failed = Some(end);
    }

    /// Picks the endpoint of the next attempt, before the present one is given up. Returns whether there
    /// is one now.
    pub(super) fn pick_another(&mut self, connection: &TcpConnection) -> bool {
        if connection.attempts < self.backend.settings.max_attempts {
            let tried = self.tried.len();
            self.tried.extend(connection.endpoint.clone());
            self.next = self.backend.pool.pick(&self.request()).ok();
            self.tried.truncate(tried);
        }
        self.next.is_some()
    }

    /// Connects to an endpoint that was not tried before. Ends early if the client's socket shows that the client is gone.
    pub(super) async fn connect(
        &mut self,
        client: Option<&TcpStream>,
        connection: &mut TcpConnection,
        alarm: &mut Alarm,
    ) -> Result<(Lease<AnyTarget>, Stream), TcpEnd> {
        loop {
            if let Some(failed) = self.failed.take_if(|_| connection.attempts >= self.backend.settings.max_attempts) {
                return Err(failed);
            }
            let lease = match self.next.take() {
                Some(lease) => lease,
                None => match or_end(self.pick(connection.attempts > 0), gone(client)).await? {
                    Ok(lease) => lease,
                    Err(error) => {
                        if !std::mem::replace(&mut self.is_counted, true) {
                            self.backend.pool.count_unserved(Some(&error));
                        }
                        return Err(self.failed.take().unwrap_or(TcpEnd::Pick(error)));
                    }
                },
            };
            self.is_counted = true;
            if connection.attempts > 0 {
                self.counters.failovers.add(1);
                self.backend.pool.count_retry();
                // It has left its endpoint for the queue, otherwise.
                if !std::mem::take(&mut self.has_left) {
                    self.backend.pool.count_failover();
                }
            }
            connection.attempts += 1;
            connection.endpoint = Some(lease.endpoint().id().clone());
            let opened = or_end(self.open(lease.endpoint().address(), connection, alarm), broken(client)).await;
            let error = match opened {
                Ok(Ok(stream)) => return Ok((lease, stream)),
                Ok(Err(error)) => error,
                Err(end) => {
                    lease.finish(Verdict::Neutral);
                    return Err(end);
                }
            };
            self.counters.connect_failures.add(1);
            match Fault::of(&error) {
                Fault::Endpoint => self.failed(lease, Verdict::Failure(Failure::Connect), error),
                Fault::Ports => self.failed(lease, Verdict::Neutral, error),
                Fault::Process => {
                    lease.finish(Verdict::Neutral);
                    return Err(error);
                }
            }
        }
    }

    fn request(&self) -> PickRequest<'_> {
        let request = PickRequest::new().exclude(&self.tried);
        match self.key.bytes() {
            Some(key) => request.key(key),
            None => request,
        }
    }

    /// Picks an endpoint. `leaves`: the connection has had another one.
    async fn pick(&mut self, leaves: bool) -> Result<Lease<AnyTarget>, PickError> {
        let Backend { pool, settings } = self.backend;
        match (pool.pick(&self.request()), settings.queue_timeout) {
            (Err(error), Some(timeout)) if error.is_temporary() => {
                if leaves && !std::mem::replace(&mut self.has_left, true) {
                    pool.count_failover();
                }
                // All attempts together wait no longer.
                let now = Instant::now();
                self.queue_end = self.queue_end.or_else(|| now.checked_add(timeout));
                let left = self.queue_end.map_or(Duration::MAX, |end| end.saturating_duration_since(now));
                within(left, pool.acquire(&self.request())).await.unwrap_or(Err(error))
            }
            (result, _) => result,
        }
    }

    async fn open(&self, address: &str, connection: &TcpConnection, alarm: &mut Alarm) -> Result<Stream, TcpEnd> {
        let settings = &self.backend.settings;
        let timeout = settings.connect_timeout;
        let end = Instant::now().checked_add(timeout);
        let opened = match address.parse().ok().filter(|_| !settings.has_tls()) {
            // The usual case needs less than the general one.
            Some(address) => before(end, alarm, self.open_address(address, connection)).await,
            None => {
                let place = Place::parse(address).map_err(TcpEnd::Address)?;
                before(end, alarm, Box::pin(self.open_place(&place, connection))).await
            }
        };
        opened.unwrap_or(Err(ConnectError::TimedOut { timeout })).map_err(TcpEnd::Connect)
    }

    async fn open_address(&self, address: SocketAddr, connection: &TcpConnection) -> Result<Stream, ConnectError> {
        let stream = dial_address(address, self.options()).await?;
        self.introduce(Stream::Tcp(stream), connection).await
    }

    async fn open_place(&self, place: &Place, connection: &TcpConnection) -> Result<Stream, ConnectError> {
        let resolver = &*self.backend.settings.resolver;
        dial(place, resolver, self.options(), async |stream| {
            let stream = self.introduce(stream, connection).await?;
            self.secure(place, stream).await
        })
        .await
    }

    /// Sends the header that tells the endpoint who the client is.
    async fn introduce(&self, stream: Stream, connection: &TcpConnection) -> Result<Stream, ConnectError> {
        #[cfg(feature = "proxy-protocol")]
        if let Some(version) = self.backend.settings.proxy_protocol {
            use tokio::io::AsyncWriteExt;

            let header = crate::proxy_protocol::client_header(connection.client, &connection.info).encode(version);
            let mut stream = stream;
            stream.write_all(&header).await.map_err(|source| ConnectError::ProxyHeader { source })?;
            return Ok(stream);
        }
        let _ = connection;
        Ok(stream)
    }

    fn options(&self) -> Options {
        Options { nodelay: true, keep_alive: self.backend.settings.keep_alive }
    }

    async fn secure(&self, place: &Place, stream: Stream) -> Result<Stream, ConnectError> {
        #[cfg(feature = "tcp-tls")]
        if let (Some(tls), Place::Tcp { host, .. }) = (&self.backend.settings.tls, place) {
            return Ok(tls.handshake(stream, host, &[]).await?.0);
        }
        let _ = place;
        Ok(stream)
    }
}

impl Drop for Attempts<'_> {
    fn drop(&mut self) {
        if let Some(unused) = self.next.take() {
            unused.withdraw();
        }
        if !self.is_counted {
            self.backend.pool.count_unserved(None);
        }
    }
}

/// Runs a future until the client is gone.
async fn or_end<T>(future: impl Future<Output = T>, gone: impl Future<Output = io::Error>) -> Result<T, TcpEnd> {
    let (mut future, mut gone) = (pin!(future), pin!(gone));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => gone.as_mut().poll(cx).map(|error| Err(TcpEnd::Client(error))),
    })
    .await
}

/// What is the reason that no connection could be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The endpoint, or the way to it.
    Endpoint,
    /// This process has no free port for this endpoint. It has others for other endpoints.
    Ports,
    /// This process or its system has no more files or memory. Another endpoint would fail in the same way.
    Process,
}

impl Fault {
    fn of(end: &TcpEnd) -> Self {
        match end {
            TcpEnd::Connect(ConnectError::Tcp { source, .. } | ConnectError::Unix { source, .. }) => {
                Self::of_error(source)
            }
            TcpEnd::Connect(ConnectError::Resolve { source, .. }) => {
                // The system's resolver does not tell that it could open no file.
                if has_process_fault(&**source) || cannot_open_socket() { Self::Process } else { Self::Endpoint }
            }
            _ => Self::Endpoint,
        }
    }

    fn of_error(error: &io::Error) -> Self {
        const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };
        let no_buffers = cfg!(unix) && error.raw_os_error() == Some(ENOBUFS);
        match error.kind() {
            io::ErrorKind::AddrNotAvailable => Self::Ports,
            io::ErrorKind::OutOfMemory => Self::Process,
            _ if no_buffers || is_out_of_files(error) => Self::Process,
            _ => Self::Endpoint,
        }
    }
}

fn has_process_fault(error: &(dyn Error + 'static)) -> bool {
    let here = error.downcast_ref().is_some_and(|error| Fault::of_error(error) == Fault::Process);
    here || error.source().is_some_and(has_process_fault)
}

fn cannot_open_socket() -> bool {
    Socket::new(Domain::IPV4, Type::DGRAM, None).is_err_and(|error| Fault::of_error(&error) == Fault::Process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_without_files_or_ports_says_nothing_about_the_endpoint() {
        let tcp = |number| {
            let source = io::Error::from_raw_os_error(number);
            TcpEnd::Connect(ConnectError::Tcp { address: ([127, 0, 0, 1], 80).into(), source })
        };
        let reasons = [
            ("EADDRNOTAVAIL", 99, Fault::Ports),
            ("EMFILE", 24, Fault::Process),
            ("ENFILE", 23, Fault::Process),
            ("ENOMEM", 12, Fault::Process),
            ("ENOBUFS", 105, Fault::Process),
            ("ECONNREFUSED", 111, Fault::Endpoint),
            ("EHOSTUNREACH", 113, Fault::Endpoint),
        ];
        for (name, number, fault) in reasons {
            assert_eq!(Fault::of(&tcp(number)), fault, "{name}");
        }
    }

    #[test]
    fn the_faults_of_a_resolver_are_found_in_its_error() {
        let resolve = |source| TcpEnd::Connect(ConnectError::Resolve { host: "a".into(), source });
        let files = || io::Error::from_raw_os_error(24);
        assert_eq!(Fault::of(&resolve(files().into())), Fault::Process);
        let inside = ConnectError::Tcp { address: ([127, 0, 0, 1], 53).into(), source: files() };
        assert_eq!(Fault::of(&resolve(inside.into())), Fault::Process);
        assert_eq!(Fault::of(&resolve("no such name".into())), Fault::Endpoint);
    }
}
