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

/// A combinator that sends requests to the endpoints in the client's own zone, as long as this does not overload them.
///
/// Choose it if traffic between zones costs money or time. The *capacity share* of a zone is the sum of the weights of
/// its eligible endpoints, divided by the sum of the weights of all eligible endpoints. The *caller share* of a zone is
/// the number of clients in it, divided by the number of all clients.
///
/// If the capacity share of the client's zone is at least its caller share, all requests stay in the zone. Otherwise,
/// the part (capacity share / caller share) of the requests stays in the zone. For example, if the zone has 20 % of the
/// capacity and 40 % of the callers, half of the requests stay. The remaining requests go to other zones. Each zone
/// gets them in proportion to the difference (capacity share − caller share). A zone gets none of them if this
/// difference is 0 or negative.
///
/// - **Caller shares**: by default, the clients are assumed to be spread evenly over this client's zone and all other
///   zones that have endpoints. Set other shares with [`callers`](Self::callers).
/// - **If the client's zone has fewer than [`min_eligible`](Self::min_eligible) eligible endpoints**, zones are
///   ignored, and requests are spread over all endpoints by their weights.
/// - **If all endpoints of the client's zone are excluded or at their limit**, a request goes to another zone. If all
///   endpoints of the other zones are excluded or at their limit, a request goes to the client's zone.
/// - **Endpoints without a zone** form a zone of their own, in which there are no clients. Endpoints of weight 0 are
///   not counted.
/// - **If the wrapped strategy places requests by [key](crate::Needs::key)**, a hash of the key decides whether a
///   request leaves the zone. Either all requests of a key leave the zone, or none of them does.
///
/// Weakness: `ZoneAware` compares capacity and not load, so it does not relieve a zone with unusually busy clients.
/// [Tiers](crate::Tier) are a simpler solution: if the first tier contains the endpoints of the client's zone, all
/// requests stay in the zone as long as one of these endpoints can be picked.
///
/// If the wrapped strategy places requests by key, a key stays at its endpoint as long as the shares of the zones stay
/// the same. This also applies to the keys that leave the zone. If a zone loses capacity, some keys move, because the
/// shares of the zones change. [`BoundedLoad`](crate::BoundedLoad) should be outside of `ZoneAware`. Inside, there
/// would be one `BoundedLoad` picker for the client's zone and one for the other zones, and each would see only its own
/// part of the endpoints.
///
/// Building a picker takes O(n) time for n endpoints. A pick takes as long as a pick of the wrapped strategy. If only a
/// part of the requests stays in the zone, a pick also draws a random number.
///
/// Source: Envoy's zone-aware routing. Envoy's callers are the members of the client's cluster. Envoy's
/// `min_cluster_size` (default: 6) corresponds to `min_eligible`, but counts the endpoints of all zones. Envoy's
/// capacity is a number of endpoints and not a sum of weights.
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
    min_eligible: usize,
    callers: Option<BTreeMap<String, u32>>,
}

impl<S> ZoneAware<S> {
    /// Creates a combinator that lets `inner` pick from the endpoints of `zone`, as long as this does not overload
    /// them, and otherwise also from other zones. `zone` is the zone of this client. If no endpoint is in this zone,
    /// zones are ignored.
    pub fn new(inner: S, zone: impl Into<String>) -> Self {
        Self { inner, zone: zone.into(), min_eligible: 1, callers: None }
    }

    /// Sets the minimum number of eligible endpoints in the client's zone. If fewer are eligible, zones are ignored:
    /// requests go to all endpoints in proportion to their weights. A value of 0 counts as 1. Default: 1.
    #[must_use]
    pub fn min_eligible(mut self, eligible: usize) -> Self {
        self.min_eligible = eligible;
        self
    }

    /// Sets the number of clients in each zone, as pairs of a zone and a number. Only the ratios between the numbers
    /// matter: 1 and 2 have the same effect as 10 and 20. Zones that are not in `callers` count as zones without
    /// clients. Default: the clients are spread evenly over this client's zone and all other zones that have endpoints.
    /// If `callers` is empty or all its numbers are 0, the default applies.
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
        let plan = zoning.plan(view, self.min_eligible);
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

/// The picker of [`ZoneAware`], which picks the endpoint of each request.
pub struct ZonePicker<P> {
    near: Option<Part<P>>,
    far: Option<Part<P>>,
    zoning: Arc<Zoning>,
    /// The share of the requests that stays in the zone, in units of 2⁻³².
    stay: u64,
    by_key: bool,
}

/// A seed that makes this decision independent of other decisions by the same key.
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
