use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use equipoise_affinity::source::PeerAddr;
use equipoise_tower::BoxError;
use http::{HeaderValue, Request, Response, StatusCode, Version, header::CONNECTION};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{activity::Activity, streams::on_frame, wait::Event};
use crate::headers::{ConnectionInfo, remove_named_fields};

/// The service of one connection: adds the extensions of the connection to requests, and counts them.
pub(super) struct Tracked<S> {
    pub(super) service: S,
    pub(super) peer: Option<SocketAddr>,
    pub(super) info: ConnectionInfo,
    pub(super) activity: Arc<Activity>,
    pub(super) max_requests: u64,
    pub(super) drain: Arc<Event>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Tracked<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Response = Response<TrackedBody<B>>;
    type Error = BoxError;
    type Future = Call<S, S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let requests = self.activity.on_request();
        let is_http2 = request.version() >= Version::HTTP_2;
        let last = (requests >= self.max_requests || self.drain.has_begun()) && !is_http2;
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(PeerAddr(peer));
        }
        request.extensions_mut().insert(self.info);
        if !is_http2 {
            remove_named_fields(request.headers_mut());
        }
        let state = if self.activity.is_refused(requests) {
            State::Refused
        } else {
            State::Waiting { service: self.service.clone(), request: Some(request) }
        };
        let in_flight = Some(InFlight { activity: Arc::clone(&self.activity), answered: false });
        Call { state, in_flight, last, is_http2 }
    }
}

/// Counts a request until it is dropped.
#[derive(Debug)]
struct InFlight {
    activity: Arc<Activity>,
    answered: bool,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.on_request_end(self.answered);
    }
}

pin_project! {
    /// Waits for the service, and then for its response.
    pub(super) struct Call<S, F> {
        #[pin]
        state: State<S, F>,
        in_flight: Option<InFlight>,
        // Whether the connection must be closed after this response.
        last: bool,
        is_http2: bool,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F> {
        Waiting { service: S, request: Option<Request<Incoming>> },
        Calling { #[pin] future: F },
        // Parsers can read the request differently, so it must not be forwarded.
        Refused,
    }
}

impl<S, B> Future for Call<S, S::Future>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Output = Result<Response<TrackedBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = loop {
            match this.state.as_mut().project() {
                StateProjection::Waiting { service, request } => {
                    ready!(service.poll_ready(cx)).map_err(Into::into)?;
                    // It is taken once, and then the state changes.
                    let Some(request) = request.take() else { return Poll::Pending };
                    let future = service.call(request);
                    this.state.set(State::Calling { future });
                }
                StateProjection::Calling { future } => {
                    break ready!(future.poll(cx)).map(|response| response.map(Some));
                }
                StateProjection::Refused => {
                    *this.last = true;
                    let mut response = Response::new(None);
                    *response.status_mut() = StatusCode::BAD_REQUEST;
                    break Ok(response);
                }
            }
        };
        let mut in_flight = this.in_flight.take();
        if let Some(in_flight) = &mut in_flight {
            in_flight.answered = true;
        }
        let mut response = result.map_err(Into::into)?;
        // In HTTP/2, the body is not asked for anything until the client's flow control has room.
        on_frame(true);
        if *this.last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // hyper closes the connection after a response with this field.
            response.headers_mut().append(CONNECTION, HeaderValue::from_static("close"));
        }
        let frames = in_flight.as_ref().filter(|_| *this.is_http2).map(|in_flight| Arc::clone(&in_flight.activity));
        Poll::Ready(Ok(response.map(|body| TrackedBody { body, in_flight, frames })))
    }
}

pin_project! {
    /// The body of a response, and `None` if the request was refused. The request is in flight until it is dropped.
    pub(super) struct TrackedBody<B> {
        #[pin]
        body: Option<B>,
        in_flight: Option<InFlight>,
        // Where the frames of HTTP/2 are counted.
        frames: Option<Arc<Activity>>,
    }
}

impl<B: Body> Body for TrackedBody<B> {
    type Data = TrackedData<B::Data>;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, B::Error>>> {
        let this = self.project();
        let frame = match this.body.as_pin_mut() {
            Some(body) => body.poll_frame(cx),
            None => Poll::Ready(None),
        };
        on_frame(frame.is_ready());
        frame.map_ok(|frame| frame.map_data(|data| TrackedData::new(data, this.frames.clone())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A frame of a response. In HTTP/2, it is counted until it is written or discarded, because a request ends when its
/// body has returned the last frame, not when the client has it.
pub(super) struct TrackedData<D> {
    data: D,
    activity: Option<Arc<Activity>>,
}

impl<D> TrackedData<D> {
    fn new(data: D, activity: Option<Arc<Activity>>) -> Self {
        if let Some(activity) = &activity {
            activity.on_frame();
        }
        Self { data, activity }
    }
}

impl<D> Drop for TrackedData<D> {
    fn drop(&mut self) {
        if let Some(activity) = &self.activity {
            activity.on_frame_end();
        }
    }
}

impl<D: Buf> Buf for TrackedData<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, chunks: &mut [std::io::IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(chunks)
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
        if let Some(activity) = &self.activity {
            activity.on_frame_part();
        }
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.data.copy_to_bytes(length)
    }
}
