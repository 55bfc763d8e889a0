use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_affinity::source::PeerAddr;
use equipoise_tower::BoxError;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, HOST, TRANSFER_ENCODING},
};
use http_body::Body;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    activity::Activity,
    body::{Busy, TrackedBody},
    in_flight::{Admitted, Full, InFlightLimit},
    interim::{Accepting, Interim},
    rejection::Rejection,
    stats::Counters,
    streams::Progress,
};
use crate::{
    check::{host_and_port, is_extended_connect},
    error::without_body,
    headers::{ConnectionInfo, remove_named_fields},
    listen::Connections,
};

/// The service of one connection: adds the extensions of the connection to requests, and counts them.
pub(super) struct Tracked<S> {
    pub(super) service: S,
    pub(super) peer: Option<SocketAddr>,
    pub(super) info: ConnectionInfo,
    pub(super) activity: Arc<Activity>,
    /// `None` if no interim responses are sent.
    pub(super) interim: Option<Arc<Interim>>,
    pub(super) max_requests: u64,
    pub(super) any_authority: bool,
    pub(super) in_flight: Arc<InFlightLimit>,
    pub(super) counters: Arc<Counters>,
    pub(super) connections: Arc<Connections>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Tracked<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Response = Response<TrackedBody<B>>;
    type Error = BoxError;
    type Future = Call<S, S::Future, B>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let requests = self.activity.on_request();
        let is_http2 = request.version() >= Version::HTTP_2;
        let last = (requests >= self.max_requests || self.connections.is_draining()) && !is_http2;
        if let Some(peer) = self.peer.filter(|_| !self.info.hides_client()) {
            request.extensions_mut().insert(PeerAddr(peer));
        }
        request.extensions_mut().insert(self.info.clone());
        if !is_http2 {
            remove_named_fields(request.headers_mut());
        }
        let is_connect = *request.method() == Method::CONNECT;
        let body = match request.body().is_end_stream() {
            false if is_http2 => RequestBody::None,
            false if request.headers().contains_key(TRANSFER_ENCODING) => RequestBody::Chunked,
            false => RequestBody::Length,
            true => RequestBody::None,
        };
        let busy = Some(Busy::new(Arc::clone(&self.activity), requests));
        let mut interim = None;
        let (state, admitted, last) = match self.admit(requests, &request) {
            Ok(admitted) => {
                interim = self.interim.as_ref().and_then(|interim| interim.accept(requests, &mut request));
                (State::Waiting { service: self.service.clone(), request: Some(request) }, admitted, last)
            }
            Err(rejection) => {
                let mut response = rejection.response(request.headers(), request.version());
                if *request.method() == Method::HEAD {
                    without_body(&mut response);
                }
                (State::Rejected { response: Some(response) }, None, last || rejection == Rejection::Malformed)
            }
        };
        Call { state, busy, admitted, interim, last, is_connect, body }
    }
}

impl<S> Tracked<S> {
    /// Decides whether the service gets the request, which has this number on its connection.
    fn admit(&self, number: u64, request: &Request<Incoming>) -> Result<Option<Admitted>, Rejection> {
        if self.activity.is_refused(number) {
            return Err(Rejection::Malformed);
        }
        if !self.any_authority && is_misdirected(&self.info, request) {
            self.counters.misdirected.add(1);
            return Err(Rejection::Misdirected);
        }
        self.in_flight.admit().map_err(|Full| {
            self.counters.overloaded.add(1);
            let client = self.peer.map(tracing::field::display);
            tracing::warn!(client, method = %request.method(), uri = %request.uri(), "too many requests are in flight");
            Rejection::Overloaded
        })
    }
}

/// Returns whether the host of the request has another certificate than the connection, or needs another one of the
/// client.
fn is_misdirected(info: &ConnectionInfo, request: &Request<Incoming>) -> bool {
    // The target of CONNECT is the destination of a tunnel.
    if !info.is_tls() || *request.method() == Method::CONNECT && !is_extended_connect(request) {
        return false;
    }
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    // The service may use any of them.
    let named = authority.into_iter().chain(request.headers().get_all(HOST).iter().map(HeaderValue::as_bytes));
    named.map(host_and_port).any(|parsed| info.is_misdirected(parsed.map(|parsed| parsed.host)))
}

pin_project! {
    /// Waits for the service, and then for its response.
    pub(super) struct Call<S, F, B> {
        #[pin]
        state: State<S, F, B>,
        busy: Option<Busy>,
        // Whether the server counts the request as one in flight.
        admitted: Option<Admitted>,
        interim: Option<Accepting>,
        // Whether the connection must be closed after this response.
        last: bool,
        is_connect: bool,
        body: RequestBody,
    }
}

/// The body of a request of HTTP/1, which may not be complete when the service responds.
///
/// If the service drops such a body, hyper reads once what has come of it. If that is not the end, it closes the connection
/// after the response. It does so when it is polled next, which is after it has written the head of the response, so the
/// client would take the connection for one that stays open. The response is therefore held back for one poll. After it,
/// hyper or this future announces that the connection is closed. A service may still read the body, but it can drop it at
/// any time.
#[derive(Clone, Copy, Debug)]
enum RequestBody {
    /// There is none, or it is one of HTTP/2.
    None,
    /// hyper may have to read several chunks that have come.
    Chunked,
    /// hyper can read at once all that has come.
    Length,
}

impl RequestBody {
    /// Returns whether hyper closes the connection if the service has dropped the body.
    fn may_be_unread(self, busy: Option<&Busy>) -> bool {
        match self {
            Self::None => false,
            Self::Chunked => true,
            Self::Length => is_open(busy),
        }
    }
}

/// Ends the interim responses. Returns whether the response may follow now. Otherwise, the task is woken when it may.
fn is_closed(interim: Option<&Accepting>) -> bool {
    interim.is_none_or(Accepting::close)
}

/// Returns whether a part of the body has not come yet.
fn is_open(busy: Option<&Busy>) -> bool {
    busy.is_some_and(Busy::is_body_open)
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F, B> {
        Waiting { service: S, request: Option<Request<Incoming>> },
        Calling { #[pin] future: F },
        Rejected { response: Option<Response<Bytes>> },
        // The service has responded. hyper sees first whether it has dropped the body of the request, and interim responses
        // are written first.
        Responded { response: Option<Response<B>>, may_be_unread: bool },
    }
}

impl<S, B> Future for Call<S, S::Future, B>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Output = Result<Response<TrackedBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let response = loop {
            match this.state.as_mut().project() {
                StateProjection::Waiting { service, request } => {
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        break Err(error);
                    }
                    // It is taken once, and then the state changes.
                    let Some(request) = request.take() else { return Poll::Pending };
                    let future = service.call(request);
                    this.state.set(State::Calling { future });
                }
                StateProjection::Calling { future } => match ready!(future.poll(cx)) {
                    Ok(response) => {
                        let may_be_unread = this.body.may_be_unread(this.busy.as_ref());
                        if !may_be_unread && is_closed(this.interim.as_ref()) {
                            break Ok(response.map(Ok));
                        }
                        this.state.set(State::Responded { response: Some(response), may_be_unread });
                        if may_be_unread {
                            cx.waker().wake_by_ref();
                        }
                        return Poll::Pending;
                    }
                    Err(error) => break Err(error),
                },
                StateProjection::Responded { response, may_be_unread } => {
                    if !is_closed(this.interim.as_ref()) {
                        return Poll::Pending;
                    }
                    // Polled again after it has returned its response.
                    let Some(response) = response.take() else { return Poll::Pending };
                    *this.last |= *may_be_unread && is_open(this.busy.as_ref());
                    break Ok(response.map(Ok));
                }
                StateProjection::Rejected { response } => {
                    // Polled again after it has returned its response.
                    let Some(response) = response.take() else { return Poll::Pending };
                    // The body has been dropped.
                    *this.last |= this.body.may_be_unread(this.busy.as_ref());
                    break Ok(response.map(Err));
                }
            }
        };
        let mut busy = this.busy.take();
        if let Some(busy) = &mut busy {
            busy.answer();
        }
        let mut response = response.map_err(Into::into)?;
        let progress = Progress::current();
        if let Some(progress) = &progress {
            // Some versions of hyper ask the body for nothing until the client's flow control has room.
            progress.on_poll(true);
        }
        let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if *this.last && !is_switch {
            // hyper closes the connection after a response with this field.
            response.headers_mut().append(CONNECTION, HeaderValue::from_static("close"));
        }
        let is_switch = is_switch || *this.is_connect && response.status().is_success();
        if is_switch
            && progress.is_none()
            && let Some(busy) = &busy
        {
            busy.switch();
        }
        let admitted = this.admitted.take();
        Poll::Ready(Ok(response.map(|body| match body {
            Ok(body) => TrackedBody::of_service(body, busy, progress, admitted),
            Err(body) => TrackedBody::of_server(body, busy, progress),
        })))
    }
}
