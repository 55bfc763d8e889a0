mod zoning;

use std::{collections::BTreeMap, sync::Arc};

use self::zoning::Zoning;
use super::part::Part;
use crate::{
    endpoint::{EndpointSpec, MAX_WEIGHT, Slot},
    forward_hooks,
    strategy::{BuildError, Needs, PickCx, Picker, Strategy},
    view::View,
};

/// Prefers the endpoints in the client's own zone, as long as that does not overload them.
///
/// Choose it where crossing a zone costs money or time. A zone's *capacity* is the weight of its eligible endpoints;
/// its *callers* are the clients that stand there. While the client's zone holds at least as large a part of the
/// capacity as of the callers, all of the client's requests stay. Otherwise it keeps as many as its capacity is meant
/// for (capacity part / callers part), and the rest goes to those zones that have more capacity than callers, in
/// proportion to what they have to spare.
///
/// - **Callers** are taken to be spread evenly over the zones that have members, and the client's own. Say
///   [`callers`](Self::callers) if they are not.
/// - **With fewer than [`minimum`](Self::minimum) eligible endpoints nearby** zones are disregarded: requests are
///   spread by capacity alone.
/// - **Nobody is refused who could be served**: if those nearby are all excluded from a request or at their limit,
///   others are asked, and the other way round.
/// - Endpoints without a zone form a zone of their own that has no callers. Members of weight 0 do not count.
/// - For a wrapped strategy that places by [key](crate::Needs::key), the way out of the zone is drawn by the key.
///
/// Its weakness: it looks at capacity and not at load, so a zone whose clients are busier than others is not relieved.
/// Zones in [tiers](crate::Tier) are the rougher way: everything stays until nobody is left.
///
/// A wrapped strategy that places by key keeps the far keys where they are while shares stand; when a zone falls short
/// some move, because the weights of the others change. One that keeps a single account of the tier, as
/// [`BoundedLoad`](crate::BoundedLoad) does, belongs around this one: the wrapped strategy is built twice, for those
/// nearby and for the others.
///
/// Build O(n); a pick costs what the wrapped one costs, and a random number while the zone keeps only part of it.
/// Source: Envoy's zone-aware routing, whose `min_cluster_size` (6 endpoints in all) is `minimum` here, of the client's
/// zone, and whose callers are the members of the client's own cluster; it counts endpoints where this weighs them.
///
/// ```
/// use equipoise_core::{EndpointSpec, P2c, PickRequest, Pool, ZoneAware};
///
/// let pool = Pool::new(ZoneAware::new(P2c::new(), "eu-1a"));
/// let specs = [("a:80", "eu-1a"), ("b:80", "eu-1b"), ("c:80", "eu-1c")];
/// pool.update(specs.map(|(id, zone)| EndpointSpec::new(id).zone(zone)), |_| ())?;
/// assert_eq!(pool.pick(&PickRequest::new())?.endpoint().zone().as_deref(), Some("eu-1a"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ZoneAware<S> {
    inner: S,
    zone: String,
    minimum: usize,
    callers: Option<BTreeMap<String, u32>>,
}

impl<S> ZoneAware<S> {
    /// `inner` chooses, first among the endpoints of `zone`: where the client stands.
    pub fn new(inner: S, zone: impl Into<String>) -> Self {
        Self { inner, zone: zone.into(), minimum: 1, callers: None }
    }

    /// How many endpoints of the client's zone have to be eligible for zones to count; 1 by default.
    #[must_use]
    pub fn minimum(mut self, eligible: usize) -> Self {
        self.minimum = eligible;
        self
    }

    /// How many clients stand in each zone, or any numbers of the same ratios. Zones that are not named have none. If
    /// all are zero, they are taken to be spread evenly again.
    #[must_use]
    pub fn callers<Z: Into<String>>(mut self, callers: impl IntoIterator<Item = (Z, u32)>) -> Self {
        let callers: BTreeMap<String, u32> = callers.into_iter().map(|(zone, n)| (zone.into(), n)).collect();
        self.callers = callers.values().any(|&n| n > 0).then_some(callers);
        self
    }
}

impl<S: Strategy> Strategy for ZoneAware<S> {
    type State = S::State;
    type Picker = ZonePicker<S::Picker>;

    fn state(&self, spec: &EndpointSpec) -> S::State {
        self.inner.state(spec)
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        let zoning = match last.filter(|last| last.zoning.still_holds(view)) {
            Some(last) => Arc::clone(&last.zoning),
            None => Arc::new(Zoning::new(view, &self.zone, self.callers.as_ref())),
        };
        let plan = zoning.plan(view, self.minimum);
        let mut far = view.narrowed(|slot| !zoning.is_near(slot));
        if let Some(spare) = &plan.spare {
            let weight = |slot: Slot| zoning.of(spare, slot) * f64::from(view.weight(slot));
            let most = far.eligible().iter().map(|&slot| weight(slot)).fold(0.0, f64::max);
            // Zones without anything to spare keep a weight of 1 in a million: the last resort of a request.
            far = far.reweighted(|slot| (weight(slot) / most * f64::from(MAX_WEIGHT)).round() as u32);
        }
        let near = view.narrowed(|slot| zoning.is_near(slot));
        Ok(ZonePicker {
            near: Part::build(&self.inner, near, last.and_then(|last| last.near.as_ref()))?,
            far: Part::build(&self.inner, far, last.and_then(|last| last.far.as_ref()))?,
            zoning,
            stay: (plan.stay * 2f64.powi(32)).round() as u64,
            by_key: self.inner.needs().places_by_key(),
        })
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    forward_hooks!(self.inner);
}

/// The picker of [`ZoneAware`].
pub struct ZonePicker<P> {
    near: Option<Part<P>>,
    far: Option<Part<P>>,
    zoning: Arc<Zoning>,
    /// The part of the requests that stays, in units of 2⁻³².
    stay: u64,
    by_key: bool,
}

/// Keeps this lot apart from others that are drawn by the same key.
const SALT: u64 = 0x7a6f_6e65;

impl<P: Picker> Picker for ZonePicker<P> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let stays = match self.stay {
            0 => false,
            stay => stay > u64::from(u32::MAX) || cx.random_by_key(self.by_key, SALT) >> 32 < stay,
        };
        let (first, second) = if stays { (&self.near, &self.far) } else { (&self.far, &self.near) };
        match first.as_ref().and_then(|part| part.pick(cx)) {
            Some(slot) => {
                if let Some(second) = second {
                    cx.pass_over(second.eligible());
                }
                Some(slot)
            }
            None => second.as_ref().and_then(|part| part.pick(cx)),
        }
    }
}
