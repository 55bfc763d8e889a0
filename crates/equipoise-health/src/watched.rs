use std::sync::Arc;

use equipoise_core::{BuildError, EndpointSpec, Layered, Needs, Strategy, Timestamp, Verdict, View, forward_hooks};

use crate::{
    settings::Outliers,
    signals::{Board, Signals},
};

/// A strategy whose pool's requests are listened to: what [`Health::watch`](crate::Health::watch) makes. It picks as the
/// strategy inside does.
#[derive(Debug)]
pub struct Watched<S> {
    pub(crate) inner: S,
    pub(crate) board: Arc<Board>,
    pub(crate) rules: Option<Outliers>,
}

/// What [`Watched`] remembers of an endpoint.
#[derive(Debug)]
pub struct WatchedState(Option<Arc<Signals>>);

impl<S: Strategy> Strategy for Watched<S> {
    type State = Layered<WatchedState, S::State>;
    type Picker = S::Picker;

    fn state(&self, spec: &EndpointSpec) -> Self::State {
        let signals = self.rules.map(|rules| self.board.join(spec.id(), rules));
        Layered::new(WatchedState(signals), self.inner.state(spec))
    }

    fn build(&self, view: &View, last: Option<&S::Picker>) -> Result<S::Picker, BuildError> {
        self.inner.build(&view.within::<WatchedState, S::State>(), last)
    }

    fn needs(&self) -> Needs {
        let needs = self.inner.needs();
        match self.rules {
            Some(rules) if rules.latency.is_some() => needs.outcomes().latency(),
            Some(_) => needs.outcomes(),
            None => needs,
        }
    }

    fn sampled(&self, state: &Self::State, latency: std::time::Duration, now: Timestamp) {
        if let Some(signals) = &state.own.0 {
            signals.sampled(latency);
        }
        self.inner.sampled(&state.inner, latency, now);
    }

    fn observed(&self, state: &Self::State, verdict: Verdict, now: Timestamp) {
        if let Some(signals) = &state.own.0 {
            signals.observed(verdict, now);
        }
        self.inner.observed(&state.inner, verdict, now);
    }

    forward_hooks!(self.inner, state.inner: acquired, released, refreshed);
}
