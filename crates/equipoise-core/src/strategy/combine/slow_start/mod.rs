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

/// Lets endpoints that are cold take up their share little by little, under any strategy.
///
/// Choose it where a fresh process is slow at first (empty caches, a compiler that is still warming up, connections to
/// be made). An endpoint's *factor* is max([`floor`](Self::floor), (t / [`window`](Self::window))^(1 /
/// [`aggression`](Self::aggression))), t after it started; it gets that part of what the wrapped strategy would send
/// it (and, where several are starting, a little of what the others of them lose). Each choice of an endpoint that is
/// starting is tossed for, and the strategy chooses again if it loses.
///
/// - **Who starts slowly**: an endpoint that joins a pool whose tier has members, or becomes eligible again (it comes
///   back, its weight rises from 0, its draining is called off), from that moment on its own clock. What happens to
///   others does not touch it. The first members of a tier do not, unless [asked for](Self::from_the_first).
/// - **The clock is the pool's, not the traffic's**: without requests a start ends as early as with many.
/// - **Factors count relative to the largest**, so if all are starting at once, nobody pays.
/// - **A request is never refused for it**: when everybody else is excluded or at their limit, an endpoint that is
///   starting takes what there is.
/// - For a wrapped strategy that places by [key](crate::Needs::key) the toss belongs to the key: a starting endpoint is
///   given its keys one by one, and each moves once.
///
/// Wrap it around other combinators, not inside them: inside a [`Subset`](super::Subset), who is merely new to the
/// subset starts slowly too.
///
/// Its weakness: time says little about how warm an endpoint is. Also, after eight picks of endpoints that lose
/// their toss, or the same one twice, the strategy is asked to choose among the others, and one that takes turns
/// then gives the next in turn more than its due. What takes turns asks for each turn anew, so a factor f counts
/// there as a weight does: one starting beside a full one gets f / (1 + f), where any other strategy gives it f /
/// 2. A strategy that fills the least loaded first still fills an idle newcomer, at the floor's part of the
/// traffic.
///
/// A pick costs a nanosecond or two when nobody is starting, and no reading of the clock; otherwise a reading (if the
/// wrapped strategy has none) and a toss where one is due. Build O(n); none is needed during a start. Source: Envoy's
/// slow start, which scales weights instead, and so gives nothing at all to a newcomer where they hardly count.
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
    /// Half a minute, linear, from a tenth on.
    pub const fn new(inner: S) -> Self {
        Self { inner, curve: Curve::DEFAULT, from_the_first: false }
    }

    /// How long a start takes. Zero turns it off.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.curve.window = saturating_nanos(window);
        self
    }

    /// How the share rises: 1, the default, in a straight line; 2 faster at first, 0.5 slower.
    ///
    /// # Errors
    ///
    /// When it is not above 0.
    pub fn aggression(mut self, aggression: f64) -> Result<Self, InvalidCombinator> {
        if !(aggression > 0.0 && aggression.is_finite()) {
            return Err(InvalidCombinator::Aggression { aggression });
        }
        self.curve.exponent = 1.0 / aggression;
        Ok(self)
    }

    /// The part of its share that an endpoint starts with; a tenth by default. Without one, it would not be found out
    /// that it works.
    ///
    /// # Errors
    ///
    /// When it is not above 0, or above 1.
    pub fn floor(mut self, floor: f64) -> Result<Self, InvalidCombinator> {
        if !(floor > 0.0 && floor <= 1.0) {
            return Err(InvalidCombinator::Floor { floor });
        }
        self.curve.floor = floor;
        Ok(self)
    }

    /// Also the first members of a tier start slowly. It shows only when others join them before they are done.
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
        // Who is on trial has not started yet.
        let serving = || view.eligible().iter().filter(|slot| !view.is_on_probation(**slot));
        serving().for_each(|slot| eligible[slot.index()] = true);
        let same = last.filter(|last| last.membership == view.membership_revision());
        let ramps: Arc<[Option<Arc<Ramp>>]> = match same {
            Some(same) => Arc::clone(&same.ramps),
            None => by_slot::<S::State>(view),
        };
        // Starting one again that does not become eligible after all, because a change was refused, is of no consequence.
        if last.is_some() || self.from_the_first {
            let news = serving().filter(|slot| !last.is_some_and(|last| last.knew(&ramps, **slot)));
            news.filter_map(|slot| ramps[slot.index()].as_ref()).for_each(|ramp| ramp.start(now));
        }
        let started = |slot: &Slot| Some((*slot, ramps[slot.index()].as_ref()?.started(self.curve, now)?));
        let starting: Vec<(Slot, Timestamp)> = match same {
            // Spares a look at all endpoints when one flips.
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
    /// Who was starting when it was built.
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

/// How often the strategy chooses freely before it is told whom not to choose: those that take turns stay fair so.
const TOSSES: usize = 8;
/// A start that is to end later than this after twice the window: the clock was set back.
const SLACK: u64 = 1_000_000_000;
/// Keeps this lot apart from others that are drawn by the same key.
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
            // A coin for each endpoint and pick, so that asking again during the pick gives the same answer.
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
                cx.pass_over(&[slot]);
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
