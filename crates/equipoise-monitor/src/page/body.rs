use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::stream::Updates;

/// The body of a response of a [`StatusPage`](super::StatusPage): bytes, or the stream of updates.
///
/// The stream makes the next update when the server asks for it. A reader that is slow gets fewer updates, with the
/// changes of several seconds in each.
pub struct PageBody(Content);

enum Content {
    Whole(Option<Bytes>),
    Updates(Box<Updates>),
    /// No bytes, as if there could be some: the body in an answer to HEAD whose length is not known.
    Unknown,
}

impl PageBody {
    pub(super) fn updates(updates: Updates) -> Self {
        Self(Content::Updates(Box::new(updates)))
    }

    pub(super) const fn unknown() -> Self {
        Self(Content::Unknown)
    }
}

impl From<Bytes> for PageBody {
    fn from(bytes: Bytes) -> Self {
        Self(Content::Whole((!bytes.is_empty()).then_some(bytes)))
    }
}

impl Default for PageBody {
    /// Creates an empty body.
    fn default() -> Self {
        Self(Content::Whole(None))
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut self.0 {
            Content::Whole(bytes) => bytes.take(),
            Content::Unknown => None,
            Content::Updates(updates) => match updates.poll_next(cx) {
                Poll::Ready(message) => message,
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Content::Updates(_) | Content::Unknown => SizeHint::default(),
        }
    }
}

impl fmt::Debug for PageBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Content::Whole(_) => "PageBody(bytes)",
            Content::Updates(_) | Content::Unknown => "PageBody(updates)",
        })
    }
}
