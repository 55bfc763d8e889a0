//! The stream of updates: server-sent events.

mod feed;
mod places;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::watch, time::Instant};

pub(super) use self::feed::Feed;
use self::places::{Place, Places};
use super::state::Seen;

/// How often a stream without changes sends a comment. Proxies close connections on which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// All streams of a page.
#[derive(Clone)]
pub(super) struct Streams {
    feed: Arc<Feed>,
    places: Arc<Places>,
    closed: Closed,
}

/// Whether a page is closed. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Closed(Arc<watch::Sender<bool>>);

impl Closed {
    pub(super) fn close(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the page is closed.
    async fn closed(&self) {
        // The sender is not dropped while this waits.
        let _ = self.0.subscribe().wait_for(|is_closed| *is_closed).await;
    }
}

impl Streams {
    pub(super) fn new(feed: Arc<Feed>, max: usize, closed: Closed) -> Self {
        Self { feed, places: Arc::new(Places::new(max)), closed }
    }

    /// Starts a stream. Returns `None` if there are too many.
    pub(super) fn start(&self) -> Option<Updates> {
        let place = self.places.take()?;
        let (feed, closed) = (Arc::clone(&self.feed), self.closed.clone());
        let stream = Stream { place, feed, closed, seen: None, keep_alive: Instant::now() + KEEP_ALIVE };
        Some(Updates { next: Some(Box::pin(next(stream))) })
    }
}

type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Stream)>> + Send + Sync>>;

/// The messages of one stream.
pub(super) struct Updates {
    next: Option<Next>,
}

impl Updates {
    /// Returns the next message. `None`: the stream has ended.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let Poll::Ready(message) = next.as_mut().poll(cx) else { return Poll::Pending };
        let (message, stream) = message.unzip();
        self.next = stream.map(|stream| -> Next { Box::pin(self::next(stream)) });
        Poll::Ready(message)
    }
}

struct Stream {
    place: Place,
    feed: Arc<Feed>,
    closed: Closed,
    /// What the client has. `None` before the first message.
    seen: Option<Seen>,
    /// When the next keep-alive is due.
    keep_alive: Instant,
}

/// Waits until there is something new, and returns it. The future is polled only when the client can take it.
async fn next(mut stream: Stream) -> Option<(Bytes, Stream)> {
    stream.place.poll();
    let feed = Arc::clone(&stream.feed);
    let text = tokio::select! {
        biased;
        () = stream.place.displaced() => return None,
        () = stream.closed.closed() => return None,
        message = async {
            match stream.seen {
                None => feed.message(None).await,
                Some(seen) => feed.newer(seen).await,
            }
        } => {
            let message = message?;
            stream.seen = Some(message.seen);
            message.text
        }
        () = tokio::time::sleep_until(stream.keep_alive) => Bytes::from_static(b": keep-alive\n\n"),
    };
    stream.place.poll();
    stream.keep_alive = Instant::now() + KEEP_ALIVE;
    Some((text, stream))
}
