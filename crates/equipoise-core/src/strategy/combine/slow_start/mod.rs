mod ramp;

use std::{sync::Arc, time::Duration};

use self::ramp::{Curve, Ramp};
use super::InvalidCombinator;
use crate::{
    endpoint::{EndpointSpec, Slot},
    entropy::{GAMMA, mix},
    forward_hooks,
    ids::Revision,
    strategy::{BuildError, Needs, PickCx, Picker, Strategy},
    sync::{AtomicU64, Ordering},
    time::{Timestamp, saturating_nanos},
    view::{Layered, View},
};

/// A combinator for slow start. At first, an endpoint that starts gets only a part of its share of the requests. This
/// part increases over time until the endpoint gets its full share.
///
/// Choose it if a new process is slow at first, because of empty caches, a JIT compiler or new connections. A starting
/// endpoint gets the share that the wrapped strategy would give it, multiplied by a *factor*. At the time t after the
/// start of the endpoint, the factor is max([`floor`](Self::floor), (t / [`window`](Self::window))^(1 /
/// [`aggression`](Self::aggression))).
///
/// For each request, `SlowStart` decides at random about each starting endpoint. The endpoint is *accepted* with a
/// probability equal to its factor. Otherwise it is *rejected* for this request. All endpoints that are not starting
/// are accepted. If the wrapped strategy picks a rejected endpoint, it picks again for the same request. The decision
/// about an endpoint stays the same during these picks. If several endpoints are starting, a request that is rejected
/// at one of them may go to another one of them. Each starting endpoint then gets a little more than its factor says.
///
/// - **Which endpoints start slowly:** endpoints that are added to a tier (priority group) that already has endpoints,
///   and endpoints that become eligible again. An endpoint becomes eligible again when it recovers, when its weight
///   rises from 0, or when its draining ends. Each endpoint has its own start time. The first endpoints of a tier start
///   with their full share, unless [`include_first_members`](Self::include_first_members) is set.
/// - **The start of an endpoint ends after the [`window`](Self::window)**, even if the endpoint has had few requests.
/// - **If all endpoints are starting**, the factors are divided by the largest factor. For example, if all endpoints
///   start at the same time, each gets its full share.
/// - **No request fails because of slow start.** If all accepted endpoints are excluded or at their limit, the rejected
///   endpoint that was picked most recently gets the request.
/// - **If the wrapped strategy places requests by [key](crate::Needs::key)**, a hash of the key decides whether a
///   starting endpoint is accepted, and not a random number. As the factor of the endpoint rises, the keys of the
///   endpoint move to it one by one, and each key moves once.
///
/// `SlowStart` should wrap other combinators and not be wrapped by them. Inside a [`Subset`](super::Subset), endpoints
/// that are new to the subset but not to the pool would start slowly too.
///
/// Weaknesses:
///
/// - Time says little about how warm an endpoint is.
/// - The number of picks for a request is limited. After eight picks of rejected endpoints, or two picks of the same
///   rejected endpoint in a row, all rejected endpoints are filtered out, and the wrapped strategy picks once more.
///   With a strategy in which endpoints take turns, such as round robin, the turn of a filtered-out endpoint goes to
///   the accepted endpoint that comes next in the order of turns. This endpoint then gets more than its share.
/// - With strategies in which endpoints take turns, a starting endpoint gets more than its factor says, because a pick
///   of a rejected endpoint uses up a turn too. For example, a pool has two endpoints of equal weight, and one of them
///   is starting with the factor f. In every two turns, the other endpoint serves one request, and the starting
///   endpoint serves f requests on average. The starting endpoint therefore gets the part f / (1 + f) of all requests.
///   With strategies that pick at random, such as [`Random`](crate::Random), it gets the part f / 2: it is picked first
///   for half of the requests, and accepted for the part f of these.
/// - Strategies that send requests to the endpoint with the least load pick a new idle endpoint before all others. At
///   first, this endpoint can therefore get the part [`floor`](Self::floor) of all requests, and not only the part
///   `floor` of its share of the requests.
///
/// While no endpoint is starting, a pick takes 1 to 2 ns more than a pick of the wrapped strategy. While endpoints are
/// starting, the random decisions take additional time. The pick then also reads the clock, unless the wrapped strategy
/// needs the time anyway. Building a picker takes O(n) time for n endpoints.
///
/// Source: Envoy's slow start. Envoy multiplies the weights of starting endpoints by the factor instead. With
/// strategies that hardly use weights, Envoy's method has little effect.
///
/// ```
/// use std::time::Duration;
/// use equipoise_core::{EndpointSpec, P2c, PickRequest, Pool, SlowStart};
///
/// let pool = Pool::new(SlowStart::new(P2c::new()).window(Duration::from_secs(60)));
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// pool.add(EndpointSpec::new("c:80"), ())?; // gets a tenth of its share now, and all of it in a minute
/// # let _ = pool.pick(&PickRequest::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SlowStart<S> {
    inner: S,
    curve: Curve,
    include_first_members: bool,
}

impl<S> SlowStart<S> {
    /// Creates a combinator around `inner` with a [`window`](Self::window) of 30 s, an [`aggression`](Self::aggression)
    /// of 1 and a [`floor`](Self::floor) of 0.1.
    pub const fn new(inner: S) -> Self {
        Self { inner, curve: Curve::DEFAULT, include_first_members: false }
    }

    /// Sets the window: the time from the start of an endpoint until the endpoint gets its full share. Default: 30 s.
    /// `Duration::ZERO` turns slow start off.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.curve.window = saturating_nanos(window);
        self
    }

    /// Sets the curve by which the share of a starting endpoint rises. With 1, the share rises linearly. With larger
    /// values, it rises faster at first. With smaller values, it rises slower at first. Range: finite numbers above 0.
    /// Default: 1.
    ///
    /// # Errors
    ///
    /// [`InvalidCombinator::Aggression`] if `aggression` is 0, negative, infinite or NaN.
    pub fn aggression(mut self, aggression: f64) -> Result<Self, InvalidCombinator> {
        if !(aggression > 0.0 && aggression.is_finite()) {
            return Err(InvalidCombinator::Aggression { aggression });
        }
        self.curve.exponent = 1.0 / aggression;
        Ok(self)
    }

    /// Sets the floor: the part of its share that a starting endpoint gets at first. For example, with 0.1 the endpoint
    /// gets a tenth of its share at first. With 1, there is no slow start. Range: above 0 and at most 1. Default: 0.1.
    /// The floor cannot be 0, because an endpoint without requests cannot show that it works.
    ///
    /// # Errors
    ///
    /// [`InvalidCombinator::Floor`] if `floor` is 0, negative, above 1 or NaN.
    pub fn floor(mut self, floor: f64) -> Result<Self, InvalidCombinator> {
        if !(floor > 0.0 && floor <= 1.0) {
            return Err(InvalidCombinator::Floor { floor });
        }
        self.curve.floor = floor;
        Ok(self)
    }

    /// Makes the first endpoints of a tier (priority group of endpoints) start slowly too. Default: the first endpoints
    /// start with their full share.
    ///
    /// A share is relative to the other endpoints of the tier. If all endpoints start at the same time, each gets its
    /// full share with or without this setting. The setting therefore has an effect only if more endpoints are added
    /// before the [`window`](Self::window) of the first endpoints has ended.
    #[must_use]
    pub const fn include_first_members(mut self) -> Self {
        self.include_first_members = true;
        self
    }
}

impl<S: Strategy> Strategy for SlowStart<S> {
    type State = Layered<Arc<Ramp>, S::State>;
    type Picker = SlowStartPicker<S::Picker>;

    fn state(&self, spec: &EndpointSpec) -> Self::State {
        Layered::new(Arc::default(), self.inner.state(spec))
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        let inside = view.within::<Arc<Ramp>, S::State>();
        let inner = self.inner.build(&inside, last.map(|last| &last.inner))?;
        let now = view.now();
        let mut eligible = vec![false; view.capacity()];
        // An endpoint on probation has not started yet.
        let serving = || view.eligible().iter().filter(|slot| !view.is_on_probation(**slot));
        serving().for_each(|slot| eligible[slot.index()] = true);
        let same = last.filter(|last| last.membership == view.membership_revision());
        let ramps: Arc<[Option<Arc<Ramp>>]> = match same {
            Some(same) => Arc::clone(&same.ramps),
            None => by_slot::<S::State>(view),
        };
        // If the update is rejected after this, the new start times have no effect.
        if last.is_some() || self.include_first_members {
            let news = serving().filter(|slot| !last.is_some_and(|last| last.knew(&ramps, **slot)));
            news.filter_map(|slot| ramps[slot.index()].as_ref()).for_each(|ramp| ramp.start(now));
        }
        let started = |slot: &Slot| Some((*slot, ramps[slot.index()].as_ref()?.started(self.curve, now)?));
        let starting: Vec<(Slot, Timestamp)> = match same {
            // The picker need not inspect all endpoints when the availability of one changes.
            Some(same) => {
                let newly = serving().filter(|slot| !same.eligible[slot.index()]);
                let still = same.starting.iter().filter(|slot| eligible[slot.index()]);
                newly.chain(still).filter_map(started).collect()
            }
            None => serving().filter_map(started).collect(),
        };
        let ends = starting.iter().map(|&(_, start)| self.curve.end(start).as_nanos()).max();
        let lead = starting.iter().map(|&(_, start)| start).min();
        let needs = self.inner.needs();
        Ok(SlowStartPicker {
            inner,
            view: inside,
            membership: view.membership_revision(),
            ramps,
            eligible: eligible.into(),
            curve: self.curve,
            ends: AtomicU64::new(ends.unwrap_or(0)),
            lead: lead.filter(|_| starting.len() == view.eligible().len()),
            starting: starting.into_iter().map(|(slot, _)| slot).collect(),
            timed: needs.clock,
            by_key: needs.places_by_key(),
        })
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    forward_hooks!(self.inner, state.inner);
}

/// The picker of [`SlowStart`], which picks the endpoint of each request.
pub struct SlowStartPicker<P> {
    inner: P,
    /// The view that the wrapped strategy sees.
    view: View,
    membership: Revision,
    /// The start times of all members, by slot. Pickers share them while the membership stays the same.
    ramps: Arc<[Option<Arc<Ramp>>]>,
    /// By slot: whether the endpoint was eligible and not on probation.
    eligible: Box<[bool]>,
    /// The endpoints that were starting when the picker was built.
    starting: Box<[Slot]>,
    curve: Curve,
    /// The end of the last start, in nanoseconds. 0 after this end.
    ends: AtomicU64,
    /// The earliest start time, if all eligible endpoints are starting.
    lead: Option<Timestamp>,
    /// Whether the pick's context contains the time.
    timed: bool,
    by_key: bool,
}

fn by_slot<I: Send + Sync + 'static>(view: &View) -> Arc<[Option<Arc<Ramp>>]> {
    let mut ramps = vec![None; view.capacity()];
    for &slot in view.members() {
        ramps[slot.index()] = view.state::<Layered<Arc<Ramp>, I>>(slot).map(|state| Arc::clone(&state.own));
    }
    ramps.into()
}

/// The number of picks before endpoints with a failed draw are filtered out. Picks without a filter keep strategies
/// that take turns fair.
const TOSSES: usize = 8;
/// If a start would end later than after twice the window and this time, the clock was set back.
const SLACK: u64 = 1_000_000_000;
/// A seed that makes this decision independent of other decisions by the same key.
const SALT: u64 = 0x7261_6d70;

impl<P: Picker> SlowStartPicker<P> {
    fn ramp(&self, slot: Slot) -> Option<&Arc<Ramp>> {
        self.ramps.get(slot.index())?.as_ref()
    }

    /// Returns whether the endpoint in `slot` was eligible for this picker and is still the same endpoint in `ramps`.
    fn knew(&self, ramps: &[Option<Arc<Ramp>>], slot: Slot) -> bool {
        let same = |ramp: &Arc<Ramp>| ramps[slot.index()].as_ref().is_some_and(|now| Arc::ptr_eq(now, ramp));
        self.eligible.get(slot.index()) == Some(&true) && self.ramp(slot).is_some_and(same)
    }

    #[cold]
    fn thinned(&self, cx: &mut PickCx<'_>, ends: u64) -> Option<Slot> {
        let now = if self.timed { cx.now() } else { self.view.now() };
        let left = ends.saturating_sub(now.as_nanos());
        if left == 0 || left > self.curve.window.saturating_mul(2).saturating_add(SLACK) {
            self.ends.store(0, Ordering::Relaxed);
            return cx.within(&self.view, |cx| self.inner.pick(cx));
        }
        let largest = self.lead.map_or(1.0, |lead| self.curve.factor(lead, now));
        let lot = cx.random_by_key(self.by_key, SALT);
        let wins = |slot: Slot| {
            let Some(start) = self.ramp(slot).and_then(|ramp| ramp.started(self.curve, now)) else { return true };
            // There is one draw per endpoint and pick, so that a second call during the pick returns the same.
            let coin = mix(lot ^ u64::from(slot.0).wrapping_mul(GAMMA)) >> 32;
            (coin as f64) < self.curve.factor(start, now) / largest * 2f64.powi(32)
        };
        cx.within(&self.view, |cx| {
            let mut loser = None;
            for _ in 0..TOSSES {
                let slot = self.inner.pick(cx)?;
                if wins(slot) {
                    return Some(slot);
                }
                cx.filter_out(&[slot]);
                if loser.replace(slot) == Some(slot) {
                    break;
                }
            }
            cx.filtered(&wins, |cx| self.inner.pick(cx)).or(loser)
        })
    }
}

impl<P: Picker> Picker for SlowStartPicker<P> {
    #[inline]
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        match self.ends.load(Ordering::Relaxed) {
            0 => cx.within(&self.view, |cx| self.inner.pick(cx)),
            ends => self.thinned(cx, ends),
        }
    }
}
