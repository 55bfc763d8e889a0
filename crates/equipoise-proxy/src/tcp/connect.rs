use std::{fmt, io, net::SocketAddr, pin::Pin};

use equipoise_core::{AnyTarget, EndpointId, Failure, Lease, PickError, PickRequest, Pool, Verdict};
use equipoise_http::{
    __private::{Options, Place, Stream, dial, dial_address},
    ConnectError,
};

use tokio::time::Instant;

use super::{
    end::{TcpConnection, TcpEnd},
    key::Key,
    settings::TcpSettings,
    stats::Counters,
};
use crate::{
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
pub(super) trait AnyPool: fmt::Debug + Send + Sync {
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
    /// Why the latest attempt has failed.
    failed: Option<TcpEnd>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(backend: &'a Backend, counters: &'a Counters, key: Key) -> Self {
        Self { backend, counters, key, tried: Vec::new(), failed: None }
    }

    /// Notes that the endpoint of a lease cannot serve this connection.
    pub(super) fn failed(&mut self, lease: Lease<AnyTarget>, verdict: Verdict, end: TcpEnd) {
        tracing::debug!(
            endpoint = lease.endpoint().id().as_str(),
            error = &end as &dyn std::error::Error,
            "an attempt has failed"
        );
        self.tried.push(lease.endpoint().id().clone());
        lease.finish(verdict);
        self.failed = Some(end);
    }

    /// Connects to an endpoint that was not tried before.
    pub(super) async fn connect(
        &mut self,
        connection: &mut TcpConnection,
        alarm: &mut Alarm,
    ) -> Result<(Lease<AnyTarget>, Stream), TcpEnd> {
        loop {
            if let Some(failed) = self.failed.take_if(|_| connection.attempts >= self.backend.settings.max_attempts) {
                return Err(failed);
            }
            let lease = match self.pick().await {
                Ok(lease) => lease,
                Err(error) => return Err(self.failed.take().unwrap_or(TcpEnd::Pick(error))),
            };
            if connection.attempts > 0 {
                self.counters.failovers.add(1);
            }
            connection.attempts += 1;
            connection.endpoint = Some(lease.endpoint().id().clone());
            let error = match self.open(lease.endpoint().address(), connection, alarm).await {
                Ok(stream) => return Ok((lease, stream)),
                Err(error) => error,
            };
            self.counters.connect_failures.add(1);
            if is_own_fault(&error) {
                // Another endpoint would fail in the same way.
                self.failed(lease, Verdict::Neutral, error);
                return Err(self.failed.take().unwrap_or(TcpEnd::Aborted));
            }
            self.failed(lease, Verdict::Failure(Failure::Connect), error);
        }
    }

    async fn pick(&self) -> Result<Lease<AnyTarget>, PickError> {
        let Backend { pool, settings } = self.backend;
        let mut request = PickRequest::new().exclude(&self.tried);
        if let Some(key) = self.key.bytes() {
            request = request.key(key);
        }
        match (pool.pick(&request), settings.queue_timeout) {
            (Err(error), Some(timeout)) if error.is_temporary() => {
                within(timeout, pool.acquire(&request)).await.unwrap_or(Err(error))
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

/// Returns whether the reason of a failure is this process or its system, and not the endpoint.
fn is_own_fault(end: &TcpEnd) -> bool {
    match end {
        TcpEnd::Connect(ConnectError::Tcp { source, .. } | ConnectError::Unix { source, .. }) => {
            is_out_of_files(source) || source.kind() == io::ErrorKind::OutOfMemory
        }
        _ => false,
    }
}
