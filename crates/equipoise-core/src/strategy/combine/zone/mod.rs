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

/// Prefers the endpoints in the client's own zone, as long as this does not overload them.
///
/// Choose it if traffic between zones costs money or time. The *capacity* of a zone is the weight of its eligible
/// endpoints. Its *callers* are the clients in it. While the client's zone has at least as large a share of all
/// capacity as of all callers, all requests stay in the zone. Otherwise the share (capacity share / caller share)
/// stays. The rest goes to zones that have more capacity than callers, in proportion to the difference.
///
/// - **Callers** are assumed to be spread evenly over the client's zone and all zones with members. If not, set
///   [`callers`](Self::callers).
/// - **With fewer than [`minimum`](Self::minimum) eligible endpoints in the client's zone**, zones are ignored and
///   requests are spread by capacity.
/// - **A request that one part cannot serve** (all endpoints excluded or at their limit) goes to the other part.
/// - Endpoints without a zone form a zone without callers. Members of weight 0 do not count.
/// - If the wrapped strategy places by [key](crate::Needs::key), the key decides whether a request leaves the zone.
///
/// Weakness: it compares capacity and not load, so a zone with busier clients than others is not relieved.
/// [Tiers](crate::Tier) are a simpler way: all requests stay in the zone until it has no eligible endpoint.
///
/// If the wrapped strategy places by key, keys outside the zone stay where they are while the shares stay. If a zone
/// loses capacity, some move, because the weights of the others change. [`BoundedLoad`](crate::BoundedLoad) belongs
/// around this strategy, because the wrapped strategy is built twice: for the client's zone and for the rest.
///
/// Build O(n). A pick costs that of the wrapped strategy, and a random number while only a part stays in the zone.
/// Source: Envoy's zone-aware routing. Its callers are the members of the client's cluster, its `min_cluster_size` (6,
/// of all endpoints) is `minimum` here (of the client's zone), and it counts endpoints instead of weights.
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
    /// Lets `inner` choose, and prefers the endpoints of `zone`, the zone of this client.
    pub fn new(inner: S, zone: impl Into<String>) -> Self {
        Self { inner, zone: zone.into(), minimum: 1, callers: None }
    }

    /// Sets how many endpoints of the client's zone must be eligible; below that, zones are ignored. The default is 1,
    /// and 0 counts as 1.
    #[must_use]
    pub fn minimum(mut self, eligible: usize) -> Self {
        self.minimum = eligible;
        self
    }

    /// Sets the number of clients in each zone, or any numbers in the same proportion. Zones that are not named have
    /// none. If all numbers are 0, callers are assumed to be spread evenly, as by default.
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
            // Zones without spare capacity keep a weight of 1 in a million, so a request can still fall back to them.
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
    /// The share of requests that stays in the zone, in units of 2⁻³².
    stay: u64,
    by_key: bool,
}

/// Makes this decision independent of others by the same key.
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
                    cx.filter_out(second.eligible());
                }
                Some(slot)
            }
            None => second.as_ref().and_then(|part| part.pick(cx)),
        }
    }
}
