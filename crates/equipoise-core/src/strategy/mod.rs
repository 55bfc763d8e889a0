//! Strategies: algorithms that pick one of the eligible endpoints for each request. This module contains the trait
//! [`Strategy`], the strategies of this crate, and the combinators, which wrap other strategies.
//!
//! A [`Strategy`] holds settings. It [builds](Strategy::build) a [`Picker`] whenever membership or availability
//! changes. This may be slow. [`Picker::pick`] runs on every request, on many threads at once, on `&self`, and must be
//! fast. A strategy stores what it has measured or counted at an endpoint in the endpoint's [`State`](Strategy::State).
//! The pool keeps the state with the endpoint, so it survives every update.
//!
//! # A strategy of your own
//!
//! This strategy always picks the usable endpoint with the smallest id:
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

/// An algorithm that picks an endpoint for each request. A `Strategy` holds the settings, and creates the
/// [pickers](Picker), which do the work of each request. The [module](self) has an example.
///
/// One value serves one pool. The pool calls [`build`](Self::build) once for each tier (priority group of endpoints).
/// The pool calls the hooks, [`admit`](Self::admit) and the `on_…` methods, while it processes requests. It calls only
/// those that [`needs`](Self::needs) asks for. A panic in a hook is caught and ignored.
pub trait Strategy: Send + Sync + 'static {
    /// The data that the strategy keeps about one endpoint. Use `()` if it keeps none. The pool creates it when the
    /// endpoint is added, shares it between all pickers, and keeps it until the endpoint has been removed and its last
    /// lease has ended.
    type State: Send + Sync + 'static;

    /// The type of the pickers that [`build`](Self::build) creates. A picker picks the endpoint of each request.
    type Picker: Picker;

    /// Creates the state of an endpoint that is added to the pool.
    fn state(&self, spec: &EndpointSpec) -> Self::State;

    /// Creates a picker for the endpoints in `view`. It may be slow, because requests use the old picker meanwhile.
    ///
    /// `last` is the picker that the new one replaces. It is `None` for the first picker of a tier (priority group).
    /// The new picker can take over positions and tables from it.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the strategy cannot serve these endpoints. The pool then rejects the whole update that caused
    /// the call.
    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError>;

    /// Returns what the strategy needs from the pool: the clock and the hooks that the pool should call. Called once,
    /// when the pool is built. Default: nothing.
    fn needs(&self) -> Needs {
        Needs::new()
    }

    /// Called before a lease on `endpoint` is given to `request`, even if a binding chose the endpoint. Returns whether
    /// the endpoint may take the request. If the result is `false`, the pool picks again. Default: `true`.
    ///
    /// If this method counts requests, [`on_release`](Self::on_release) must subtract them again. The pool does not
    /// call `on_release` for refused requests.
    ///
    /// The pool calls this method only with [`Needs::leases`]. If the result depends on the load of other endpoints,
    /// [`Needs::shared_room`] is needed too.
    fn admit(&self, _state: &Self::State, _endpoint: &Endpoint, _request: &PickRequest<'_>) -> bool {
        true
    }

    /// Called when a lease on `endpoint` has ended. If the endpoint has a limit, the lease no longer counts against it.
    /// The pool calls this method only with [`Needs::leases`].
    fn on_release(&self, _state: &Self::State, _endpoint: &Endpoint) {}

    /// Called at the first byte of a response, or when [`Verdict::Success`] is recorded without a first byte. `latency`
    /// is the time since the pick. The pool calls this method only with [`Needs::latency`].
    fn on_latency(&self, _state: &Self::State, _latency: Duration, _now: Timestamp) {}

    /// Called when the caller gives up a request: its lease ends `waited` after the pick, without a first byte and
    /// without a verdict. Returns whether the request counts as a [timeout](crate::Failure::Timeout). Default: `false`.
    ///
    /// The latency of the endpoint is at least `waited`. An estimate may be raised to `waited`, but never lowered. A
    /// request that waited less than the usual latency says nothing about the endpoint.
    ///
    /// If the result is `true`, the pool calls [`on_outcome`](Self::on_outcome) with the timeout. If the request was
    /// the single request of a probation, it also calls [`on_probation`](Self::on_probation). Without
    /// [`Needs::outcomes`], it calls neither of them. The timeout then counts only for [`Needs::caps_failing`], and
    /// does not decide a probation.
    ///
    /// The pool calls this method only with [`Needs::latency`].
    fn on_abandon(&self, _state: &Self::State, _waited: Duration, _now: Timestamp) -> bool {
        false
    }

    /// Called when a request has ended with `verdict`. The pool calls this method only with [`Needs::outcomes`].
    fn on_outcome(&self, _state: &Self::State, _verdict: Verdict, _now: Timestamp) {}

    /// Called when the single request of an endpoint on [probation](crate::Availability::Probation) has ended with
    /// `verdict`, after [`on_outcome`](Self::on_outcome). `verdict` decides whether the endpoint is up again. The pool
    /// calls this method only with [`Needs::outcomes`].
    fn on_probation(&self, _state: &Self::State, _verdict: Verdict, _now: Timestamp) {}

    /// Called by the first pick after a [refresh period](Needs::refresh) is over. Returns whether the pool should build
    /// new pickers. Default: `false`. The pool calls this method only with [`Needs::refresh`].
    fn on_refresh(&self, _now: Timestamp) -> bool {
        false
    }
}

/// The part of a [`Strategy`] that picks one endpoint for one request. It runs on many threads at once and must not
/// block.
pub trait Picker: Any + Send + Sync {
    /// Returns the slot of a [usable](PickCx::usable) endpoint, or `None` if no endpoint is usable. If the returned
    /// slot is not [eligible](View::eligible), the pick fails with
    /// [`PickError::Misbehaved`](crate::PickError::Misbehaved).
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot>;
}

/// What a [`Strategy`] needs from its pool. The pool reads the clock and calls hooks only if the strategy asks for them
/// here.
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
    /// Whether a pick may fail for one key although it succeeds for another.
    pub(crate) refuses_by_key: bool,
    pub(crate) caps_failing: bool,
    pub(crate) caps_failing_by_key: bool,
    pub(crate) shared_room: bool,
    pub(crate) refresh: Option<Duration>,
}

impl Needs {
    /// Creates empty needs: the pool does not read the clock for the strategy and calls none of its hooks.
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

    /// Asks for the time of the pick, which [`PickCx::now`] returns.
    pub const fn clock(mut self) -> Self {
        self.clock = true;
        self
    }

    /// Asks for calls of [`Strategy::on_latency`] and [`Strategy::on_abandon`], and for the time of the pick
    /// ([`clock`](Self::clock)).
    pub const fn latency(mut self) -> Self {
        self.latency = true;
        self.clock()
    }

    /// Asks for calls of [`Strategy::on_outcome`] and [`Strategy::on_probation`].
    pub const fn outcomes(mut self) -> Self {
        self.outcomes = true;
        self
    }

    /// Asks for calls of [`Strategy::admit`] and [`Strategy::on_release`].
    pub const fn leases(mut self) -> Self {
        self.leases = true;
        self
    }

    /// Asks for [`leases`](Self::leases), and declares that a lease that starts or ends at one endpoint can free
    /// capacity at another. This is the case if [`Strategy::admit`] limits the share of an endpoint, as [`BoundedLoad`]
    /// does, or the number of requests of the whole pool.
    ///
    /// After each pick and each release, the pool then checks whether any endpoint can take
    /// [waiting](crate::Pool::acquire) requests. Without `shared_room`, it checks only the endpoint of the lease.
    /// [`Pool::acquire`](crate::Pool::acquire) states the cost.
    /// [`Strategy::admit`] must count with `SeqCst` operations.
    pub const fn shared_room(mut self) -> Self {
        self.shared_room = true;
        self.leases()
    }

    /// Declares that the key of a request decides its endpoint. Wrapping strategies and tiers (priority groups of
    /// endpoints) then decide by the key and not at random (see [`PickCx::random_by_key`]), so that they decide equally
    /// for all requests of one key.
    ///
    /// [Waiting](crate::Pool::acquire) requests with different keys then also have separate queues, because a pick may
    /// fail for one key and succeed for another. A wrapping strategy that refuses endpoints by key must ask for this
    /// itself, even if the wrapped strategy asks for it.
    pub const fn key(mut self) -> Self {
        self.refuses_by_key = true;
        self.places_any_key()
    }

    /// Declares the same as [`key`](Self::key), for strategies that find an endpoint for every key if any endpoint is
    /// usable.
    pub(crate) const fn places_any_key(mut self) -> Self {
        self.key = true;
        self
    }

    /// Returns how a request's key affects whether an endpoint can serve the request.
    pub(crate) const fn key_use(&self) -> KeyUse {
        match (self.key, self.refuses_by_key) {
            (false, _) => KeyUse::Ignored,
            (true, false) => KeyUse::Presence,
            (true, true) => KeyUse::Value,
        }
    }

    /// Asks for a cap on the picks of failing endpoints. An endpoint is failing from its first failed request until the
    /// third success after its last failure. While it is failing, it is [usable](PickCx::usable) only for its share of
    /// the picks by weight. If it is one of four endpoints of equal weight, this is at most every fourth pick.
    ///
    /// Strategies that compare requests in flight or latencies need this cap, because an endpoint that fails within a
    /// millisecond looks idle or fast to them.
    ///
    /// The cap does not apply in these cases:
    ///
    /// - More than half of the pool's eligible endpoints are failing.
    /// - The pick would find no endpoint with the cap.
    /// - The request is placed by its [key](Self::key). Its key therefore stays at its endpoint.
    ///
    /// The cap costs one read of memory for each request that ends.
    pub const fn caps_failing(mut self) -> Self {
        self.caps_failing = true;
        self
    }

    /// Asks for [`caps_failing`](Self::caps_failing), but with the cap also for requests that are placed by key. For
    /// strategies that move keys from loaded endpoints to others.
    pub(crate) const fn caps_failing_by_key(mut self) -> Self {
        self.caps_failing_by_key = true;
        self.caps_failing()
    }

    /// Asks for calls of [`Strategy::on_refresh`], at most one per `period`. The first pick after the end of a period
    /// makes the call. Without requests there are no calls. Also asks for the time of the pick
    /// ([`clock`](Self::clock)).
    pub const fn refresh(mut self, period: Duration) -> Self {
        self.refresh = Some(period);
        self.clock()
    }

    /// Returns whether the strategy asked for [`key`](Self::key): the key of a request decides its endpoint.
    pub const fn places_by_key(&self) -> bool {
        self.key
    }

    /// Combines the needs of two strategies, for a strategy that wraps another one. If both have a refresh period, the
    /// shorter one applies.
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

/// Why a strategy could not build a picker for the endpoints of a pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The strategy cannot serve these endpoints. The text says why.
    #[error("the strategy cannot serve these endpoints: {0}")]
    Refused(String),
    /// The strategy panicked in [`Strategy::build`] or [`Strategy::state`].
    #[error("the strategy panicked while it built a picker")]
    Panicked,
}
