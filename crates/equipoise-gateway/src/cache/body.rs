use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{sharing::fill::Reader, store};

pin_project! {
    /// The body of a response of the cache: one of the inner service, a stored one or parts of it, or one that is
    /// being received for several clients.
    ///
    /// The bytes of a stored body are shared, not copied. Its errors are those of the inner body, or a
    /// [`CacheError`](super::CacheError) if the body is received for several clients.
    #[derive(Debug)]
    pub struct CacheBody<R> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    #[project = KindProject]
    #[derive(Debug)]
    enum Kind<R> {
        Inner { #[pin] body: R },
        Stored { stored: Stored },
        Multipart { parts: Multipart },
        Own { bytes: Bytes },
        Filling { reader: Reader },
    }
}

/// A part of a stored body.
#[derive(Debug)]
struct Stored {
    body: store::Body,
    /// The next piece.
    index: usize,
    /// The bytes to skip.
    skip: u64,
    /// The bytes to send.
    left: u64,
}

impl Stored {
    fn next(&mut self) -> Option<Bytes> {
        while self.left > 0 {
            let chunk = self.body.chunks().get(self.index)?;
            self.index += 1;
            let len = chunk.len() as u64;
            if self.skip >= len {
                self.skip -= len;
                continue;
            }
            let end = self.skip.saturating_add(self.left).min(len);
            // Both are at most the length of the chunk, so they fit.
            let part = chunk.slice(usize::try_from(self.skip).ok()?..usize::try_from(end).ok()?);
            self.skip = 0;
            self.left -= part.len() as u64;
            return Some(part);
        }
        None
    }
}

/// Parts of a stored body with a text in front of each, and one at the end.
#[derive(Debug)]
struct Multipart {
    pieces: VecDeque<Piece>,
    /// The bytes to send.
    left: u64,
}

#[derive(Debug)]
enum Piece {
    Text(Bytes),
    Stored(Stored),
}

impl Multipart {
    fn next(&mut self) -> Option<Bytes> {
        loop {
            let bytes = match self.pieces.front_mut()? {
                Piece::Text(bytes) => std::mem::take(bytes),
                Piece::Stored(stored) => stored.next().unwrap_or_default(),
            };
            if !bytes.is_empty() {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                return Some(bytes);
            }
            self.pieces.pop_front();
        }
    }
}

impl<R> CacheBody<R> {
    pub(super) fn inner(body: R) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(super) fn own(bytes: Bytes) -> Self {
        Self { kind: Kind::Own { bytes } }
    }

    pub(super) fn empty() -> Self {
        Self::own(Bytes::new())
    }

    pub(super) fn filling(reader: Reader) -> Self {
        Self { kind: Kind::Filling { reader } }
    }

    /// A stored body from a byte on, of a length that the caller has checked.
    pub(super) fn stored(body: store::Body, skip: u64, left: u64) -> Self {
        Self { kind: Kind::Stored { stored: Stored { body, index: 0, skip, left } } }
    }

    /// Several parts of a stored body: the text in front of each, its first byte and its length, which the caller has
    /// checked. `end` follows the last one. Returns the length of all that too.
    pub(super) fn multipart(
        body: &store::Body,
        parts: impl Iterator<Item = (Bytes, u64, u64)>,
        end: Bytes,
    ) -> (Self, u64) {
        let mut left = end.len() as u64;
        let mut pieces = VecDeque::new();
        for (text, skip, len) in parts {
            left += text.len() as u64 + len;
            pieces.push_back(Piece::Text(text));
            pieces.push_back(Piece::Stored(Stored { body: body.clone(), index: 0, skip, left: len }));
        }
        pieces.push_back(Piece::Text(end));
        (Self { kind: Kind::Multipart { parts: Multipart { pieces, left } } }, left)
    }
}

impl<R> Body for CacheBody<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProject::Inner { body } => {
                Poll::Ready(ready!(body.poll_frame(cx)).map(|frame| frame.map_err(Into::into)))
            }
            KindProject::Stored { stored } => Poll::Ready(stored.next().map(|chunk| Ok(Frame::data(chunk)))),
            KindProject::Multipart { parts } => Poll::Ready(parts.next().map(|bytes| Ok(Frame::data(bytes)))),
            KindProject::Own { bytes } if bytes.is_empty() => Poll::Ready(None),
            KindProject::Own { bytes } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            KindProject::Filling { reader } => reader.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Stored { stored } => stored.left == 0,
            Kind::Multipart { parts } => parts.left == 0,
            Kind::Own { bytes } => bytes.is_empty(),
            Kind::Filling { reader } => reader.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Stored { stored } => SizeHint::with_exact(stored.left),
            Kind::Multipart { parts } => SizeHint::with_exact(parts.left),
            Kind::Own { bytes } => SizeHint::with_exact(bytes.len() as u64),
            Kind::Filling { reader } => reader.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};
    use proptest::prelude::*;

    use super::*;

    fn collect(body: CacheBody<Empty<Bytes>>) -> Bytes {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(body.collect()).expect("no error").to_bytes()
    }

    proptest! {
        #[test]
        fn a_part_of_a_stored_body_has_its_bytes(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..6), 0..6),
            skip in 0..40_usize,
            left in 0..40_usize,
        ) {
            let all = chunks.concat();
            let body = store::Body::new(chunks.into_iter().map(Bytes::from));
            let (skip, left) = (skip.min(all.len()), left.min(all.len() - skip.min(all.len())));
            let part = CacheBody::stored(body, skip as u64, left as u64);
            prop_assert_eq!(part.size_hint().exact(), Some(left as u64));
            prop_assert_eq!(&collect(part)[..], &all[skip..skip + left]);
        }
    }
}
