use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::state::{Pool, PoolInner};
use crate::{endpoint::Endpoint, ids::EndpointId, load::Handle};

/// A future that ends when an endpoint has no requests in flight. Dropping it ends the wait and has no other effect.
/// Returned by [`Pool::idle`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Idle {
    emptied: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    leases: Option<Arc<Leases>>,
}

impl<T> Pool<T> {
    /// Returns a future that ends when the endpoint with the id `id` has no requests in flight. The future ends at once
    /// if no endpoint of the pool has this id at the time of the call.
    ///
    /// If the endpoint is removed later, or if another endpoint gets its id, the future still waits for the first
    /// endpoint. Call this method before [`remove`](Self::remove), and await the future afterwards. The future keeps
    /// the endpoint's target alive until the wait ends. The future works on every async runtime. It adds no cost to
    /// requests to other endpoints.
    ///
    /// An endpoint that still gets requests may be without requests in flight only for a moment. To prevent this,
    /// [drain](Self::drain) the endpoint, set it to maintenance or remove it before the wait. Even then, a pick that
    /// another thread has started earlier may still send a request to the endpoint.
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
        let snapshot = self.inner.snapshot.load();
        let endpoint = snapshot.members().index.get(&id.into()).and_then(|&slot| snapshot.members().get(slot));
        let leases = endpoint.map(|member| Leases::of(&self.inner, &member.endpoint)).map(Arc::new);
        Idle { emptied: Box::pin(emptied(leases.clone())), leases }
    }
}

impl Idle {
    /// Returns the number of requests in flight at the endpoint for which this future waits. Works even after the
    /// endpoint has left the pool. 0 if the pool had no endpoint with the id that was passed to [`Pool::idle`].
    pub fn in_flight(&self) -> u32 {
        self.leases.as_ref().map_or(0, |leases| {
            leases.handles().iter().map(|handle| handle.own_in_flight()).fold(0, u32::saturating_add)
        })
    }
}

/// The leases on one endpoint, including those on its earlier targets.
struct Leases {
    pool: Arc<PoolInner>,
    endpoint: Arc<Endpoint>,
    /// The handles of the endpoint at the time when the future was created. They are needed after the endpoint has left
    /// the pool.
    known: Vec<Arc<Handle>>,
}

impl Leases {
    fn of(pool: &Arc<PoolInner>, endpoint: &Arc<Endpoint>) -> Self {
        Self { known: pool.handles(endpoint), pool: Arc::clone(pool), endpoint: Arc::clone(endpoint) }
    }

    /// Returns each handle of the endpoint once: those known at the start, and those of targets that were set later.
    fn handles(&self) -> Vec<Arc<Handle>> {
        let mut all = self.pool.handles(&self.endpoint);
        let gone = |handle: &&Arc<Handle>| !all.iter().any(|now| Arc::ptr_eq(now, handle));
        let mut earlier: Vec<Arc<Handle>> = self.known.iter().filter(gone).cloned().collect();
        all.append(&mut earlier);
        all
    }
}

impl PoolInner {
    /// Returns the handles of an endpoint. Empty if the endpoint is no longer in the pool.
    fn handles(&self, endpoint: &Arc<Endpoint>) -> Vec<Arc<Handle>> {
        let snapshot = self.snapshot.load();
        let of = |stripe| snapshot.members().handle(endpoint.slot(), stripe);
        let own = (0..self.stripes).filter_map(of).filter(|handle| Arc::ptr_eq(&handle.endpoint, endpoint));
        own.flat_map(Handle::with_earlier).collect()
    }
}

async fn emptied(leases: Option<Arc<Leases>>) {
    let Some(leases) = leases else { return };
    loop {
        let listener = leases.endpoint.emptied.listen();
        // `watch` returns the number of leases on the handle. Leases that end later notify the event.
        if leases.handles().iter().map(|handle| u64::from(handle.watch())).sum::<u64>() == 0 {
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
