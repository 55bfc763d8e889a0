use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use equipoise_core::{Lease, PickError};
use tokio::time::{Sleep, sleep};

/// A request that waits for an endpoint, perhaps several times; it has one deadline for all of them.
pub(super) struct Waiting {
    deadline: Pin<Box<Sleep>>,
    room: Option<Room>,
}

/// Ends when there may be room.
pub(super) type Room = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Waiting {
    pub(super) fn new(longest: Duration) -> Self {
        Self { deadline: Box::pin(sleep(longest)), room: None }
    }

    /// Picks as soon as somebody can be picked, or gives up with the last reason when time has run out.
    pub(super) fn poll<T: Send + Sync + 'static>(
        &mut self,
        cx: &mut Context<'_>,
        room: impl Fn() -> Room,
        pick: impl Fn() -> Result<Lease<T>, PickError>,
    ) -> Poll<Result<Lease<T>, PickError>> {
        loop {
            // Listens before it picks, so that what happens in between wakes it.
            let room = self.room.get_or_insert_with(&room);
            let refused = match pick() {
                Err(error) if error.is_temporary() => error,
                settled => {
                    // Who has stopped waiting must not be woken in another's stead.
                    self.room = None;
                    return Poll::Ready(settled);
                }
            };
            if room.as_mut().poll(cx).is_ready() {
                self.room = None;
            } else if self.deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(refused));
            } else {
                return Poll::Pending;
            }
        }
    }
}
