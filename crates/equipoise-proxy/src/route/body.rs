use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::mpsc;

/// The maximum number of frames that wait for a mirror.
const MAX_FRAMES: usize = 256;

pin_project! {
    /// The body of a request behind a [`Router`](super::Router): that of the client, or a copy of it for a
    /// [`Mirror`](super::Mirror).
    #[derive(Debug)]
    pub struct RouteBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProject]
    #[derive(Debug)]
    enum Kind<B> {
        Client {
            #[pin]
            body: B,
            copy: Option<Sender>,
        },
        Copy { pieces: Option<Receiver>, exact: Option<u64> },
    }
}

#[derive(Debug)]
enum Piece {
    Frame(Frame<Bytes>),
    /// The body is complete.
    End,
}

#[derive(Debug)]
struct Sender {
    pieces: mpsc::Sender<Piece>,
    /// The number of bytes that wait for the mirror.
    waiting: Arc<AtomicUsize>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Receiver {
    pieces: mpsc::Receiver<Piece>,
    waiting: Arc<AtomicUsize>,
}

/// Why the body of a request behind a [`Router`](super::Router) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteBodyError {
    /// The body of the client failed.
    #[error("the body of the request failed")]
    Client(#[source] BoxError),
    /// The copy for a mirror is incomplete, because the mirror reads too slowly or the client's body was given up.
    #[error("the copy of the body is incomplete")]
    Incomplete,
}

impl RouteBodyError {
    /// Returns this error as a stable label for metrics and logs: `client` or `incomplete`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Incomplete => "incomplete",
        }
    }
}

impl<B: Body<Data = Bytes>> RouteBody<B> {
    /// Forwards a body.
    pub(super) fn client(body: B) -> Self {
        Self { kind: Kind::Client { body, copy: None } }
    }

    /// Returns a body and its copy. `max_bytes` is the maximum number of bytes that wait for the copy to be read.
    pub(super) fn copied(body: B, max_bytes: usize) -> (Self, Self) {
        let exact = body.size_hint().exact();
        if body.is_end_stream() {
            return (Self::client(body), Self { kind: Kind::Copy { pieces: None, exact } });
        }
        let (sender, receiver) = mpsc::channel(MAX_FRAMES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let sender = Sender { pieces: sender, waiting: Arc::clone(&waiting), max_bytes };
        let pieces = Some(Receiver { pieces: receiver, waiting });
        (Self { kind: Kind::Client { body, copy: Some(sender) } }, Self { kind: Kind::Copy { pieces, exact } })
    }
}

impl Sender {
    /// Copies a frame. Returns false if the copy must end.
    fn frame(&self, frame: &Frame<Bytes>) -> bool {
        let copy = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => {
                let before = self.waiting.fetch_add(data.len(), Ordering::Relaxed);
                if before.saturating_add(data.len()) > self.max_bytes {
                    return false;
                }
                // A clone would keep the whole buffer of the connection, of which the frame may be one byte.
                Frame::data(Bytes::copy_from_slice(data))
            }
            (None, Some(trailers)) => Frame::trailers(trailers.clone()),
            (None, None) => return true,
        };
        self.pieces.try_send(Piece::Frame(copy)).is_ok()
    }

    fn end(self) {
        // If the channel is full, the copy stays incomplete.
        let _ = self.pieces.try_send(Piece::End);
    }
}

impl<B: Body<Data = Bytes>> Body for RouteBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = RouteBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RouteBodyError>>> {
        match self.project().kind.project() {
            KindProject::Client { mut body, copy } => {
                let frame = ready!(body.as_mut().poll_frame(cx));
                if let Some(sender) = copy {
                    let goes_on = match &frame {
                        Some(Ok(frame)) => sender.frame(frame),
                        Some(Err(_)) => false,
                        None => true,
                    };
                    if !goes_on {
                        *copy = None;
                    } else if frame.is_none() || body.is_end_stream() {
                        // The reader may stop polling here.
                        if let Some(sender) = copy.take() {
                            sender.end();
                        }
                    }
                }
                Poll::Ready(frame.map(|frame| frame.map_err(|error| RouteBodyError::Client(error.into()))))
            }
            KindProject::Copy { pieces: None, .. } => Poll::Ready(None),
            KindProject::Copy { pieces: pieces @ Some(_), .. } => {
                let piece = match pieces {
                    Some(receiver) => ready!(receiver.pieces.poll_recv(cx)),
                    None => None,
                };
                match piece {
                    Some(Piece::Frame(frame)) => {
                        if let (Some(receiver), Some(data)) = (pieces, frame.data_ref()) {
                            receiver.waiting.fetch_sub(data.len(), Ordering::Relaxed);
                        }
                        Poll::Ready(Some(Ok(frame)))
                    }
                    Some(Piece::End) => {
                        *pieces = None;
                        Poll::Ready(None)
                    }
                    None => Poll::Ready(Some(Err(RouteBodyError::Incomplete))),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Client { body, .. } => body.is_end_stream(),
            Kind::Copy { pieces, .. } => pieces.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Client { body, .. } => body.size_hint(),
            Kind::Copy { exact, .. } => exact.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn copies_are_complete() {
        let (client, copy) = RouteBody::copied(Full::from("body"), 4);
        assert_eq!(copy.size_hint().exact(), Some(4));
        assert_eq!(client.collect().await.expect("a body").to_bytes(), "body");
        assert_eq!(copy.collect().await.expect("a body").to_bytes(), "body");
        let (client, copy) = RouteBody::copied(Full::<Bytes>::default(), 0);
        assert!(client.is_end_stream() && copy.is_end_stream());
    }

    #[tokio::test]
    async fn a_copy_that_is_not_read_in_time_fails_and_the_client_does_not_notice() {
        let (client, copy) = RouteBody::copied(Full::from("body"), 3);
        assert_eq!(client.collect().await.expect("a body").to_bytes(), "body");
        assert_eq!(copy.collect().await.expect_err("incomplete").to_string(), "the copy of the body is incomplete");
    }

    #[tokio::test]
    async fn a_copy_does_not_keep_the_buffer_of_the_client() {
        let buffer = Bytes::from(vec![b'x'; 8192]);
        let (client, copy) = RouteBody::copied(Full::new(buffer.slice(..1)), 1);
        assert_eq!(client.collect().await.expect("a body").to_bytes(), "x");
        assert!(buffer.is_unique());
        assert_eq!(copy.collect().await.expect("a body").to_bytes(), "x");
    }

    #[tokio::test]
    async fn the_copy_of_a_body_that_is_given_up_is_incomplete() {
        let (client, copy) = RouteBody::copied(Full::from("body"), 4);
        drop(client);
        assert!(copy.collect().await.is_err());
    }
}
