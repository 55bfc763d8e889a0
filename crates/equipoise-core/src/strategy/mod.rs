//! Strategies: algorithms that pick one of the eligible endpoints for each request. This module contains the trait
//! [`Strategy`], the strategies of this crate, and the combinators, which wrap other strategies.
//!
//! A [`Strategy`] holds settings. When the members of the pool or their availability change, the pool calls
//! [`Strategy::build`] to get new [pickers](Picker), one for each tier (priority group of endpoints). Building may be
//! slow. [`Picker::pick`] runs for each request, on many threads at once, and must be fast. What a strategy measures or
//! counts at an endpoint is stored in the [`State`](Strategy::State) of this endpoint. The pool keeps the state as long
//! as the endpoint stays, so the state survives updates of the pool.
//!
//! # A strategy of your own
//!
//! This strategy always picks the usable endpoint with the smallest id. It is complete, but it continues to send all
//! requests to the same endpoint if this endpoint fails. To limit these requests, see [`Needs::caps_failing`].
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
mod first_fit;
pub(crate) mod forward;
mod hash;
mod least_connections;
mod least_time;
mod live;
mod log_ewma;
mod memories;
mod peak_ewma;
mod penalty;
pub(crate) mod picker;
mod random;
mod round_robin;
mod sampling;
mod span;

use std::{ops::Rem, time::Duration};

pub(crate) use self::picker::Notes;
pub use self::{
    any::AnyStrategy,
    by_name::{InvalidStrategy, StrategySpec},
    combine::{Aperture, InvalidCombinator, SlowStart, Subset, ZoneAware},
    first_fit::{FirstFit, FirstFitState},
    hash::{BoundedLoad, InvalidHashing, Jump, Keyed, Maglev, Rendezvous, Ring, SourceKey, SourcePrefix},
    least_connections::{LeastConnections, LeastConnectionsState},
    least_time::{LeastTime, LeastTimeState},
    log_ewma::{LogEwma, LogEwmaState},
    peak_ewma::{PeakEwma, PeakEwmaState},
    picker::{PickCounter, PickCx, Picker},
    random::Random,
    round_robin::{Edf, RoundRobin},
    sampling::{InvalidChoices, P2c},
    span::InvalidSpan,
};
// These appear in public types, but are not meant to be named.
#[doc(hidden)]
pub use self::hash::{
    BoundedLoadPicker, BoundedLoadState, HashMembers, JumpPlacement, JumpTable, KeyPlacement, KeyedPicker, KeyedState,
    LoadCount, MaglevPlacement, MaglevTable, NoTable, RendezvousPlacement, RingPlacement, RingTable, Table, Uncounted,
};
use crate::{
    endpoint::{Endpoint, EndpointSpec},
    request::{KeyUse, PickRequest},
    time::Timestamp,
    verdict::Verdict,
    view::View,
};

/// An algorithm that picks an endpoint for each request. The `Strategy` holds the settings and creates
/// [pickers](Picker). The pickers pick the endpoints. The [module](self) has an example.
///
/// Do not use one value of a strategy in two pools. The pool calls [`build`](Self::build) separately for each tier
/// (priority group of endpoints). [`admit`](Self::admit) and the `on_…` methods are hooks: the pool calls them while it
/// processes requests. It calls only the hooks that [`needs`](Self::needs) asks for. A panic in a hook is caught and
/// ignored; if `admit` panics, the request is admitted.
pub trait Strategy: Send + Sync + 'static {
    /// The type of the data that the strategy keeps about one endpoint. The pool creates the data with
    /// [`state`](Self::state) when the endpoint is added. All pickers share the data. It is dropped after the endpoint
    /// has been removed and all its leases have ended. Use `()` if the strategy keeps no data.
    type State: Send + Sync + 'static;

    /// The type of the pickers that [`build`](Self::build) creates. A picker picks the endpoint of each request.
    type Picker: Picker;

    /// Creates the state of an endpoint: the data that the strategy keeps about it. Called when an endpoint with this
    /// `spec` is added to the pool, or when its address changes.
    fn state(&self, spec: &EndpointSpec) -> Self::State;

    /// Creates a picker for the endpoints in `view`. This method may be slow: requests use the previous picker until
    /// the new one is ready.
    ///
    /// `last` is the picker that the new one replaces. It is `None` for the first picker of a tier (priority group of
    /// endpoints). The new picker can take over data from `last`, such as a table or the position of a counter.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the strategy cannot serve these endpoints. The pool then rejects the whole update that caused
    /// the call.
    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError>;

    /// Returns what the strategy needs from the pool: the clock and the hooks that the pool should call. Called once,
    /// when the pool is built. Default: [`Needs::new`], which asks for nothing.
    fn needs(&self) -> Needs {
        Needs::new()
    }

    /// Returns whether `endpoint` may take `request`. Called before the request gets a lease on the endpoint. Also
    /// called for requests whose session belongs to the endpoint ([`PickRequest::bound`]). Default: `true`.
    ///
    /// If the result is `false`, the pool picks again. Exception: if the session of the request may use only this
    /// endpoint ([strict](crate::Binding::strict) binding), the pick fails.
    ///
    /// If this method returns `true`, the pool calls [`on_release`](Self::on_release) when the lease ends. A strategy
    /// that counts requests adds 1 here and subtracts 1 in `on_release`. If this method returns `false`, the pool does
    /// not call `on_release`, so the request must not be counted.
    ///
    /// The pool calls this method only if the strategy asks for [`Needs::leases`]. If the result also depends on
    /// requests at other endpoints, the strategy must ask for [`Needs::shared_capacity`].
    fn admit(&self, _state: &Self::State, _endpoint: &Endpoint, _request: &PickRequest<'_>) -> bool {
        true
    }

    /// Called when a lease on `endpoint` has ended. At this time, the lease no longer counts towards the endpoint's
    /// maximum number of requests in flight. The pool calls this method only if the strategy asks for
    /// [`Needs::leases`].
    fn on_release(&self, _state: &Self::State, _endpoint: &Endpoint) {}

    /// Called at the first byte of a response, or when [`Verdict::Success`] is recorded and no first byte was reported.
    /// `latency` is the time since the pick. `now` is the time of the call. The pool calls this method only if the
    /// strategy asks for [`Needs::latency`].
    fn on_latency(&self, _state: &Self::State, _latency: Duration, _now: Timestamp) {}

    /// Called when the caller gives up a request: the lease ends without a first byte and without a verdict. `waited`
    /// is the time since the pick. `now` is the time of the call. Returns whether the request counts as a
    /// [timeout](crate::Failure::Timeout). Default: `false`.
    ///
    /// The latency of this request would have been at least `waited`. The strategy may raise an estimate of the latency
    /// to `waited`, but must not lower it. A `waited` that is shorter than the usual latency says nothing about the
    /// endpoint.
    ///
    /// If the result is `true`:
    ///
    /// - If the strategy asks for [`Needs::outcomes`], the pool calls [`on_outcome`](Self::on_outcome) with the timeout
    ///   as the verdict. If the request was the single request of an endpoint on
    ///   [probation](crate::Availability::Probation), the pool also calls [`on_probation`](Self::on_probation).
    /// - If the strategy does not ask for [`Needs::outcomes`], the pool calls neither of these methods. The timeout
    ///   then counts only for [`Needs::caps_failing`], and an endpoint on probation may get another request.
    ///
    /// The pool calls this method only if the strategy asks for [`Needs::latency`].
    fn on_abandon(&self, _state: &Self::State, _waited: Duration, _now: Timestamp) -> bool {
        false
    }

    /// Called when `verdict`, the result of a request, is recorded. The lease of the request may end later. Called at
    /// most once for each request. `now` is the time of the call. The pool calls this method only if the strategy asks
    /// for [`Needs::outcomes`].
    fn on_outcome(&self, _state: &Self::State, _verdict: Verdict, _now: Timestamp) {}

    /// Called with the result of the single request that an endpoint on [probation](crate::Availability::Probation)
    /// gets. This result, `verdict`, decides whether the endpoint has recovered. `now` is the time of the call.
    ///
    /// - If a verdict other than [`Verdict::Neutral`] is recorded, this method is called after
    ///   [`on_outcome`](Self::on_outcome).
    /// - If the lease ends without a verdict after the first byte of the response, `verdict` is [`Verdict::Success`],
    ///   and `on_outcome` is not called.
    ///
    /// The pool calls this method only if the strategy asks for [`Needs::outcomes`].
    fn on_probation(&self, _state: &Self::State, _verdict: Verdict, _now: Timestamp) {}

    /// Called by the first pick after the [refresh period](Needs::refresh) is over. `now` is the time of the call.
    /// Returns whether the pool should build new pickers. Default: `false`. The pool calls this method only if the
    /// strategy asks for [`Needs::refresh`].
    fn on_refresh(&self, _now: Timestamp) -> bool {
        false
    }

    /// Returns the name of the strategy, for people: [`Pool::strategy`](crate::Pool::strategy) returns it, for example
    /// for a status page. A strategy that only watches another one should return the name of that one. Default: the
    /// name of the Rust type without the paths of modules, such as `LogEwma`.
    fn name(&self) -> String {
        without_paths(std::any::type_name::<Self>())
    }
}

/// Returns the name of a type without the paths of modules, also in its parameters.
fn without_paths(name: &str) -> String {
    let words = name.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    words.map(|word| word.rsplit("::").next().unwrap_or(word)).collect()
}

/// What a [`Strategy`] needs from its pool: the time, and calls of its hooks. Hooks are the methods that the pool calls
/// while it processes requests, such as [`Strategy::on_latency`]. To save time, the pool does only what the strategy
/// asks for.
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
    pub(crate) waiting: bool,
    pub(crate) outcomes: bool,
    pub(crate) leases: bool,
    pub(crate) key: bool,
    /// Whether a pick may fail for one key although it succeeds for another.
    pub(crate) refuses_by_key: bool,
    pub(crate) caps_failing: bool,
    pub(crate) caps_failing_by_key: bool,
    pub(crate) shared_capacity: bool,
    pub(crate) refresh: Option<Duration>,
}

impl Needs {
    /// Creates needs that ask for nothing: the pool does not read the clock for the strategy, and calls none of its
    /// hooks.
    pub const fn new() -> Self {
        Self {
            clock: false,
            latency: false,
            waiting: false,
            outcomes: false,
            leases: false,
            key: false,
            refuses_by_key: false,
            caps_failing: false,
            caps_failing_by_key: false,
            shared_capacity: false,
            refresh: None,
        }
    }

    /// Asks for the time of the pick, which [`PickCx::now`] returns. Without this, `PickCx::now` returns
    /// [`Timestamp::ZERO`].
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

    /// Asks for counts of the requests that wait for their response ([`View::waiting`]), and for the time of the pick
    /// ([`clock`](Self::clock)). Without this, `View::waiting` returns the number of requests in flight.
    ///
    /// The counts cost one more atomic load for each pick. They also cost two atomic additions for each response that
    /// ends later than its first byte.
    pub const fn waiting(mut self) -> Self {
        self.waiting = true;
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

    /// Asks for [`leases`](Self::leases), and declares that the start or the end of a lease at one endpoint can free
    /// capacity at another endpoint. Call this method if [`Strategy::admit`] limits
    ///
    /// - the share of each endpoint in the requests of all endpoints, as [`BoundedLoad`] does, or
    /// - the number of requests of the whole pool.
    ///
    /// While requests [wait](crate::Pool::acquire), the pool checks at the start and at the end of each lease whether
    /// any endpoint can take one of them. Without `shared_capacity`, it checks only the endpoint of the lease.
    /// [`Pool::acquire`](crate::Pool::acquire) states the cost. [`Strategy::admit`] must count with `SeqCst`
    /// operations.
    pub const fn shared_capacity(mut self) -> Self {
        self.shared_capacity = true;
        self.leases()
    }

    /// Declares that the key of a request decides its endpoint. Other choices for the request are then made by its key
    /// too, and not at random: the choices of strategies that wrap this one (see [`PickCx::random_by_key`]), and the
    /// pool's choice of a tier (priority group of endpoints). All choices are therefore the same for all requests of
    /// one key.
    ///
    /// A pick may then fail for one key and succeed for another. The pool therefore serves
    /// [waiting](crate::Pool::acquire) requests with different keys independently of each other. If an outer strategy
    /// refuses endpoints by key, it must call `key` on its own needs. This is also necessary if the inner strategy has
    /// called `key`.
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

    /// Asks for a cap on the picks of failing endpoints. An endpoint is failing from its first failed request until it
    /// has had three successes after its last failure. A failing endpoint is picked at most as often as its share by
    /// weight. For example, if one of four endpoints of equal weight is failing, it gets at most every fourth pick. In
    /// all other picks, the failing endpoint is not [usable](PickCx::usable).
    ///
    /// Strategies that compare requests in flight or latencies need this cap, because an endpoint that fails within a
    /// millisecond looks idle or fast to them.
    ///
    /// The cap does not apply in these cases:
    ///
    /// - More than half of the pool's eligible endpoints are failing.
    /// - With the cap, the pick would find no endpoint.
    /// - The [key](Self::key) of the request decides which endpoint it goes to. All requests of a key then stay at the
    ///   endpoint of the key.
    ///
    /// The cap costs one read of memory for each request that ends.
    pub const fn caps_failing(mut self) -> Self {
        self.caps_failing = true;
        self
    }

    /// Asks for [`caps_failing`](Self::caps_failing), and applies the cap to requests that are placed by key too. It is
    /// for strategies that move keys from loaded endpoints to others.
    pub(crate) const fn caps_failing_by_key(mut self) -> Self {
        self.caps_failing_by_key = true;
        self.caps_failing()
    }

    /// Asks for calls of [`Strategy::on_refresh`], at most one per `period`. The first pick after the end of a period
    /// makes the call, so without requests there are no calls. Also asks for the time of the pick
    /// ([`clock`](Self::clock)). By default, there is no period, and `on_refresh` is not called.
    pub const fn refresh(mut self, period: Duration) -> Self {
        self.refresh = Some(period);
        self.clock()
    }

    /// Returns whether the key of a request decides its endpoint, as declared with [`key`](Self::key). It is `true` for
    /// the needs of the hashing strategies of this crate.
    pub const fn places_by_key(&self) -> bool {
        self.key
    }

    /// Combines the needs of two strategies, for a strategy that wraps another one. The result asks for everything that
    /// at least one of the two asks for. If both have a [refresh period](Self::refresh), the result has the shorter
    /// one.
    pub fn and(self, other: Self) -> Self {
        Self {
            clock: self.clock || other.clock,
            latency: self.latency || other.latency,
            waiting: self.waiting || other.waiting,
            outcomes: self.outcomes || other.outcomes,
            leases: self.leases || other.leases,
            key: self.key || other.key,
            refuses_by_key: self.refuses_by_key || other.refuses_by_key,
            caps_failing: self.caps_failing || other.caps_failing,
            caps_failing_by_key: self.caps_failing_by_key || other.caps_failing_by_key,
            shared_capacity: self.shared_capacity || other.shared_capacity,
            refresh: [self.refresh, other.refresh].into_iter().flatten().min(),
        }
    }
}

/// Why a strategy could not build a picker for the endpoints of a pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The strategy cannot serve the endpoints of the pool. The text says why, for example because a table is too
    /// small.
    #[error("the strategy cannot serve these endpoints: {0}")]
    Refused(String),
    /// The strategy panicked in [`Strategy::build`] or [`Strategy::state`].
    #[error("the strategy panicked while it built a picker")]
    Panicked,
}

impl BuildError {
    /// Returns the kind of the error as a stable label for metrics and logs: `refused` or `panicked`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Panicked => "panicked",
        }
    }
}

/// Returns the greatest common divisor of two numbers. It is `a` if `b` is 0.
pub(crate) fn gcd<N: Copy + Default + PartialEq + Rem<Output = N>>(a: N, b: N) -> N {
    if b == N::default() { a } else { gcd(b, a % b) }
}
