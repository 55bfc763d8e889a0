//! Whether an endpoint still takes requests, for holders of long leases on it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Availability, Endpoint};
use crate::sync::{AtomicU32, Event, Ordering};

/// How far an endpoint has got on its way out of the pool. The last stage is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Serving,
    Draining,
    Closed,
    Removed,
}

impl From<Availability> for Stage {
    fn from(availability: Availability) -> Self {
        match availability {
            Availability::Draining => Self::Draining,
            Availability::Maintenance => Self::Closed,
            Availability::Up | Availability::Unhealthy | Availability::Probation => Self::Serving,
        }
    }
}

/// The stage of one endpoint. Written by the pool when it publishes a change, read by [`Closing`].
#[derive(Default)]
pub(crate) struct Departure {
    stage: AtomicU32,
    moved: Event,
}

impl Departure {
    pub(crate) fn set(&self, stage: Stage) {
        let stage = stage as u32;
        // Changes are published one after the other. Most of them change nothing about most endpoints.
        if self.stage.load(Ordering::Relaxed) != stage {
            self.stage.store(stage, Ordering::SeqCst);
            self.moved.wake_all();
        }
    }

    fn has_reached(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::SeqCst) >= stage as u32
    }
}

/// A future that ends when the endpoint of a lease is on its way out: see [`Lease::draining`](crate::Lease::draining) and
/// [`Lease::closing`](crate::Lease::closing).
///
/// Needs no runtime. It does not hold the lease, but keeps the endpoint's target until it is dropped.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Closing(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl Closing {
    pub(crate) fn of(endpoint: &Arc<Endpoint>, stage: Stage) -> Self {
        Self(Box::pin(reached(Arc::clone(endpoint), stage)))
    }
}

async fn reached(endpoint: Arc<Endpoint>, stage: Stage) {
    loop {
        let listener = endpoint.departure.moved.listen();
        if endpoint.departure.has_reached(stage) {
            return;
        }
        listener.await;
    }
}

impl Future for Closing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").finish_non_exhaustive()
    }
}
