use std::{error::Error, future::poll_fn, pin::Pin, sync::Arc, task::Poll, time::Duration};

use equipoise_tower::BoxError;
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::HttpService,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

use super::{
    activity::{Activity, Due},
    io::Io,
    limits::ServerLimits,
    rejection::Rejection,
    stats::Counters,
    streams::Streams,
};
use crate::{
    listen::{IdleConnections, Signal},
    timing::{Alarm, sleep_until, within},
};

/// How long a connection may take to close itself after it had no request in time.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long after its begin a connection may send its first request although the server shuts down. The client has not
/// been told, and the request may be on its way.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// How long bytes of the client are read and discarded after the last response. If a connection is closed while bytes
/// have not been read, the operating system resets it, and the client may lose the response (RFC 9112, section 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves one connection.
pub(super) struct Connection<T> {
    pub(super) io: Io<T>,
    pub(super) activity: Arc<Activity>,
    pub(super) limits: Arc<ServerLimits>,
    pub(super) counters: Arc<Counters>,
    /// The connections that wait for a request.
    pub(super) idle: Arc<IdleConnections>,
    /// Tells it to finish its requests and close.
    pub(super) drain: Signal,
}

/// The services that hyper can serve over both versions of HTTP.
pub(super) trait HyperService:
    HttpService<
        Incoming,
        Future: Send + 'static,
        Error: Into<BoxError>,
        ResBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    >
{
}

impl<S> HyperService for S where
    S: HttpService<
            Incoming,
            Future: Send + 'static,
            Error: Into<BoxError>,
            ResBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
        >
{
}

/// What the first bytes of a connection say, or those after a rest.
enum Begin {
    Http1,
    Http2,
    /// The client sent nothing, or not enough in time.
    Nothing,
    /// The head of a request was not complete in time.
    HeadTimeout,
}

/// How a connection has ended.
enum End {
    /// By itself, or because hyper was told to close it.
    Closed(hyper::Result<()>),
    /// The head of a request was not complete in time, or nothing of its body has come.
    Late(Due),
    /// It did not close itself in time.
    Stuck,
    /// The client cancelled too many requests.
    ResetFlood,
    /// It had no request for a while. The socket is open, and hyper's buffers are freed until bytes come.
    Rest,
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<T> {
    pub(super) async fn run(mut self, mut service: impl HyperService) {
        // The futures are large, and a connection without a request does not need them.
        loop {
            match self.begin().await {
                Begin::Http2 => return Box::pin(self.http2(service)).await,
                Begin::Http1 => match Box::pin(self.http1(service)).await {
                    Some(at_rest) => (self, service) = at_rest,
                    None => return,
                },
                Begin::Nothing => return Box::pin(shut_down(self.io)).await,
                Begin::HeadTimeout => return Box::pin(reject(self.io, Rejection::Timeout)).await,
            }
        }
    }

    /// Waits for the first bytes, or for those after a rest.
    async fn begin(&mut self) -> Begin {
        let (idle, mut alarm) = (self.idle.add(), Alarm::default());
        poll_fn(|cx| {
            if let Poll::Ready(result) = self.io.poll_is_http2(cx) {
                return Poll::Ready(match result {
                    Ok(_) if self.io.is_unused() => Begin::Nothing,
                    Ok(true) => Begin::Http2,
                    Ok(false) => Begin::Http1,
                    Err(_) => Begin::Nothing,
                });
            }
            let Some((at, due)) = self.activity.http1_due(&self.limits) else { return Poll::Pending };
            if due == Due::Idle && self.drain.poll(cx) {
                let at = at.min(self.activity.after_begin(FIRST_REQUEST_TIMEOUT));
                return alarm.poll(cx, at).map(|()| Begin::Nothing);
            }
            if due == Due::Idle && idle.poll_must_close(cx) {
                self.counters.displaced.add(1);
                return Poll::Ready(Begin::Nothing);
            }
            alarm.poll(cx, at).map(|()| match due {
                Due::Head => {
                    self.counters.head_timeouts.add(1);
                    Begin::HeadTimeout
                }
                // No body is waited for here.
                Due::Body | Due::Idle => {
                    self.counters.idle_timeouts.add(1);
                    Begin::Nothing
                }
            })
        })
        .await
    }

    /// Serves requests. Returns the connection and the service if the connection is at rest.
    async fn http1<S: HyperService>(self, service: S) -> Option<(Self, S)> {
        let Self { io, activity, limits, counters, idle, mut drain } = self;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .keep_alive(!drain.has_begun())
            // hyper's timeout does not tell an idle connection from one that has sent a part of a head.
            .header_read_timeout(None)
            .max_header_size(usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX))
            .max_buf_size(limits.buffer_bytes());
        let mut connection = builder.serve_connection(TokioIo::new(io), service).with_upgrades();

        let mut closing = Closing::default();
        let end = poll_fn(|cx| {
            loop {
                activity.on_poll();
                if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                    return Poll::Ready(End::Closed(result));
                }
                // The client may have sent a part of a request, which hyper would discard. The request is served with
                // `Connection: close` when its head is complete, and `head_timeout` limits the time.
                if !closing.draining && drain.poll(cx) && !activity.has_begun_head() {
                    closing.draining = true;
                    closing.idle = activity.is_idle();
                    Pin::new(&mut connection).graceful_shutdown();
                    continue;
                }
                let Some((at, due)) = activity.http1_due(&limits) else { return Poll::Pending };
                let rest_at = activity.rest_due().filter(|rest_at| !closing.draining && *rest_at < at);
                let at = closing.stuck_at.or(rest_at).unwrap_or(at);
                std::task::ready!(closing.alarm.poll(cx, at));
                if rest_at.is_some() {
                    // hyper closes the connection if no part of a request has come, but the socket stays open. Otherwise
                    // it closes the connection after the next response, and the connection can no longer rest.
                    closing.draining = true;
                    activity.rest(true);
                    Pin::new(&mut connection).graceful_shutdown();
                    let ended = Pin::new(&mut connection).poll(cx);
                    activity.rest(false);
                    match ended {
                        Poll::Ready(Ok(())) => return Poll::Ready(End::Rest),
                        Poll::Ready(Err(error)) => return Poll::Ready(End::Closed(Err(error))),
                        Poll::Pending => continue,
                    }
                }
                if closing.stuck_at.is_some() {
                    return Poll::Ready(End::Stuck);
                }
                if due != Due::Idle {
                    return Poll::Ready(End::Late(due));
                }
                counters.idle_timeouts.add(1);
                closing.begin();
                Pin::new(&mut connection).graceful_shutdown();
            }
        })
        .await;

        // `None` if the connection has switched protocols.
        let parts = connection.into_parts();
        report(&end, &activity, &counters);
        let parts = parts?;
        let mut io = parts.io.into_inner();
        if matches!(end, End::Rest) {
            io.rest(&parts.read_buf);
            return Some((Self { io, activity, limits, counters, idle, drain }, parts.service));
        }
        let rejection = if matches!(end, End::Late(_)) { Some(Rejection::Timeout) } else { io.take_rejection() };
        if let Some(rejection) = rejection {
            reject(io, rejection).await;
        } else if matches!(end, End::Closed(_)) && !closing.idle && !activity.has_ended() && activity.is_used() {
            linger(io).await;
        }
        None
    }

    async fn http2(mut self, service: impl HyperService) {
        let streams = Streams {
            activity: Arc::clone(&self.activity),
            write_timeout: self.limits.write_timeout,
            counters: Arc::clone(&self.counters),
        };
        let mut builder = http2::Builder::new(streams);
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.max_concurrent_streams)
            .max_header_list_size(self.limits.max_header_bytes)
            .max_send_buf_size(self.limits.buffer_bytes().min(u32::MAX as usize))
            .initial_connection_window_size(self.limits.connection_window())
            .initial_stream_window_size(self.limits.stream_window())
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_LOCAL_RESETS);
        // hyper's timers panic in a runtime without a timer.
        let pings = self.limits.http2_pings().filter(|_| sleep_until(Instant::now()).is_some());
        if let Some((interval, timeout)) = pings {
            builder.keep_alive_interval(interval).keep_alive_timeout(timeout);
        }
        if self.limits.extended_connect {
            builder.enable_connect_protocol();
        }
        let mut connection = builder.serve_connection(TokioIo::new(self.io), service);

        let (activity, limits, counters) = (&*self.activity, &*self.limits, &*self.counters);
        let mut closing = Closing::default();
        let end = poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                    return Poll::Ready(End::Closed(result));
                }
                if activity.is_reset_flood(limits) {
                    return Poll::Ready(End::ResetFlood);
                }
                if !closing.draining && (activity.requests() >= limits.max_requests || self.drain.poll(cx)) {
                    closing.draining = true;
                    Pin::new(&mut connection).graceful_shutdown();
                    continue;
                }
                let at = closing.stuck_at.unwrap_or_else(|| activity.http2_due(limits, closing.draining));
                std::task::ready!(closing.alarm.poll(cx, at));
                if activity.is_busy() {
                    closing.stuck_at = None;
                    continue;
                }
                if closing.stuck_at.is_some() {
                    return Poll::Ready(End::Stuck);
                }
                if activity.holds_frames() {
                    counters.write_timeouts.add(1);
                } else if !closing.draining {
                    counters.idle_timeouts.add(1);
                }
                // hyper waits until the client has answered a PING. This limits the time, also if it drains already.
                closing.begin();
                Pin::new(&mut connection).graceful_shutdown();
            }
        })
        .await;
        report(&end, activity, counters);
    }
}

/// How many streams the client may reset before hyper has passed their requests on. The default of h2, stated because
/// the documentation of the module names it.
const MAX_PENDING_RESETS: usize = 20;

/// How many streams may be reset because of malformed frames. The default of h2, stated for the same reason.
const MAX_LOCAL_RESETS: usize = 1024;

/// Which steps towards the end of a connection were taken.
#[derive(Default)]
struct Closing {
    alarm: Alarm,
    draining: bool,
    /// Whether it was closed while no request was in flight, so that no response can be lost.
    idle: bool,
    /// When a connection that was idle is closed by force.
    stuck_at: Option<Instant>,
}

impl Closing {
    fn begin(&mut self) {
        self.draining = true;
        self.idle = true;
        self.stuck_at = Instant::now().checked_add(CLOSE_TIMEOUT);
    }
}

fn report(end: &End, activity: &Activity, counters: &Counters) {
    match end {
        End::Closed(Ok(())) if activity.is_refused(activity.requests()) => counters.malformed.add(1),
        End::Closed(Ok(())) | End::Stuck | End::Rest => {}
        End::Closed(Err(error)) => {
            if activity.write_timed_out() {
                counters.write_timeouts.add(1);
            } else {
                match http2_reason(error) {
                    Some(h2::Reason::ENHANCE_YOUR_CALM) => counters.floods.add(1),
                    Some(_) => counters.malformed.add(1),
                    None if error.is_parse() => counters.malformed.add(1),
                    None => {}
                }
            }
            tracing::debug!(%error, "a connection has ended");
        }
        End::Late(Due::Body) => counters.body_timeouts.add(1),
        End::Late(_) => counters.head_timeouts.add(1),
        End::ResetFlood => counters.floods.add(1),
    }
}

/// Returns why HTTP/2 has closed a connection on this side.
fn http2_reason(error: &hyper::Error) -> Option<h2::Reason> {
    let error: &h2::Error = error.source()?.downcast_ref()?;
    if error.is_library() { error.reason() } else { None }
}

/// Sends the last response of an HTTP/1.1 connection, and closes the connection.
async fn reject<T: AsyncRead + AsyncWrite + Unpin>(mut io: Io<T>, rejection: Rejection) {
    io.leave_http1();
    let response = async {
        io.write_all(&rejection.bytes()).await?;
        io.shutdown().await
    };
    if let Some(Ok(())) = within(LINGER_TIMEOUT, response).await {
        linger(io).await;
    }
}

/// Closes a connection. With TLS, this sends close_notify.
async fn shut_down<T: AsyncRead + AsyncWrite + Unpin>(mut io: Io<T>) {
    let _ = within(LINGER_TIMEOUT, io.shutdown()).await;
}

/// Reads until the client closes the connection.
async fn linger<T: AsyncRead + AsyncWrite + Unpin>(mut io: Io<T>) {
    let mut buffer = vec![0; 4096];
    let rest = async { while io.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
    let _ = within(LINGER_TIMEOUT, rest).await;
}
