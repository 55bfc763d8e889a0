//! The limits of a listener.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise::proxy::{ProxyBodyError, server::ServerLimits};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};

use crate::config::Limits;

/// The maximum size of the bodies of an HTTP/2 connection that wait for their endpoints: the least that HTTP/2 allows.
const WINDOW: u32 = 65_535;

impl Limits {
    /// Returns the limits of the connections.
    pub(crate) fn server(&self) -> ServerLimits {
        ServerLimits::new()
            .max_connections(self.max_connections)
            .max_header_bytes(self.max_header_bytes)
            .max_buffer_bytes(self.max_buffer_bytes)
            .max_concurrent_streams(self.max_concurrent_streams)
            .max_reset_streams(self.max_reset_streams)
            .max_requests_per_connection(self.max_requests_per_connection)
            .head_timeout(self.head_timeout)
            .keep_alive_timeout(self.keep_alive_timeout)
            .write_timeout(self.write_timeout)
            .http2_connection_window(WINDOW)
    }
}

/// Counts the requests in flight of a listener.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<AtomicUsize>);

/// A request in flight, until this is dropped.
pub(crate) struct Admitted(InFlight);

impl InFlight {
    /// Counts one more request. Returns `None` if there are as many as the limits allow.
    pub(crate) fn admit(&self, limits: &Limits) -> Option<Admitted> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted(self.clone());
        (before < limits.max_in_flight).then_some(admitted)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a response. Its request is in flight until all frames of the body are written or dropped. HTTP/2 keeps
/// frames for which the client's flow control has no room.
pub(crate) struct CountedBody {
    body: UnsyncBoxBody<Bytes, ProxyBodyError>,
    request: Option<Arc<Admitted>>,
}

/// A frame of a body.
struct CountedFrame {
    data: Bytes,
    _request: Arc<Admitted>,
}

impl AsRef<[u8]> for CountedFrame {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl CountedBody {
    pub(crate) fn new(body: UnsyncBoxBody<Bytes, ProxyBodyError>, request: Option<Admitted>) -> Self {
        Self { body, request: request.map(Arc::new) }
    }
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = ProxyBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyBodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let counted = |data| match &self.request {
            Some(request) => Bytes::from_owner(CountedFrame { data, _request: Arc::clone(request) }),
            None => data,
        };
        frame.map_ok(|frame| frame.map_data(counted))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
