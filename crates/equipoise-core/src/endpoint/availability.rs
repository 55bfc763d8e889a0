//! The availability of an endpoint (which requests it accepts), and futures that end when it stops accepting requests.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::sync::{AtomicU32, Event, Ordering};

/// Which requests an endpoint accepts. Health checks, outlier detection and operators set the availability. A pool
/// never changes it by itself.
///
/// | availability | picked by the strategy | accepts requests that are bound to it or prefer it |
/// | --- | --- | --- |
/// | `Up`, weight above 0 | yes | yes |
/// | `Up`, weight 0 | no | yes |
/// | `Unhealthy` | only in a [panic](crate::PoolBuilder::panic_threshold) | only in a panic |
/// | `Probation`, weight above 0 | for one request | for one request (one in total for both columns) |
/// | `Draining` | no | yes |
/// | `Maintenance` | no | no |
///
/// A [forced](crate::Binding::forced) binding is accepted in every state. Existing leases stay valid when the
/// availability changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Availability {
    /// The endpoint accepts all requests. This is the default.
    #[default]
    Up,
    /// A health check or outlier detection has found the endpoint unhealthy. It accepts no requests, except in a
    /// [panic](crate::PoolBuilder::panic_threshold): if too many endpoints of its tier (priority group) are unhealthy,
    /// the pool ignores health in this tier.
    Unhealthy,
    /// The endpoint was unhealthy and may have recovered. It gets a single request, and the result of this request
    /// decides whether the endpoint has recovered.
    ///
    /// The pool gives out one lease of the endpoint. When this lease gets a [verdict](crate::Lease::record) other than
    /// [`Neutral`](crate::Verdict::Neutral), the probation is over. If the lease ends without a verdict after the first
    /// byte of the response, this counts as a success. After the probation, the endpoint accepts no request until its
    /// availability is set again. Setting `Probation` again starts a new probation.
    ///
    /// The pool sends the next request that reaches the endpoint's tier (priority group) to the endpoint, whatever the
    /// strategy would pick and whatever the request's key is. Exception: the pool leaves out requests that exclude the
    /// endpoint or are [bound](crate::PickRequest::bound) to another endpoint.
    ///
    /// A lease decides nothing if it ends with `Neutral`, or if it ends without a verdict and without a first byte.
    /// Another request then gets a lease, in one of these ways:
    ///
    /// - The strategy sends a request to the endpoint, or a request is bound to the endpoint.
    /// - After 8 further picks, the pool again sends the next request to the endpoint, as at the start of the
    ///   probation. Each time such a request ends without a verdict, the number of picks before the next one doubles,
    ///   up to 1024. An endpoint that never responds therefore gets few requests, but is still tried.
    ///
    /// An endpoint on probation counts as unhealthy when the pool decides on a
    /// [panic](crate::PoolBuilder::panic_threshold) or on [spillover](crate::Spillover).
    Probation,
    /// The endpoint finishes its existing sessions. It accepts only requests that are
    /// [bound](crate::PickRequest::bound) to it or [prefer](crate::PickRequest::prefer) it.
    Draining,
    /// An operator or an agent has set the endpoint to maintenance. It accepts no requests.
    Maintenance,
}

impl Availability {
    /// Returns the availability as a stable label for metrics and logs, such as `maintenance`. The `Display` form and
    /// the form in configuration files are the same text.
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

/// How far the removal of an endpoint from the pool has progressed. `Removed` is final.
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

/// The [`Stage`] of one endpoint. The pool sets it when it publishes a change. [`Closing`] reads it.
#[derive(Default)]
pub(crate) struct Departure {
    stage: AtomicU32,
    changed: Event,
}

impl Departure {
    pub(crate) fn set(&self, stage: Stage) {
        let stage = stage as u32;
        // Only one thread at a time publishes changes, so a load and a store suffice. The load avoids a write for
        // endpoints that a change does not concern.
        if self.stage.load(Ordering::Relaxed) != stage {
            self.stage.store(stage, Ordering::SeqCst);
            self.changed.wake_all();
        }
    }

    /// Returns a future that waits until this stage or a later one is reached.
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

/// A future that ends when the endpoint of a lease stops accepting requests. Returned by
/// [`Lease::draining`](crate::Lease::draining) and [`Lease::closing`](crate::Lease::closing).
///
/// It works on every async runtime. It does not keep the lease or the endpoint alive.
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
