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

/// Gives endpoints that start only a part of their share at first, and increases it over time.
///
/// Choose it if a new process is slow at first, because of empty caches, a JIT compiler or new connections. The
/// *factor* of an endpoint is max([`floor`](Self::floor), (t / [`window`](Self::window))^(1 /
/// [`aggression`](Self::aggression))), t after its start. It gets that part of what the wrapped strategy would send it.
/// If several are starting, it also gets a little of what the others lose. When the wrapped strategy picks a starting
/// endpoint, a random draw decides by the factor; if it loses, the strategy picks again.
///
/// - **Endpoints start slowly** if they join a tier that has members, or become eligible again: they come back, their
///   weight rises from 0, or draining ends. Each has its own start time. The first members of a tier start with their
///   full share, unless [`from_the_first`](Self::from_the_first) is set.
/// - **Starts end by the clock**, not by the number of requests.
/// - **Factors are relative to the largest**: if all endpoints are starting at once, none loses traffic.
/// - **No request fails because of it**: if all other endpoints are excluded or at their limit, a starting one takes
///   the request.
/// - If the wrapped strategy places by [key](crate::Needs::key), the draw depends on the key: an endpoint gets its keys
///   one by one, and each moves once.
///
/// Put it around other combinators: inside a [`Subset`](super::Subset), endpoints that are only new to the subset would
/// start slowly too.
///
/// Weaknesses: time says little about how warm an endpoint is. After eight lost draws, or the same endpoint twice, the
/// wrapped strategy has to pick among the others; one that takes turns then gives the next in turn more than its share.
/// Strategies that take turns advance with each draw, so a factor f acts like a weight: one starting endpoint beside a
/// full one gets f / (1 + f), and f / 2 with other strategies. Strategies that fill the least loaded endpoint first
/// still fill a new idle one, with the floor's part of the traffic.
///
/// A pick costs 1 to 2 ns while no endpoint is starting. Otherwise it costs a draw where one is needed, and a clock
/// reading if the wrapped strategy needs none. Build O(n); a start needs no further builds. Source: Envoy's slow start.
/// Envoy scales weights, so a new endpoint gets nothing if weights hardly count.
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
    from_the_first: bool,
}

impl<S> SlowStart<S> {
    /// Wraps `inner` with a window of 30 s, aggression 1 and a floor of 0.1.
    pub const fn new(inner: S) -> Self {
        Self { inner, curve: Curve::DEFAULT, from_the_first: false }
    }

    /// Sets how long a start takes. The default is 30 s. Zero turns slow start off.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.curve.window = saturating_nanos(window);
        self
    }

    /// Sets how the share rises: linearly with 1, the default; faster at first above 1; slower at first below 1.
    ///
    /// # Errors
    ///
    /// [`InvalidCombinator::Aggression`] if `aggression` is not above 0 or not finite.
    pub fn aggression(mut self, aggression: f64) -> Result<Self, InvalidCombinator> {
        if !(aggression > 0.0 && aggression.is_finite()) {
            return Err(InvalidCombinator::Aggression { aggression });
        }
        self.curve.exponent = 1.0 / aggression;
        Ok(self)
    }

    /// Sets the part of its share that an endpoint gets at first: above 0, at most 1. The default is 0.1. It cannot be
    /// 0, because an endpoint without requests cannot show that it works.
    ///
    /// # Errors
    ///
    /// [`InvalidCombinator::Floor`] if `floor` is not above 0 and at most 1.
    pub fn floor(mut self, floor: f64) -> Result<Self, InvalidCombinator> {
        if !(floor > 0.0 && floor <= 1.0) {
            return Err(InvalidCombinator::Floor { floor });
        }
        self.curve.floor = floor;
        Ok(self)
    }

    /// Lets the first members of a tier start slowly too. This has an effect only if others join before their start has
    /// ended.
    #[must_use]
    pub const fn from_the_first(mut self) -> Self {
        self.from_the_first = true;
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
        // A start that was set for an update that is then rejected has no effect.
        if last.is_some() || self.from_the_first {
            let news = serving().filter(|slot| !last.is_some_and(|last| last.knew(&ramps, **slot)));
            news.filter_map(|slot| ramps[slot.index()].as_ref()).for_each(|ramp| ramp.start(now));
        }
        let started = |slot: &Slot| Some((*slot, ramps[slot.index()].as_ref()?.started(self.curve, now)?));
        let starting: Vec<(Slot, Timestamp)> = match same {
            // Avoids a look at all endpoints when the availability of one changes.
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

/// The picker of [`SlowStart`].
pub struct SlowStartPicker<P> {
    inner: P,
    /// The view as the wrapped strategy sees it.
    view: View,
    membership: Revision,
    /// By slot, of all members; shared from one picker to the next while the membership stands.
    ramps: Arc<[Option<Arc<Ramp>>]>,
    /// By slot.
    eligible: Box<[bool]>,
    /// The endpoints that were starting when it was built.
    starting: Box<[Slot]>,
    curve: Curve,
    /// When the last start is over, in nanoseconds; 0 once it is.
    ends: AtomicU64,
    /// The earliest start, where all are starting.
    lead: Option<Timestamp>,
    /// Whether the context knows the time.
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

/// The number of free picks before losing endpoints are filtered out. Free picks keep strategies that take turns fair.
const TOSSES: usize = 8;
/// A start that would end later than this after twice the window: the clock was set back.
const SLACK: u64 = 1_000_000_000;
/// Makes this decision independent of others by the same key.
const SALT: u64 = 0x7261_6d70;

impl<P: Picker> SlowStartPicker<P> {
    fn ramp(&self, slot: Slot) -> Option<&Arc<Ramp>> {
        self.ramps.get(slot.index())?.as_ref()
    }

    /// Whether the endpoint in `slot`, as `ramps` has it, was eligible then.
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
            // One draw per endpoint and pick, so that a second call during the pick returns the same.
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
