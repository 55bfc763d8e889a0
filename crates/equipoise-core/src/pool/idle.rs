use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Pool, Shared};
use crate::{
    endpoint::{Endpoint, EndpointId},
    load::Handle,
};

/// Ends when an endpoint has no lease out: see [`Pool::idle`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Idle {
    emptied: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    leases: Option<Arc<Leases>>,
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
        let endpoint = snapshot.members().index.get(&id.into()).and_then(|&slot| snapshot.members().get(slot));
        let leases = endpoint.map(|member| Leases::of(&self.shared, &member.endpoint)).map(Arc::new);
        Idle { emptied: Box::pin(emptied(leases.clone())), leases }
    }
}

impl Idle {
    /// The number of leases that are out on the endpoint which is waited for, also after it has left the pool.
    pub fn in_flight(&self) -> u32 {
        self.leases.as_ref().map_or(0, |leases| {
            leases.handles().iter().map(|handle| handle.own_in_flight()).fold(0, u32::saturating_add)
        })
    }
}

/// The leases of one endpoint, with all of its targets.
struct Leases {
    shared: Arc<Shared>,
    endpoint: Arc<Endpoint>,
    /// The handles at the beginning: those of an endpoint that has left the pool.
    known: Vec<Arc<Handle>>,
}

impl Leases {
    fn of(shared: &Arc<Shared>, endpoint: &Arc<Endpoint>) -> Self {
        Self { known: shared.handles(endpoint), shared: Arc::clone(shared), endpoint: Arc::clone(endpoint) }
    }

    /// Every handle once. An endpoint that has got another target since the beginning has more than it had.
    fn handles(&self) -> Vec<Arc<Handle>> {
        let mut all = self.shared.handles(&self.endpoint);
        let gone = |handle: &&Arc<Handle>| !all.iter().any(|now| Arc::ptr_eq(now, handle));
        let mut earlier: Vec<Arc<Handle>> = self.known.iter().filter(gone).cloned().collect();
        all.append(&mut earlier);
        all
    }
}

impl Shared {
    /// The handles of an endpoint, as long as it is a member.
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
        // Each handle is counted as it is when it starts to be watched. Leases that end later report it.
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
