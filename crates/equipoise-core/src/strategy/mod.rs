//! Strategies: how one of the eligible endpoints is chosen.
//!
//! A [`Strategy`] holds settings and [builds](Strategy::build) a [`Picker`] whenever membership or availability changes.
//! This may be slow. [`Picker::pick`] runs on every request, from many threads at once, on `&self`, and must be fast. A
//! strategy keeps its memory of an endpoint in a [`State`](Strategy::State). The pool stores the state with the endpoint,
//! so it survives every update.
//!
//! # A strategy of your own
//!
//! This one always picks the usable endpoint with the smallest id:
//!
//! ```
//! use equipoise_core::{BuildError, EndpointSpec, PickCx, PickRequest, Picker, Pool, Slot, Strategy, View};
//!
//! struct Alphabetical;
//! struct Sorted(Vec<Slot>);
//!
//! impl Strategy for Alphabetical {
//!     type State = ();
//!     type Picker = Sorted;
//!     fn state(&self, _: &EndpointSpec) {}
//!     fn build(&self, view: &View, _last: Option<&Sorted>) -> Result<Sorted, BuildError> {
//!         let mut slots = view.eligible().to_vec();
//!         slots.sort_by_key(|&slot| view.endpoint(slot).map(|endpoint| endpoint.id().clone()));
//!         Ok(Sorted(slots))
//!     }
//! }
//!
//! impl Picker for Sorted {
//!     fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
//!         self.0.iter().copied().find(|&slot| cx.usable(slot))
//!     }
//! }
//!
//! let pool = Pool::new(Alphabetical);
//! pool.update(["b:80", "a:80"].map(EndpointSpec::new), |_| ())?;
//! assert_eq!(pool.pick(&PickRequest::new())?.endpoint().id().as_str(), "a:80");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod any;
pub mod by_name;
pub mod combine;
mod cx;
mod first_fit;
pub(crate) mod forward;
mod hash;
mod least_connections;
mod least_request;
mod least_time;
mod live;
mod memories;
mod peak_ewma;
mod pick_counter;
mod random;
mod round_robin;
mod sampling;
mod span;

use std::{any::Any, time::Duration};

pub(crate) use self::cx::Notes;
pub use self::{
    any::AnyStrategy,
    by_name::{InvalidStrategy, StrategySpec},
    combine::{Aperture, InvalidCombinator, SlowStart, Subset, ZoneAware},
    cx::PickCx,
    first_fit::{FirstFit, FirstFitState},
    hash::{BoundedLoad, InvalidHashing, Jump, Keyed, Maglev, Rendezvous, Ring, SourceKey, SourcePrefix},
    least_connections::{LeastConnections, LeastConnectionsState},
    least_request::P2c,
    least_time::{LeastTime, LeastTimeState},
    peak_ewma::{PeakEwma, PeakEwmaState},
    pick_counter::PickCounter,
    random::Random,
    round_robin::{Edf, RoundRobin},
    sampling::InvalidChoices,
    span::InvalidSpan,
};
// These appear in public types, but are not meant to be named.
#[doc(hidden)]
pub use self::hash::{
    BoundedLoadPicker, BoundedLoadState, HashMembers, JumpPlacement, JumpTable, KeyPlacement, KeyedPicker, KeyedState,
    LoadCount, MaglevPlacement, MaglevTable, NoTable, RendezvousPlacement, RingPlacement, RingTable, Table, Uncounted,
};
use crate::{
    endpoint::{Endpoint, EndpointSpec, Slot},
    request::{KeyUse, PickRequest},
    time::Timestamp,
    verdict::Verdict,
    view::View,
};

/// A way to choose an endpoint: its settings, and a factory of [pickers](Picker). The [module](self) has an example.
///
/// One value serves one pool. The pool calls [`build`](Self::build) once per tier. The hooks ([`admit`](Self::admit)
/// and the `on_…` methods) run on the path of a request, and only if [`needs`](Self::needs) asks for them. A panic in a
/// hook is caught and ignored.
pub trait Strategy: Send + Sync + 'static {
    /// What the strategy remembers of one endpoint; `()` if nothing. The pool creates it when an endpoint joins, shares
    /// it between all pickers, and keeps it until the endpoint has been removed and its last lease has ended.
    type State: Send + Sync + 'static;

    /// The picker that [`build`](Self::build) creates. It runs on every request.
    type Picker: Picker;

    /// Creates the state of an endpoint that joins the pool.
    fn state(&self, spec: &EndpointSpec) -> Self::State;

    /// Creates a picker for the endpoints in `view`. It may be slow: requests use the old picker meanwhile. `last` is
    /// the picker that the new one replaces, `None` for the first. Positions and tables can be taken over from it.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the strategy cannot serve these endpoints. The pool then rejects the whole update that caused
    /// the call.
    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError>;

    /// What it wants to be told. Asked once, when the pool is built.
    fn needs(&self) -> Needs {
        Needs::new()
    }

    /// Called before a lease on the endpoint is given out for `request`, also if a binding chose the endpoint. Returns
    /// whether the endpoint may take the request; after `false` the pool picks again. The default is `true`.
    ///
    /// What is counted here must be uncounted in [`on_release`](Self::on_release), which is not called for refused
    /// requests. Needs [`Needs::leases`]; and [`Needs::shared_room`] if the answer depends on the load of other
    /// endpoints.
    fn admit(&self, _state: &Self::State, _endpoint: &Endpoint, _request: &PickRequest<'_>) -> bool {
        true
    }

    /// Called when a lease on the endpoint has ended and its place under the endpoint's limit is free again. Needs
    /// [`Needs::leases`].
    fn on_release(&self, _state: &Self::State, _endpoint: &Endpoint) {}

    /// Called at the first byte of a response; `latency` is the time since the pick. Needs [`Needs::latency`].
    fn on_latency(&self, _state: &Self::State, _latency: Duration, _now: Timestamp) {}

    /// Called when a lease ends without a first byte and without a verdict, `waited` after the pick: the request was
    /// given up. The latency of the endpoint is at least `waited`, so an estimate may be raised to it, but never
    /// lowered. A request that waited for less than the usual latency says nothing.
    ///
    /// Returns whether the request counts as a [timeout](crate::Failure::Timeout). If so,
    /// [`on_outcome`](Self::on_outcome) is called with it, and [`on_probation`](Self::on_probation) if the request was
    /// the one on probation. Without [`Needs::outcomes`] it counts for [`Needs::caps_failing`] only, and decides no
    /// probation. The default is `false`. Needs [`Needs::latency`].
    fn on_abandon(&self, _state: &Self::State, _waited: Duration, _now: Timestamp) -> bool {
        false
    }

    /// Called when a request has ended with `verdict`. Needs [`Needs::outcomes`].
    fn on_outcome(&self, _state: &Self::State, _verdict: Verdict, _now: Timestamp) {}

    /// Called after [`on_outcome`](Self::on_outcome) for the one request that an endpoint on
    /// [probation](crate::Availability::Probation) gets: `verdict` decides whether the endpoint comes back. Needs
    /// [`Needs::outcomes`].
    fn on_probation(&self, _state: &Self::State, _verdict: Verdict, _now: Timestamp) {}

    /// Called by the first pick after a [refresh period](Needs::refresh) has passed. Returns whether the pool should
    /// build new pickers. The default is `false`.
    fn on_refresh(&self, _now: Timestamp) -> bool {
        false
    }
}

/// Picks one endpoint for one request. It runs on many threads at once and must not block.
pub trait Picker: Any + Send + Sync {
    /// Returns the slot of a [usable](PickCx::usable) endpoint, or `None` if there is none. If the slot is not
    /// eligible, the pick fails with [`PickError::Misbehaved`](crate::PickError::Misbehaved).
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot>;
}

/// What a [`Strategy`] needs from the pool. The pool reads the clock and calls hooks only if they are asked for here.
///
/// ```
/// use equipoise_core::Needs;
///
/// let needs = Needs::new().latency().outcomes();
/// assert_eq!(needs, Needs::new().outcomes().latency());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Needs {
    pub(crate) clock: bool,
    pub(crate) latency: bool,
    pub(crate) outcomes: bool,
    pub(crate) leases: bool,
    pub(crate) key: bool,
    /// Whether a pick may fail for one key while another finds an endpoint.
    pub(crate) refuses_by_key: bool,
    pub(crate) caps_failing: bool,
    pub(crate) caps_failing_by_key: bool,
    pub(crate) shared_room: bool,
    pub(crate) refresh: Option<Duration>,
}

impl Needs {
    /// Asks for nothing: no clock and no hooks.
    pub const fn new() -> Self {
        Self {
            clock: false,
            latency: false,
            outcomes: false,
            leases: false,
            key: false,
            refuses_by_key: false,
            caps_failing: false,
            caps_failing_by_key: false,
            shared_room: false,
            refresh: None,
        }
    }

    /// Asks for the time of the pick, in [`PickCx::now`].
    pub const fn clock(mut self) -> Self {
        self.clock = true;
        self
    }

    /// Asks for [`Strategy::on_latency`] and [`Strategy::on_abandon`], and for the time of the pick.
    pub const fn latency(mut self) -> Self {
        self.latency = true;
        self.clock()
    }

    /// Asks for [`Strategy::on_outcome`] and [`Strategy::on_probation`].
    pub const fn outcomes(mut self) -> Self {
        self.outcomes = true;
        self
    }

    /// Asks for [`Strategy::admit`] and [`Strategy::on_release`].
    pub const fn leases(mut self) -> Self {
        self.leases = true;
        self
    }

    /// Asks for [`leases`](Self::leases), and declares that a lease that starts or ends at one endpoint can make room
    /// at another. This holds for a bound on the share of an endpoint ([`BoundedLoad`]) or on the requests of the whole
    /// pool.
    ///
    /// After each pick and release the pool then checks the [waiting](crate::Pool::acquire) requests for all endpoints,
    /// and not only for the endpoint of the lease: see [the cost](crate::Pool::acquire#cost). [`Strategy::admit`] must count
    /// with `SeqCst`.
    pub const fn shared_room(mut self) -> Self {
        self.shared_room = true;
        self.leases()
    }

    /// Declares that the request's key decides the endpoint. Combinators and tiers around the strategy then decide by
    /// the key instead of at random ([`PickCx::random_by_key`]), so that all requests of one key take the same way.
    ///
    /// Requests with different keys also [wait](crate::Pool::acquire) in separate queues, because a pick may fail for
    /// one key and succeed for another. A wrapping strategy that refuses endpoints by key must ask for this, even if
    /// the wrapped one does.
    pub const fn key(mut self) -> Self {
        self.refuses_by_key = true;
        self.places_any_key()
    }

    /// [`key`](Self::key), for strategies that find an endpoint for every key if any endpoint is usable.
    pub(crate) const fn places_any_key(mut self) -> Self {
        self.key = true;
        self
    }

    /// How a request's key affects whether an endpoint can serve the request.
    pub(crate) const fn key_use(&self) -> KeyUse {
        match (self.key, self.refuses_by_key) {
            (false, _) => KeyUse::Ignored,
            (true, false) => KeyUse::Presence,
            (true, true) => KeyUse::Value,
        }
    }

    /// Asks for a cap on failing endpoints. An endpoint fails from a failed request until the third success after its
    /// last failure. Meanwhile it is [usable](PickCx::usable) only as often as its weight says: one of four equal
    /// endpoints in at most every fourth pick. Strategies that compare requests in flight or latencies need this,
    /// because an endpoint that fails within a millisecond looks idle or fast.
    ///
    /// The cap is off while more than half of the pool's endpoints fail, and for a pick that would otherwise find no
    /// endpoint. Requests that are placed by [key](Self::key) are not capped, so keys stay. The cost is one read per
    /// finished request.
    pub const fn caps_failing(mut self) -> Self {
        self.caps_failing = true;
        self
    }

    /// Asks for [`caps_failing`](Self::caps_failing), also for requests that are placed by key. For strategies that
    /// move keys from loaded endpoints to others.
    pub(crate) const fn caps_failing_by_key(mut self) -> Self {
        self.caps_failing_by_key = true;
        self.caps_failing()
    }

    /// Asks for [`Strategy::on_refresh`] at most once per `period`, by the first pick after the period has passed.
    /// Without requests it is not called.
    pub const fn refresh(mut self, period: Duration) -> Self {
        self.refresh = Some(period);
        self.clock()
    }

    /// Returns whether [`key`](Self::key) was asked for.
    pub const fn places_by_key(&self) -> bool {
        self.key
    }

    /// Combines the needs of two strategies, for a strategy that wraps another. The shorter refresh period counts.
    pub fn and(self, other: Self) -> Self {
        Self {
            clock: self.clock || other.clock,
            latency: self.latency || other.latency,
            outcomes: self.outcomes || other.outcomes,
            leases: self.leases || other.leases,
            key: self.key || other.key,
            refuses_by_key: self.refuses_by_key || other.refuses_by_key,
            caps_failing: self.caps_failing || other.caps_failing,
            caps_failing_by_key: self.caps_failing_by_key || other.caps_failing_by_key,
            shared_room: self.shared_room || other.shared_room,
            refresh: [self.refresh, other.refresh].into_iter().flatten().min(),
        }
    }
}

/// Why a strategy could not build a picker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The strategy cannot serve these endpoints, for the reason in the text.
    #[error("the strategy cannot serve these endpoints: {0}")]
    Refused(String),
    /// The strategy panicked in [`Strategy::build`] or [`Strategy::state`].
    #[error("the strategy panicked while it built a picker")]
    Panicked,
}
