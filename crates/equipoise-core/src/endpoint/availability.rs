//! Which requests an endpoint accepts, and futures that end when it stops accepting them.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::sync::{AtomicU32, Event, Ordering};

/// Which requests an endpoint accepts. Health checks, outlier detection and operators set it; a pool never changes it
/// by itself.
///
/// | availability | picked by the strategy | accepts requests that are bound to it or prefer it |
/// | --- | --- | --- |
/// | `Up`, weight above 0 | yes | yes |
/// | `Up`, weight 0 | no | yes |
/// | `Unhealthy` | only in a [panic](crate::PoolBuilder::panic_threshold) | only in a panic |
/// | `Probation`, weight above 0 | one lease | only as that one lease |
/// | `Draining` | no | yes |
/// | `Maintenance` | no | no |
///
/// A [forced](crate::Binding::forced) binding is accepted in every state. Leases that are out stay valid when the
/// availability changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Availability {
    /// The endpoint accepts all requests. This is the default.
    #[default]
    Up,
    /// A health check or outlier detection has taken the endpoint out. It accepts no requests, except in a
    /// [panic](crate::PoolBuilder::panic_threshold): when too many endpoints of its tier are unhealthy, the tier
    /// ignores health.
    Unhealthy,
    /// The endpoint was unhealthy and may have recovered: the result of one request decides.
    ///
    /// The pool gives out one lease. If the lease gets a [verdict](crate::Lease::record) other than
    /// [`Neutral`](crate::Verdict::Neutral), the probation is over, and the endpoint accepts no further request until
    /// its availability is set again. Setting `Probation` again starts a new probation.
    ///
    /// The pool offers the lease to the next request that reaches the endpoint's tier, is not
    /// [bound](crate::PickRequest::bound) to another endpoint and does not exclude this one. The offer does not depend
    /// on the strategy or on the request's key. If that lease ends without a verdict and without a first byte, or with
    /// `Neutral`, the next request that the strategy sends here, or that is bound here, gets the lease. The pool offers
    /// it again after 8 further picks, and after each further offer without a verdict waits twice as long, up to 1,024
    /// picks: an endpoint that never responds gets few requests, and is not forgotten. A lease that ends without a
    /// verdict after the first byte counts as a success.
    ///
    /// In a [panic](crate::PoolBuilder::panic_threshold), and when endpoints are counted for a panic or for
    /// [spillover](crate::Spillover), an endpoint on probation is treated as unhealthy.
    Probation,
    /// The endpoint finishes its existing sessions. It accepts only requests that are
    /// [bound](crate::PickRequest::bound) to it or [prefer](crate::PickRequest::prefer) it.
    Draining,
    /// An operator or an agent has taken the endpoint out. It accepts no requests.
    Maintenance,
}

impl Availability {
    /// The state as a stable label for metrics and logs. The same as its `Display` and its form in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unhealthy => "unhealthy",
            Self::Probation => "probation",
            Self::Draining => "draining",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far an endpoint is on its way out of the pool. `Removed` is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Serving,
    Draining,
    Maintenance,
    Removed,
}

impl From<Availability> for Stage {
    fn from(availability: Availability) -> Self {
        match availability {
            Availability::Draining => Self::Draining,
            Availability::Maintenance => Self::Maintenance,
            Availability::Up | Availability::Unhealthy | Availability::Probation => Self::Serving,
        }
    }
}

/// The [`Stage`] of one endpoint. The pool writes it when it publishes a change; [`Closing`] reads it.
#[derive(Default)]
pub(crate) struct Departure {
    stage: AtomicU32,
    changed: Event,
}

impl Departure {
    pub(crate) fn set(&self, stage: Stage) {
        let stage = stage as u32;
        // Only one thread at a time publishes changes, so a load and a store suffice. Most changes concern few
        // endpoints.
        if self.stage.load(Ordering::Relaxed) != stage {
            self.stage.store(stage, Ordering::SeqCst);
            self.changed.wake_all();
        }
    }

    /// Waits until this stage or a later one is reached.
    pub(crate) fn reaches(self: &Arc<Self>, stage: Stage) -> Closing {
        Closing(Box::pin(reached(Arc::clone(self), stage)))
    }
}

async fn reached(departure: Arc<Departure>, stage: Stage) {
    loop {
        let listener = departure.changed.listen();
        if departure.stage.load(Ordering::SeqCst) >= stage as u32 {
            return;
        }
        listener.await;
    }
}

/// A future that ends when the endpoint of a lease stops accepting requests: see
/// [`Lease::draining`](crate::Lease::draining) and [`Lease::closing`](crate::Lease::closing).
///
/// It works on every async runtime. It keeps neither the lease nor the endpoint alive.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Closing(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

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
