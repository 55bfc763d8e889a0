use std::{sync::Arc, time::Duration};

use equipoise_core::{BuildError, EndpointSpec, Layered, Needs, Strategy, Timestamp, Verdict, View, forward_hooks};

use super::collector::{EndpointResults, ResultCollector};

/// A strategy that reports the results of a pool's requests to outlier detection. It wraps another strategy and picks
/// the same endpoints as that strategy. [`Health::watch`](crate::Health::watch) and [`ResultCollector::watch`] create a
/// `CollectingStrategy`.
#[derive(Debug)]
pub struct CollectingStrategy<S> {
    inner: S,
    collector: ResultCollector,
}

/// The data that [`CollectingStrategy`] stores for one endpoint: the results of the endpoint's requests. The data is
/// empty if outlier detection is off.
#[derive(Debug)]
pub struct CollectingState(Option<Arc<EndpointResults>>);

impl ResultCollector {
    /// Wraps the strategy of a pool, so that the results of the pool's requests are collected. The wrapped strategy
    /// picks the same endpoints as before. Wrap the strategy of one pool only.
    pub fn watch<S: Strategy>(&self, strategy: S) -> CollectingStrategy<S> {
        CollectingStrategy { inner: strategy, collector: self.clone() }
    }
}

impl<S: Strategy> Strategy for CollectingStrategy<S> {
    type State = Layered<CollectingState, S::State>;
    type Picker = S::Picker;

    fn state(&self, spec: &EndpointSpec) -> Self::State {
        Layered::new(CollectingState(self.collector.add(spec.id())), self.inner.state(spec))
    }

    fn build(&self, view: &View, last: Option<&S::Picker>) -> Result<S::Picker, BuildError> {
        self.inner.build(&view.within::<CollectingState, S::State>(), last)
    }

    fn needs(&self) -> Needs {
        let needs = self.inner.needs();
        match self.collector.rules() {
            Some(rules) if rules.latency.is_some() || rules.abandon_factor.is_some() => needs.outcomes().latency(),
            Some(_) => needs.outcomes(),
            None => needs,
        }
    }

    fn on_latency(&self, state: &Self::State, latency: Duration, now: Timestamp) {
        if let Some(results) = &state.own.0 {
            results.on_latency(latency);
        }
        self.inner.on_latency(&state.inner, latency, now);
    }

    fn on_abandon(&self, state: &Self::State, waited: Duration, now: Timestamp) -> bool {
        // The inner strategy is always called, because it learns from the call.
        let inner = self.inner.on_abandon(&state.inner, waited, now);
        inner || state.own.0.as_ref().is_some_and(|results| results.is_timeout(waited))
    }

    fn on_outcome(&self, state: &Self::State, verdict: Verdict, now: Timestamp) {
        if let Some(results) = &state.own.0 {
            results.on_outcome(verdict, now);
        }
        self.inner.on_outcome(&state.inner, verdict, now);
    }

    fn on_probation(&self, state: &Self::State, verdict: Verdict, now: Timestamp) {
        if let Some(results) = &state.own.0 {
            results.on_probation(verdict);
        }
        self.inner.on_probation(&state.inner, verdict, now);
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    forward_hooks!(self.inner, state.inner; except on_latency, on_abandon, on_outcome, on_probation);
}
