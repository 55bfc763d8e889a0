use std::{cell::Cell, thread, time::Duration};

use equipoise_core::{BuildError, Endpoint, EndpointSpec, Needs, PickRequest, Strategy, Timestamp, Verdict, View};

thread_local! {
    // A run is on one thread, and hooks have no other way to say it.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a hook has panicked on this thread since this was last asked.
pub(crate) fn take_panicked() -> bool {
    PANICKED.take()
}

/// A strategy that tells when a hook of it panics. A pool goes on without it, as it should; a report would then be of
/// something else than the strategy.
pub(super) struct Watched<S>(pub(super) S);

impl<S: Strategy> Strategy for Watched<S> {
    type State = S::State;
    type Picker = S::Picker;

    fn state(&self, spec: &EndpointSpec) -> Self::State {
        self.0.state(spec)
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        self.0.build(view, last)
    }

    fn needs(&self) -> Needs {
        self.0.needs()
    }

    fn acquired(&self, state: &Self::State, endpoint: &Endpoint, request: &PickRequest<'_>) -> bool {
        let _watch = Watch;
        self.0.acquired(state, endpoint, request)
    }

    fn released(&self, state: &Self::State, endpoint: &Endpoint) {
        let _watch = Watch;
        self.0.released(state, endpoint);
    }

    fn sampled(&self, state: &Self::State, latency: Duration, now: Timestamp) {
        let _watch = Watch;
        self.0.sampled(state, latency, now);
    }

    fn observed(&self, state: &Self::State, verdict: Verdict, now: Timestamp) {
        let _watch = Watch;
        self.0.observed(state, verdict, now);
    }

    fn refreshed(&self, now: Timestamp) -> bool {
        let _watch = Watch;
        self.0.refreshed(now)
    }
}

/// Notes when it is dropped by a panic.
struct Watch;

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            PANICKED.set(true);
        }
    }
}
