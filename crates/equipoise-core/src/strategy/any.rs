use std::{any::Any, fmt, sync::Arc, time::Duration};

use super::{BuildError, Needs, PickCx, Picker, Strategy};
use crate::{
    endpoint::{Endpoint, EndpointSpec, Slot},
    guard::guarded,
    time::Timestamp,
    verdict::Verdict,
    view::View,
};

/// A strategy whose type is forgotten: for choosing one at run time. Cloning shares it.
///
/// ```
/// use equipoise_core::{AnyStrategy, P2c, Pool, RoundRobin};
///
/// let strategy = match "p2c" {
///     "p2c" => AnyStrategy::new(P2c::new()),
///     _ => AnyStrategy::new(RoundRobin::new()),
/// };
/// let pool: Pool<()> = Pool::new(strategy);
/// # let _ = pool;
/// ```
#[derive(Clone)]
pub struct AnyStrategy(Arc<dyn Erased>);

impl AnyStrategy {
    /// Forgets the type of `strategy`.
    pub fn new<S: Strategy>(strategy: S) -> Self {
        // A pool erases what it is given; an erased strategy need not be wrapped twice.
        match (&strategy as &dyn Any).downcast_ref::<Self>() {
            Some(erased) => erased.clone(),
            None => Self(Arc::new(strategy)),
        }
    }

    /// [`Strategy::state`], with a panic in it turned into an error.
    pub(crate) fn state_guarded(&self, spec: &EndpointSpec) -> Result<Arc<dyn Any + Send + Sync>, BuildError> {
        guarded(|| self.0.state(spec)).ok_or(BuildError::Panicked)
    }

    /// [`Strategy::build`], with a panic in it turned into an error.
    pub(crate) fn build_guarded(&self, view: &View, last: Option<&dyn Picker>) -> Result<Box<dyn Picker>, BuildError> {
        guarded(|| self.0.build(view, last)).unwrap_or(Err(BuildError::Panicked))
    }
}

impl Strategy for AnyStrategy {
    type State = Arc<dyn Any + Send + Sync>;
    type Picker = Box<dyn Picker>;

    fn state(&self, spec: &EndpointSpec) -> Self::State {
        self.0.state(spec)
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        self.0.build(view, last.map(|last| &**last))
    }

    fn needs(&self) -> Needs {
        self.0.needs()
    }

    fn acquired(&self, state: &Self::State, endpoint: &Endpoint) -> bool {
        // Not refused: a lease whose hook panicked is released like any other.
        guarded(|| self.0.acquired(&**state, endpoint)).unwrap_or(true)
    }

    fn released(&self, state: &Self::State, endpoint: &Endpoint) {
        guarded(|| self.0.released(&**state, endpoint));
    }

    fn sampled(&self, state: &Self::State, latency: Duration, now: Timestamp) {
        guarded(|| self.0.sampled(&**state, latency, now));
    }

    fn observed(&self, state: &Self::State, verdict: Verdict, now: Timestamp) {
        guarded(|| self.0.observed(&**state, verdict, now));
    }

    fn refreshed(&self, now: Timestamp) -> bool {
        guarded(|| self.0.refreshed(now)).unwrap_or(false)
    }
}

impl Picker for Box<dyn Picker> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        (**self).pick(cx)
    }
}

impl fmt::Debug for AnyStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyStrategy").field(&self.0.type_name()).finish()
    }
}

/// [`Strategy`] without its associated types.
trait Erased: Send + Sync {
    fn type_name(&self) -> &'static str;
    fn state(&self, spec: &EndpointSpec) -> Arc<dyn Any + Send + Sync>;
    fn build(&self, view: &View, last: Option<&dyn Picker>) -> Result<Box<dyn Picker>, BuildError>;
    fn needs(&self) -> Needs;
    fn acquired(&self, state: &(dyn Any + Send + Sync), endpoint: &Endpoint) -> bool;
    fn released(&self, state: &(dyn Any + Send + Sync), endpoint: &Endpoint);
    fn sampled(&self, state: &(dyn Any + Send + Sync), latency: Duration, now: Timestamp);
    fn observed(&self, state: &(dyn Any + Send + Sync), verdict: Verdict, now: Timestamp);
    fn refreshed(&self, now: Timestamp) -> bool;
}

impl<S: Strategy> Erased for S {
    fn type_name(&self) -> &'static str {
        std::any::type_name::<S>()
    }

    fn state(&self, spec: &EndpointSpec) -> Arc<dyn Any + Send + Sync> {
        Arc::new(Strategy::state(self, spec))
    }

    fn build(&self, view: &View, last: Option<&dyn Picker>) -> Result<Box<dyn Picker>, BuildError> {
        let last = last.and_then(|last| (last as &dyn Any).downcast_ref::<S::Picker>());
        Ok(Box::new(Strategy::build(self, view, last)?))
    }

    fn needs(&self) -> Needs {
        Strategy::needs(self)
    }

    fn acquired(&self, state: &(dyn Any + Send + Sync), endpoint: &Endpoint) -> bool {
        state.downcast_ref().is_none_or(|state| Strategy::acquired(self, state, endpoint))
    }

    fn released(&self, state: &(dyn Any + Send + Sync), endpoint: &Endpoint) {
        if let Some(state) = state.downcast_ref() {
            Strategy::released(self, state, endpoint);
        }
    }

    fn sampled(&self, state: &(dyn Any + Send + Sync), latency: Duration, now: Timestamp) {
        if let Some(state) = state.downcast_ref() {
            Strategy::sampled(self, state, latency, now);
        }
    }

    fn observed(&self, state: &(dyn Any + Send + Sync), verdict: Verdict, now: Timestamp) {
        if let Some(state) = state.downcast_ref() {
            Strategy::observed(self, state, verdict, now);
        }
    }

    fn refreshed(&self, now: Timestamp) -> bool {
        Strategy::refreshed(self, now)
    }
}
