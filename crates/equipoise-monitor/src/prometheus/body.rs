use std::{
    convert::Infallible,
    fmt, mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::pieces::Pieces;

/// The size from which a piece of the text is sent.
const FRAME: usize = 64 * 1024;

/// The body of a response with metrics. The text is produced while it is read.
pub struct MetricsBody {
    /// `None`: everything was produced.
    pieces: Option<Pieces>,
    text: String,
    /// Whether other tasks should run before the next piece is produced.
    pauses: bool,
}

impl MetricsBody {
    pub(super) fn empty() -> Self {
        Self { pieces: None, text: String::new(), pauses: false }
    }

    pub(super) fn text(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::empty() }
    }

    pub(super) fn pieces(pieces: Pieces) -> Self {
        Self { pieces: Some(pieces), ..Self::empty() }
    }
}

impl Body for MetricsBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = self.get_mut();
        if mem::take(&mut body.pauses) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while body.text.len() < FRAME
            && let Some(pieces) = &mut body.pieces
        {
            if !pieces.write(&mut body.text) {
                body.pieces = None;
            }
        }
        if body.text.is_empty() {
            return Poll::Ready(None);
        }
        body.pauses = body.pieces.is_some();
        Poll::Ready(Some(Ok(Frame::data(mem::take(&mut body.text).into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_none() && self.text.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.pieces {
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.text.len() as u64),
        }
    }
}

impl fmt::Debug for MetricsBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsBody").field("ended", &self.is_end_stream()).finish_non_exhaustive()
    }
}
