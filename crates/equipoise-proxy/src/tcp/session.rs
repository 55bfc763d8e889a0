use std::{
    any::Any,
    future::poll_fn,
    io, mem,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
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
    settings::TcpSettings,
    sources::Sources,
    stats::Counters,
    watch::broken,
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
            TcpEnd::Unused => Some(&counters.unused),
            TcpEnd::Complete | TcpEnd::Connect(_) | TcpEnd::Address(_) | TcpEnd::Aborted => None,
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
        let (lease, stream) = match attempts.connect(client_socket(&client), connection, &mut alarm).await {
            Ok(connected) => connected,
            Err(end) => {
                if matches!(&end, TcpEnd::Endpoint(error) if !is_cut_off(error)) {
                    reset(client_socket(&client));
                }
                return end;
            }
        };
        if is_closing(&lease) {
            // It was taken out of service while the connection was opened.
            attempts.failed(lease, Verdict::Neutral, TcpEnd::EndpointClosing);
            continue;
        }
        let are_sockets = client_socket(&client).is_some() && endpoint_socket(&stream).is_some();
        let mut relay = Relay::new(client, stream)
            .idle_timeout(settings.idle_timeout)
            .begun(unsent, alarm)
            .are_sockets(are_sockets);
        #[cfg(all(feature = "splice", target_os = "linux"))]
        if settings.splice {
            relay = relay.splice(client_socket, endpoint_socket);
        }
        relay.hold_unused(true);
        let mut link = Link::new(lease, settings);
        let end = loop {
            let end = link.pass(&mut relay, connection).await;
            let is_held = matches!(end, TcpEnd::Unused) && relay.holds_unused();
            if !is_held || attempts.pick_another(connection) {
                break end;
            }
            // This endpoint is the last one, and perhaps it only receives.
            relay.hold_unused(false);
        };
        if relay.holds_unused()
            && relay.is_unused()
            && let Some(lease) = link.refused(&end)
        {
            shared.counters.unused.add(1);
            attempts.failed(lease, Verdict::Failure(Failure::Transport), end);
            (client, unsent, alarm) = relay.into_unsent();
            continue;
        }
        drop(link);
        match &end {
            TcpEnd::Complete | TcpEnd::Unused => {}
            TcpEnd::Client(error) if !is_cut_off(error) => reset(endpoint_socket(&relay.endpoint)),
            // A reset would discard the bytes before it that the client's system has not taken yet.
            TcpEnd::Endpoint(error) if connection.received == 0 && !is_cut_off(error) => {
                reset(client_socket(&relay.client));
            }
            TcpEnd::Endpoint(_) => relay.linger().await,
            _ => relay.shut_down().await,
        }
        return end;
    }
}

/// Returns whether the endpoint accepts no connections any more.
fn is_closing(lease: &Lease<AnyTarget>) -> bool {
    pin!(lease.closing()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
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
    /// Whether the endpoint has ended its direction at once, before a byte has passed.
    has_ended_early: bool,
    /// Whether an early end is a refusal.
    early_end_refuses: bool,
    /// Whether this connection decides the probation of the endpoint.
    is_trial: bool,
    /// Whether the end is known. If not, the proxy aborts the connection.
    has_ended: bool,
    answer_timeout: Option<Duration>,
    /// When the answer, or the first byte of a trial, is due.
    answer: Alarm,
    /// When the futures above and the idle timeout are polled.
    seldom: Seldom,
}

impl Link {
    fn new(mut lease: Lease<AnyTarget>, settings: &TcpSettings) -> Self {
        lease.connected();
        let (closing, is_trial) = (lease.closing(), lease.decides_probation());
        Self {
            lease: Some(lease),
            closing,
            since: Instant::now(),
            sent: 0,
            received: 0,
            client_ended_first: false,
            has_ended_early: false,
            early_end_refuses: settings.failover_on_early_end,
            is_trial,
            has_ended: false,
            answer_timeout: settings.answer_timeout,
            answer: Alarm::default(),
            seldom: Seldom::default(),
        }
    }

    /// Passes bytes on until the connection ends. `Unused` and `Endpoint` without a byte mean that the endpoint has
    /// refused the connection. If the relay holds unused connections, the client knows nothing of it.
    async fn pass<Io>(&mut self, relay: &mut Relay<Io, Stream>, connection: &mut TcpConnection) -> TcpEnd
    where
        Io: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        // Also after an endpoint has ended an unused connection, and none was found to replace it.
        self.has_ended = false;
        let end = loop {
            let polled = poll_fn(|cx| match self.poll(relay, connection, cx) {
                Poll::Ready(end) => Poll::Ready(Some(end)),
                Poll::Pending if !relay.reads_client() && client_socket(&relay.client).is_some() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(end) = polled.await {
                break end;
            }
            // The task is woken when the relay can go on. Reads do not show whether the client is still there.
            if let Some(error) = until_woken(broken(client_socket(&relay.client))).await {
                break TcpEnd::Client(error);
            }
        };
        self.judge(&end);
        end
    }

    fn poll<Io>(
        &mut self,
        relay: &mut Relay<Io, Stream>,
        connection: &mut TcpConnection,
        cx: &mut Context<'_>,
    ) -> Poll<TcpEnd>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let polled = relay.poll(cx);
        self.count(relay);
        (connection.sent, connection.received) = (self.sent, self.received);
        match polled {
            Poll::Ready(Ok(())) if self.has_ended_early && self.sent == 0 => return Poll::Ready(TcpEnd::Unused),
            Poll::Ready(Ok(())) => return Poll::Ready(TcpEnd::Complete),
            Poll::Ready(Err(RelayEnd::Client(error))) => return Poll::Ready(TcpEnd::Client(error)),
            Poll::Ready(Err(RelayEnd::Endpoint(error))) => return Poll::Ready(TcpEnd::Endpoint(error)),
            Poll::Pending => {}
        }
        if relay.is_held() {
            if self.early_end_refuses && self.since.elapsed() < REFUSAL_TIME {
                self.has_ended_early = true;
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
        if self.sent == 0 && self.received == 0 {
            if self.is_trial && !self.has_ended_early && self.answer.poll(cx, self.since + REFUSAL_TIME).is_ready() {
                self.end_trial();
            }
            return Poll::Pending;
        }
        match self.answer_timeout.filter(|_| self.received == 0).and_then(|timeout| self.since.checked_add(timeout)) {
            Some(due) => self.answer.poll(cx, due).map(|()| TcpEnd::Unanswered),
            None => Poll::Pending,
        }
    }

    /// Ends the probation of an endpoint that has accepted the connection, and has not refused it in time. Clients that
    /// only open connections, such as pools of connections, must not keep it on probation.
    fn end_trial(&mut self) {
        self.is_trial = false;
        if let Some(lease) = &mut self.lease {
            lease.exclude_latency(self.since.elapsed());
            lease.record(Verdict::Success);
        }
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
        self.has_ended = true;
        // Whether another endpoint is tried is decided first.
        let is_asked = self.sent > 0 && self.received == 0;
        let Some(lease) = self.lease.as_mut().filter(|_| is_asked) else { return };
        let verdict = match end {
            TcpEnd::Unanswered => Verdict::Failure(Failure::Timeout),
            TcpEnd::Endpoint(error) if !is_cut_off(error) => Verdict::Failure(Failure::Transport),
            // Servers answer some clients by closing the connection, unless each connection gets an answer.
            TcpEnd::Endpoint(_) | TcpEnd::Complete if self.answer_timeout.is_some() && !self.client_ended_first => {
                Verdict::Failure(Failure::Transport)
            }
            // The strategy decides whether the client has waited too long.
            TcpEnd::Client(_) | TcpEnd::Idle => return,
            _ => Verdict::Neutral,
        };
        lease.record(verdict);
    }

    /// Returns the lease if the endpoint has refused an unused connection, so that another endpoint may be tried.
    fn refused(&mut self, end: &TcpEnd) -> Option<Lease<AnyTarget>> {
        let has_refused = match end {
            TcpEnd::Unused => true,
            TcpEnd::Endpoint(error) if is_cut_off(error) => {
                self.early_end_refuses && self.since.elapsed() < REFUSAL_TIME
            }
            TcpEnd::Endpoint(_) => true,
            _ => false,
        };
        self.lease.take_if(|_| has_refused)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(lease) = &mut self.lease else { return };
        if self.sent > 0 && self.has_ended {
            return;
        }
        // Nothing was asked of the endpoint, or the proxy has aborted the connection.
        let has_refused = self.has_ended && self.has_ended_early && self.received == 0;
        lease.record(if has_refused { Verdict::Failure(Failure::Transport) } else { Verdict::Neutral });
    }
}

/// Waits until the task is woken, or the client's connection breaks.
async fn until_woken(broken: impl Future<Output = io::Error>) -> Option<io::Error> {
    let (mut broken, mut has_waited) = (pin!(broken), false);
    poll_fn(|cx| match broken.as_mut().poll(cx) {
        Poll::Ready(error) => Poll::Ready(Some(error)),
        Poll::Pending if mem::replace(&mut has_waited, true) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Returns whether an error means that a peer has closed the connection without the end that TLS demands (close_notify).
/// Many peers do so. It is no reset: all bytes before it have arrived.
fn is_cut_off(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
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
