use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::Pool;
use crate::{endpoint::EndpointId, load::Handle};

/// Ends when an endpoint has no lease out: see [`Pool::idle`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Idle {
    emptied: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    handles: Arc<[Arc<Handle>]>,
}

impl<T> Pool<T> {
    /// Waits until no lease is out on the endpoint that has this id now. Needs no runtime, and takes no time of the
    /// leases of endpoints that nobody waits for.
    ///
    /// It is that endpoint which is waited for, also if it is removed meanwhile or another one comes under its id: so call
    /// this before [`remove`](Self::remove), and await it after. An id that the pool does not have has no leases: at once.
    ///
    /// An endpoint that still takes work may be idle for a moment only; [drain](Self::drain), close or remove it first.
    /// A pick that was under way on another thread just then may still lead there. Until it ends, the future keeps the
    /// endpoint's target.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// let lease = pool.pick(&PickRequest::new())?;
    /// let idle = pool.idle("a:80");
    /// pool.remove("a:80")?;
    /// drop(lease);
    /// futures::executor::block_on(idle);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn idle(&self, id: impl Into<EndpointId>) -> Idle {
        let snapshot = self.shared.snapshot.load();
        let members = snapshot.members();
        let slot = members.index.get(&id.into());
        let handle = |stripe| slot.and_then(|&slot| members.handle(slot, stripe)).map(Arc::clone);
        let handles: Arc<[Arc<Handle>]> = (0..self.shared.stripes).filter_map(handle).collect();
        Idle { emptied: Box::pin(emptied(Arc::clone(&handles))), handles }
    }
}

impl Idle {
    /// The number of leases that are out on the endpoint which is waited for, also after it has left the pool.
    pub fn in_flight(&self) -> u32 {
        self.handles.iter().map(|handle| handle.in_flight()).fold(0, u32::saturating_add)
    }
}

async fn emptied(handles: Arc<[Arc<Handle>]>) {
    let Some(endpoint) = handles.first().map(|handle| &handle.endpoint) else { return };
    loop {
        let listener = endpoint.emptied.listen();
        // Each is counted as it is when it starts to be watched. Whatever leaves later says so.
        if handles.iter().map(|handle| u64::from(handle.watch())).sum::<u64>() == 0 {
            return;
        }
        listener.await;
    }
}

impl Future for Idle {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.emptied.as_mut().poll(cx)
    }
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").finish_non_exhaustive()
    }
}
