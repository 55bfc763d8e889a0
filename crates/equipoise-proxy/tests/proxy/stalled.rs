//! Bodies that send some frames and then nothing more.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Sends each of the frames after a pause, and then waits for ever.
pub(crate) struct Stalled {
    frames: VecDeque<&'static str>,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    length: Option<u64>,
}

impl Stalled {
    pub(crate) fn after(frames: &[&'static str], pause: Duration) -> Self {
        Self { frames: frames.iter().copied().collect(), pause, sleep: None, length: None }
    }

    /// Tells that the whole body has this length.
    pub(crate) fn of_length(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }
}

impl Body for Stalled {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.frames.is_empty() {
            return Poll::Pending;
        }
        let pause = self.pause;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(pause)));
        std::task::ready!(sleep.as_mut().poll(cx));
        self.sleep = None;
        Poll::Ready(self.frames.pop_front().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
