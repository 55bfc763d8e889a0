use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use crate::{
    binding::BindingOutcome,
    endpoint::{Admission, Closing, Endpoint, LeaseHooks, Slot, Stage},
    load::{Ended, Handle},
    strategy::Needs,
    time::Timestamp,
    verdict::{Failure, Verdict},
};

/// The right to send one request to the endpoint that was picked for it. The request counts as in flight until the
/// lease is dropped.
///
/// The holder reports two events, and drops the lease at the end:
///
/// 1. the **first byte** of the response ([`first_byte`](Self::first_byte)): the time since the pick is the latency;
/// 2. the **verdict** ([`record`](Self::record)): when the head of the response has arrived, or for gRPC its trailers;
/// 3. the **release**, by dropping the lease: at the end of the response body, the stream or the session.
///
/// A lease that is dropped without a verdict was cancelled. If there was no first byte either, the strategy [is
/// told](crate::Strategy::on_abandon) how long the endpoint has not responded. If that says nothing about the endpoint
/// (because the request has no response, or was never sent), record [`Verdict::Neutral`] before dropping the lease.
///
/// The endpoint, its target and its counters exist at least as long as the lease, even if the endpoint or the pool is
/// removed.
///
/// ```
/// use equipoise_core::{EndpointSpec, Failure, PickRequest, Pool, Verdict};
///
/// let pool = Pool::default();
/// pool.add(EndpointSpec::new("a:80"), "a client")?;
/// let mut lease = pool.pick(&PickRequest::new())?;
/// assert_eq!(*lease.target(), "a client");
/// lease.first_byte();
/// // … the body breaks off:
/// lease.record(Verdict::Failure(Failure::Transport));
/// assert_eq!(pool.endpoints()[0].in_flight, 1);
/// drop(lease);
/// assert_eq!(pool.endpoints()[0].in_flight, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the lease ends the request"]
pub struct Lease<T> {
    inner: LeaseInner,
    target: PhantomData<fn() -> T>,
}

/// The target type of a lease whose target cannot be accessed: see [`Lease::without_target`].
#[derive(Debug)]
pub struct AnyTarget(PhantomData<*const ()>);

/// The endpoint that was selected for a request, before a lease on it is taken.
#[derive(Clone, Copy)]
pub(crate) struct Selection {
    pub(crate) slot: Slot,
    pub(crate) admission: Admission,
    /// What happened to the endpoint that the request is bound to or prefers.
    pub(crate) binding_outcome: BindingOutcome,
    /// Whether another endpoint is eligible.
    pub(crate) has_alternatives: bool,
}

/// A lease without the type of its target.
struct LeaseInner {
    handle: Arc<Handle>,
    picked_at: Timestamp,
    admission: Admission,
    binding_outcome: BindingOutcome,
    has_alternatives: bool,
    /// Copied from the strategy's needs, so that a lease without hooks need not read the memory of its endpoint.
    hooks: HookNeeds,
    /// Whether the latency has been taken, or no longer can be.
    timed: bool,
    /// Whether there is a verdict.
    judged: bool,
    /// How the lease is counted if it ends now.
    ended: Ended,
}

/// Which hooks of the strategy a lease calls.
#[derive(Clone, Copy)]
struct HookNeeds {
    latency: bool,
    /// Whether latencies are recorded in the pool's histograms.
    histogram: bool,
    outcomes: bool,
    leases: bool,
    /// Whether verdicts update the failing mark of the endpoint.
    failing: bool,
}

impl<T> Lease<T> {
    /// Takes a lease on the selected endpoint, which has admitted the request, and counts it as in flight.
    #[inline]
    pub(crate) fn take(
        handle: Arc<Handle>,
        selection: Selection,
        picked_at: Timestamp,
        needs: &Needs,
        histogram: bool,
    ) -> Self {
        handle.enter();
        let Needs { latency, outcomes, leases, caps_failing: failing, .. } = *needs;
        let hooks = HookNeeds { latency, histogram, outcomes, leases, failing };
        let Selection { admission, binding_outcome, has_alternatives, .. } = selection;
        let (timed, judged, ended) = (false, false, Ended::CANCELLED);
        let inner =
            LeaseInner { handle, picked_at, admission, binding_outcome, has_alternatives, hooks, timed, judged, ended };
        Self { inner, target: PhantomData }
    }

    /// Returns the endpoint that was picked.
    #[inline]
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.handle.endpoint
    }

    /// Returns whether the endpoint is the one that the request [prefers](crate::PickRequest::prefer) or is
    /// [bound](crate::PickRequest::bound) to.
    pub fn is_preferred(&self) -> bool {
        self.inner.binding_outcome == BindingOutcome::Kept
    }

    /// Returns whether the pick followed the request's [binding](crate::PickRequest::bound) or
    /// [preference](crate::PickRequest::prefer), and why not.
    pub fn binding_outcome(&self) -> BindingOutcome {
        self.inner.binding_outcome
    }

    /// Returns whether another endpoint was eligible when this one was picked, in any tier. If not, a retry at another
    /// endpoint is not possible.
    #[inline]
    pub fn has_alternatives(&self) -> bool {
        self.inner.has_alternatives
    }

    /// Reports the first byte of the response. The time since the pick is the latency of the request.
    ///
    /// Only the first call counts. A call after [`record`](Self::record) is ignored, because the latency of a failure
    /// says little about the latency of successful requests.
    pub fn first_byte(&mut self) {
        self.inner.first_byte();
    }

    /// Reports the result of the request. Only the first verdict counts.
    ///
    /// A [`Verdict::Success`] without an earlier [`first_byte`](Self::first_byte) also takes the latency.
    pub fn record(&mut self, verdict: Verdict) {
        self.inner.record(verdict);
    }

    /// Reports the result of the request, as [`record`](Self::record) does, and ends the lease.
    pub fn finish(mut self, verdict: Verdict) {
        self.record(verdict);
    }

    /// Waits until the endpoint accepts no new sessions: it is [draining](crate::Availability::Draining), in
    /// [maintenance](crate::Availability::Maintenance), or removed from the pool. Returns at once if that is so
    /// already.
    ///
    /// For long streams and tunnels that can move to another endpoint: they learn of a drain when it begins, and can
    /// end in good order before its deadline. A client with a sticky session is sent back to the endpoint while that
    /// drains. Its tunnel should wait for [`closing`](Self::closing) instead.
    ///
    /// An endpoint that becomes unhealthy or is on probation does not end this future: its leases may still succeed.
    pub fn draining(&self) -> Closing {
        self.inner.handle.endpoint.departure.reaches(Stage::Draining)
    }

    /// Waits until the endpoint accepts no requests at all: it is in [maintenance](crate::Availability::Maintenance),
    /// for example because the deadline of a drain has passed, or removed from the pool. Returns at once if that is so
    /// already.
    ///
    /// An endpoint whose id is given to another endpoint counts as removed. The lease stays valid, and the pool cuts no
    /// connection: the holder decides whether to end the stream.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// let lease = pool.pick(&PickRequest::new())?;
    /// let (draining, closing) = (lease.draining(), lease.closing());
    /// pool.drain("a:80")?;
    /// futures::executor::block_on(draining);
    /// pool.remove("a:80")?;
    /// futures::executor::block_on(closing);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn closing(&self) -> Closing {
        self.inner.handle.endpoint.departure.reaches(Stage::Maintenance)
    }

    /// Returns the lease without access to its target, for types that only have to keep it until they end, such as a
    /// response body.
    pub fn without_target(self) -> Lease<AnyTarget> {
        Lease { inner: self.inner, target: PhantomData }
    }
}

impl<T> Lease<T> {
    /// Returns whether its end may free capacity for other requests: it has a permit or a pass, or the strategy counts
    /// leases.
    #[inline]
    pub(crate) fn is_scarce(&self) -> bool {
        self.inner.is_scarce()
    }

    /// Returns whether it holds the pass of an endpoint on probation.
    pub(crate) fn has_pass(&self) -> bool {
        self.inner.admission.pass.is_some()
    }
}

impl Lease<AnyTarget> {
    /// Ends a lease that no request has got. It is not counted as a request, says nothing about the endpoint, and is no
    /// offer of probation.
    pub(crate) fn withdraw(mut self) {
        self.inner.ended = Ended::WITHDRAWN;
        self.inner.admission.offered = false;
        self.inner.judged = true;
    }

    /// Returns the lease with access to its target. It must be of a pool of `T`.
    pub(crate) fn with_target<T>(self) -> Lease<T> {
        Lease { inner: self.inner, target: PhantomData }
    }
}

impl<T: Send + Sync + 'static> Lease<T> {
    /// Returns the target that the endpoint had when the lease was taken. [`Pool::replace`](crate::Pool::replace) sets
    /// the target of later leases only.
    #[expect(clippy::missing_panics_doc, reason = "a pool of T makes every target a T, and AnyTarget is not Send")]
    #[inline]
    pub fn target(&self) -> &T {
        self.inner.handle.target.downcast_ref().expect("a pool of T makes every target a T")
    }
}

impl LeaseInner {
    fn strategy(&self) -> &dyn LeaseHooks {
        &*self.handle.endpoint.context.hooks
    }

    /// Reads the pool's clock. Returns the time, and the time since the pick.
    fn elapsed(&self) -> (Timestamp, Duration) {
        let now = self.handle.endpoint.context.clock.now();
        (now, now.since(self.picked_at))
    }

    fn first_byte(&mut self) {
        if !std::mem::replace(&mut self.timed, true) && (self.hooks.latency || self.hooks.histogram) {
            let (now, latency) = self.elapsed();
            self.sample(latency, now);
        }
    }

    fn sample(&self, latency: Duration, now: Timestamp) {
        if self.hooks.latency {
            self.strategy().on_latency(&*self.handle.endpoint.state, latency, now);
        }
        if self.hooks.histogram {
            self.record_latency(latency);
        }
    }

    #[cold]
    fn record_latency(&self, latency: Duration) {
        if let Some(latencies) = self.handle.traffic.latencies() {
            latencies.record(latency);
        }
    }

    fn record(&mut self, verdict: Verdict) {
        if std::mem::replace(&mut self.judged, true) {
            return;
        }
        self.ended = Ended::with(verdict);
        if self.hooks.failing {
            self.handle.endpoint.judge(verdict);
        }
        // The verdict decides the probation: the pass is used up.
        let tried = verdict != Verdict::Neutral && self.admission.pass.take().is_some();
        let untimed = !std::mem::replace(&mut self.timed, true);
        let sample = (self.hooks.latency || self.hooks.histogram) && untimed && verdict == Verdict::Success;
        if !sample && !self.hooks.outcomes {
            return;
        }
        let (now, latency) = self.elapsed();
        let state = &*self.handle.endpoint.state;
        if sample {
            self.sample(latency, now);
        }
        if self.hooks.outcomes {
            self.strategy().on_outcome(state, verdict, now);
            if tried {
                self.strategy().on_probation(state, verdict, now);
            }
        }
    }

    /// Returns whether the strategy needs latencies and has learned nothing from this lease.
    #[inline]
    fn is_abandoned(&self) -> bool {
        self.hooks.latency && !self.timed && !self.judged
    }

    #[cold]
    fn release_more(&mut self) {
        if self.is_abandoned() {
            let (now, waited) = self.elapsed();
            if self.strategy().on_abandon(&*self.handle.endpoint.state, waited, now) {
                let timeout = Verdict::Failure(Failure::Timeout);
                match self.hooks.outcomes {
                    true => self.record(timeout),
                    // Nothing is told of a verdict, so it must not decide a probation.
                    false if self.hooks.failing => self.handle.endpoint.judge(timeout),
                    false => {}
                }
            }
        }
        let endpoint = &self.handle.endpoint;
        // A response had begun, and its receiver did not want the rest: the endpoint works.
        if !self.judged && self.timed && self.admission.pass.take().is_some() && self.hooks.outcomes {
            self.strategy().on_probation(&*endpoint.state, Verdict::Success, endpoint.context.clock.now());
        }
        let frees_capacity = self.is_scarce();
        // Before the hook, which may read the permits.
        endpoint.give_back(self.admission);
        if self.hooks.leases {
            self.strategy().on_release(&*endpoint.state, endpoint);
        }
        if frees_capacity {
            endpoint.context.freed(endpoint.slot());
        }
    }

    #[inline]
    fn is_scarce(&self) -> bool {
        self.admission.is_scarce() || self.hooks.leases
    }
}

impl Drop for LeaseInner {
    #[inline]
    fn drop(&mut self) {
        let emptied = self.handle.leave(self.ended);
        if self.is_scarce() || self.is_abandoned() {
            self.release_more();
        }
        if emptied {
            self.handle.tell_empty();
        }
    }
}

impl<T> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("endpoint", self.endpoint()).finish_non_exhaustive()
    }
}
