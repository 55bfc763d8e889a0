use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::upload::Upload;
#[cfg(feature = "http2")]
use crate::connections::OpenStream;
use crate::{
    connections::{CloseReason, Connections, Http1},
    error::Error,
};

/// The body of a response of an [`Upstream`](crate::Upstream): the data and the trailers, as they arrive.
///
/// Reading the body drives its connection: while the body is not polled, an HTTP/1.1 connection reads nothing more than
/// fits into its buffer. If the response begins before the request is sent, a task sends the rest of the request. When
/// the body has ended, its connection is used for other requests. If it is dropped before its end, an HTTP/1.1 connection
/// is closed, and an HTTP/2 stream is reset. Small bodies that arrive together with their head no longer need the
/// connection.
pub struct ResponseBody {
    incoming: Incoming,
    /// The connection, until the body has ended.
    held: Option<Held>,
}

/// What a body needs until its end.
pub(super) enum Held {
    Http1(Http1, Arc<Connections>),
    /// Its task drives the connection.
    Upload(Upload),
    /// Its task drives the connection. The stream counts until the end of the body.
    #[cfg(feature = "http2")]
    Http2(#[expect(dead_code, reason = "it is only held")] Arc<OpenStream>),
}

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, held: Option<Held>) -> Self {
        Self { incoming, held }
    }

    /// Creates the body of a response that has begun before its request was sent.
    pub(super) fn uploading(incoming: Incoming, upload: Upload) -> Self {
        if !incoming.is_end_stream() {
            return Self::new(incoming, Some(Held::Upload(upload)));
        }
        upload.end_response();
        Self::new(incoming, None)
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(Held::Http1(connection, _)) = &mut self.held else {
            return Pin::new(&mut self.incoming).poll_frame(cx);
        };
        // Only the connection produces frames, and it is polled here. So the frames need no waker.
        let silent = &mut Context::from_waker(Waker::noop());
        connection.rest();
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(silent) {
            return Poll::Ready(frame);
        }
        connection.drive(cx);
        let incoming = &mut self.incoming;
        connection.quietly(cx, || Pin::new(incoming).poll_frame(silent))
    }

    /// Gives up the connection at the end of the body.
    fn finish(&mut self, cx: &mut Context<'_>) {
        match self.held.take() {
            Some(Held::Http1(mut connection, connections)) => {
                connection.drive(cx);
                connections.after_response(connection);
            }
            Some(Held::Upload(upload)) => upload.end_response(),
            #[cfg(feature = "http2")]
            Some(Held::Http2(_)) => {}
            None => {}
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(self.poll_incoming(cx));
        match &frame {
            Some(Ok(frame)) if frame.is_data() && !self.incoming.is_end_stream() => {}
            Some(Err(_)) => match self.held.take() {
                Some(Held::Http1(connection, _)) => connection.close_because(CloseReason::Failed),
                Some(Held::Upload(upload)) => upload.fail(),
                _ => {}
            },
            _ => self.finish(cx),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| Error::Body(error.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("size_hint", &self.size_hint()).finish_non_exhaustive()
    }
}
