use std::sync::Arc;

use equipoise_core::{BuildError, EndpointSpec, Layered, Needs, Strategy, Timestamp, Verdict, View, forward_hooks};

use crate::signals::{Signals, Witness};

/// A strategy whose pool's requests are listened to: what [`Health::watch`](crate::Health::watch) and [`Signals::watch`]
/// make. It picks as the strategy inside does.
#[derive(Debug)]
pub struct Watched<S> {
    pub(crate) inner: S,
    pub(crate) signals: Signals,
}

/// What [`Watched`] remembers of an endpoint.
#[derive(Debug)]
pub struct WatchedState(Option<Arc<Witness>>);

impl<S: Strategy> Strategy for Watched<S> {
    type State = Layered<WatchedState, S::State>;
    type Picker = S::Picker;

    fn state(&self, spec: &EndpointSpec) -> Self::State {
        Layered::new(WatchedState(self.signals.join(spec.id())), self.inner.state(spec))
    }

    fn build(&self, view: &View, last: Option<&S::Picker>) -> Result<S::Picker, BuildError> {
        self.inner.build(&view.within::<WatchedState, S::State>(), last)
    }

    fn needs(&self) -> Needs {
        let needs = self.inner.needs();
        match self.signals.rules() {
            Some(rules) if rules.latency.is_some() || rules.abandoned.is_some() => needs.outcomes().latency(),
            Some(_) => needs.outcomes(),
            None => needs,
        }
    }

    fn on_latency(&self, state: &Self::State, latency: std::time::Duration, now: Timestamp) {
        if let Some(witness) = &state.own.0 {
            witness.on_latency(latency);
        }
        self.inner.on_latency(&state.inner, latency, now);
    }

    fn on_abandon(&self, state: &Self::State, waited: std::time::Duration, now: Timestamp) -> bool {
        // Both are asked: the inner strategy learns from it whatever the rules say.
        let inner = self.inner.on_abandon(&state.inner, waited, now);
        inner || state.own.0.as_ref().is_some_and(|witness| witness.is_timeout(waited))
    }

    fn on_outcome(&self, state: &Self::State, verdict: Verdict, now: Timestamp) {
        if let Some(witness) = &state.own.0 {
            witness.on_outcome(verdict, now);
        }
        self.inner.on_outcome(&state.inner, verdict, now);
    }

    fn on_probation(&self, state: &Self::State, verdict: Verdict, now: Timestamp) {
        if let Some(witness) = &state.own.0 {
            witness.on_probation(verdict);
        }
        self.inner.on_probation(&state.inner, verdict, now);
    }

    forward_hooks!(self.inner, state.inner: admit, on_release, on_refresh);
}
