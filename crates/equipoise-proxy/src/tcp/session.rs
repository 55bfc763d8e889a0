use std::{
    any::Any,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use equipoise_core::{AnyTarget, Closing, Failure, Lease, Verdict};
use equipoise_http::__private::Stream;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};

use super::{
    connect::{Attempts, Backend},
    end::{TcpConnection, TcpEnd},
    key::Key,
    sources::Sources,
    stats::Counters,
};
use crate::{
    headers::ConnectionInfo,
    listen::{Admission, Established, Prefixed, Serve},
    relay::{Flow, Relay, RelayEnd},
    timing::{Alarm, Seldom},
};

/// An endpoint that ends a connection within this time, before a byte has passed, has refused it. Proxies whose own
/// endpoints are down do so. Servers that close connections because they are not used wait longer.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// What all connections of a proxy share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) backend: ArcSwap<Backend>,
    pub(super) sources: Arc<Sources>,
    pub(super) counters: Counters,
}

/// Serves the connections of a proxy.
#[derive(Clone, Debug)]
pub(super) struct Sessions(pub(super) Arc<Shared>);

impl<Io> Serve<Io> for Sessions
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    async fn serve(self, connection: Established<Io>, admission: Admission) {
        let (shared, backend) = (&*self.0, self.0.backend.load_full());
        let Established { io, peer, info, .. } = connection;
        let mut report = Report::new(&backend, &shared.counters, peer, info);
        report.connection.end = serve(shared, &backend, io, &mut report.connection).await;
        drop((report, admission));
    }
}

/// Counts and reports a connection when it is dropped.
struct Report<'a> {
    backend: &'a Backend,
    counters: &'a Counters,
    began: Instant,
    connection: TcpConnection,
}

impl<'a> Report<'a> {
    fn new(backend: &'a Backend, counters: &'a Counters, client: Option<SocketAddr>, info: ConnectionInfo) -> Self {
        let connection = TcpConnection {
            client,
            info,
            endpoint: None,
            attempts: 0,
            sent: 0,
            received: 0,
            duration: Duration::ZERO,
            // Until it is known. A shutdown drops the future of the connection.
            end: TcpEnd::Aborted,
        };
        Self { backend, counters, began: Instant::now(), connection }
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        let counters = self.counters;
        let counter = match self.connection.end {
            TcpEnd::Client(_) => Some(&counters.broken_by_client),
            TcpEnd::Endpoint(_) => Some(&counters.broken_by_endpoint),
            TcpEnd::Idle => Some(&counters.idle_timeouts),
            TcpEnd::Unanswered => Some(&counters.answer_timeouts),
            TcpEnd::EndpointClosing => Some(&counters.endpoint_closings),
            TcpEnd::SourceLimit => Some(&counters.source_limit),
            TcpEnd::Pick(_) => Some(&counters.without_endpoint),
            TcpEnd::Complete | TcpEnd::Unused | TcpEnd::Connect(_) | TcpEnd::Address(_) | TcpEnd::Aborted => None,
        };
        if let Some(counter) = counter {
            counter.add(1);
        }
        if let Some(hook) = &self.backend.settings.on_end {
            self.connection.duration = self.began.elapsed();
            hook.call(&self.connection);
        }
    }
}

async fn serve<Io>(shared: &Shared, backend: &Backend, mut client: Io, connection: &mut TcpConnection) -> TcpEnd
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Backend { pool, settings } = backend;
    let _source = match (settings.max_per_source, connection.client) {
        (Some(max), Some(client)) => match shared.sources.enter(client.ip(), settings.source_prefix, max) {
            Ok(source) => Some(source),
            Err(_) => return TcpEnd::SourceLimit,
        },
        _ => None,
    };
    let (mut unsent, mut alarm) = (Flow::new(), Alarm::default());
    let key = if pool.places_by_key() { settings.key.of(connection.client, &connection.info) } else { Ok(Key::None) };
    let key = match key {
        Ok(key) => key,
        // Few connections need it, and all of them would be larger.
        Err(first) => match Box::pin(first.key(&mut client, &mut unsent)).await {
            Ok(key) => key,
            Err(error) => return TcpEnd::Client(error),
        },
    };
    let mut attempts = Attempts::new(backend, &shared.counters, key);
    loop {
        let (lease, stream) = match attempts.connect(connection, &mut alarm).await {
            Ok(connected) => connected,
            Err(end) => return end,
        };
        let are_sockets = client_socket(&client).is_some() && endpoint_socket(&stream).is_some();
        let mut relay = Relay::new(client, stream)
            .idle_timeout(settings.idle_timeout)
            .begun(unsent, alarm)
            .ends_when_dropped(are_sockets);
        #[cfg(all(feature = "splice", target_os = "linux"))]
        if settings.splice {
            relay = relay.splice(client_socket, endpoint_socket);
        }
        let mut link = Link::new(lease);
        let end = link.pass(&mut relay, settings.answer_timeout, connection).await;
        if let Some(lease) = link.refused(&end) {
            shared.counters.unused.add(1);
            attempts.failed(lease, Verdict::Failure(Failure::Transport), end);
            (client, unsent, alarm) = relay.into_unsent();
            continue;
        }
        drop(link);
        match &end {
            TcpEnd::Client(_) => reset(endpoint_socket(&relay.endpoint)),
            TcpEnd::Endpoint(_) => reset(client_socket(&relay.client)),
            TcpEnd::Complete => {}
            _ => relay.shut_down().await,
        }
        return end;
    }
}

/// The connection to an endpoint, with its lease.
struct Link {
    /// `None` if it was taken out.
    lease: Option<Lease<AnyTarget>>,
    closing: Closing,
    /// When the connection was opened, or the first byte of the client was sent.
    since: Instant,
    /// The numbers of bytes that were counted.
    sent: u64,
    received: u64,
    /// Whether the client has ended its direction before the endpoint has.
    client_ended_first: bool,
    answer: Alarm,
    /// When the futures above and the idle timeout are polled.
    seldom: Seldom,
}

impl Link {
    fn new(mut lease: Lease<AnyTarget>) -> Self {
        lease.connected();
        let closing = lease.closing();
        Self {
            lease: Some(lease),
            closing,
            since: Instant::now(),
            sent: 0,
            received: 0,
            client_ended_first: false,
            answer: Alarm::default(),
            seldom: Seldom::default(),
        }
    }

    /// Passes bytes on until the connection ends. `Unused` and `Endpoint` without a byte mean that the endpoint has
    /// refused the connection, and the client knows nothing of it.
    async fn pass<Io>(
        &mut self,
        relay: &mut Relay<Io, Stream>,
        answer_timeout: Option<Duration>,
        connection: &mut TcpConnection,
    ) -> TcpEnd
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        relay.hold_unused(true);
        let end = poll_fn(|cx| {
            let polled = relay.poll(cx);
            self.count(relay);
            (connection.sent, connection.received) = (self.sent, self.received);
            match polled {
                Poll::Ready(Ok(())) => return Poll::Ready(TcpEnd::Complete),
                Poll::Ready(Err(RelayEnd::Client(error))) => return Poll::Ready(TcpEnd::Client(error)),
                Poll::Ready(Err(RelayEnd::Endpoint(error))) => return Poll::Ready(TcpEnd::Endpoint(error)),
                Poll::Pending => {}
            }
            if relay.is_held() {
                if self.since.elapsed() < REFUSAL_TIME {
                    return Poll::Ready(TcpEnd::Unused);
                }
                relay.hold_unused(false);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Some(waker) = self.seldom.due(cx) else { return Poll::Pending };
            let cx = &mut Context::from_waker(waker);
            if Pin::new(&mut self.closing).poll(cx).is_ready() {
                return Poll::Ready(TcpEnd::EndpointClosing);
            }
            if relay.poll_idle(cx).is_ready() {
                return Poll::Ready(TcpEnd::Idle);
            }
            let waits = self.sent > 0 && self.received == 0;
            match answer_timeout.filter(|_| waits).and_then(|timeout| self.since.checked_add(timeout)) {
                Some(due) => self.answer.poll(cx, due).map(|()| TcpEnd::Unanswered),
                None => Poll::Pending,
            }
        })
        .await;
        self.judge(&end);
        end
    }

    /// Counts the bytes that have passed.
    fn count<Io>(&mut self, relay: &Relay<Io, Stream>)
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(lease) = &mut self.lease else { return };
        let (sent, received) = (relay.sent(), relay.received());
        self.client_ended_first |= relay.client_has_ended() && !relay.endpoint_has_ended();
        if (sent, received) == (self.sent, self.received) {
            return;
        }
        if self.sent == 0 && sent > 0 && self.received == 0 {
            // From now on, the client waits for the endpoint, and there may be a timeout for it.
            self.seldom.set_due();
            lease.exclude_latency(self.since.elapsed());
            self.since = Instant::now();
        }
        if self.received == 0 && received > 0 {
            lease.first_byte();
            lease.record(Verdict::Success);
        }
        lease.count_bytes(sent - self.sent, received - self.received);
        (self.sent, self.received) = (sent, received);
    }

    /// Records what the end of a connection without an answer says about the endpoint.
    fn judge(&mut self, end: &TcpEnd) {
        let Some(lease) = self.lease.as_mut().filter(|_| self.received == 0 && self.sent > 0) else { return };
        match end {
            TcpEnd::Endpoint(_) => lease.record(Verdict::Failure(Failure::Transport)),
            TcpEnd::Complete if !self.client_ended_first => lease.record(Verdict::Failure(Failure::Transport)),
            TcpEnd::Complete | TcpEnd::EndpointClosing => lease.record(Verdict::Neutral),
            TcpEnd::Unanswered => lease.record(Verdict::Failure(Failure::Timeout)),
            // The strategy decides whether the client has waited too long.
            _ => {}
        }
    }

    /// Returns the lease if the endpoint has refused the connection, so that another endpoint may be tried.
    fn refused(&mut self, end: &TcpEnd) -> Option<Lease<AnyTarget>> {
        let unused = self.sent == 0 && self.received == 0 && !self.client_ended_first;
        match end {
            TcpEnd::Unused | TcpEnd::Endpoint(_) if unused => self.lease.take(),
            _ => None,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Nothing was asked of the endpoint, so that nothing is known about it.
        if let Some(lease) = self.lease.as_mut().filter(|_| self.sent == 0) {
            lease.record(Verdict::Neutral);
        }
    }
}

/// Makes the end of a connection a reset.
fn reset(socket: Option<&TcpStream>) {
    if let Some(socket) = socket {
        // The connection ends in any case. An error means that the peer sees an orderly end.
        let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    }
}

fn client_socket<Io: Any>(client: &Io) -> Option<&TcpStream> {
    let client: &dyn Any = client;
    client.downcast_ref().or_else(|| client.downcast_ref::<Prefixed<TcpStream>>()?.inner())
}

fn endpoint_socket(endpoint: &Stream) -> Option<&TcpStream> {
    match endpoint {
        Stream::Tcp(socket) => Some(socket),
        _ => None,
    }
}
