//! One pick, from the request to the lease: the order in which tiers are tried, offers to endpoints on probation, the
//! strategy's pick, and admission.
//!
//! Three things can refuse to admit a request to an endpoint:
//!
//! - the endpoint's limit, if no permit is left;
//! - the probation of an endpoint, if another request has the pass (the right to be the single request of the
//!   probation);
//! - the strategy, in [`Strategy::admit`].
//!
//! The request's lease gives back the permit and the pass when it ends.

use std::sync::Arc;

use super::{
    error::PickError,
    queue::{BUDGET, Recheck},
    state::{Offers, PassRule, Pool, PoolInner, PoolSettings, Snapshot, TierView, why_refused},
};
use crate::{
    binding::BindingOutcome,
    endpoint::{Admission, Slot},
    lease::{AnyTarget, Lease, Selection},
    load::thread_number,
    request::PickRequest,
    strategy::{Notes, PickCx, Strategy, picker::guarded},
    sync::{Ordering, ordered, spin},
    time::{Timestamp, saturating_nanos},
    view::Member,
};

impl<T: Send + Sync + 'static> Pool<T> {
    /// Picks an endpoint for a request, and takes a lease on this endpoint: the request counts as in flight until the
    /// lease ends. Does not wait.
    ///
    /// Usually a pick takes no lock and does not allocate. It costs an atomic load, the strategy's pick, and changes of
    /// two counters that few threads share.
    ///
    /// Requests that wait in [`acquire`](Self::acquire) go first. While requests wait, a pick that finds capacity may
    /// take a lock to check whether a waiting request can use this capacity. If so, the pick leaves the capacity to the
    /// waiting request and picks again. This rule applies to
    ///
    /// - endpoints that have a maximum number of requests in flight,
    /// - endpoints on [probation](crate::Availability::Probation), which get a single request, and
    /// - all endpoints, if the strategy asks for [`Needs::leases`](crate::Needs::leases).
    ///
    /// # Errors
    ///
    /// [`PickError`] if no endpoint can be picked. The error says why. [`PickError::is_temporary`] returns whether a
    /// later pick may succeed.
    pub fn pick(&self, request: &PickRequest<'_>) -> Result<Lease<T>, PickError> {
        self.inner.pick_in_turn(request)
    }
}

/// The maximum number of times that a pick leaves its endpoint to a waiting request. After that, the pick fails with
/// [`PickError::Saturated`].
const MAX_YIELDS: usize = 64;

impl PoolInner {
    /// Picks for a request that waits. Does not refresh the strategy, because a refresh can be a change of the pool.
    /// All waiting requests would have to be tried again after it.
    pub(super) fn pick_waiting(&self, request: &PickRequest<'_>) -> Result<Lease<AnyTarget>, PickError> {
        self.pick_at(request, self.pick_time())
    }

    /// Returns the time of a pick, or zero if the strategy does not need the time.
    #[inline]
    pub(super) fn pick_time(&self) -> Timestamp {
        if self.settings.needs.clock { self.settings.context.clock.now() } else { Timestamp::ZERO }
    }

    /// Refreshes the strategy if its refresh period is over.
    #[inline]
    pub(super) fn refresh_if_due(&self, now: Timestamp) {
        if self.settings.needs.refresh.is_some() && self.refresh_is_due(now) {
            self.refresh(now);
        }
    }

    /// Returns whether the refresh period is over, and starts the next one. Of several threads that call this at the
    /// same time, only one gets `true`.
    fn refresh_is_due(&self, now: Timestamp) -> bool {
        let Some(period) = self.settings.needs.refresh else { return false };
        let due = self.refresh_at.load(Ordering::Relaxed);
        let period = saturating_nanos(period);
        let next = now.as_nanos().saturating_add(period);
        // Clock readings of two threads differ by less than a period, so the clock was set back.
        let was_set_back = due > next.saturating_add(period);
        (now.as_nanos() >= due || was_set_back)
            && self.refresh_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    #[inline]
    fn pick_at<T>(&self, request: &PickRequest<'_>, now: Timestamp) -> Result<Lease<T>, PickError> {
        let settings = &self.settings;
        let snapshot = self.snapshot.load();
        let stripe = thread_number() % self.stripes;
        let selection = snapshot.select(request, settings, now, None)?;
        let Some(handle) = snapshot.members().handle(selection.slot, stripe) else {
            return Err(PickError::Misbehaved { slot: selection.slot });
        };
        Ok(Lease::take(Arc::clone(handle), selection, now, &settings.needs, settings.context.latency_histograms))
    }

    /// Picks for a request. If another request waits for the picked capacity, leaves the capacity to that request and
    /// picks again.
    #[inline]
    pub(super) fn pick_in_turn<T>(&self, request: &PickRequest<'_>) -> Result<Lease<T>, PickError> {
        let now = self.pick_time();
        self.refresh_if_due(now);
        let lease = self.pick_at(request, now)?;
        if lease.is_scarce() && self.may_be_overtaking() {
            return self.give_way(lease.without_target(), request).map(Lease::with_target);
        }
        Ok(lease)
    }

    /// Returns whether any request waits. A pick whose lease [is scarce](Lease::is_scarce) may then have overtaken it.
    #[inline]
    fn may_be_overtaking(&self) -> bool {
        if self.settings.needs.shared_capacity {
            // The pick itself may have made room elsewhere. The strategy has counted it before this.
            ordered();
            self.settings.context.is_waiting(Ordering::SeqCst)
        } else {
            self.settings.context.is_waiting(Ordering::Relaxed)
        }
    }

    /// Picks again if a request waits for the capacity that this lease uses. The capacity goes to that request.
    #[cold]
    fn give_way(&self, mut lease: Lease<AnyTarget>, request: &PickRequest<'_>) -> Result<Lease<AnyTarget>, PickError> {
        let queue = &self.queue;
        if queue.is_worker() {
            // This thread is serving the queue, and user code called by it picks. The queue cannot be served before
            // that code returns.
            return Ok(lease);
        }
        let shared_capacity = self.settings.needs.shared_capacity;
        let mut refused = None;
        for _ in 0..MAX_YIELDS {
            let capacity = self.capacity_of(&lease);
            // Without `shared_capacity`, the queue itself remembers that no entry can use an endpoint. One failed attempt
            // does not show this, because another pick may have held the endpoint for a moment.
            let served = queue.wants(&capacity).filter(|_| !shared_capacity || refused != Some(capacity.slot));
            let Some(served) = served else {
                // The endpoint has changed since the pick, and does not accept the request any more. Requests that have
                // waited for it longer were not served either.
                if !capacity.accepts(request) {
                    lease.withdraw();
                    lease = self.pick_waiting(request)?;
                    continue;
                }
                if shared_capacity {
                    queue.recheck(Recheck::All);
                    self.serve(BUDGET, None);
                }
                return Ok(lease);
            };
            // The end of the lease serves the queue. If no waiting request could use the endpoint,
            // the next pick may use it.
            lease.withdraw();
            refused = (queue.served() == served).then_some(capacity.slot);
            lease = self.pick_waiting(request)?;
        }
        Err(PickError::Saturated)
    }
}

/// How often the picker of a tier picks again if the endpoint that it picked does not admit the request.
const MAX_TRIES: usize = 64;

/// How many of these tries have no delay before them. The later ones need delays: another thread that picks and releases
/// in a loop could otherwise be at the same place of its loop in each try, so that each try fails.
const UNDELAYED_TRIES: usize = 4;

impl Snapshot {
    /// Selects an endpoint that admits the request. This is the endpoint to which the request is bound or which it
    /// prefers, if that endpoint admits the request. Otherwise it is the strategy's pick from the first tier in which
    /// the strategy picks an endpoint. With `notes`, the pick is only explained, and takes no permit and no pass.
    #[inline]
    pub(super) fn select(
        &self,
        request: &PickRequest<'_>,
        settings: &PoolSettings,
        now: Timestamp,
        mut notes: Option<&mut Notes>,
    ) -> Result<Selection, PickError> {
        if request.prefer.is_some() {
            return self.select_bound(request, settings, now, notes);
        }
        if self.shares.is_some() {
            return self.select_in_order(request, settings, now, notes);
        }
        for tier in &self.tiers {
            if let Some(selection) = self.select_from(tier, request, settings, now, notes.as_deref_mut())? {
                return Ok(selection);
            }
        }
        Err(self.why_none(request, settings))
    }

    /// Selects the strategy's pick from the first tier that has one. If tiers share the traffic, the tier that is tried
    /// first is drawn by their shares.
    #[inline(never)]
    pub(super) fn select_in_order(
        &self,
        request: &PickRequest<'_>,
        settings: &PoolSettings,
        now: Timestamp,
        mut notes: Option<&mut Notes>,
    ) -> Result<Selection, PickError> {
        let first =
            self.shares.as_ref().map_or(0, |shares| shares.draw(request, settings.needs.key, &settings.context));
        for tier in self.tiers_from(first) {
            if let Some(selection) = self.select_from(tier, request, settings, now, notes.as_deref_mut())? {
                return Ok(selection);
            }
        }
        Err(self.why_none(request, settings))
    }

    /// Selects an endpoint of one tier: an endpoint on probation whose pass is offered to the request, otherwise the
    /// strategy's pick.
    #[inline]
    fn select_from(
        &self,
        tier: &TierView,
        request: &PickRequest<'_>,
        settings: &PoolSettings,
        now: Timestamp,
        mut notes: Option<&mut Notes>,
    ) -> Result<Option<Selection>, PickError> {
        if tier.view.eligible().is_empty() {
            return Ok(None);
        }
        let explained = notes.is_some();
        if !tier.offers.is_empty()
            && let Some((slot, admission)) = self.offer(&tier.offers, request, settings, explained)
        {
            return Ok(Some(self.unbound(slot, admission)));
        }
        let turn = self.capped_turn(tier, request, settings, explained);
        let mut cap = turn;
        // Another thread may take the permit after the picker has seen it; the next try finds the endpoint full. The
        // number of tries is bounded because a strategy may pick without asking whether an endpoint is usable.
        for tries in 0..MAX_TRIES {
            if tries >= UNDELAYED_TRIES {
                spin(tries as u32);
            }
            let mut cx =
                PickCx::new(&tier.view, request, settings.context.entropy.as_deref(), now, notes.as_deref_mut())
                    .at(cap);
            let picked = guarded(|| (*tier.picker).pick(&mut cx)).ok_or(PickError::Panicked)?;
            let Some(slot) = picked else {
                // Failing endpoints are not capped if there is no other endpoint.
                if cap.take().is_some() {
                    continue;
                }
                break;
            };
            if let Some(admission) = self.check_and_admit(tier, slot, request, settings, explained)? {
                if let (Some(turn), Some(member), false) = (turn, self.members().get(slot), explained) {
                    member.endpoint.failing.picked(turn);
                }
                return Ok(Some(self.unbound(slot, admission)));
            }
        }
        Ok(None)
    }

    /// Returns the selection of an endpoint for a request without a binding.
    #[inline]
    fn unbound(&self, slot: Slot, admission: Admission) -> Selection {
        let has_alternatives = self.eligible_count() > 1;
        Selection { slot, admission, binding_outcome: BindingOutcome::Unbound, has_alternatives }
    }

    /// Offers the request the pass of an endpoint on probation: the right to its single request. Returns the admission
    /// to the first endpoint whose pass is to be offered and that the request does not exclude.
    ///
    /// If that request ends without a verdict, the next request that the strategy sends there takes the pass. The pool
    /// also offers the pass again, but only after some more picks. If it offered the pass at once, an endpoint that
    /// accepts requests and never responds would get one request after the other. If it never offered the pass again,
    /// an endpoint that the strategy does not pick would stay on probation.
    #[cold]
    fn offer(
        &self,
        offers: &Offers,
        request: &PickRequest<'_>,
        settings: &PoolSettings,
        explained: bool,
    ) -> Option<(Slot, Admission)> {
        offers.to_check(explained).find_map(|slot| {
            let member = self.members().get(slot)?;
            let (probation, pass) = (&member.endpoint.probation, self.pass_rule(slot));
            if request.excludes(member.endpoint.id()) || why_refused(member, pass).is_some() {
                return None;
            }
            if !probation.is_to_be_offered() {
                if !explained {
                    probation.pass_by();
                }
                return None;
            }
            let admission = admit(member, pass, request, settings, explained)?;
            Some((slot, Admission { offered: true, ..admission }))
        })
    }

    /// Returns the number of this pick if failing endpoints are to be [capped](crate::Needs::caps_failing) in it: if
    /// endpoints are marked as failing, and the strategy wants the cap for this request.
    #[inline]
    fn capped_turn(
        &self,
        tier: &TierView,
        request: &PickRequest<'_>,
        settings: &PoolSettings,
        explained: bool,
    ) -> Option<u64> {
        if !settings.needs.caps_failing {
            return None;
        }
        let failing = settings.context.failing.load(Ordering::Relaxed);
        if failing == 0 {
            return None;
        }
        // If most endpoints fail, a failure says little about a single endpoint.
        let is_exception = u64::from(failing) * 2 <= self.eligible_count() as u64;
        let goes_by_key = settings.needs.key && request.has_key() && !settings.needs.caps_failing_by_key;
        (is_exception && !goes_by_key).then(|| if explained { tier.turns.value() } else { tier.turns.take() })
    }

    /// Checks the slot that the strategy picked, and admits the request to its endpoint. Returns `None` if the endpoint
    /// does not admit the request, so that the strategy has to pick again.
    #[inline]
    fn check_and_admit(
        &self,
        tier: &TierView,
        slot: Slot,
        request: &PickRequest<'_>,
        settings: &PoolSettings,
        explained: bool,
    ) -> Result<Option<Admission>, PickError> {
        if self.eligible_in.get(slot.index()) != Some(&Some(tier.tier)) {
            return Err(PickError::Misbehaved { slot });
        }
        if !self.limited && request.exclude.is_empty() && !settings.needs.leases {
            return Ok(Some(Admission::default()));
        }
        match self.members().get(slot).filter(|member| !request.excludes(member.endpoint.id())) {
            Some(member) => Ok(admit(member, self.pass_rule(slot), request, settings, explained)),
            None => Err(PickError::Misbehaved { slot }),
        }
    }
}

/// Admits a request to an endpoint. Takes a permit if the endpoint has a limit, and the pass if the endpoint is on
/// probation. Asks the strategy if it counts leases. Returns `None`, and takes nothing, if the permit or the pass is
/// not available or the strategy refuses the request.
///
/// If the pick is only explained, nothing is taken, and the strategy is not asked.
#[inline]
pub(super) fn admit(
    member: &Member,
    pass: PassRule,
    request: &PickRequest<'_>,
    settings: &PoolSettings,
    explained: bool,
) -> Option<Admission> {
    let endpoint = &*member.endpoint;
    let limited = member.max_in_flight().is_some();
    if explained {
        return would_admit(member, pass);
    }
    if pass == PassRule::Required && endpoint.probation.is_out() {
        return None;
    }
    let mut admission = Admission::default();
    if limited {
        admission.permit = endpoint.permits.try_acquire();
        if !admission.permit {
            return None;
        }
    }
    if pass != PassRule::None {
        admission.pass = endpoint.probation.try_take();
    }
    let may = pass != PassRule::Required || admission.pass.is_some();
    if may && (!settings.needs.leases || settings.strategy.admit(&endpoint.state, endpoint, request)) {
        return Some(admission);
    }
    if admission.is_scarce() {
        endpoint.give_back(admission);
        settings.context.given_back(endpoint.slot());
    }
    None
}

#[cold]
fn would_admit(member: &Member, pass: PassRule) -> Option<Admission> {
    why_refused(member, pass).is_none().then(Admission::default)
}
