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
/// The holder of the lease does three things:
///
/// 1. At the **first byte** of the response, the holder calls [`first_byte`](Self::first_byte). The time from the pick
///    to this call is the latency.
/// 2. When the result of the request is known, the holder calls [`record`](Self::record) with the **verdict**. If the
///    head of the response has an error status, the result is known at once. Otherwise the result is known at the end
///    of the response, because the body may break off, and because gRPC sends its status in the trailers.
/// 3. At the end of the response body, the stream or the session, the holder **drops** the lease.
///
/// A lease that is dropped without a verdict counts as cancelled. If there was no first byte either, the pool
/// [tells](crate::Strategy::on_abandon) the strategy how long the request has waited for a response. This time says
/// nothing about the endpoint in two cases: the request was never sent, or the request is of a kind that gets no
/// response. In these cases, record [`Verdict::Neutral`] before dropping the lease.
///
/// The endpoint, its target and its counters exist at least as long as the lease, even if the endpoint is removed or
/// the pool is dropped.
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

/// The type `T` of a [`Lease<T>`](Lease) that gives no access to its target. [`Lease::without_target`] returns such a
/// lease.
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
    /// Copied from the strategy's needs, so that a lease without hooks does not read the memory of its endpoint.
    hooks: HookNeeds,
    /// Whether the latency has been taken, or can no longer be taken.
    timed: bool,
    /// Whether a verdict has been recorded.
    judged: bool,
    /// Whether the lease is counted as one whose response has begun.
    answered: bool,
    /// How the lease is counted if it ends now.
    ended: Ended,
}

/// Whether a lease adds its times to the histograms of its endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HistogramUse {
    /// The pool keeps no histograms.
    Off,
    /// The lease adds the time to the first byte.
    FirstByte,
    /// The lease has added the time to the first byte. At its end, it adds the whole time.
    Whole,
}

/// The hooks of the strategy that a lease calls, and the counts that it needs.
#[derive(Clone, Copy)]
struct HookNeeds {
    latency: bool,
    /// Whether leases are counted by whether their response has begun.
    waiting: bool,
    histograms: HistogramUse,
    outcomes: bool,
    leases: bool,
    /// Whether verdicts update the failing mark of the endpoint.
    failing: bool,
}

impl<T> Lease<T> {
    /// Takes a lease on the selected endpoint and counts it as in flight. The endpoint has already admitted the
    /// request.
    #[inline]
    pub(crate) fn take(
        handle: Arc<Handle>,
        selection: Selection,
        picked_at: Timestamp,
        needs: &Needs,
        with_histograms: bool,
    ) -> Self {
        if needs.waiting {
            handle.enter_at(picked_at);
        } else {
            handle.enter();
        }
        let Needs { latency, waiting, outcomes, leases, caps_failing: failing, .. } = *needs;
        let histograms = if with_histograms { HistogramUse::FirstByte } else { HistogramUse::Off };
        let hooks = HookNeeds { latency, waiting, histograms, outcomes, leases, failing };
        let Selection { admission, binding_outcome, has_alternatives, .. } = selection;
        let (timed, judged, answered, ended) = (false, false, false, Ended::CANCELLED);
        let inner = LeaseInner {
            handle,
            picked_at,
            admission,
            binding_outcome,
            has_alternatives,
            hooks,
            timed,
            judged,
            answered,
            ended,
        };
        Self { inner, target: PhantomData }
    }

    /// Returns the endpoint that was picked for the request.
    #[inline]
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.handle.endpoint
    }

    /// Returns whether the request [prefers](crate::PickRequest::prefer) the picked endpoint or is
    /// [bound](crate::PickRequest::bound) to it. Returns `false` if the request prefers no endpoint and is not bound.
    pub fn is_preferred(&self) -> bool {
        self.inner.binding_outcome == BindingOutcome::Kept
    }

    /// Returns whether the picked endpoint is the one to which the request is [bound](crate::PickRequest::bound) or
    /// which the request [prefers](crate::PickRequest::prefer). If another endpoint was picked, the result says why.
    pub fn binding_outcome(&self) -> BindingOutcome {
        self.inner.binding_outcome
    }

    /// Returns whether another endpoint of the pool, in any tier (priority group), was eligible when the endpoint of
    /// this lease was picked. If no other endpoint was eligible, the request cannot be retried at another endpoint.
    #[inline]
    pub fn has_alternatives(&self) -> bool {
        self.inner.has_alternatives
    }

    /// Reports the first byte of the response. The time from the pick to this call is the latency of the request.
    ///
    /// Only the first call has an effect. A call after [`record`](Self::record) is ignored, because the latency of a
    /// failure says little about the latency of successful requests.
    pub fn first_byte(&mut self) {
        self.inner.first_byte();
        self.inner.count_as_answered();
    }

    /// Reports the head of the response. `verdict` is the verdict that follows from the head, or `None` if only the end
    /// of the response decides, as in gRPC. `has_body` says whether a body follows the head.
    ///
    /// - If `verdict` is not [`Verdict::Success`], the verdict is [recorded](Self::record) at once. The latency of this
    ///   request does not count.
    /// - If `verdict` is `Success` and no body follows, the verdict is recorded at once. The latency is the time from
    ///   the pick to this call.
    /// - If `verdict` is `None`, or is `Success` and a body follows, only the [first byte](Self::first_byte) is
    ///   reported. The caller must record the verdict at the end of the response.
    ///
    /// The tower layer and the simulator both report responses with this method, so that strategies see the same calls
    /// in the same order.
    pub fn response_head(&mut self, verdict: Option<Verdict>, has_body: bool) {
        match verdict {
            None => self.first_byte(),
            Some(Verdict::Success) if has_body => self.first_byte(),
            Some(verdict) => self.record(verdict),
        }
    }

    /// Reports the result of the request. Only the first verdict of a lease counts.
    ///
    /// If [`first_byte`](Self::first_byte) was not called before, [`Verdict::Success`] also sets the latency of the
    /// request: the time from the pick to this call.
    pub fn record(&mut self, verdict: Verdict) {
        self.inner.record(verdict);
        self.inner.count_as_answered();
    }

    /// Reports the result of the request, as [`record`](Self::record) does, and ends the lease.
    pub fn finish(mut self, verdict: Verdict) {
        self.inner.record(verdict);
    }

    /// Reports that the endpoint has accepted a connection, on which the client need not send anything yet. From now on,
    /// the request does not count as waiting for a response in strategies that look for silent endpoints.
    ///
    /// Use it for connections whose bytes are not understood. The latency still ends at the
    /// [first byte](Self::first_byte).
    pub fn connected(&mut self) {
        self.inner.count_as_answered();
    }

    /// Excludes a time from the latency of the request, and from its whole time: a time in which the endpoint has waited for
    /// the client. Has no effect after [`first_byte`](Self::first_byte) and [`record`](Self::record).
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use equipoise_core::{EndpointSpec, ManualClock, PickRequest, Pool, RoundRobin};
    ///
    /// let clock = Arc::new(ManualClock::new());
    /// let pool = Pool::<()>::builder(RoundRobin::new()).clock(clock.clone()).latency_histograms(true).build();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// let mut lease = pool.pick(&PickRequest::new())?;
    /// lease.connected();
    /// clock.advance(Duration::from_secs(60)); // until the client sends its first byte
    /// lease.exclude_latency(Duration::from_secs(60));
    /// clock.advance(Duration::from_millis(2));
    /// lease.first_byte();
    /// assert_eq!(pool.endpoints()[0].latency.as_ref().map(|latency| latency.sum()), Some(Duration::from_millis(2)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exclude_latency(&mut self, time: Duration) {
        if !self.inner.timed && !self.inner.judged {
            self.inner.picked_at = self.inner.picked_at + time;
        }
    }

    /// Counts bytes that were sent to the endpoint and received from it. The sums are in
    /// [`EndpointStatus::bytes_sent`](crate::EndpointStatus::bytes_sent) and
    /// [`bytes_received`](crate::EndpointStatus::bytes_received), also while the lease lasts.
    ///
    /// Costs an atomic addition for each number that is not 0. Threads of the same stripe share the counters.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// let lease = pool.pick(&PickRequest::new())?;
    /// lease.count_bytes(100, 0);
    /// lease.count_bytes(50, 4096);
    /// let status = pool.endpoints().remove(0);
    /// assert_eq!((status.bytes_sent, status.bytes_received), (150, 4096));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count_bytes(&self, sent: u64, received: u64) {
        self.inner.handle.traffic.count_bytes(sent, received);
    }

    /// Returns a future that ends when the endpoint accepts no new sessions: it is
    /// [draining](crate::Availability::Draining), in [maintenance](crate::Availability::Maintenance), or removed from
    /// the pool. If the endpoint is already in one of these states, the future ends at once.
    ///
    /// Use this future for long streams and tunnels that can move to another endpoint. Such a stream or tunnel can end
    /// in good order between the start of a drain and the deadline of the drain. Do not use this future for a tunnel of
    /// a sticky session: while the endpoint drains, the client would be sent back to the same endpoint. Use
    /// [`closing`](Self::closing) for such a tunnel.
    ///
    /// The future does not end when the endpoint becomes unhealthy or is on probation, because the requests in flight
    /// may still succeed.
    pub fn draining(&self) -> Closing {
        self.inner.handle.endpoint.departure.reaches(Stage::Draining)
    }

    /// Returns a future that ends when the endpoint accepts no requests at all: it is in
    /// [maintenance](crate::Availability::Maintenance), for example after the deadline of a drain, or removed from the
    /// pool. If the endpoint is already in one of these states, the future ends at once.
    ///
    /// If a new endpoint takes the id of this lease's endpoint, the endpoint of this lease counts as removed. The lease
    /// stays valid, and the pool does not close connections. The holder of the lease decides whether to end the stream.
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

    /// Returns the lease without access to its target. Use this for a type that holds the lease but does not use the
    /// target, such as a response body that keeps the lease until the body ends. The type then needs no type parameter
    /// for the target.
    pub fn without_target(self) -> Lease<AnyTarget> {
        Lease { inner: self.inner, target: PhantomData }
    }
}

impl<T> Lease<T> {
    /// Returns whether the end of the lease may free capacity for other requests. This is so if it has a permit or a
    /// pass, or if the strategy counts leases.
    #[inline]
    pub(crate) fn is_scarce(&self) -> bool {
        self.inner.is_scarce()
    }

    /// Returns whether the verdict of this lease decides the [probation](crate::Availability::Probation) of its endpoint.
    /// False after a verdict other than [`Neutral`](Verdict::Neutral), which has decided it.
    pub fn decides_probation(&self) -> bool {
        self.inner.admission.pass.is_some()
    }
}

impl<T> Lease<T> {
    /// Ends a lease that no request has used. It is not counted as a request, says nothing about the endpoint, and does
    /// not count as an offer of a probation.
    ///
    /// Use it for an endpoint that was picked in advance, if the request then needs no further attempt.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, PickRequest, Pool};
    ///
    /// let pool: Pool<()> = Pool::default();
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// pool.pick(&PickRequest::new())?.withdraw();
    /// assert_eq!(pool.endpoints()[0].requests.total, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn withdraw(mut self) {
        self.inner.ended = Ended::WITHDRAWN;
        self.inner.admission.offered = false;
        self.inner.judged = true;
    }
}

impl Lease<AnyTarget> {
    /// Returns the lease with access to its target. The lease must be of a pool of `T`.
    pub(crate) fn with_target<T>(self) -> Lease<T> {
        Lease { inner: self.inner, target: PhantomData }
    }
}

impl<T: Send + Sync + 'static> Lease<T> {
    /// Returns the target that the endpoint had when the lease was taken. A later
    /// [`Pool::replace`](crate::Pool::replace) does not change the target of this lease.
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
        if !std::mem::replace(&mut self.timed, true) && self.takes_latency() {
            let (now, latency) = self.elapsed();
            self.sample(latency, now);
        }
    }

    /// Counts the lease as one whose response has begun. Does nothing if the strategy does not need this count.
    #[inline]
    fn count_as_answered(&mut self) {
        if self.hooks.waiting && !std::mem::replace(&mut self.answered, true) {
            self.handle.answer();
        }
    }

    #[inline]
    fn takes_latency(&self) -> bool {
        self.hooks.latency || self.hooks.histograms != HistogramUse::Off
    }

    fn sample(&mut self, latency: Duration, now: Timestamp) {
        if self.hooks.latency {
            self.strategy().on_latency(&*self.handle.endpoint.state, latency, now);
        }
        if self.hooks.histograms != HistogramUse::Off {
            self.record_first_byte(latency);
        }
    }

    #[cold]
    fn record_first_byte(&mut self, latency: Duration) {
        self.hooks.histograms = HistogramUse::Whole;
        if let Some(histograms) = self.handle.traffic.histograms() {
            histograms.first_byte.record(latency);
        }
    }

    #[cold]
    fn record_whole(&self) {
        if let Some(histograms) = self.handle.traffic.histograms() {
            histograms.whole.record(self.elapsed().1);
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
        // The verdict decides the probation, so the pass is used up.
        let tried = verdict != Verdict::Neutral && self.admission.pass.take().is_some();
        let untimed = !std::mem::replace(&mut self.timed, true);
        let sample = self.takes_latency() && untimed && verdict == Verdict::Success;
        if !sample && !self.hooks.outcomes {
            return;
        }
        let (now, latency) = self.elapsed();
        if sample {
            self.sample(latency, now);
        }
        if self.hooks.outcomes {
            let state = &*self.handle.endpoint.state;
            self.strategy().on_outcome(state, verdict, now);
            if tried {
                self.strategy().on_probation(state, verdict, now);
            }
        }
    }

    /// Returns whether the strategy needs latencies and has got neither a latency nor a verdict from this lease.
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
                    // The strategy gets no verdicts, so this one must not decide a probation.
                    false if self.hooks.failing => self.handle.endpoint.judge(timeout),
                    false => {}
                }
            }
        }
        let endpoint = &self.handle.endpoint;
        // The response had begun, and the caller did not want the rest of it: the endpoint works.
        if !self.judged && self.timed && self.admission.pass.take().is_some() && self.hooks.outcomes {
            self.strategy().on_probation(&*endpoint.state, Verdict::Success, endpoint.context.clock.now());
        }
        let frees_capacity = self.is_scarce();
        // This comes before the hook, which may read the number of permits.
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
        // Before the lease ends: an endpoint without leases has all of its times.
        if self.hooks.histograms == HistogramUse::Whole {
            self.record_whole();
        }
        let emptied = self.handle.leave(self.ended);
        if self.answered {
            self.handle.leave_answered();
        }
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
