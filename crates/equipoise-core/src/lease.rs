use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use crate::{
    binding::BindingOutcome,
    endpoint::{Closing, Endpoint, Stage},
    load::Handle,
    pool::{Choice, Entry},
    strategy::{AnyStrategy, Needs, Strategy},
    time::Timestamp,
    verdict::{Failure, Verdict},
};

/// The right to send one request to the endpoint that was picked for it.
///
/// Three moments count:
///
/// 1. the **first byte** of the answer ([`first_byte`](Self::first_byte)): latency is taken, from the pick until now;
/// 2. the **verdict** ([`record`](Self::record)): at the answer's head, for gRPC at its trailers;
/// 3. the **release**, when the lease is dropped: at the end of the body, the stream or the session.
///
/// A lease dropped without a verdict was cancelled. It frees its place; if there was no first byte either, the endpoint
/// was at least so long without an answer, which the strategy [is told](Strategy::on_abandon). Where that says nothing
/// about the endpoint (what the lease was for has no answer, or was never sent), record a [`Verdict::Neutral`] first.
///
/// The endpoint, its target and its counts live at least as long as the lease, also when the pool has dropped them.
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
#[must_use = "a lease that is dropped at once was for nothing"]
pub struct Lease<T> {
    held: Held,
    target: PhantomData<fn() -> T>,
}

/// Stands for a target whose type was forgotten: see [`Lease::without_target`].
#[derive(Debug)]
pub struct AnyTarget(PhantomData<*const ()>);

/// A lease but for the type of the target.
struct Held {
    handle: Arc<Handle>,
    picked_at: Timestamp,
    entry: Entry,
    preference: BindingOutcome,
    alternatives: bool,
    /// What the strategy needs, kept here so that a lease that owes nothing need not look at its endpoint's memory.
    tells: Tells,
    timed: bool,
    judged: bool,
}

/// Which of its moments a lease tells the strategy about.
#[derive(Clone, Copy)]
struct Tells {
    latency: bool,
    outcomes: bool,
    leases: bool,
    /// Whether the endpoint is to be marked by verdicts.
    failing: bool,
}

impl<T> Lease<T> {
    /// Counts it at the endpoint, so that a burst of picks sees itself. What lets it in has been taken, and the
    /// strategy has been asked.
    #[inline]
    pub(crate) fn take(handle: Arc<Handle>, choice: Choice, picked_at: Timestamp, needs: &Needs) -> Self {
        handle.enter();
        let Needs { latency, outcomes, leases, caps_failing: failing, .. } = *needs;
        let tells = Tells { latency, outcomes, leases, failing };
        let Choice { entry, preference, alternatives, .. } = choice;
        let held = Held { handle, picked_at, entry, preference, alternatives, tells, timed: false, judged: false };
        Self { held, target: PhantomData }
    }

    /// The endpoint.
    #[inline]
    pub fn endpoint(&self) -> &Endpoint {
        &self.held.handle.endpoint
    }

    /// Whether the endpoint is the one that the request [preferred](crate::PickRequest::prefer).
    pub fn is_preferred(&self) -> bool {
        self.held.preference == BindingOutcome::Kept
    }

    /// What became of the endpoint that the request preferred or was [bound](crate::PickRequest::bound) to.
    pub fn binding_outcome(&self) -> BindingOutcome {
        self.held.preference
    }

    /// Whether there was another endpoint to turn to when this one was picked.
    #[inline]
    pub fn has_alternatives(&self) -> bool {
        self.held.alternatives
    }

    /// The first byte of the answer has come. Counts once, and not after a verdict: the latency of a failure is not
    /// the latency of work.
    pub fn first_byte(&mut self) {
        self.held.first_byte();
    }

    /// Says how the request ended. The first verdict counts, later ones are ignored. A [`Verdict::Success`] before any
    /// [`first_byte`](Self::first_byte) takes the latency too.
    pub fn record(&mut self, verdict: Verdict) {
        self.held.record(verdict);
    }

    /// Records the verdict and releases.
    pub fn finish(mut self, verdict: Verdict) {
        self.record(verdict);
    }

    /// Waits until the endpoint takes no new clients: it [drains](crate::Availability::Draining), is
    /// [closed](crate::Availability::Maintenance), or has left the pool. Ends at once if that is so already.
    ///
    /// For long streams and tunnels that can move: told at the beginning of a drain, they have until its deadline to end in
    /// good order. A client that is bound to the endpoint (a sticky session) is sent back there while it drains; a tunnel of
    /// such a client waits for [`closing`](Self::closing) instead.
    ///
    /// An endpoint that is unfit or on trial does not end this future: its leases may still succeed.
    pub fn draining(&self) -> Closing {
        Closing::of(&self.held.handle.endpoint, Stage::Draining)
    }

    /// Waits until the endpoint takes nothing at all: it is [closed](crate::Availability::Maintenance), as it is when the
    /// deadline of a drain has passed, or it has left the pool (also when another endpoint has taken its id). Ends at once
    /// if that is so already.
    ///
    /// The lease stays valid; nothing is cut off. Whether to end what it stands for is up to its holder.
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
        Closing::of(&self.held.handle.endpoint, Stage::Closed)
    }

    /// The same lease without access to the target: for whoever only has to hold it, such as a response body.
    pub fn without_target(self) -> Lease<AnyTarget> {
        Lease { held: self.held, target: PhantomData }
    }
}

impl<T> Lease<T> {
    /// Whether it takes a place from others: counts against a limit or a trial, or may to the strategy.
    #[inline]
    pub(crate) fn is_scarce(&self) -> bool {
        self.held.entry.permit || self.held.entry.pass.is_some() || self.held.tells.leases
    }
}

impl Lease<AnyTarget> {
    /// The same lease with access to the target, in a pool of `T`.
    pub(crate) fn with_target<T>(self) -> Lease<T> {
        Lease { held: self.held, target: PhantomData }
    }
}

impl<T: Send + Sync + 'static> Lease<T> {
    /// The endpoint's target as it was when the lease was taken: a target that [replaces](crate::Pool::replace) it is for
    /// later leases.
    #[expect(clippy::missing_panics_doc, reason = "a pool of T makes every target a T, and AnyTarget is not Send")]
    #[inline]
    pub fn target(&self) -> &T {
        self.held.handle.target.downcast_ref().expect("a pool of T makes every target a T")
    }
}

impl Held {
    fn strategy(&self) -> &AnyStrategy {
        &self.handle.endpoint.hooks.strategy
    }

    /// Now, and the time since the pick, on the pool's clock.
    fn elapsed(&self) -> (Timestamp, Duration) {
        let now = self.handle.endpoint.hooks.clock.now();
        (now, now.since(self.picked_at))
    }

    fn first_byte(&mut self) {
        if !std::mem::replace(&mut self.timed, true) && self.tells.latency {
            let (now, latency) = self.elapsed();
            self.strategy().on_latency(&self.handle.endpoint.state, latency, now);
        }
    }

    fn record(&mut self, verdict: Verdict) {
        if std::mem::replace(&mut self.judged, true) {
            return;
        }
        if self.tells.failing {
            self.handle.endpoint.judge(verdict);
        }
        // A trial has had its answer.
        let tried = verdict != Verdict::Neutral && self.entry.pass.take().is_some();
        let untimed = !std::mem::replace(&mut self.timed, true);
        let sample = self.tells.latency && untimed && verdict == Verdict::Success;
        if !sample && !self.tells.outcomes {
            return;
        }
        let (now, latency) = self.elapsed();
        let state = &self.handle.endpoint.state;
        if sample {
            self.strategy().on_latency(state, latency, now);
        }
        if self.tells.outcomes {
            self.strategy().on_outcome(state, verdict, now);
            if tried {
                self.strategy().on_probation(state, verdict, now);
            }
        }
    }

    /// Whether the lease would end without the strategy having heard how long the endpoint took.
    #[inline]
    fn is_abandoned(&self) -> bool {
        self.tells.latency && !self.timed && !self.judged
    }

    #[cold]
    fn release_more(&mut self) {
        if self.is_abandoned() {
            let (now, waited) = self.elapsed();
            if self.strategy().on_abandon(&self.handle.endpoint.state, waited, now) {
                self.record(Verdict::Failure(Failure::Timeout));
            }
        }
        let endpoint = &self.handle.endpoint;
        // Who has had the first byte of an answer and does not want the rest has seen that the endpoint works.
        if !self.judged && self.timed && self.entry.pass.take().is_some() && self.tells.outcomes {
            self.strategy().on_probation(&endpoint.state, Verdict::Success, endpoint.hooks.clock.now());
        }
        let gives_room = self.entry.permit || self.entry.pass.is_some() || self.tells.leases;
        // First: a strategy may look at it when it is told.
        self.entry.give_back(endpoint);
        if self.tells.leases {
            self.strategy().on_release(&endpoint.state, endpoint);
        }
        if gives_room {
            endpoint.hooks.freed(endpoint.slot());
        }
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        let emptied = self.handle.leave();
        if self.entry.permit || self.entry.pass.is_some() || self.tells.leases || self.is_abandoned() {
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
