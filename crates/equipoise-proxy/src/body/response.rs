use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{
    timer::{Elapsed, Timer},
    watch::ResponseWatch,
};
use crate::headers::strip_trailers;

pin_project! {
    /// The body of a response of a proxy: that of an endpoint, or one that the proxy made itself.
    ///
    /// An endpoint's body fails if it stalls longer than [`Timeouts::idle`](crate::Timeouts::idle), or if the request
    /// takes longer than [`Timeouts::total`](crate::Timeouts::total). The server must then abort the response.
    #[derive(Debug)]
    pub struct ProxyBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProject]
    #[derive(Debug)]
    enum Kind<B> {
        Endpoint {
            #[pin]
            body: B,
            first: First,
            timer: Timer,
            watch: Option<ResponseWatch>,
        },
        Own {
            data: Bytes,
        },
    }
}

/// What has been read of the body of a response before the response is forwarded.
#[derive(Debug)]
pub(crate) enum First {
    Unread,
    Frame(Frame<Bytes>),
    /// It has no frame.
    End,
}

impl<B> ProxyBody<B> {
    /// Creates a body with these bytes.
    pub fn from_bytes(data: Bytes) -> Self {
        Self { kind: Kind::Own { data } }
    }

    /// Creates an empty body.
    pub fn empty() -> Self {
        Self::from_bytes(Bytes::new())
    }

    /// Forwards the body of another service, of which `first` has been read. Frames of the request's body, which `watch`
    /// observes, count as progress.
    pub(crate) fn forward(
        body: B,
        first: First,
        idle: Option<Duration>,
        total: Option<Instant>,
        watch: Option<ResponseWatch>,
    ) -> Self {
        Self { kind: Kind::Endpoint { body, first, timer: Timer::new(idle, total), watch } }
    }

    /// Forwards the body of another service without limits.
    pub(crate) fn unlimited(body: B) -> Self {
        Self::forward(body, First::Unread, None, None, None)
    }
}

impl<B> Default for ProxyBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

/// Why the body of a response failed. The server must abort the response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyBodyError {
    /// The endpoint sent nothing for longer than [`Timeouts::idle`](crate::Timeouts::idle).
    #[error("the endpoint sent nothing more of its response in time")]
    Idle,
    /// The whole request took longer than [`Timeouts::total`](crate::Timeouts::total).
    #[error("the response was not completed in time")]
    Total,
    /// The connection to the endpoint broke, or the body is malformed.
    #[error("the body of the response failed")]
    Endpoint(#[source] BoxError),
}

impl ProxyBodyError {
    /// Returns this error as a stable label for metrics and logs: `idle`, `total` or `endpoint`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Total => "total",
            Self::Endpoint(_) => "endpoint",
        }
    }
}

impl From<Elapsed> for ProxyBodyError {
    fn from(elapsed: Elapsed) -> Self {
        match elapsed {
            Elapsed::Idle => Self::Idle,
            Elapsed::Total => Self::Total,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for ProxyBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = ProxyBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ProxyBodyError>>> {
        match self.project().kind.project() {
            KindProject::Own { data } if data.is_empty() => Poll::Ready(None),
            KindProject::Own { data } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(data))))),
            KindProject::Endpoint { mut body, first, timer, watch } => {
                let polled = match std::mem::replace(first, First::Unread) {
                    First::Unread => body.as_mut().poll_frame(cx),
                    First::Frame(frame) => Poll::Ready(Some(Ok(frame))),
                    First::End => {
                        *first = First::End;
                        Poll::Ready(None)
                    }
                };
                let frame = match polled {
                    Poll::Pending => {
                        let elapsed = ready!(timer.poll_elapsed(cx, watch.as_ref().map(|watch| watch.latest())));
                        Some(Err(elapsed.into()))
                    }
                    Poll::Ready(None) => None,
                    Poll::Ready(Some(Err(error))) => Some(Err(ProxyBodyError::Endpoint(error.into()))),
                    Poll::Ready(Some(Ok(mut frame))) => {
                        if let Some(trailers) = frame.trailers_mut() {
                            // Metadata of gRPC may have names with `_` and `.`, and nothing reads a response like CGI.
                            strip_trailers(trailers, false);
                        }
                        Some(timer.progress().map(|()| frame).map_err(Into::into))
                    }
                };
                // The reader may stop polling at the end of the stream without dropping the body.
                if !matches!(frame, Some(Ok(_))) || body.is_end_stream() {
                    *watch = None;
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Endpoint { body, first, .. } => match first {
                First::Unread => body.is_end_stream(),
                First::Frame(_) => false,
                First::End => true,
            },
            Kind::Own { data } => data.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            // Only chunked bodies are read before, and their length is not known.
            Kind::Endpoint { first: First::Frame(_), .. } => SizeHint::default(),
            Kind::Endpoint { body, .. } => body.size_hint(),
            Kind::Own { data } => SizeHint::with_exact(data.len() as u64),
        }
    }
}
