//! Strategies: how one of the eligible endpoints is chosen.
//!
//! A [`Strategy`] is cold: it holds settings and [builds](Strategy::build) a [`Picker`] whenever membership or
//! availability changes. A picker is hot: [`pick`](Picker::pick) runs on every request, from many threads at once,
//! on `&self`. What a strategy must remember of an endpoint is its [`State`](Strategy::State), which the pool keeps
//! with the endpoint, so that it survives every update.
//!
//! # A strategy of your own
//!
//! Always the endpoint with the smallest id that is usable:
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
mod random;
mod round_robin;
mod sampling;
mod span;
mod tickets;

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
    random::Random,
    round_robin::{Edf, RoundRobin},
    sampling::InvalidChoices,
    span::InvalidSpan,
    tickets::Tickets,
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

/// Settings and cold work of a way to choose; see the [module](self) for an example.
///
/// One value serves one pool, which calls `build` once per tier. The hooks (`admit` and so on) run on the
/// request's path and only when [`needs`](Self::needs) asks for them; a hook that panics is caught and ignored.
pub trait Strategy: Send + Sync + 'static {
    /// What the strategy remembers of one endpoint; `()` if nothing. Made when an endpoint joins, shared by all
    /// pickers, kept until the endpoint has left and its last lease is gone.
    type State: Send + Sync + 'static;

    /// The hot half.
    type Picker: Picker;

    /// The memory for an endpoint that joins.
    fn state(&self, spec: &EndpointSpec) -> Self::State;

    /// Makes a picker for `view`. May be slow: requests go on with the old picker meanwhile. `last` is the picker that
    /// this one replaces, to take positions and tables over.
    ///
    /// # Errors
    ///
    /// When no picker can be made for this membership. The change that asked for it is then refused as a whole.
    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError>;

    /// What it wants to be told. Asked once, when the pool is built.
    fn needs(&self) -> Needs {
        Needs::new()
    }

    /// A lease on the endpoint is about to be given out for `request`, whoever chose it; `false` refuses, and the pool
    /// picks again. What it counts here it must count back in [`on_release`](Self::on_release); of what it refuses it hears
    /// no more. Needs [`Needs::leases`]; and [`Needs::shared_room`] if a refusal depends on other endpoints than this one.
    fn admit(&self, _state: &Self::State, _endpoint: &Endpoint, _request: &PickRequest<'_>) -> bool {
        true
    }

    /// A lease on the endpoint ended, and its permit, if it had one, was given back. Needs [`Needs::leases`].
    fn on_release(&self, _state: &Self::State, _endpoint: &Endpoint) {}

    /// A request took `latency` until its first byte. Needs [`Needs::latency`].
    fn on_latency(&self, _state: &Self::State, _latency: Duration, _now: Timestamp) {}

    /// A request was given up: its lease ended `waited` after the pick, without a first byte and without a verdict. So its
    /// latency is at least `waited`: an estimate may be raised to that, never lowered. A request may be given up at any
    /// time and for any reason, so one that waited for less than the usual latency says nothing.
    ///
    /// `true` makes it count as a [timeout](crate::Failure::Timeout): [`on_outcome`](Self::on_outcome) is told so, and
    /// [`on_probation`](Self::on_probation) where the request was the one on trial. Without [`Needs::outcomes`] it counts
    /// for [`Needs::caps_failing`] only, and decides no probation. The default is `false`. Needs [`Needs::latency`].
    fn on_abandon(&self, _state: &Self::State, _waited: Duration, _now: Timestamp) -> bool {
        false
    }

    /// A request ended with `verdict`. Needs [`Needs::outcomes`].
    fn on_outcome(&self, _state: &Self::State, _verdict: Verdict, _now: Timestamp) {}

    /// That request, of which [`on_outcome`](Self::on_outcome) has just told, was the one by which an endpoint was
    /// [tried](crate::Availability::Probation): its verdict decides. Needs [`Needs::outcomes`].
    fn on_probation(&self, _state: &Self::State, _verdict: Verdict, _now: Timestamp) {}

    /// A [refresh period](Needs::refresh) is over; `true` asks for new pickers.
    fn on_refresh(&self, _now: Timestamp) -> bool {
        false
    }
}

/// Chooses one endpoint for one request. Runs on many threads at once and must not block.
pub trait Picker: Any + Send + Sync {
    /// The slot of a [usable](PickCx::usable) endpoint, or `None` if the picker finds none. The pool refuses a slot
    /// that is not eligible.
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot>;
}

/// What a [`Strategy`] wants to be told. The pool reads the clock and calls hooks only for what is asked for here.
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
    /// Nothing.
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

    /// The time of the pick, as [`PickCx::now`].
    pub const fn clock(mut self) -> Self {
        self.clock = true;
        self
    }

    /// [`Strategy::on_latency`], [`Strategy::on_abandon`], and the time of the pick.
    pub const fn latency(mut self) -> Self {
        self.latency = true;
        self.clock()
    }

    /// [`Strategy::on_outcome`] and [`Strategy::on_probation`].
    pub const fn outcomes(mut self) -> Self {
        self.outcomes = true;
        self
    }

    /// [`Strategy::admit`] and [`Strategy::on_release`].
    pub const fn leases(mut self) -> Self {
        self.leases = true;
        self
    }

    /// [`leases`](Self::leases), where a lease that is taken or ends at one endpoint may make room at another: as under a
    /// bound on an endpoint's share of all requests ([`BoundedLoad`]), or on their number in all. The
    /// pool then looks at all [waiting](crate::Pool::acquire) requests after each pick and release, and not only at those
    /// that can use the endpoint in question. What [`admit`](Strategy::admit) counts, it must count with `SeqCst`.
    pub const fn shared_room(mut self) -> Self {
        self.shared_room = true;
        self.leases()
    }

    /// The request's key: it decides where the request goes. What is drawn by lot around the strategy (a tier, a zone,
    /// an endpoint that is starting slowly) is then drawn by the key, so that requests of one key go one way.
    ///
    /// Requests of different keys [wait](crate::Pool::acquire) apart, because a pick may fail for one key while another
    /// finds an endpoint. A strategy that wraps another and refuses endpoints by key must ask for this even if the wrapped
    /// one does too.
    pub const fn key(mut self) -> Self {
        self.refuses_by_key = true;
        self.places_any_key()
    }

    /// [`key`](Self::key), for strategies that find an endpoint for every key if any endpoint is usable.
    pub(crate) const fn places_any_key(mut self) -> Self {
        self.key = true;
        self
    }

    /// What of a request's key decides whether an endpoint can serve it.
    pub(crate) const fn key_use(&self) -> KeyUse {
        match (self.key, self.refuses_by_key) {
            (false, _) => KeyUse::Ignored,
            (true, false) => KeyUse::Presence,
            (true, true) => KeyUse::Value,
        }
    }

    /// A cap on endpoints that fail. From a failed request until the third success after the last failure, the endpoint is
    /// [usable](PickCx::usable) no more often than its weight says: one of four equal endpoints in every fourth pick at
    /// most. For strategies that compare requests in flight or latencies, to which an endpoint that fails in a millisecond
    /// looks idle or fast.
    ///
    /// The cap is off while more than half of the pool's endpoints fail, and for a pick that would find no other endpoint.
    /// Requests that are placed by [key](Self::key) are not subject to it: their keys stay. It costs one look at the
    /// endpoint at the end of each request.
    pub const fn caps_failing(mut self) -> Self {
        self.caps_failing = true;
        self
    }

    /// [`caps_failing`](Self::caps_failing), also for requests that are placed by key: for strategies that move keys from
    /// endpoints with much load to those with little.
    pub(crate) const fn caps_failing_by_key(mut self) -> Self {
        self.caps_failing_by_key = true;
        self.caps_failing()
    }

    /// [`Strategy::on_refresh`], at most once per `period`: by the first pick after it has passed.
    pub const fn refresh(mut self, period: Duration) -> Self {
        self.refresh = Some(period);
        self.clock()
    }

    /// Whether the [key](Self::key) is among it.
    pub const fn places_by_key(&self) -> bool {
        self.key
    }

    /// What either of the two needs: for a strategy that wraps another.
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

/// Why a strategy could not make a picker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The strategy says so.
    #[error("the strategy cannot serve these endpoints: {0}")]
    Refused(String),
    /// The strategy panicked.
    #[error("the strategy panicked while it built a picker")]
    Panicked,
}
