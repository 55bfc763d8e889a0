use std::{any::Any, fmt, sync::Arc, time::Duration};

use super::{BuildError, Needs, PickCx, Picker, Strategy, picker::guarded};
use crate::{
    endpoint::{Endpoint, EndpointSpec, LeaseHooks, Slot},
    request::PickRequest,
    time::Timestamp,
    verdict::Verdict,
    view::View,
};

/// A strategy of any type, so that the strategy can be chosen at run time. A clone shares its strategy with the
/// original. Create a new `AnyStrategy` for each pool, because a strategy must not be used in two pools.
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
///
/// The `Debug` output contains the text of the strategy, such as `p2c(choices=3)`, if the strategy was built from a
/// [`StrategySpec`](crate::StrategySpec). Otherwise it contains the name of the strategy's Rust type.
#[derive(Clone)]
pub struct AnyStrategy {
    strategy: Arc<dyn Erased>,
    /// The text from which the strategy was built. `None` if it was not built from text.
    text: Option<Arc<str>>,
}

impl AnyStrategy {
    /// Creates an `AnyStrategy` from a strategy of any type. If `strategy` is an `AnyStrategy` already, returns it
    /// unchanged.
    pub fn new<S: Strategy>(strategy: S) -> Self {
        // A pool erases the type of every strategy. An erased strategy does not have to be wrapped again.
        match (&strategy as &dyn Any).downcast_ref::<Self>() {
            Some(erased) => erased.clone(),
            None => Self { strategy: Arc::new(strategy), text: None },
        }
    }

    /// Returns the hooks that leases call.
    pub(crate) fn lease_hooks(&self) -> Arc<dyn LeaseHooks> {
        Arc::<dyn Erased>::clone(&self.strategy)
    }

    pub(super) fn written_as(self, text: &impl fmt::Display) -> Self {
        Self { text: Some(text.to_string().into()), ..self }
    }

    /// Calls [`Strategy::state`]. Turns a panic into an error.
    pub(crate) fn state_guarded(&self, spec: &EndpointSpec) -> Result<Arc<dyn Any + Send + Sync>, BuildError> {
        guarded(|| self.strategy.state(spec)).ok_or(BuildError::Panicked)
    }

    /// Calls [`Strategy::build`]. Turns a panic into an error.
    pub(crate) fn build_guarded(&self, view: &View, last: Option<&dyn Picker>) -> Result<Box<dyn Picker>, BuildError> {
        guarded(|| self.strategy.build(view, last)).unwrap_or(Err(BuildError::Panicked))
    }
}

impl Strategy for AnyStrategy {
    type State = Arc<dyn Any + Send + Sync>;
    type Picker = Box<dyn Picker>;

    fn state(&self, spec: &EndpointSpec) -> Self::State {
        self.strategy.state(spec)
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        self.strategy.build(view, last.map(|last| &**last))
    }

    fn needs(&self) -> Needs {
        self.strategy.needs()
    }

    fn admit(&self, state: &Self::State, endpoint: &Endpoint, request: &PickRequest<'_>) -> bool {
        // A panic does not refuse the request, because the release hook is called for every lease.
        guarded(|| self.strategy.admit(&**state, endpoint, request)).unwrap_or(true)
    }

    fn on_release(&self, state: &Self::State, endpoint: &Endpoint) {
        self.strategy.on_release(&**state, endpoint);
    }

    fn on_latency(&self, state: &Self::State, latency: Duration, now: Timestamp) {
        self.strategy.on_latency(&**state, latency, now);
    }

    fn on_abandon(&self, state: &Self::State, waited: Duration, now: Timestamp) -> bool {
        self.strategy.on_abandon(&**state, waited, now)
    }

    fn on_outcome(&self, state: &Self::State, verdict: Verdict, now: Timestamp) {
        self.strategy.on_outcome(&**state, verdict, now);
    }

    fn on_probation(&self, state: &Self::State, verdict: Verdict, now: Timestamp) {
        self.strategy.on_probation(&**state, verdict, now);
    }

    fn on_refresh(&self, now: Timestamp) -> bool {
        guarded(|| self.strategy.on_refresh(now)).unwrap_or(false)
    }

    fn name(&self) -> String {
        match &self.text {
            Some(text) => text.to_string(),
            None => guarded(|| self.strategy.name()).unwrap_or_else(|| self.strategy.type_name().to_owned()),
        }
    }
}

impl Picker for Box<dyn Picker> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        (**self).pick(cx)
    }
}

impl fmt::Debug for AnyStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyStrategy({})", self.text.as_deref().unwrap_or_else(|| self.strategy.type_name()))
    }
}

/// [`Strategy`] without its associated types.
trait Erased: LeaseHooks {
    fn type_name(&self) -> &'static str;
    fn name(&self) -> String;
    fn state(&self, spec: &EndpointSpec) -> Arc<dyn Any + Send + Sync>;
    fn build(&self, view: &View, last: Option<&dyn Picker>) -> Result<Box<dyn Picker>, BuildError>;
    fn needs(&self) -> Needs;
    fn admit(&self, state: &(dyn Any + Send + Sync), endpoint: &Endpoint, request: &PickRequest<'_>) -> bool;
    fn on_refresh(&self, now: Timestamp) -> bool;
}

impl<S: Strategy> Erased for S {
    fn type_name(&self) -> &'static str {
        std::any::type_name::<S>()
    }

    fn name(&self) -> String {
        Strategy::name(self)
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

    fn admit(&self, state: &(dyn Any + Send + Sync), endpoint: &Endpoint, request: &PickRequest<'_>) -> bool {
        state.downcast_ref().is_none_or(|state| Strategy::admit(self, state, endpoint, request))
    }

    fn on_refresh(&self, now: Timestamp) -> bool {
        Strategy::on_refresh(self, now)
    }
}

impl<S: Strategy> LeaseHooks for S {
    fn on_release(&self, state: &(dyn Any + Send + Sync), endpoint: &Endpoint) {
        if let Some(state) = state.downcast_ref() {
            guarded(|| Strategy::on_release(self, state, endpoint));
        }
    }

    fn on_latency(&self, state: &(dyn Any + Send + Sync), latency: Duration, now: Timestamp) {
        if let Some(state) = state.downcast_ref() {
            guarded(|| Strategy::on_latency(self, state, latency, now));
        }
    }

    fn on_abandon(&self, state: &(dyn Any + Send + Sync), waited: Duration, now: Timestamp) -> bool {
        let abandoned = |state| guarded(|| Strategy::on_abandon(self, state, waited, now));
        state.downcast_ref().and_then(abandoned).unwrap_or(false)
    }

    fn on_outcome(&self, state: &(dyn Any + Send + Sync), verdict: Verdict, now: Timestamp) {
        if let Some(state) = state.downcast_ref() {
            guarded(|| Strategy::on_outcome(self, state, verdict, now));
        }
    }

    fn on_probation(&self, state: &(dyn Any + Send + Sync), verdict: Verdict, now: Timestamp) {
        if let Some(state) = state.downcast_ref() {
            guarded(|| Strategy::on_probation(self, state, verdict, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{AnyStrategy, Pool, Random, SlowStart, Strategy, StrategySpec};

    #[test]
    fn debug_shows_settings_that_were_read_and_the_type_of_what_was_not() {
        let text = "slow-start(p2c(choices=3), window=1m)";
        let strategy = text.parse::<StrategySpec>().expect("a strategy").build();
        assert_eq!(format!("{strategy:?}"), format!("AnyStrategy({text})"));
        // A pool and a wrapping strategy show the text too.
        assert!(format!("{:?}", Pool::<()>::new(strategy.clone())).contains(text));
        assert!(format!("{:?}", SlowStart::new(strategy)).contains(text));
        let typed = format!("{:?}", AnyStrategy::new(Random::new()));
        assert!(typed.starts_with("AnyStrategy(") && typed.ends_with("::Random)"), "{typed}");
    }

    #[test]
    fn the_name_for_people_has_no_paths() {
        assert_eq!(AnyStrategy::new(Random::new()).name(), "Random");
        assert_eq!(AnyStrategy::new(SlowStart::new(Random::new())).name(), "SlowStart<Random>");
        assert_eq!(super::super::without_paths("a::B<(c::D, &e::F), [u8; 3]>"), "B<(D, &F), [u8; 3]>");
    }
}
